"""Credentials out of the environment; they are never printed, logged or written."""

from __future__ import annotations

from collections.abc import Generator, Mapping

import httpx

from fhirsynth.errors import UsageError

TOKEN = "FHIRSYNTH_TOKEN"  # noqa: S105 - the name of a variable
USER, PASSWORD = "FHIRSYNTH_USER", "FHIRSYNTH_PASSWORD"


class Bearer(httpx.Auth):
    """Sends a bearer token; its ``repr`` does not show it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def from_environment(environment: Mapping[str, str]) -> httpx.Auth | None:
    """Bearer or basic credentials; None when there are none.

    Raises
    ------
    UsageError
        When both are there, one half of them is missing, or they cannot stand in a header.
    """
    token, user, password = (environment.get(name, "").strip() for name in (TOKEN, USER, PASSWORD))
    if token and (user or password):
        raise UsageError(f"{TOKEN} and {USER} are both set; unset one of them")
    if bool(user) != bool(password):
        raise UsageError(f"{USER} and {PASSWORD} belong together; set both of them")
    if not all(sign.isprintable() and sign.isascii() for sign in token):
        raise UsageError(f"{TOKEN} holds characters that no token has; set it again")
    if token:
        return Bearer(token)
    return httpx.BasicAuth(user, password) if user else None
