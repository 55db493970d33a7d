"""Requests to one FHIR server: repeated while that can help, counted, timed, and never more at a time than it bears."""

from __future__ import annotations

import asyncio
import math
import time
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import httpx

from fhirsynth.errors import AccessError, PublishError, UsageError
from fhirsynth.publish.access import FAILURES, Access, TokenUnreachable, base_of
from fhirsynth.publish.answers import body_of, clean, words
from fhirsynth.publish.gate import Gate
from fhirsynth.publish.retry import BUSY, TEMPORARY, Patience, Pause

FHIR: Final = "application/fhir+json"
UNAUTHORIZED: Final = frozenset({401, 403})
UNREACHED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, TokenUnreachable)
"""Failures that are sure to have left the server as it was."""


class Garbled(httpx.TransportError):
    """The answer says that it worked and cannot be read: it was cut, or is somebody else's."""


class Unanswered(PublishError):
    """No answer in as many tries as were allowed."""


@dataclass(slots=True)
class Traffic:
    """What the requests of a load came to.

    Parameters
    ----------
    seconds
        How long each answer took.
    began, ended
        When the first request that brings something was made, and when the last one was answered.
    """

    retries: Counter[str] = field(default_factory=Counter)
    seconds: array[float] = field(default_factory=lambda: array("d"))
    answered: int = 0
    began: float = math.inf
    ended: float = 0.0

    def answer(self, began: float, ended: float, *, brings: bool) -> float:
        """Note an answer; how many seconds it took."""
        self.seconds.append(ended - began)
        self.answered += 1
        if brings:
            self.began, self.ended = min(began, self.began), ended
        return ended - began

    @property
    def sending(self) -> float:
        """Seconds from the first request that brings something to the last answer to one."""
        return max(self.ended - self.began, 0.0)

    @property
    def timings(self) -> dict[str, float]:
        """Percentiles of the seconds that an answer took."""
        ordered = sorted(self.seconds)
        if not ordered:
            return {}
        at = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
        return {name: round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 4) for name, share in at.items()}


Step = Callable[[], Awaitable[tuple[httpx.Response, bool]]]
"""Tries once; gives the answer, and whether another try may change it."""


@dataclass(slots=True)
class Wire:
    """A connection to the FHIR base ``base``, as ``access`` has it; see :func:`connect`.

    Parameters
    ----------
    until
        When, by :func:`time.monotonic`, no further request may be made.
    """

    client: httpx.AsyncClient
    base: str
    access: Access
    patience: Patience
    gate: Gate
    pause: Pause
    until: float | None = None
    traffic: Traffic = field(default_factory=Traffic)

    async def request(
        self,
        method: str,
        path: str = "",
        *,
        body: bytes | None = None,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        entries: int = 1,
    ) -> httpx.Response:
        """One request and its answer, whatever its status.

        Raises
        ------
        httpx.TransportError
            When there was none.
        PublishError
            When no other try can help: the credentials are refused, a certificate is, or the time is up.
        """
        address = path if path.startswith(("http:", "https:")) else f"{self.base}/{path}".rstrip("/")
        if self.until is not None and time.monotonic() >= self.until:
            raise self._late()
        busy, began = self.gate.busy, time.monotonic()
        try:
            async with asyncio.timeout(None if self.until is None else self.until - began):
                answer = await self.client.request(method, address, content=body, params=parameters, headers=headers)
        except TimeoutError as error:
            raise self._late() from error
        except FAILURES as error:
            if isinstance(error, httpx.TimeoutException):
                self.gate.bad()
            trouble = self.access.trouble(error)
            if trouble.lasting or (trouble.unknown and not self.traffic.answered):
                raise AccessError(f"{self.base}: {trouble.words}") from error
            raise
        except httpx.InvalidURL as error:
            raise PublishError(f"{self.base}: sends to an address that is none ({clean(str(error))})") from error
        seconds = self.traffic.answer(began, time.monotonic(), brings=body is not None)
        if answer.status_code in BUSY:
            self.gate.bad()
        elif method != "GET":
            self.gate.good(seconds, entries, busy)
        if answer.status_code in UNAUTHORIZED:
            raise PublishError(
                f"{self.base}: refuses the credentials ({answer.status_code}: {self.words(answer)}); "
                f"{self.access.advice(answer.status_code)}"
            )
        return answer

    async def persist(self, step: Step) -> httpx.Response:
        """Do ``step`` until its answer is one that stays, or the tries are used up; the last answer.

        Raises
        ------
        Unanswered
            When there was no answer in the end.
        PublishError
            As :meth:`request`.
        """
        for retry in range(self.patience.tries):
            last = retry + 1 == self.patience.tries
            answer: httpx.Response | None
            try:
                answer, again = await step()
                if last or not again:
                    return answer
                cause = str(answer.status_code)
            except FAILURES as error:
                trouble = self.access.trouble(error)
                cause = reason(error)
                answer = error.answer if isinstance(error, TokenUnreachable) else None
                if last:
                    what = "no token" if isinstance(error, TokenUnreachable) else "no answer"
                    raise Unanswered(
                        f"{self.base}: {what} in {self.patience.tries} tries ({trouble.words}); call again when that "
                        "is mended: what it took is not sent twice"
                    ) from error
            self.traffic.retries[cause] += 1
            await self._wait(self.patience.wait(retry + 1, answer))
        raise UsageError("nothing was tried; allow at least one try")

    def words(self, answer: httpx.Response) -> str:
        """What a server says, as it may be shown."""
        return self.access.clean(words(answer))

    async def get(
        self, path: str, parameters: Mapping[str, str] | None = None, *, fresh: bool = True
    ) -> httpx.Response:
        """A GET that is repeated while that can help, and is answered from no cache where it is to be ``fresh``."""
        headers = {"Prefer": "handling=strict"} | ({"Cache-Control": "no-cache"} if fresh else {})

        async def step() -> tuple[httpx.Response, bool]:
            answer = await self.request("GET", path, parameters=parameters, headers=headers)
            if answer.is_success and not body_of(answer):
                raise Garbled("an answer that is no JSON")
            return answer, answer.status_code in TEMPORARY

        return await self.persist(step)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place among those that may send at the same time."""
        await self.gate.enter()
        try:
            yield
        finally:
            self.gate.leave()

    async def _wait(self, seconds: float) -> None:
        if self.until is not None and time.monotonic() + seconds >= self.until:
            raise self._late()
        await self.pause(seconds)

    def _late(self) -> PublishError:
        return PublishError(f"{self.base}: the time that was given is up; call again to go on where it ended")


@asynccontextmanager
async def connect(
    url: str,
    *,
    access: Access | None = None,
    options: Mapping[str, Any] | None = None,
    timeout: float = 120.0,
    patience: Patience | None = None,
    gate: Gate | None = None,
    pause: Pause = asyncio.sleep,
    until: float | None = None,
) -> AsyncIterator[Wire]:
    """Open a :class:`Wire` to the FHIR base ``url``.

    Parameters
    ----------
    access
        How to sign in, whom to trust and by which proxy; by default nobody, the usual CAs, and the environment's.
    options
        More of :class:`httpx.AsyncClient`.

    Raises
    ------
    UsageError
        When ``url`` is no HTTP address.
    """
    base = base_of(url)
    access = access or Access(base)
    headers = {"Content-Type": FHIR, "Accept": FHIR}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=20.0)
    given = {"timeout": timeout, "headers": headers, "limits": limits, **access.options, **(options or {})}
    async with httpx.AsyncClient(auth=access.auth, **given) as client:
        yield Wire(client, base, access, patience or Patience(), gate or Gate(), pause, until)


def reason(error: BaseException) -> str:
    """Why a request failed, in words that are the same for the same cause, so that they can be counted."""
    causes = list(_causes(error))
    if any(isinstance(one, ConnectionResetError | BrokenPipeError) for one in causes):
        return "connection reset"
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return "no connection in time"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    if isinstance(error, Garbled):
        return "an answer that was cut"
    return "connection broken"


@contextmanager
def one_error() -> Iterator[None]:
    """What several tasks raise at the same time becomes the first of it."""
    try:
        yield
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from group


Result = TypeVar("Result")


def in_step(work: Callable[[], Awaitable[Result]]) -> Result:
    """Run asynchronous work and wait for it, also where an event loop runs already, as in a notebook."""

    async def main() -> Result:
        return await work()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main())
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, main()).result()


def _causes(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__
