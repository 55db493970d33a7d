"""The header that signs a request in; only those that go to the one origin that it is for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Final, Protocol

import httpx

from fhirsynth.publish.access.address import origin

UNAUTHORIZED: Final = 401


class Source(Protocol):
    """Where the header comes from."""

    def peek(self) -> str | None:
        """The header, when it is at hand without waiting."""
        ...

    def header(self) -> str:
        """The header; may ask a server or read a file."""
        ...

    def renew(self, refused: str) -> str:
        """Another header than the one that the server refused; the same when there is no other."""
        ...


class SignIn(httpx.Auth):
    """Signs requests to one origin in, and after a 401 once more with what its source has anew.

    Works in a client and in an async client, also in both at once. Requests elsewhere (a page or a redirect on another
    host, scheme or port) go without credentials, whatever the client does.
    """

    def __init__(self, source: Source, base: str) -> None:
        self._source = source
        self._origin = origin(base)

    def __repr__(self) -> str:
        return f"SignIn({self._source!r})"

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if origin(request.url) != self._origin:
            yield request
            return
        header = self._source.peek() or self._source.header()
        request.headers["Authorization"] = header
        response = yield request
        if self._refused(response):
            renewed = self._source.renew(header)
            if renewed != header:
                request.headers["Authorization"] = renewed
                yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        if origin(request.url) != self._origin:
            yield request
            return
        header = self._source.peek()
        if header is None:
            header = await asyncio.to_thread(self._source.header)
        request.headers["Authorization"] = header
        response = yield request
        if self._refused(response):
            renewed = await asyncio.to_thread(self._source.renew, header)
            if renewed != header:
                request.headers["Authorization"] = renewed
                yield request

    def _refused(self, response: httpx.Response) -> bool:
        return response.status_code == UNAUTHORIZED and origin(response.url) == self._origin
