"""What became of a load: counts, timings, what was refused, and how the server differs from what was sent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fhirsynth.publish.wire import Traffic
from synthea_bridge.skips import SkipLog

KEPT: Final = 1000
"""Refusals that are listed; all of them are in the dead-letter file."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A Bundle, or an entry, that the server did not take, with the server's own words."""

    source: str
    status: int
    words: str

    def __str__(self) -> str:
        return (
            f"{self.source}: refused with {self.status}: {self.words}"
            if self.status
            else f"{self.source}: {self.words}"
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """How many resources of a run and type were sent, and how many are there; some of those that miss or are double."""

    run: str
    kind: str
    sent: int
    there: int
    missing: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = [
            f"{word} {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
            for word, names in (("missing:", self.missing), ("double:", self.doubled))
            if names
        ]
        return "; ".join([f"run {self.run}, {self.kind}: {self.sent:,} sent, {self.there:,} there", *named])


@dataclass(slots=True)
class LoadResult:
    """What the server took: Bundles, and entries by status (201 created, 200 was there already).

    Parameters
    ----------
    refusals
        Entries that were refused; the first of them, or of their Bundles, are in ``refused``.
    left_out
        Entries that were not sent, by the reason.
    adapted
        What was done otherwise than asked, because of what the server says of itself.
    repaired
        Entries that the journal had as taken, that the server had not, and that were sent again.
    counted
        Resources that were counted on the server and are as sent.
    """

    url: str
    loaded: int = 0
    earlier: int = 0
    created: int = 0
    matched: int = 0
    types: Counter[str] = field(default_factory=Counter)
    refused: list[Refusal] = field(default_factory=list)
    refusals: int = 0
    dead_letters: Path | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    adapted: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    counted: int = 0
    uncounted: int = 0
    repaired: int = 0
    removed: int = 0
    seconds: float = 0.0
    concurrency: int = 0
    traffic: Traffic = field(default_factory=Traffic)
    skips: SkipLog = field(default_factory=SkipLog)

    @property
    def retries(self) -> int:
        """Requests that had to be repeated."""
        return self.traffic.retries.total()

    @property
    def whole(self) -> bool:
        """Whether everything was sent and taken, and is there."""
        return not (self.skips.items or self.refusals or self.refused or self.differences or self.left_out)

    @property
    def rate(self) -> float:
        """Resources a second."""
        return (self.created + self.matched) / self.seconds if self.seconds else 0.0

    def refuse(self, refusal: Refusal, entries: int = 1) -> None:
        """Count what was refused, and keep the first."""
        self.refusals += entries
        if len(self.refused) < KEPT:
            self.refused.append(refusal)

    @property
    def outcome(self) -> dict[str, Any]:
        """Counts, as JSON values."""
        return {
            "url": self.url,
            "loaded": self.loaded,
            "loaded_earlier": self.earlier,
            "created": self.created,
            "already_there": self.matched,
            "types": dict(sorted(self.types.items())),
            "refused": [{"source": r.source, "status": r.status, "words": r.words} for r in self.refused],
            "refused_entries": self.refusals,
            "dead_letters": str(self.dead_letters) if self.dead_letters else None,
            "left_out": dict(self.left_out),
            "adapted": list(self.adapted),
            "reconciled": {
                "counted": self.counted,
                "without_run": self.uncounted,
                "sent_again": self.repaired,
                "doubles_removed": self.removed,
                "differences": [
                    {
                        "run": one.run,
                        "type": one.kind,
                        "sent": one.sent,
                        "there": one.there,
                        "missing": list(one.missing),
                        "doubled": list(one.doubled),
                    }
                    for one in self.differences
                ],
            },
            "seconds": round(self.seconds, 3),
            "resources_per_second": round(self.rate, 1),
            "requests": self.traffic.answered,
            "request_seconds": self.traffic.timings,
            "sending_seconds": round(self.traffic.sending, 3),
            "retries": self.retries,
            "retries_by_cause": dict(self.traffic.retries.most_common()),
            "concurrency": self.concurrency,
            "skipped": self.skips.counts(),
        }
