"""Load Bundles into a FHIR server: shared resources first, each resource once, everything noted in a journal."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from fhirsynth.errors import PublishError
from fhirsynth.garbage import settled
from fhirsynth.publish.access import Access, base_of
from fhirsynth.publish.capability import Capability, preflight
from fhirsynth.publish.dead import DeadLetters
from fhirsynth.publish.doubles import remove
from fhirsynth.publish.engine import Sender
from fhirsynth.publish.gate import MOST, Gate
from fhirsynth.publish.journal import Journal
from fhirsynth.publish.parcel import How, Sending
from fhirsynth.publish.reconcile import Reckoning, reconcile
from fhirsynth.publish.result import LoadResult, Refusal
from fhirsynth.publish.retry import Patience, Pause
from fhirsynth.publish.shape import SHARED, Shaper, is_shared
from fhirsynth.publish.wire import connect, in_step, one_error
from synthea_bridge.bundles import Document, Reader
from synthea_bridge.progress import Progress, silent
from synthea_bridge.skips import Skip, SkipLog

__all__ = ["How", "LoadResult", "Refusal", "aload", "load"]

PRIVATE: Final = re.compile(rb'"resourceType"\s*:\s*"(Patient|Encounter|Condition|Observation)"')
"""What nobody shares."""
ROUNDS: Final = 3
"""Times that documents are gone through: what the server turns out not to have is sent again."""


async def aload(
    src: Path,
    url: str,
    *,
    how: How | None = None,
    access: Access | None = None,
    options: Mapping[str, Any] | None = None,
    journal: Path | None = None,
    dead_letters: Path | None = None,
    timeout: float = 120.0,
    limit: float | None = None,
    concurrency: int = MOST,
    patience: Patience | None = None,
    skips: SkipLog | None = None,
    progress: Progress = silent,
    pause: Pause = asyncio.sleep,
) -> LoadResult:
    """Send the Bundles under ``src`` to the FHIR base ``url``, so that each resource is there once.

    A second call sends what the first did not bring to its end, and nothing twice; see :class:`How`. At the end the
    server is asked how many resources of each run and type it has; what the journal has as taken and the server does
    not have is sent again.

    Parameters
    ----------
    access
        How to sign in, whom to trust and by which proxy; by default nobody, the usual CAs, and the environment's.
    options
        More of :class:`httpx.AsyncClient`.
    journal
        SQLite file that notes what the server took; by default a hidden file in ``src``.
    dead_letters
        File for what is refused, a Bundle a line, with the OperationOutcome; it can be loaded. By default a hidden file
        in ``src``. There is none when nothing is refused.
    timeout, limit
        Seconds that one answer, and everything, may take.
    concurrency
        Requests at a time, at most.
    patience
        How often and how long to wait for a server that is busy.
    pause
        Waits; a seam for tests.

    Raises
    ------
    UsageError
        When ``url`` is no HTTP address, or ``src`` is not there.
    PublishError
        When the server cannot be reached, or refuses the credentials, or the time is up (what it took is in the
        journal), or when there is nothing to load.
    """
    base, how = base_of(url), how or How()
    began = time.monotonic()
    result = LoadResult(base, skips=skips if skips is not None else SkipLog())
    dead = DeadLetters(dead_letters or _beside(src, base, "dead.ndjson"))
    place = journal or _beside(src, base, "journal")
    whole = False
    async with connect(
        base,
        access=access,
        options=options,
        timeout=timeout,
        patience=patience,
        gate=Gate(concurrency),
        pause=pause,
        until=began + limit if limit is not None else None,
    ) as wire:
        shaper, shared = _learn(src)
        result.traffic = wire.traffic
        capability = await preflight(wire)
        how = _adapted(how, capability, result)
        with Journal.open(place, base, careful=how.mode == "post") as notes, settled(), one_error():
            try:
                sender = Sender(wire, notes, how, capability, shaper, dead, result)
                await _Load(src, shared, sender, progress, began).run()
                whole = True
            finally:
                result.dead_letters = dead.close(whole=whole)
                result.seconds = time.monotonic() - began
                result.concurrency = wire.gate.reached
    if not result.loaded + result.earlier + result.refusals + result.left_out.total():
        raise PublishError(f"{src}: holds no Bundle to load; give a Bundle, or a folder or archive of them")
    return result


def load(src: Path, url: str, **options: Any) -> LoadResult:
    """As :func:`aload`, with the same parameters, for code that waits."""
    return in_step(lambda: aload(src, url, **options))


@dataclass(slots=True)
class _Load:
    src: Path
    shared: list[Document]
    sender: Sender
    progress: Progress
    began: float

    async def run(self) -> None:
        """Go through the documents until the server has them."""
        for number in range(ROUNDS):
            if number:
                self.sender.result.earlier = 0
            await self._round(number)
            if await self._settled(last=number + 1 == ROUNDS):
                return

    async def _round(self, number: int) -> None:
        result, wire = self.sender.result, self.sender.wire
        skips, progress = (SkipLog(), silent) if number else (result.skips, self._told)
        created = result.created
        for document in self.shared:
            await self.sender.send(document, shared=True)
        if result.created > created:
            await self._reckon()  # before others refer to what may be there twice
        async with asyncio.TaskGroup() as tasks:
            for document in _patients(Reader(skips, progress).documents(self.src), skips):
                await wire.gate.enter()
                tasks.create_task(self._one(document))

    async def _one(self, document: Document) -> None:
        try:
            await self.sender.send(document)
        finally:
            self.sender.wire.gate.leave()

    async def _settled(self, *, last: bool) -> bool:
        """Reconcile; whether there is nothing more to send."""
        result, journal = self.sender.result, self.sender.journal
        found = await self._reckon()
        result.counted, result.uncounted = found.counted, found.uncounted
        result.differences = found.differences
        if last or not found.missing:
            return True
        journal.doubt(found.missing)
        result.repaired += len(found.missing)
        return False

    async def _reckon(self) -> Reckoning:
        """Reconcile, and remove what a race has made twice."""
        wire, journal = self.sender.wire, self.sender.journal
        found = await reconcile(wire, journal)
        ours = [double for double in found.doubled if double.ours]
        if ours:
            self.sender.result.removed += await remove(wire, journal, ours)
            found = await reconcile(wire, journal)
        return found

    def _told(self, done: int, total: int | None = None, note: str = "") -> None:
        result = self.sender.result
        seconds = max(time.monotonic() - self.began, 1e-9)
        told = f"{(result.created + result.matched) / seconds:,.0f} resources/s"
        if result.refusals:
            told += f", {result.refusals:,} refused"
        if result.retries:
            told += f", {result.retries:,} retries"
        self.progress(done, total, told)


def _learn(src: Path) -> tuple[Shaper, list[Document]]:
    """The documents of what patients share, in the order in which they go, and where references to them lead."""
    shaper, shared, reader = Shaper(), [], Reader(SkipLog())
    for file in reader.files(src):
        if file.path.suffix == ".json" and PRIVATE.search(file.path.read_bytes()):
            continue  # seen without parsing it, as nearly all are
        for document in reader.read(file):
            if is_shared(document) and document.places:
                shared.append(document)
                shaper.learn([document])
    return shaper, sorted(shared, key=_rank)


def _patients(documents: Iterator[Document], skips: SkipLog) -> Iterator[Document]:
    """Bundles beside those of shared resources."""
    for document in documents:
        if not document.places:
            skips.add(
                Skip(
                    document.source, document.place(0), "is a single resource and no Bundle", "make Bundles of it first"
                )
            )
        elif not is_shared(document):
            yield document


def _rank(document: Document) -> tuple[bool, str]:
    kinds = {resource["resourceType"] for _, resource in document.entries}
    return not kinds <= {"Organization", "Location"}, document.source


def _adapted(how: How, capability: Capability, result: LoadResult) -> How:
    """How the server can take it; what is done otherwise than asked is told."""
    if not capability.known:
        result.adapted.append("the server says nothing of what it takes; everything is tried")
        return how
    if how.sending == "transaction" and not capability.transactions:
        instead: Sending = "batch" if capability.batches else "single"
        words = "in batches" if instead == "batch" else "one by one"
        result.adapted.append(f"the server takes no transactions; entries go {words}, in the order of their references")
        how = replace(how, sending=instead, style="urn:uuid")
    elif how.sending == "batch" and not capability.batches:
        result.adapted.append("the server does not say that it takes batches; they are tried")
    kinds = capability.types.keys() & (SHARED | {"Patient", "Encounter", "Condition", "Observation"})
    if how.mode == "create" and not all(map(capability.conditional, kinds)):
        if all(map(capability.own_ids, kinds)):
            result.adapted.append("the server takes no conditional creates; entries go with our ids (update)")
            return replace(how, mode="update", style="urn:uuid" if how.style == "conditional" else how.style)
        result.adapted.append("the server takes no conditional creates; each entry is looked for before it is created")
        return replace(how, asking=True)
    return how


def _beside(src: Path, base: str, ending: str) -> Path:
    """A hidden file beside what is loaded, one for each server."""
    if ending.startswith("dead") and src.name.endswith(ending):
        return src
    folder = src if src.is_dir() else src.parent
    name = "" if src.is_dir() or not ending.startswith("dead") else f"-{src.name}"
    return folder / f".load-{hashlib.sha256(base.encode()).hexdigest()[:12]}{name}.{ending}"
