"""Headers that never change, that stand in a file, or that a token endpoint gives for a while."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
from pydantic import SecretStr

from fhirsynth.errors import AccessError, UsageError
from fhirsynth.publish.access.secrets import Secrets, secret_in

MARGIN: Final = 60.0
"""Seconds before its end at which a token is renewed; or :data:`SHARE` of its life, if that is less."""
SHARE: Final = 0.1


class TokenUnreachable(httpx.ConnectError):
    """A token could not be had for now: the request to the FHIR server was not sent, or not taken (401).

    Parameters
    ----------
    answer
        What the token endpoint said, which may tell when to come again.
    """

    def __init__(self, message: str, answer: httpx.Response | None = None) -> None:
        super().__init__(message)
        self.answer = answer


def bearer(token: str) -> str:
    """The header of a token.

    Raises
    ------
    UsageError
        When it cannot stand in a header; the token is not repeated.
    """
    if not token or not all("!" <= sign <= "~" for sign in token):
        raise UsageError("the token holds characters that no token has; set it again, without spaces or ends of lines")
    return f"Bearer {token}"


def basic(user: str, password: str) -> str:
    """The header of a user and a password.

    Raises
    ------
    UsageError
        When the user holds what divides it from the password.
    """
    if ":" in user:
        raise UsageError("FHIRSYNTH_USER holds a colon, which no user may; set it again")
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@dataclass(frozen=True, slots=True)
class Fixed:
    """A header that stays as it is."""

    value: SecretStr

    def peek(self) -> str:
        return self.value.get_secret_value()

    def header(self) -> str:
        return self.peek()

    def renew(self, refused: str) -> str:
        return refused


@dataclass(slots=True)
class Filed:
    """The token in a file that somebody else keeps fresh; read again when the server refuses it."""

    file: Path
    secrets: Secrets
    value: SecretStr

    def peek(self) -> str:
        return self.value.get_secret_value()

    def header(self) -> str:
        return self.peek()

    def renew(self, refused: str) -> str:
        if self.file.is_file():  # a pipe has given what it had
            try:
                token = secret_in(self.file).strip()
                self.value = SecretStr(bearer(self.secrets.keep(token, lasting=False)))
            except UsageError as error:
                raise AccessError(f"the token is refused, and there is no other: {error}") from None
        return self.peek()


@dataclass(frozen=True, slots=True)
class Token:
    """An access token as a header, and when it ends, on the clock of :class:`Granted`."""

    header: SecretStr
    until: float | None = None


@dataclass(slots=True)
class Granted:
    """Tokens of a token endpoint: one at a time is fetched, shared by all requests, and renewed before it ends.

    Parameters
    ----------
    fetch
        Asks for a token; returns it with the seconds that it lasts, None when that is not said.
    clock
        Seconds that only go forward.
    """

    fetch: Callable[[], tuple[str, float | None]]
    clock: Callable[[], float] = time.monotonic
    _token: Token | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _tries: int = field(default=0, init=False)
    _failure: Exception | None = field(default=None, init=False, repr=False)

    def peek(self) -> str | None:
        token = self._token
        if token is None or (token.until is not None and self.clock() >= token.until):
            return None
        return token.header.get_secret_value()

    def header(self) -> str:
        return self._another(None)

    def renew(self, refused: str) -> str:
        return self._another(refused)

    def _another(self, refused: str | None) -> str:
        """A token that is not ``refused``; who waited while one was fetched shares it, or why there is none."""
        tries = self._tries
        with self._lock:
            found = self.peek()
            if found is not None and found != refused:
                return found
            if self._tries != tries and self._failure is not None:
                raise _again(self._failure)
            self._failure = None
            asked = self.clock()
            try:
                token, lasts = self.fetch()
            except (AccessError, TokenUnreachable) as failure:
                self._failure = failure
                raise
            finally:
                self._tries += 1
            until = None if lasts is None else asked + lasts - min(MARGIN, SHARE * lasts)
            self._token = Token(SecretStr(bearer(token)), until)
            return self._token.header.get_secret_value()


def _again(failure: Exception) -> Exception:
    """A failure for another thread: the traceback of one that is raised twice would grow."""
    if isinstance(failure, TokenUnreachable):
        return TokenUnreachable(str(failure), failure.answer)
    return AccessError(str(failure))
