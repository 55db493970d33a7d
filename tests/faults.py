"""A proxy between a loader and a FHIR server that does what networks and servers do on their worst days.

A plan says of each request what happens to it: nothing, or one of the faults below. Everything is drawn from a seed.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import struct
import subprocess
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from http import HTTPStatus
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import httpx
import orjson
from anyio.from_thread import start_blocking_portal

HOST: Final = "127.0.0.1"
HOPS: Final = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "keep-alive"})
"""Headers that are of one connection only."""
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of nothing: closing is a reset."""
SLOW: Final = 0.3
"""Seconds by which an answer is late."""

Key = tuple[str, str, bytes]
Answering = Callable[["Exchange"], Awaitable[httpx.Response]]
Fault = Callable[["Exchange"], Awaitable[None]]
Plan = Callable[["Exchange"], Fault | None]


@dataclass(slots=True)
class Exchange:
    """A request on its way, what the server made of it, and what its client gets to see.

    Parameters
    ----------
    number
        Requests that the proxy has had before.
    """

    proxy: Proxy
    number: int
    method: str
    path: str
    headers: list[tuple[str, str]]
    length: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _body: bytes | None = None

    async def body(self) -> bytes:
        """What was sent."""
        if self._body is None:
            self._body = await self.reader.readexactly(self.length)
        return self._body

    async def forward(self) -> httpx.Response:
        """Let the server act."""
        await self.body()
        answer = await self.proxy.answering(self)
        self.proxy.acted += 1
        return answer

    async def reply(self, answer: httpx.Response, share: float = 1.0) -> None:
        """Send an answer, or a share of it."""
        kept = [(k, v) for k, v in answer.headers.multi_items() if k.lower() not in {*HOPS, "content-encoding"}]
        lines = [f"HTTP/1.1 {answer.status_code} {HTTPStatus(answer.status_code).phrase}"]
        lines += [f"{name}: {value}" for name, value in [*kept, ("Content-Length", str(len(answer.content)))]]
        whole = "\r\n".join([*lines, "", ""]).encode() + answer.content
        self.writer.write(whole[: len(whole) - round(len(answer.content) * (1 - share))])
        await self.writer.drain()

    def cut(self) -> None:
        """Reset the connection."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Say nothing until the client gives up."""
        await self.body()
        with suppress(ConnectionError):
            await self.reader.read(1)

    @property
    def key(self) -> Key:
        """The same for the same request."""
        return self.method, self.path, sha256(self._body or b"").digest()


async def passes(it: Exchange) -> None:
    """Nothing happens to it."""
    await it.reply(await it.forward())


async def late(it: Exchange) -> None:
    """The answer is slow."""
    answer = await it.forward()
    await asyncio.wait([it.proxy.ending], timeout=SLOW)
    await it.reply(answer)


async def unheard(it: Exchange) -> None:
    """The request never arrives, and the client waits in vain."""
    await it.gone()


async def unanswered(it: Exchange) -> None:
    """The server acts, and the client waits in vain."""
    await it.forward()
    await it.gone()


async def overtaken(it: Exchange) -> None:
    """The client gives up, and the server gets its request at the same time as its next try."""
    await it.gone()
    again = asyncio.get_running_loop().create_future()
    it.proxy.held[it.key].append(again)
    await asyncio.wait([again, it.proxy.ending], return_when=asyncio.FIRST_COMPLETED)
    if again.done():
        await it.forward()


async def stray(it: Exchange) -> None:
    """The client gives up, and the server gets its request when everything is over: see :meth:`Proxy.strays`."""
    await it.gone()
    it.proxy.strayed.append(it)


async def cut_on_the_way(it: Exchange) -> None:
    """The connection breaks while the request is sent."""
    await it.reader.read(it.length // 2)
    it.cut()


async def cut_before(it: Exchange) -> None:
    """The connection breaks before the server has the request."""
    await it.body()
    it.cut()


async def cut_after(it: Exchange) -> None:
    """The server acts, and the connection breaks before its answer."""
    await it.forward()
    it.cut()


async def cut_within(it: Exchange) -> None:
    """The server acts, and the connection breaks in the middle of its answer."""
    await it.reply(await it.forward(), 0.5)
    it.cut()


async def foreign(it: Exchange) -> None:
    """The server acts, and somebody else answers that all is well."""
    await it.forward()
    await it.reply(httpx.Response(200, html="<html>Welcome to the network of this hotel</html>"))


async def away(it: Exchange) -> None:
    """The server ends: every connection breaks, and for a while none can be made."""
    it.cut()
    await it.proxy.leave(2.0)


def status(code: int, *, wait: int | None = None, date: bool = False, acted: bool = False) -> Fault:
    """An answer with a status, without or after the server has acted; ``wait`` is its ``Retry-After``."""

    async def fault(it: Exchange) -> None:
        await (it.forward() if acted else it.body())
        then = format_datetime(datetime.now(UTC) + timedelta(seconds=wait or 0), usegmt=True)
        headers = {} if wait is None else {"Retry-After": then if date else str(wait)}
        it.proxy.told_to_wait += wait is not None
        await it.reply(refusal(code, "a fault that was planned", headers))

    fault.__name__ = f"status_{code}_after" if acted else f"status_{code}"
    return fault


async def too_large(it: Exchange) -> None:
    """The server does not want so much; it says so before it has read it."""
    await it.reply(refusal(413, "the request is too large"))
    await it.body()


def refusal(code: int, words: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """An answer with an OperationOutcome."""
    issue = {"severity": "error", "code": "transient", "diagnostics": words}
    return httpx.Response(code, json={"resourceType": "OperationOutcome", "issue": [issue]}, headers=headers or {})


LOST: Final[tuple[Fault, ...]] = (
    cut_on_the_way,
    cut_before,
    cut_after,
    cut_within,
    foreign,
    status(429, wait=0),
    status(503, wait=0),
    status(500),
    status(502, acted=True),
    status(504, acted=True),
    status(409),
    status(412),
    late,
)
"""Faults that take little time."""


@dataclass(slots=True)
class Share:
    """A plan: a share of the requests, each of the faults as often as the others.

    Parameters
    ----------
    posts
        Only requests that write.
    most
        Faults in all.
    """

    share: float
    faults: Sequence[Fault]
    rng: random.Random
    posts: bool = True
    most: int | None = None
    injected: Counter[str] = field(default_factory=Counter)
    _left: list[Fault] = field(default_factory=list)

    def __call__(self, it: Exchange) -> Fault | None:
        if self.posts and it.method == "GET":
            return None
        if self.rng.random() >= self.share or (self.most is not None and self.injected.total() >= self.most):
            return None
        if not self._left:
            self._left = self.rng.sample(list(self.faults), len(self.faults))
        fault = self._left.pop()
        self.injected[fault.__name__] += 1
        return fault


@dataclass(slots=True)
class At:
    """A plan: a fault meets the requests that write and have these numbers."""

    numbers: AbstractSet[int]
    fault: Fault
    injected: Counter[str] = field(default_factory=Counter)

    def __call__(self, it: Exchange) -> Fault | None:
        if it.method == "GET" or it.proxy.writes - 1 not in self.numbers:
            return None
        self.injected[self.fault.__name__] += 1
        return self.fault


@dataclass(slots=True)
class Above:
    """A plan: what is larger than so many bytes is refused as too large, or as ``fault`` has it."""

    size: int
    fault: Fault = too_large
    injected: Counter[str] = field(default_factory=Counter)

    def __call__(self, it: Exchange) -> Fault | None:
        if it.length <= self.size:
            return None
        self.injected[self.fault.__name__] += 1
        return self.fault


@dataclass(slots=True)
class Kill:
    """A plan: at one of the requests the client is killed, once.

    Parameters
    ----------
    number
        Of the request.
    moment
        ``arrives``: when the request does, which the server gets nevertheless; ``acted``: after that; ``halfway`` in
        the answer; ``answered``: up to some hundredths of a second after it.
    process
        The client.
    """

    number: int
    moment: str
    rng: random.Random
    process: subprocess.Popen[str] | None = None
    done: bool = False

    def __call__(self, it: Exchange) -> Fault | None:
        if self.done or it.number < self.number:
            return None
        self.done = True
        return self.strike

    async def strike(self, it: Exchange) -> None:
        assert self.process is not None
        if self.moment == "arrives":
            await it.body()
            self.process.kill()
        answer = await it.forward()
        if self.moment in ("halfway", "answered"):
            await it.reply(answer, 0.5 if self.moment == "halfway" else 1.0)
        if self.moment == "answered":
            await asyncio.wait([it.proxy.ending], timeout=self.rng.uniform(0, 0.05))
        self.process.kill()


MOMENTS: Final = ("arrives", "acted", "halfway", "answered")


@dataclass(slots=True)
class Guard:
    """A plan: who has not the token of the hour gets 401; it is another one after so many requests.

    Parameters
    ----------
    lasts
        Requests for which a token is good.
    """

    lasts: int
    injected: Counter[str] = field(default_factory=Counter)
    _good: int = 0

    @property
    def token(self) -> str:
        """What is good now."""
        return f"token-{self._good // self.lasts}"

    def __call__(self, it: Exchange) -> Fault | None:
        if ("authorization", f"Bearer {self.token}") in ((name.lower(), value) for name, value in it.headers):
            self._good += 1
            return None
        self.injected["status_401"] += 1
        return status(401)


def clear(it: Exchange) -> Fault | None:
    """A plan: nothing happens."""
    return None


@dataclass(slots=True)
class Proxy:
    """What has happened between clients and a server; ``url`` is where clients reach it.

    Parameters
    ----------
    acted
        Requests that the server has acted on.
    writes
        Requests that were to write.
    times
        When each request came, by what it was.
    """

    answering: Answering
    plan: Plan
    base: str
    port: int = 0
    secure: ssl.SSLContext | None = None
    requests: int = 0
    writes: int = 0
    acted: int = 0
    told_to_wait: int = 0
    held: defaultdict[Key, list[asyncio.Future[None]]] = field(default_factory=lambda: defaultdict(list))
    strayed: list[Exchange] = field(default_factory=list)
    times: defaultdict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    ending: asyncio.Future[None] = field(init=False)
    _call: Callable[..., object] = field(init=False)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """The FHIR base."""
        return f"http{'s' if self.secure else ''}://{HOST}:{self.port}/{self.base}"

    def strays(self) -> int:
        """Let the server have what came too late; how many requests that were."""
        self._call(self._deliver)
        return len(self.strayed)

    async def leave(self, seconds: float) -> None:
        """Break every connection, and take none for so long."""
        while any(getattr(task.get_coro(), "__name__", "") == "_accept_connection2" for task in asyncio.all_tasks()):
            await asyncio.sleep(0)  # what is just being accepted would be lost unclosed
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        await asyncio.wait([self.ending], timeout=seconds)
        if not self.ending.done():
            await self.listen()

    async def listen(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._client, HOST, self.port, ssl=self.secure)
        self.port = self._server.sockets[0].getsockname()[1]

    async def end(self) -> None:
        """Break every connection, for good."""
        self.ending.set_result(None)
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self) -> None:
        for it in self.strayed:
            await it.forward()

    def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                it = await self._read(reader, writer)
                fault = self.plan(it) or passes
                if fault is not too_large and fault is not cut_on_the_way:
                    self._met(it, await it.body())
                await fault(it)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line)]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        self.requests += 1
        self.writes += method != "GET"
        return Exchange(self, self.requests - 1, method, path, headers, length, reader, writer)

    def _met(self, it: Exchange, body: bytes) -> None:
        """Note when it came, and let those go that wait for it."""
        self.times[it.key].append(asyncio.get_running_loop().time())
        for waiting in self.held.pop(it.key, []):
            waiting.set_result(None)


@contextmanager
def proxy(server: str | Answering, plan: Plan = clear, *, secure: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy before a FHIR base, or before what answers instead of a server; it ends with the block."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_proxy(server, plan, secure)) as it:
        it._call = portal.call
        yield it


@asynccontextmanager
async def _proxy(server: str | Answering, plan: Plan, secure: ssl.SSLContext | None) -> AsyncIterator[Proxy]:
    url = httpx.URL(server) if isinstance(server, str) else None
    async with httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_keepalive_connections=0)) as client:

        async def ask(it: Exchange) -> httpx.Response:
            assert url is not None
            there = url.copy_with(raw_path=it.path.encode())
            kept = [(name, value) for name, value in it.headers if name.lower() not in HOPS]
            try:
                return await client.request(it.method, there, content=await it.body(), headers=kept)
            except httpx.TransportError:
                it.cut()
                raise ConnectionResetError from None

        it = Proxy(ask if url else server, plan, "fhir", secure=secure)  # type: ignore[arg-type]
        it.ending = asyncio.get_running_loop().create_future()
        await it.listen()
        try:
            yield it
        finally:
            await it.end()


KINDS: Final = (
    "Patient",
    "Encounter",
    "Condition",
    "Observation",
    "MedicationRequest",
    "Procedure",
    "Organization",
    "Location",
    "Practitioner",
)


@dataclass(slots=True)
class Taker:
    """Answers instead of a server: takes all transactions at once, and remembers how many of each type it took."""

    taken: Counter[str] = field(default_factory=Counter)

    async def __call__(self, it: Exchange) -> httpx.Response:
        if it.path.endswith("/metadata"):
            listed = [{"type": kind, "conditionalCreate": True, "updateCreate": True} for kind in KINDS]
            rest = [{"mode": "server", "interaction": [{"code": "transaction"}], "resource": listed}]
            said = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest}
            return httpx.Response(200, json=said)
        if it.method == "GET":
            total = self.taken[it.path.rpartition("/")[2].partition("?")[0]]
            return httpx.Response(200, json={"resourceType": "Bundle", "total": total})
        entries = []
        for entry in orjson.loads(await it.body())["entry"]:
            kind = entry["resource"]["resourceType"]
            self.taken[kind] += 1
            location = f"{kind}/{self.taken.total()}/_history/1"
            entries.append({"response": {"status": "201 Created", "location": location}})
        return httpx.Response(200, content=orjson.dumps({"resourceType": "Bundle", "entry": entries}))


def self_signed(path: Path) -> Path:
    """Write a certificate for 127.0.0.1 that has signed itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(*kinds) + certificate.public_bytes(serialization.Encoding.PEM))
    return path
