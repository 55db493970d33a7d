"""Delete what a run has put on a server: by its tag, what refers before what is referred to, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

import httpx
import orjson

from fhirsynth.errors import PublishError, UsageError
from fhirsynth.publish.access import Access, base_of
from fhirsynth.publish.answers import body_of, clean, outcome_words
from fhirsynth.publish.capability import Capability, preflight
from fhirsynth.publish.gate import MOST, Gate
from fhirsynth.publish.lookup import count, tagged
from fhirsynth.publish.retry import TEMPORARY, Patience, Pause
from fhirsynth.publish.shape import references_of
from fhirsynth.publish.wire import Garbled, Traffic, Wire, connect, in_step, one_error
from synthea_bridge.progress import Progress, silent
from synthea_bridge.tags import is_run

TOGETHER: Final = 100
"""Resources that are deleted with one request."""
SEEN: Final = 100
"""Resources of a type that are looked at for what they refer to."""
LAST: Final = (
    "Encounter",
    "CareTeam",
    "Patient",
    "PractitionerRole",
    "HealthcareService",
    "Practitioner",
    "Location",
    "Organization",
)
"""Types that others refer to, in the order in which they go at the end."""
CONFLICT: Final = 409
GONE: Final = frozenset({200, 202, 204, 404, 410})


@dataclass(slots=True)
class UnloadResult:
    """What was found and deleted, by type.

    Parameters
    ----------
    kept
        Resources that the server did not delete, with its words; the first of them.
    left
        Resources of the run that are still there.
    """

    url: str
    run: str
    found: Counter[str] = field(default_factory=Counter)
    deleted: Counter[str] = field(default_factory=Counter)
    kept: dict[str, str] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)
    dry: bool = False
    traffic: Traffic = field(default_factory=Traffic)

    @property
    def whole(self) -> bool:
        """Whether nothing of the run is left, or nothing was to be deleted."""
        return self.dry or not self.left

    @property
    def outcome(self) -> dict[str, Any]:
        """Counts, as JSON values."""
        return {
            "url": self.url,
            "run": self.run,
            "dry_run": self.dry,
            "found": dict(sorted(self.found.items())),
            "deleted": dict(sorted(self.deleted.items())),
            "left": dict(sorted(self.left.items())),
            "kept": dict(self.kept),
            "retries_by_cause": dict(self.traffic.retries.most_common()),
        }


async def aunload(
    run: str,
    url: str,
    *,
    dry: bool = False,
    access: Access | None = None,
    options: Mapping[str, Any] | None = None,
    timeout: float = 120.0,
    limit: float | None = None,
    concurrency: int = MOST,
    patience: Patience | None = None,
    progress: Progress = silent,
    pause: Pause = asyncio.sleep,
) -> UnloadResult:
    """Delete the resources on the FHIR base ``url`` that carry the tag of ``run``.

    What others refer to is deleted after them; what a resource without the tag refers to is kept where the server keeps
    references whole, and named. A second call goes on where one ended.

    Parameters
    ----------
    dry
        Count only.
    access, options, timeout, limit, concurrency, patience, progress, pause
        As of :func:`fhirsynth.publish.server.aload`.

    Raises
    ------
    UsageError
        When ``url`` is no HTTP address, or ``run`` is none.
    PublishError
        When the server cannot be asked, refuses the credentials, or the time is up.
    """
    if not is_run(run):
        raise UsageError(f"'{clean(run)}': is no run; give the run_id that manifest.json names")
    result = UnloadResult(base_of(url), run, dry=dry)
    async with connect(
        result.url,
        access=access,
        options=options,
        timeout=timeout,
        patience=patience,
        gate=Gate(concurrency),
        pause=pause,
        until=time.monotonic() + limit if limit is not None else None,
    ) as wire:
        result.traffic = wire.traffic
        work = _Unload(wire, result, progress)
        with one_error():
            work.capability = await preflight(wire)
            result.found = await work.count()
            result.dry = dry or not result.found
            if not result.dry:
                await work.delete()
                result.left = await work.count()
    return result


def unload(run: str, url: str, **options: Any) -> UnloadResult:
    """As :func:`aunload`, with the same parameters, for code that waits."""
    return in_step(lambda: aunload(run, url, **options))


@dataclass(slots=True)
class _Unload:
    wire: Wire
    result: UnloadResult
    progress: Progress
    capability: Capability = field(default_factory=Capability)
    refers: dict[str, set[str]] = field(default_factory=dict)
    """Types that resources of a type refer to, as far as was seen."""

    async def count(self) -> Counter[str]:
        """Resources of the run, by type."""
        kinds = [kind for kind in self.capability.types if self.capability.takes(kind, "search-type")]
        if not kinds:
            raise PublishError(
                f"{self.wire.base}: does not say which types it has; unload cannot look for the run there"
            )
        found: Counter[str] = Counter()

        async def one(kind: str) -> None:
            async with self.wire.place():
                number = await count(self.wire, kind, self.result.run)
            if number and await self._tagged(kind):
                found[kind] = number

        async with asyncio.TaskGroup() as tasks:
            for kind in kinds:
                tasks.create_task(one(kind))
        return found

    async def delete(self) -> None:
        """Go through the types until nothing is left that can go."""
        total = self.result.found.total()
        while True:
            before = self.result.deleted.total()
            self.result.kept.clear()
            for kind in self._order():
                await self._kind(kind, total)
            if not self.result.kept or self.result.deleted.total() == before:
                return

    def _order(self) -> list[str]:
        """Types that refer before those that are referred to."""
        kinds = sorted(self.result.found, key=_rank)
        needs = {kind: [one for one in kinds if one in self.refers.get(kind, ()) and one != kind] for kind in kinds}
        try:
            return list(TopologicalSorter(needs).static_order())[::-1]
        except CycleError:
            return kinds

    async def _kind(self, kind: str, total: int) -> None:
        """Delete the resources of a type, from the first page until only those are left that are kept."""
        kept: set[str] = set()
        while True:
            page: dict[str, None] = {}
            async for address, _ in tagged(self.wire, kind, self.result.run):
                if address not in kept:
                    page[address] = None
                if len(page) == TOGETHER * MOST:
                    break
            if not page:
                return
            listed = list(page)
            pieces = [listed[start : start + TOGETHER] for start in range(0, len(listed), TOGETHER)]
            async with asyncio.TaskGroup() as tasks:
                for piece in pieces:
                    tasks.create_task(self._piece(kind, piece, kept))
            self.progress(self.result.deleted.total(), total, kind)

    async def _piece(self, kind: str, piece: list[str], kept: set[str]) -> None:
        async with self.wire.place():
            refused = await self._together(piece) if self._bundles else await self._each(piece)
        for address, why in refused.items():
            kept.add(address)
            self.result.kept[address] = why
        self.result.deleted[kind] += len(piece) - len(refused)

    @property
    def _bundles(self) -> bool:
        return self.capability.transactions or self.capability.batches

    async def _together(self, piece: list[str]) -> dict[str, str]:
        """Delete with one request, all or none; each for itself where that is refused. What was refused, and why."""
        kind = "transaction" if self.capability.transactions else "batch"
        entries = [{"request": {"method": "DELETE", "url": address}} for address in piece]
        body = orjson.dumps({"resourceType": "Bundle", "type": kind, "entry": entries})

        async def step() -> tuple[httpx.Response, bool]:
            answer = await self.wire.request("POST", body=body, entries=len(piece))
            if answer.is_success and len(body_of(answer).get("entry") or []) != len(piece):
                raise Garbled("the answer does not have as many entries as were sent")
            return answer, answer.status_code in TEMPORARY - {CONFLICT}

        answer = await self.wire.persist(step)
        if not answer.is_success:
            return await self._each(piece)
        refused = {}
        for address, entry in zip(piece, body_of(answer)["entry"], strict=True):
            response = entry.get("response") or {}
            status = str(response.get("status", ""))[:3]
            if not status.isdecimal() or int(status) not in GONE:
                refused[address] = (
                    self.wire.access.clean(outcome_words(response.get("outcome"))) or f"status {clean(status)}"
                )
        return refused

    async def _each(self, piece: list[str]) -> dict[str, str]:
        """Delete one by one; what was refused, and why."""
        refused = {}
        for address in piece:

            async def step(address: str = address) -> tuple[httpx.Response, bool]:
                answer = await self.wire.request("DELETE", address)
                return answer, answer.status_code in TEMPORARY - {CONFLICT}

            answer = await self.wire.persist(step)
            if answer.status_code not in GONE:
                refused[address] = self.wire.words(answer)
        return refused

    async def _tagged(self, kind: str) -> bool:
        """Whether what the server finds carries the tag: some servers ignore what they do not know."""
        seen = 0
        async for _, resource in tagged(self.wire, kind, self.result.run, elements=None):
            texts = references_of(resource)
            self.refers.setdefault(kind, set()).update(text.split("/")[-2] for text in texts if "/" in text)
            seen += 1
            if seen == SEEN:
                break
        return bool(seen)


def _rank(kind: str) -> tuple[int, str]:
    return (LAST.index(kind) + 1 if kind in LAST else 0), kind
