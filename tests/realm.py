"""Certificates, a server on 127.0.0.1 that gives tokens and is a FHIR server, and a proxy: for tests of access."""

from __future__ import annotations

import base64
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

PATIENCE = 10.0


def pem(key: Any, password: str | None = None) -> bytes:
    """A private key as PKCS 8."""
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@dataclass
class Authority:
    """A CA of its own."""

    folder: Path
    name: str = "ca"
    key: EllipticCurvePrivateKey = field(default_factory=lambda: generate_private_key(SECP256R1()))

    def __post_init__(self) -> None:
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {self.name}")])
        self.file = self.folder / f"{self.name}.pem"
        made = self._sign(self.subject, self.key, 365).add_extension(x509.BasicConstraints(True, None), critical=True)
        made = made.add_extension(
            x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True
        ).add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
        self.file.write_bytes(made.sign(self.key, SHA256()).public_bytes(Encoding.PEM))

    def issue(self, name: str, *hosts: str, days: int = 30, password: str | None = None, alone: bool = False) -> Path:
        """A certificate and its key in one file; ``alone`` signs it by itself."""
        key = generate_private_key(SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._sign(subject, key, days, subject if alone else self.subject)
        made = made.add_extension(x509.BasicConstraints(False, None), critical=True)
        names = [x509.IPAddress(ip_address(h)) if h[0].isdigit() else x509.DNSName(h) for h in hosts]
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        made = made.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((key if alone else self.key).public_key()),
            critical=False,
        )
        file = self.folder / f"{name}.pem"
        file.write_bytes(
            made.sign(key if alone else self.key, SHA256()).public_bytes(Encoding.PEM) + pem(key, password)
        )
        file.chmod(0o600)
        return file

    def _sign(self, subject: x509.Name, key: Any, days: int, issuer: x509.Name | None = None) -> Any:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
        )


@dataclass
class Seen:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


Answer = tuple[int, dict[str, str], bytes]


def answer(status: int, value: Any = None, **headers: str) -> Answer:
    """JSON with a status."""
    return status, {name.replace("_", "-"): text for name, text in headers.items()}, json.dumps(value or {}).encode()


@dataclass
class Realm:
    """Gives tokens at /token, takes them at /fhir; every answer can be replaced.

    Parameters
    ----------
    keys
        Public keys of clients by kid: an assertion must be signed by one of them, and hold what SMART demands.
    """

    url: str = ""
    keys: dict[str, Any] = field(default_factory=dict)
    client: str = "loader"
    secret: str | None = None
    lasts: float | None = 300
    audience: str | None = None
    seen: list[Seen] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    once: set[str] = field(default_factory=set)
    wellknown: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    answers: dict[str, Callable[[Seen], Answer]] = field(default_factory=dict)
    faults: list[BaseException] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"{self.url}/fhir"

    @property
    def token_url(self) -> str:
        return f"{self.url}/token"

    def asked(self, path: str) -> list[Seen]:
        """Requests to one path."""
        return [one for one in self.seen if urlsplit(one.path).path == path]

    def handle(self, request: Seen) -> Answer:
        self.seen.append(request)
        path = urlsplit(request.path).path
        if path in self.answers:
            return self.answers[path](request)
        if path == "/token":
            return self._token(request)
        if path == "/fhir/.well-known/smart-configuration":
            return answer(404) if self.wellknown is None else answer(200, self.wellknown)
        if path == "/fhir/metadata" and self.metadata is not None:
            return answer(200, self.metadata)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind != "Bearer" or token not in self.valid:
            return answer(401)
        if path == "/fhir/metadata":
            return answer(200, {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})
        sent = json.loads(request.body)["entry"] if b'"transaction"' in request.body else []
        return answer(200, {"resourceType": "Bundle", "entry": [{"response": {"status": "201"}} for _ in sent]})

    def _token(self, request: Seen) -> Answer:
        wrong = self._wrong(request)
        if wrong:
            return answer(400, {"error": "invalid_client", "error_description": wrong})
        token = f"access-{len(self.given) + 1}-{base64.b64encode(bytes(12 * [len(self.given)])).decode()}"
        self.given.append(token)
        self.valid = {token}
        return answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": self.lasts})

    def _wrong(self, request: Seen) -> str | None:
        form = request.form
        if form.get("grant_type") != "client_credentials":
            return "wrong grant"
        if not self.keys:
            proof = base64.b64encode(f"{self.client}:{self.secret}".encode()).decode()
            basic = request.headers.get("authorization") == f"Basic {proof}"
            return None if basic or form.get("client_secret") == self.secret else "wrong secret"
        if form.get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
            return "no assertion"
        try:
            self._verify(form["client_assertion"])
        except (jwt.InvalidTokenError, KeyError, AssertionError) as error:
            return f"{type(error).__name__}: {error}"
        return None

    def _verify(self, assertion: str) -> None:
        head = jwt.get_unverified_header(assertion)
        assert head["alg"] in ("RS384", "ES384")
        claims = jwt.decode(
            assertion,
            self.keys[head["kid"]],
            algorithms=[head["alg"]],
            audience=self.audience or self.token_url,
            options={"require": ["exp", "iss", "sub", "jti", "aud"]},
        )
        assert claims["iss"] == claims["sub"] == self.client
        assert claims["exp"] - time.time() <= 300
        assert claims["jti"] not in self.once
        self.once.add(claims["jti"])


def _let_go(wrapped: ssl.SSLSocket) -> None:
    """Close as servers should: what comes in is read, so that the alert is not lost by a reset."""
    with suppress(OSError):
        socket.socket.shutdown(wrapped, socket.SHUT_WR)
        while socket.socket.recv(wrapped, 65536):
            pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    realm: Realm
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(PATIENCE)
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False) as wrapped:
            try:
                wrapped.do_handshake()
            except OSError:
                _let_go(wrapped)
                return
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        import sys

        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.realm.faults.append(error)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, more, content = self.server.realm.handle(Seen(self.command, self.path, headers, body))
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(content)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass


@contextmanager
def served(cert: Path | None = None, *, clients: Path | None = None) -> Iterator[Realm]:
    """A realm, over TLS with ``cert``; with ``clients`` it takes only those whose certificate that CA has signed."""
    realm = Realm()
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.realm = realm
        if cert is not None:
            server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.tls.load_cert_chain(cert)
            if clients is not None:
                server.tls.verify_mode = ssl.CERT_REQUIRED
                server.tls.load_verify_locations(clients)
        realm.url = f"{'https' if cert else 'http'}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield realm
        finally:
            server.shutdown()
            thread.join()
    assert not realm.faults


class _Tunnel(BaseHTTPRequestHandler):
    server: _Proxy

    def do_CONNECT(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Proxy-Authorization")))
        if self.server.wanted and self.headers.get("Proxy-Authorization") != self.server.wanted:
            self.send_response_only(407)
            self.send_header("Proxy-Authenticate", "Basic")
            self.end_headers()
            return
        with socket.create_connection(self.server.target, timeout=PATIENCE) as other:
            self.send_response_only(200)
            self.end_headers()
            self.wfile.flush()
            sides = {self.connection: other, other: self.connection}
            while True:
                ready, _, _ = select.select(list(sides), [], [], PATIENCE)
                for one in ready:
                    try:
                        data = one.recv(65536)
                    except OSError:
                        data = b""
                    if not data:
                        return
                    sides[one].sendall(data)
                if not ready:
                    return

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, target: str, user: str | None, password: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        parts = urlsplit(target)
        self.target = (parts.hostname or "", parts.port or 0)
        self.asked: list[tuple[str, str | None]] = []
        self.wanted = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}" if user else None

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@contextmanager
def proxied(target: str, user: str | None = None, password: str | None = None) -> Iterator[_Proxy]:
    """A proxy whose every tunnel ends at ``target``, whatever it is asked for."""
    with _Proxy(target, user, password) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
