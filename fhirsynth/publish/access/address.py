"""Addresses: what may stand in one, what of it may be shown, and which two are of one origin."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

import httpx

from fhirsynth.errors import UsageError

EXAMPLE: Final = "http://127.0.0.1:8080/fhir"
PORTS: Final = {"http": 80, "https": 443}
TELLING: Final = ("token", "secret", "password", "assertion", "apikey", "api_key", "credential")
"""Parameters of an address that would be secrets; addresses are logged by servers, proxies and clients."""

Origin = tuple[str, bytes, int | None]


def base_of(url: str) -> str:
    """The FHIR base ``url`` without a slash at its end.

    Raises
    ------
    UsageError
        When it is no HTTP address, or holds a password or parameters: these would be shown wherever it is shown.
    """
    parsed = _checked(url, "FHIR base", EXAMPLE)
    if parsed.query or parsed.fragment:
        raise UsageError(
            f"the address of {parsed.host} has parameters (?) or a fragment (#), which a FHIR base has not; leave them "
            "out, and set a token in FHIRSYNTH_TOKEN"
        )
    return str(parsed).rstrip("/")


def endpoint_of(url: str, example: str = "https://auth.example.org/token") -> str:
    """A token endpoint, as it was given: servers compare it letter by letter with the audience.

    Raises
    ------
    UsageError
        When it is no HTTP address, or holds a secret.
    """
    parsed = _checked(url, "token endpoint", example)
    if any(word in name.lower() for name in parsed.params for word in TELLING):
        raise UsageError(f"the token endpoint at {parsed.host} has a secret among its parameters; leave it out")
    return url


def _checked(url: str, what: str, example: str) -> httpx.URL:
    telling = any(sign in url for sign in "@?#")
    shown = what if telling or not url.isprintable() else url
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        why = "" if telling else f" ({error})"
        raise UsageError(f"{shown}: is no address{why}; give the {what}, as {example}") from None
    if parsed.userinfo:
        raise UsageError(
            f"the address of the {what} holds a password; leave it out, and set FHIRSYNTH_USER and FHIRSYNTH_PASSWORD"
        )
    if parsed.scheme not in PORTS or not parsed.host:
        raise UsageError(f"{shown}: is no HTTP address; give the {what}, as {example}")
    return parsed


def origin(url: httpx.URL | str) -> Origin:
    """Scheme, host and port: credentials are for one origin and never go to another."""
    parsed = httpx.URL(url)
    return parsed.scheme, parsed.raw_host.lower(), parsed.port or PORTS.get(parsed.scheme)


def is_loopback(url: httpx.URL | str) -> bool:
    """Whether a host is this machine."""
    host = httpx.URL(url).host.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(url: httpx.URL | str) -> bool:
    """Whether nobody on the way can read along: encrypted, or this machine."""
    return httpx.URL(url).scheme == "https" or is_loopback(url)
