"""Simulated patients: a spec goes in, FHIR R4 Bundles come out, the same bytes for the same spec."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import IO, Any

import orjson

from synthea_bridge.errors import ShortfallError
from synthea_bridge.files import atomic_folder, write_json
from synthea_bridge.flatten import tables_in
from synthea_bridge.journal import Frame, Journal
from synthea_bridge.plan import Plan, plans
from synthea_bridge.prevalence import LET_GO, NATURAL, Part, bundle_name, weigh, weighed
from synthea_bridge.progress import Progress, silent
from synthea_bridge.shards import Shard, shards
from synthea_bridge.simulator import ENDS, Simulator, simulator, synthea_jar
from synthea_bridge.skips import SkipLog
from synthea_bridge.spec import RESOURCES, Cohort, GenerateSpec
from synthea_bridge.streams import CHUNK

__all__ = [
    "RESOURCES",
    "Cohort",
    "GenerateResult",
    "GenerateSpec",
    "SimulatedPatient",
    "generate",
    "stream",
    "write_bundles",
]

SYNTHEA_VERSION = "3.3.0"
SHARED = "bundles/shared.json"
"""The Bundle of the organisations, locations and practitioners that patients refer to."""
KEPT = ("control", "case")


@dataclass(frozen=True, slots=True)
class SimulatedPatient:
    """One patient: ``kind`` is ``control`` or ``case``, ``bundle`` the bytes of a FHIR R4 transaction Bundle."""

    kind: str
    index: int
    bundle: bytes


@dataclass(slots=True)
class GenerateResult:
    """What was made: ``outcome`` is what a manifest should say.

    Parameters
    ----------
    parts
        The patients without the conditions, and each cohort, in the order of simulation.
    mends
        What was corrected in the Bundles of those who were kept: ``units`` and ``absent``.
    shared
        Entries of a transaction Bundle by type and id: what the Bundles refer to.
    shared_resources
        How many these are.
    """

    spec: GenerateSpec
    parts: list[Part] = field(default_factory=list)
    mends: Counter[str] = field(default_factory=Counter)
    shared: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    shared_resources: int = 0

    @property
    def counts(self) -> Counter[str]:
        """People by what became of them."""
        return sum((part.counts for part in self.parts), Counter())

    @property
    def outcome(self) -> dict[str, Any]:
        """Spec and counts, as JSON values."""
        mended = {
            "units": self.mends["units"],
            "data_absent_reason": self.mends["absent"],
            "shared_resources": self.shared_resources,
        }
        counts = self.counts
        return {
            "synthea": SYNTHEA_VERSION,
            "spec": self.spec.model_dump(mode="json", exclude={"threads", "heap"}),
            "index_date": self.spec.end_date.isoformat(),
            "natural": NATURAL,
            "simulated": sum(counts.values()),
            "kept": {kind: counts[kind] for kind in KEPT},
            "let_go": {kind: counts[kind] for kind in LET_GO},
            "parts": weighed(self.parts),
        } | ({} if self.spec.as_is else {"mended": mended})

    @property
    def kept(self) -> int:
        """Patients that are in the Bundles."""
        return sum(part.kept for part in self.parts)

    @property
    def shortfall(self) -> str | None:
        """What is missing and why, in one line; None when all that was asked for is there."""
        told = [part.shortfall(self.spec.end_date) for part in self.parts if part.kept < part.wanted]
        return "; ".join(told) if told else None

    def share(self, bundle: IO[bytes]) -> None:
        """Take a Bundle of shared resources; what is known stays as it is."""
        for entry in orjson.loads(bundle.read()).get("entry", ()):
            resource = entry["resource"]
            self.shared.setdefault((resource["resourceType"], resource["id"]), entry)
        self.shared_resources = len(self.shared)

    def shared_bundle(self) -> bytes:
        """All shared resources as one transaction Bundle, by type and id."""
        entries = [self.shared[key] for key in sorted(self.shared)]
        return orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def generate(
    spec: GenerateSpec,
    out: Path,
    progress: Progress = silent,
    tables: Path | None = None,
    *,
    tables_only: bool = False,
) -> GenerateResult:
    """Simulate into the folder ``out``: ``bundles/`` and ``manifest.json``, whole or not at all.

    After a kill the same call goes on with what was simulated before.

    Parameters
    ----------
    tables
        A folder for the tables, which are filled while patients are simulated; none by default.
    tables_only
        Fill ``out`` with the tables and let each Bundle go once it has become rows.

    Raises
    ------
    ShortfallError
        When fewer patients were found than asked for; those that were found are in ``out``.
    """
    if tables_only:
        result = _tables_alone(spec, out, progress)
    else:
        with ExitStack() as stack:
            scratch = stack.enter_context(atomic_folder(out, spec.key))
            if tables is None:
                result = write_bundles(spec, scratch, progress)
            else:
                folder = stack.enter_context(atomic_folder(tables))
                with tables_in(folder, SkipLog(strict=True)) as filled:
                    result = write_bundles(spec, scratch, progress, also=filled.take)
                _finish_tables(folder, filled.result(str(out)).outcome, result)
            write_json(scratch / "manifest.json", result.outcome)
    if result.shortfall:
        raise ShortfallError(f"{result.shortfall}; what was found is in {out}")
    return result


def _tables_alone(spec: GenerateSpec, out: Path, progress: Progress) -> GenerateResult:
    with atomic_folder(out) as folder:
        with tables_in(folder, SkipLog(strict=True)) as filled:
            result = write_bundles(spec, None, progress, also=filled.take)
        _finish_tables(folder, {**filled.result("a simulation").outcome, "generated": result.outcome}, result)
    return result


def _finish_tables(folder: Path, outcome: dict[str, Any], result: GenerateResult) -> None:
    generated = result.outcome
    weigh(folder, generated["parts"])
    write_json(folder / "manifest.json", {"stage": "tables", "index_date": generated["index_date"], **outcome})


def write_bundles(
    spec: GenerateSpec,
    folder: Path | None,
    progress: Progress = silent,
    also: Callable[[str, IO[bytes]], None] | None = None,
) -> GenerateResult:
    """Simulate into ``folder/bundles``, one file a patient, controls first, each in the order of simulation.

    What the patients refer to (organisations, locations, practitioners) is in ``shared.json`` beside them.

    Parameters
    ----------
    folder
        Where the files are written; None: nowhere.
    also
        Called with the name below ``folder`` and each Bundle while the next ones are simulated.
    """
    result = GenerateResult(spec)
    if folder is not None:
        (folder / "bundles").mkdir(exist_ok=True)

    def write(name: str, bundle: IO[bytes]) -> None:
        if folder is not None:
            with (folder / name).open("wb") as file:
                shutil.copyfileobj(bundle, file, CHUNK)
            bundle.seek(0)
        if also is not None:
            also(name, bundle)

    with ExitStack() as stack:
        journal = stack.enter_context(closing(Journal(folder))) if folder is not None else None
        for number, (_, _, bundle, _) in enumerate(_patients(spec, result, progress, journal), start=1):
            write(bundle_name(number), bundle)
        if result.shared:
            write(SHARED, io.BytesIO(result.shared_bundle()))
        if journal is not None:
            journal.remove()
    return result


def stream(
    spec: GenerateSpec, result: GenerateResult | None = None, progress: Progress = silent
) -> Iterator[SimulatedPatient]:
    """The patients of ``spec`` as they are simulated, in an order that does not depend on the threads.

    Patients with a condition come from a simulation of their own in which its onset is more frequent, the others from
    one as it is: so both are who they would be. What they refer to is in ``result`` at the end, and whether there are
    fewer than were asked for.

    Raises
    ------
    SyntheaError
        When Synthea fails; what it said last is in the message.
    """
    result = result if result is not None else GenerateResult(spec)
    for kind, index, bundle, _ in _patients(spec, result, progress, None):
        yield SimulatedPatient(kind, index, bundle.read())


def _patients(
    spec: GenerateSpec, result: GenerateResult, progress: Progress, journal: Journal | None
) -> Iterator[Frame]:
    """The patients of ``spec``, each to be read before the next."""
    total = spec.population + spec.cases
    for plan in plans(spec, synthea_jar()):
        part = Part(plan.name, plan.wanted, plan.factor, plan.repeated)
        result.parts.append(part)
        for patient in _simulate(spec, plan, part, result, journal):
            counts = result.counts
            progress(counts["control"] + counts["case"], total, f"{sum(counts.values())} simulated")
            yield patient


def _simulate(
    spec: GenerateSpec, plan: Plan, part: Part, result: GenerateResult, journal: Journal | None
) -> Iterator[Frame]:
    """The patients of one simulation, shard by shard."""
    with ExitStack() as stack:
        helper = cache(lambda: stack.enter_context(simulator(spec, plan)))
        for shard in shards(spec, plan):
            yield from _simulate_shard(shard, part, result, journal, helper)


def _simulate_shard(
    shard: Shard,
    part: Part,
    result: GenerateResult,
    journal: Journal | None,
    helper: Callable[[], Simulator],
) -> Iterator[Frame]:
    """The patients of one shard: first those that the journal knows, then what Synthea goes on with."""
    kind = KEPT[shard.plan > 0]
    known = journal.past(shard.key) if journal is not None else []
    told: Iterator[Frame] = journal.frames(shard.key, kind, result.kept) if journal is not None else iter(())
    if not (known and known[-1].word in ENDS):
        told = chain(told, _synthea(shard, journal, helper))
    for number, frame in enumerate(told):
        word, _, bundle, mends = frame
        if word == "shared":
            result.share(bundle)
        elif word not in ENDS:
            part.counts[word] += 1
            if word == kind:
                result.mends.update(mends)
                yield frame
        if journal is not None and number >= len(known):
            journal.add(shard.key, frame)


def _synthea(shard: Shard, journal: Journal | None, helper: Callable[[], Simulator]) -> Iterator[Frame]:
    """What the helper says, from where the journal ends."""
    start, wanted = shard.start, shard.quota
    with ExitStack() as stack:
        references: Path | None = None
        if journal is not None and (known := journal.past(shard.key)):
            references = stack.enter_context(journal.references(shard.key))
            start = known[-1].index + 1
            wanted -= sum(note.word in KEPT for note in known)
        yield from helper().ask(
            cases=shard.plan > 0, start=start, until=shard.until, wanted=wanted, references=references
        )
