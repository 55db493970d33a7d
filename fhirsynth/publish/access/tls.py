"""Whom we trust, who we are to the other side's TLS, and in one line what went wrong on the way."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import httpx

from fhirsynth.errors import UsageError
from fhirsynth.publish.access.secrets import read_small

EXPIRED, NOT_YET, SELF_SIGNED, SELF_SIGNED_CHAIN, NO_ISSUER, NO_LEAF, WRONG_HOST, WRONG_IP = (
    10,
    9,
    18,
    19,
    20,
    21,
    62,
    64,
)
"""Numbers of OpenSSL's X509_V_ERR_*."""
UNTRUSTED: Final = "its certificate is signed by nobody who is trusted here; give the CA's certificate with --ca FILE"
CERTIFICATES: Final = {
    EXPIRED: "its certificate has expired; have it renewed, and see whether this machine's clock is right",
    NOT_YET: "its certificate is not valid yet; see whether this machine's clock is right",
    SELF_SIGNED: "its certificate is signed by itself; give it, or its CA's, with --ca FILE",
    SELF_SIGNED_CHAIN: UNTRUSTED,
    NO_ISSUER: UNTRUSTED,
    NO_LEAF: UNTRUSTED,
    WRONG_HOST: "its certificate is for another host; use the name that stands in it",
    WRONG_IP: "its certificate is not for this IP address; use the name that stands in it",
}
ALERTS: Final = {
    "CERTIFICATE_REQUIRED": "it asks for a certificate of ours (mTLS); give it with --cert FILE",
    "UNKNOWN_CA": "it does not know the CA of our certificate; give one with --cert that it knows",
    "BAD_CERTIFICATE": "it does not take our certificate; give one with --cert that it knows",
    "CERTIFICATE_EXPIRED": "our certificate has expired; give another with --cert",
    "CERTIFICATE_REVOKED": "our certificate is revoked; give another with --cert",
    "CERTIFICATE_UNKNOWN": "it does not take our certificate; give one with --cert that it knows",
    "HANDSHAKE_FAILURE": "TLS cannot be agreed on; it may ask for a certificate of ours: --cert FILE",
    "PROTOCOL_VERSION": "it speaks an old TLS only, which is not safe; have it brought up to TLS 1.2 or newer",
    "WRONG_VERSION_NUMBER": "it does not speak TLS there; the address may be one of http://, or have another port",
    "HTTP_REQUEST": "it does not speak TLS there; the address may be one of http://, or have another port",
}
"""By what the reason of an ssl.SSLError ends with."""

BROKEN: Final = "the connection broke off"
FAILURES: Final = (httpx.TransportError, ssl.SSLError)
"""What a request may raise; an ``AsyncClient`` lets the alert of a server that wants a certificate through as it is."""


class Trouble(NamedTuple):
    """What went wrong on the way to a server, and what to do.

    Parameters
    ----------
    lasting
        Another try changes nothing.
    unknown
        Nor does it here, unless the server has answered before: nobody knows its name.
    """

    words: str
    lasting: bool
    unknown: bool = False


def tls_context(
    ca: Path | None = None, cert: Path | None = None, cert_key: Path | None = None, password: str | None = None
) -> ssl.SSLContext:
    """The usual CAs, that in ``ca`` beside them, and our own certificate for mTLS.

    Raises
    ------
    UsageError
        When a file is not what it should be, or the password is wrong.
    """
    if cert_key and not cert:
        raise UsageError("--cert-key is the key of a certificate; give that with --cert")
    try:
        context = httpx.create_ssl_context()
    except OSError as error:
        raise UsageError(
            f"SSL_CERT_FILE or SSL_CERT_DIR cannot be read ({error.strerror or 'no certificates'}); set it again"
        ) from None
    if ca:
        _trust(context, ca)
    if cert:
        _present(context, cert, cert_key or cert, password)
    return context


def _trust(context: ssl.SSLContext, ca: Path) -> None:
    if ca.is_file() and b"-----BEGIN CERTIFICATE" not in ca.read_bytes():
        raise UsageError(
            f"{ca}: holds no certificate as PEM (BEGIN CERTIFICATE); turn it into PEM: openssl x509 -inform der"
        )
    try:
        context.load_verify_locations(ca)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(f"{ca}: cannot be read as certificates ({_short(error)}); see whether it is whole") from None


def _present(context: ssl.SSLContext, cert: Path, key: Path, password: str | None) -> None:
    if b"PRIVATE KEY" not in read_small(key):
        raise UsageError(f"{key}: holds no private key as PEM; give it with --cert-key FILE")
    encrypted = b"ENCRYPTED" in read_small(key)
    if encrypted and not password:
        raise UsageError(f"{key}: is encrypted; set its password in FHIRSYNTH_CERT_PASSWORD")
    read_small(cert)
    try:
        context.load_cert_chain(cert, key, (lambda: password or "") if encrypted else None)
    except (OSError, ValueError) as error:
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(
                f"{key}: is not the key of the certificate in {cert}; give its own with --cert-key"
            ) from None
        advice = "; see whether FHIRSYNTH_CERT_PASSWORD is right" if encrypted else "; see whether both are whole PEM"
        raise UsageError(f"{cert}: cannot be read with the key in {key}{advice}") from None


def _short(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or type(error).__name__


def trouble(error: BaseException) -> Trouble:
    """What a failed request failed of; nothing that the other side wrote stands in it."""
    for one in _chain(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return Trouble(
                CERTIFICATES.get(one.verify_code, f"its certificate is not taken ({one.verify_message})"), True
            )
        if isinstance(one, ssl.SSLError):
            found = next((words for end, words in ALERTS.items() if (one.reason or "").endswith(end)), None)
            if found:
                return Trouble(found, True)
        if isinstance(one, socket.gaierror):
            words = "its name cannot be looked up; see whether it is spelt right, and whether there is a network"
            return Trouble(words, False, one.errno == socket.EAI_NONAME)
        if isinstance(one, ConnectionRefusedError):
            return Trouble("nothing answers there; see whether the server runs, and the port is right", False)
        if isinstance(one, httpx.ProxyError):
            return _of_proxy(one)
    return Trouble(_plain(error), False)


def _of_proxy(error: httpx.ProxyError) -> Trouble:
    code = str(error)[:3]
    if code == "407":
        return Trouble(
            "the proxy asks for credentials; set them in HTTPS_PROXY, as http://user:password@host:port", True
        )
    return Trouble(f"the proxy does not connect ({code if code.isdigit() else 'no reason given'})", code == "403")


def _plain(error: BaseException) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection in time; see whether the address is right, and whether a proxy is needed"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.ConnectError):
        return str(error) or "no connection"
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
        return BROKEN
    return type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it came of; of a group (one for each address of a host) all."""
    seen: set[int] = set()
    left = [error]
    while left:
        found = left.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        left += found.exceptions if isinstance(found, BaseExceptionGroup) else ()
        cause = found.__cause__ or found.__context__
        left += [cause] if cause is not None else []
