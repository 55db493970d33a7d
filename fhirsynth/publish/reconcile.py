"""Does the server have what was sent? Counts by run and type, and names where they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from fhirsynth.publish.doubles import Double
from fhirsynth.publish.journal import Journal, Taken
from fhirsynth.publish.lookup import count, record_of, tagged
from fhirsynth.publish.result import Difference
from fhirsynth.publish.wire import Wire

NAMED: Final = 20
"""Resources of a difference that are named."""
LOOKS: Final = 3
"""Counts that are taken before a difference is believed: some servers index what they took a moment later."""


@dataclass(slots=True)
class Reckoning:
    """What the comparison of server and journal came to.

    Parameters
    ----------
    counted, uncounted
        Resources that are as sent, and those without a run's tag, which cannot be counted.
    missing
        Document and place of entries that the server does not have.
    doubled
        Entries whose record is there more than once.
    """

    counted: int = 0
    uncounted: int = 0
    differences: list[Difference] = field(default_factory=list)
    missing: list[tuple[int, int]] = field(default_factory=list)
    doubled: list[Double] = field(default_factory=list)


async def reconcile(wire: Wire, journal: Journal) -> Reckoning:
    """Compare what the documents of this load came to with what the server has.

    Raises
    ------
    PublishError
        When the server cannot be asked.
    """
    found = Reckoning()
    wanted = journal.counts()
    found.uncounted = wanted.pop("", Counter()).total()
    ever = journal.counts(ever=True)
    for look in range(LOOKS):
        differing = []
        for run, kinds in wanted.items():
            for kind, sent in kinds.items():
                there = await count(wire, kind, run)
                if there not in (sent, ever[run][kind]):  # other loads may have brought more of the same run
                    differing.append((run, kind, sent, there))
        if not any(there < sent for _, _, sent, there in differing):
            break
        if look + 1 < LOOKS:
            await wire.pause(wire.patience.first * 2**look)
    found.counted = sum(kinds.total() for kinds in wanted.values())
    for run, kind, sent, there in differing:
        difference = await _differs(wire, journal, found, (run, kind, sent, there))
        if difference is not None:
            found.differences.append(difference)
            found.counted -= sent
    return found


async def _differs(
    wire: Wire, journal: Journal, found: Reckoning, told: tuple[str, str, int, int]
) -> Difference | None:
    """Who is missing or double; None when there are only others of the run besides."""
    run, kind, sent, there = told
    records: dict[str, list[tuple[str, str]]] = {}
    addresses: set[str] = set()
    for _ in range(LOOKS if there else 0):
        async for address, resource in tagged(wire, kind, run, "identifier,meta"):
            record = record_of(resource)
            if record is not None and address not in addresses:
                changed = str((resource.get("meta") or {}).get("lastUpdated") or "")
                records.setdefault(record, []).append((changed, address))
            addresses.add(address)
        if len(addresses) >= there:  # else pages were lost while they were turned
            break
    missing, doubled = [], []
    for document, entry in journal.taken(run, kind):
        copies = records.get(entry.record or "", [])
        if len(copies) > 1:
            doubled.append(Double(document, entry, tuple(address for _, address in sorted(copies))))
        elif not _there(entry, records, addresses):
            missing.append((document, entry))
    found.missing += [(document, entry.place) for document, entry in missing]
    found.doubled += doubled
    if not missing and not doubled:
        return None
    names = (_some(entry.name for _, entry in missing), _some(one.entry.name for one in doubled))
    return Difference(run, kind, sent, there, *names)


def _there(entry: Taken, records: dict[str, list[tuple[str, str]]], addresses: set[str]) -> bool:
    if entry.record is not None:
        return entry.record in records
    return (entry.address or f"{entry.kind}/{entry.name}") in addresses


def _some(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names))[:NAMED])
