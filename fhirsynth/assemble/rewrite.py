"""Tables → transaction Bundles: the reverse of flattening, in as many processes as are given.

Flattening what is written gives the tables again, row by row, but for :data:`NOT_KEPT` and references to nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from fhirsynth.assemble.bundle import to_json, transaction
from fhirsynth.assemble.chart import Chart
from fhirsynth.assemble.conform import check, problem
from fhirsynth.assemble.identity import resource_id
from fhirsynth.assemble.read import Record, records
from fhirsynth.assemble.slices import Folder, Slice, packed, pieces, providers, unpacked
from fhirsynth.assemble.stage import SHARED, TRANSACTIONS, AssembleResult
from fhirsynth.assemble.write import Origin, dangling, organization, resources
from synthea_bridge.processes import pool
from synthea_bridge.progress import Progress, silent
from synthea_bridge.skips import Skip, SkipLog

NOT_KEPT: Final = {
    "patients.source": "is the file that was read, now that of the Bundle",
    "patients.weight": "belongs to a simulation of several parts, not to a patient",
}
"""Columns that differ after tables have become Bundles and these tables again, and why.

What tables never held is not in the Bundles either: names, addresses beyond city, state, postal code and country,
practitioners, locations, further codings and categories, the codes of units beside their texts, notes, dosages,
performers, and resources of other types.
"""
PARALLEL_FROM: Final = 50_000
"""Fewer rows are done before other processes have started."""
ADVICE: Final = "correct it where the tables come from, and flatten again"


@dataclass
class RewriteResult(AssembleResult):
    """What was made; ``left_out`` counts references that point to nothing in the tables, by element."""

    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def outcome(self) -> dict[str, Any]:
        """Counts, as JSON values."""
        return {**super().outcome, "left_out": dict(sorted(self.left_out.items()))}


def rewrite(
    tables: Path,
    *,
    out: Path,
    run_id: str | None = None,
    workers: int = 1,
    skips: SkipLog | None = None,
    progress: Progress = silent,
) -> RewriteResult:
    """Write ``transactions/NNNNNN.json``, a transaction Bundle a patient, into the folder ``out``.

    Ids and times are those of the tables, and each resource is created once (``ifNoneExist``), however often it is
    loaded. Organisations that encounters refer to by identifier stand in ``shared.json``, those that are known by an id
    in the Bundles themselves, both without a name; other references to what the tables do not have are left out.

    Parameters
    ----------
    tables
        A folder that ``flatten`` has filled, with anybody's patients.
    run_id
        Tag of every resource, and what identifiers follow from where ids are no UUIDs: give the same one when there
        are more patients next time. None: the tag that the tables have, if any, and who the patients are.
    workers
        Processes; the bytes do not depend on it.
    skips
        Takes resources that are not valid R4, and rows of patients who are not in ``patients``; by default the first
        is raised.

    Raises
    ------
    UsageError
        When a table is missing, or is not what ``flatten`` writes.
    InputError
        With the default ``skips``.
    """
    folder = Folder.open(tables)
    root = run_id or root_of(folder.position)
    result = RewriteResult(root, skips=skips if skips is not None else SkipLog(strict=True))
    (out / TRANSACTIONS).mkdir(parents=True, exist_ok=True)
    shared = shared_bundle(providers(pieces(tables, "encounters")), result)
    if shared is not None:
        (out / SHARED).write_bytes(shared)
    with closing(bundles_of(folder, run_id, result, workers)) as bundles:
        for number, body in enumerate(bundles, 1):
            if body is not None:
                (out / TRANSACTIONS / f"{result.patients:06d}.json").write_bytes(body)
            progress(number, len(folder.position))
    return result


def bundles_of(
    folder: Folder, run_id: str | None, result: RewriteResult, workers: int = 1
) -> Generator[bytes | None, None, None]:
    """A Bundle a patient, None for one who is not valid R4; ``result`` counts and has the reasons."""
    with closing(_made(folder, result.run_id, run_id, workers, result.skips)) as patients:
        for made in patients:
            for skip in made.problems:
                result.skips.add(skip)
            if made.body is not None:
                result.patients += 1
                result.resources.update(made.counts)
                result.left_out.update(made.left_out)
            yield made.body


class Made(NamedTuple):
    """What one patient became: the Bundle, resources by type, references left out, and what was wrong."""

    body: bytes | None
    counts: dict[str, int]
    left_out: dict[str, int]
    problems: list[Skip]


def root_of(patients: Iterable[str]) -> str:
    """Follows from who the patients are: the same ones get the same ids, however their tables were written."""
    return hashlib.sha256("\n".join(sorted(patients)).encode()).hexdigest()[:12]


def shared_bundle(named: Iterable[str], result: RewriteResult) -> bytes | None:
    """The Bundle of organisations that are named by an identifier, counted in ``result``; None where there is none."""
    made = []
    for text in sorted(named):
        known = organization(text)
        if known is not None:
            identifier = {"system": known[0], "value": known[1]}
            name = resource_id("", "Organization", text)
            made.append({"resourceType": "Organization", "id": name, "identifier": [identifier]})
    result.resources.update(check(one, "shared") for one in made)
    return to_json(transaction(result.run_id, "shared", made)) if made else None


class _Task(NamedTuple):
    rows: dict[str, bytes]
    root: str
    run_id: str | None


def _made(folder: Folder, root: str, run_id: str | None, workers: int, skips: SkipLog) -> Generator[Made, None, None]:
    with closing(folder.slices(skips=skips)) as slices:
        if workers == 1 or sum(folder.rows.values()) < PARALLEL_FROM:
            for part in slices:
                yield from _all(part, root, run_id)
            return
        tasks = (_Task(packed(part), root, run_id) for part in slices)
        with pool(workers) as processes:
            for made in _in_turn(processes, _make, tasks, 2 * workers):
                yield from made


_Given = TypeVar("_Given")
_Found = TypeVar("_Found")


def _in_turn(
    processes: ProcessPoolExecutor, make: Callable[[_Given], _Found], tasks: Iterable[_Given], ahead: int
) -> Iterator[_Found]:
    """What ``map`` gives, with no more than ``ahead`` tasks waiting: all of them would not fit into memory."""
    left = iter(tasks)
    waiting = deque(processes.submit(make, task) for task in islice(left, ahead))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(processes.submit(make, task) for task in islice(left, 1))


def _make(task: _Task) -> list[Made]:
    return _all(unpacked(task.rows), task.root, task.run_id)


def _all(part: Slice, root: str, run_id: str | None) -> list[Made]:
    return [_one(record, root, run_id) for record in records(part)]


def _one(record: Record, root: str, run_id: str | None) -> Made:
    chart = record.chart
    tags = Origin(run_id or record.run_id, record.origin, root=root)  # type: ignore[arg-type]
    problems: list[Skip] = []
    while True:
        written = list(resources(chart, tags))
        wrong = {(one["resourceType"], one["id"]): text for one in written if (text := problem(one)) is not None}
        problems += [_skip(chart, kind, name, text) for (kind, name), text in wrong.items()]
        if ("Patient", chart.person.id) in wrong:
            return Made(None, {}, {}, problems)
        if not wrong:
            break
        _without(chart, set(wrong))
    body = to_json(transaction(root, chart.person.id, written))
    return Made(body, Counter(one["resourceType"] for one in written), dangling(chart), problems)


def _skip(chart: Chart, kind: str, name: str, text: str) -> Skip:
    whole = "" if kind == "Patient" else f"{kind}/{name} of "
    return Skip("tables", f"{whole}Patient/{chart.person.id}", text, ADVICE)


def _without(chart: Chart, wrong: set[tuple[str, str]]) -> None:
    """Take out what is not valid; references to it are then references to nothing."""
    chart.encounters = [one for one in chart.encounters if ("Encounter", one.id) not in wrong]
    chart.conditions = [one for one in chart.conditions if ("Condition", one.id) not in wrong]
    chart.observations = [one for one in chart.observations if ("Observation", one.id) not in wrong]
    chart.medications = [one for one in chart.medications if ("MedicationRequest", one.id) not in wrong]
    chart.procedures = [one for one in chart.procedures if ("Procedure", one.id) not in wrong]
    for one in chart.encounters:
        if ("Organization", one.provider or "") in wrong:
            one.provider = None
