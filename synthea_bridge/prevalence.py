"""How often a condition is in the natural population, and how many people of it each simulated patient stands for.

The natural population are the people who are alive at the end date, as Synthea's demographics and modules have them:
a living cross-section. A cohort is a sample of it in two or more strata (without the conditions, with each), drawn at
different rates; the weight of a patient is the share of his stratum in the population over its share in the sample
(Horvitz and Thompson, https://doi.org/10.1080/01621459.1952.10483446), so that weights are 1 on average.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from synthea_bridge.place import Place

NATURAL: Final = "people alive at the end date, as Synthea's demographics and modules have them"
CONTROL: Final = "control"
LET_GO: Final = ("dead", "lost", "affected", "unaffected")
"""Kinds of people who are simulated and not kept, as ``Simulate.java`` names them."""
Z95: Final = 1.96


def bundle_name(number: int) -> str:
    """The file of the patient with this number, from 1."""
    return f"bundles/{number:06d}.json"


@dataclass(slots=True)
class Part:
    """What became of the people of one simulation.

    Parameters
    ----------
    name, wanted
        What it is called, and how many living patients were asked for.
    factor, approximate
        By how much the onset was more frequent, and whether that holds only about.
    counts
        People by kind, see ``Simulate.java``.
    """

    name: str
    wanted: int
    factor: float = 1.0
    approximate: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def kept(self) -> int:
        """Patients that are in the Bundles."""
        return self.counts["control"] + self.counts["case"]

    @property
    def tried(self) -> int:
        """People who were simulated."""
        return sum(self.counts.values())

    @property
    def living(self) -> float:
        """Share of those who never had the condition that are alive."""
        alive = self.counts["control"] + self.counts["unaffected"]
        return alive / (alive + self.counts["dead"]) if alive else 1.0

    def shortfall(self, end: date) -> str:
        """What is missing, why, and what would help."""
        counts = self.counts
        who = "patients" if self.name == CONTROL else f"patients with {self.name}"
        told = f"{self.wanted} {who} were asked for, {self.kept} were found among {self.tried:,} simulated people"
        if counts["lost"] and not self.kept:
            return (
                f"{told}: all {counts['lost']} who had it had died by {end}; ask for an earlier end date or other ages"
            )
        if self.name == CONTROL:
            why, advice = f"{counts['dead']} had died, {counts['affected']} had the condition", "widen"
        else:
            boost = "" if self.factor > 1 else ", and its onset cannot be made more frequent"
            why, advice = f"{counts['lost']} had it and died{boost}", "ask for fewer, raise --attempts, or widen"
        return f"{told} ({why}); {advice} ages, gender or place"


def weighed(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """The parts as JSON values, with natural prevalence (and its 95 % interval) and the weight of each patient."""
    controls = next((part for part in parts if part.name == CONTROL), None)
    shares = [_prevalence(part, controls) if part.name != CONTROL else None for part in parts]
    total = sum(part.kept for part in parts)
    left = max(0.0, 1 - sum(share for share in shares if share))
    first, made = 1, []
    for part, share in zip(parts, shares, strict=True):
        stands_for = left if share is None else share
        made.append(
            {
                "name": part.name,
                "wanted": part.wanted,
                "kept": part.kept,
                "simulated": part.tried,
                "let_go": {kind: part.counts[kind] for kind in LET_GO},
                "onset_factor": part.factor,
                "natural_prevalence": share,
                "approximate": part.approximate,
                "natural_prevalence_95": None if not share else _interval(share, part.kept),
                "first": first,
                "last": first + part.kept - 1,
                "weight": _weight(stands_for, part.kept, total) if controls is not None else 1.0,
            }
        )
        first += part.kept
    return made


def _prevalence(part: Part, controls: Part | None) -> float:
    """Living people with it over living people, were the onset as frequent as it is."""
    living = (controls or part).living
    return part.counts["case"] / part.tried / part.factor / living if part.tried else 0.0


def _interval(share: float, cases: int) -> list[float]:
    """On the logarithm, as a count that is Poisson distributed."""
    spread = math.exp(Z95 / math.sqrt(cases))
    return [share / spread, min(1.0, share * spread)]


def _weight(share: float, kept: int, total: int) -> float:
    return share * total / kept if kept else 0.0


def weigh(tables: Path, parts: Sequence[Mapping[str, Any]]) -> None:
    """Fill in the column ``weight`` of ``patients``."""
    path = tables / "patients.parquet"
    patients = weigh_rows(pq.read_table(path), parts)
    pq.write_table(patients, path, compression="zstd")


def weigh_rows(patients: pa.Table, parts: Sequence[Mapping[str, Any]]) -> pa.Table:
    """``patients`` with the column ``weight`` filled in, by the file that each was read from."""
    by_shard = {shard: part["weight"] for part in parts for shard in part.get("shards", ())}
    weights = pa.array([_of(source, parts, by_shard) for source in patients["source"].to_pylist()], pa.float64())
    place = patients.schema.get_field_index("weight")
    return patients.set_column(place, patients.schema.field(place), weights)


def parts_of(source: Place | Path) -> list[dict[str, Any]]:
    """The parts that the manifest of a simulation names, in the folder ``source`` or the one above; none elsewhere."""
    for manifest in Place.of(source).manifests():
        with suppress(LookupError, TypeError, AttributeError):
            parts = manifest.get("generated", manifest)["parts"]
            if all({"first", "last", "weight"} <= part.keys() for part in parts):
                return list(parts)
    return []


def _of(source: str | None, parts: Sequence[Mapping[str, Any]], by_shard: Mapping[str, float]) -> float | None:
    number = Path(source or "").name.partition(".")[0]
    if not number.isdigit():
        return by_shard.get(number)
    return next((part["weight"] for part in parts if part["first"] <= int(number) <= part["last"]), None)
