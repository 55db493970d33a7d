"""Proxies: one that is given, or those of the environment, looked at before httpx meets them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final
from urllib.request import getproxies

import httpx

from fhirsynth.errors import UsageError

VARIABLES: Final = ("http", "https", "all")
"""NAME_PROXY, in either case, is what httpx obeys."""


def proxy_of(address: str | None, context: ssl.SSLContext) -> httpx.Proxy | None:
    """The proxy at ``address``; None for those of the environment, which are only looked at.

    Raises
    ------
    UsageError
        When one is no address of a proxy; it is not repeated, as it may hold a password.
    """
    if address:
        return _proxy(address, "--proxy", context)
    for name, value in _environment():
        _proxy(value, f"{name.upper()}_PROXY", context)
    return None


def proxy_passwords(address: str | None) -> list[str]:
    """Passwords of the proxies that may be used."""
    found = []
    for value in [address] if address else [value for _, value in _environment()]:
        try:
            proxy = httpx.Proxy(_whole(value))
        except (httpx.InvalidURL, UnicodeError, ValueError):
            continue
        if proxy.auth and proxy.auth[1]:
            found.append(proxy.auth[1])
    return found


def _environment() -> Iterator[tuple[str, str]]:
    known = getproxies()
    yield from ((name, known[name]) for name in VARIABLES if known.get(name))


def _whole(address: str) -> str:
    return address if "://" in address else f"http://{address}"


def _proxy(address: str, name: str, context: ssl.SSLContext) -> httpx.Proxy:
    try:
        url = httpx.URL(_whole(address))
        proxy = httpx.Proxy(url, ssl_context=context if url.scheme == "https" else None)
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise UsageError(f"{name} holds no address of a proxy; write it as http://host:port") from None
    if not proxy.url.host:
        raise UsageError(f"{name} names no host; write it as http://host:port")
    if proxy.url.scheme.startswith("socks") and find_spec("socksio") is None:
        raise UsageError(
            f"{name} is a SOCKS proxy, which needs a library more; install it with: pip install 'httpx[socks]'"
        )
    return proxy
