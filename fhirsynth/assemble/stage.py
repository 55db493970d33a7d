"""Synthetic rows → transaction Bundles on disk, each resource checked, in as many processes as are given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fhirsynth.assemble.bundle import to_json, transaction
from fhirsynth.assemble.conform import check
from fhirsynth.assemble.identity import LOCALES, identity
from fhirsynth.assemble.shared import Shared
from fhirsynth.assemble.telling import tell
from fhirsynth.assemble.timeline import Timeline
from fhirsynth.assemble.write import Origin, resources
from fhirsynth.errors import AssembleError, UsageError
from fhirsynth.schema import Feature, FeatureSchema
from fhirsynth.seeds import rng
from synthea_bridge.processes import pool
from synthea_bridge.progress import Progress, silent
from synthea_bridge.skips import Skip, SkipLog

SHARED: Final = "shared.json"
TRANSACTIONS: Final = "transactions"
YEARS: Final = 3.0
"""How far back visits are told by default: as much as most users look at, and not the whole of long lives."""
CHUNK: Final = 25
"""Rows that a process takes at a time."""
PARALLEL_FROM: Final = 400
"""Fewer rows are done before other processes have started."""
_DEMOGRAPHICS: Final = frozenset({"age", "sex", "race", "deceased"})
_DERIVED: Final = frozenset(
    {"prior_admissions_12m", "ed_visits_12m", "num_medications", "length_of_stay", "readmitted_30d"}
)


@dataclass(slots=True)
class AssembleResult:
    """What was made: ``outcome`` is what a manifest should say.

    Parameters
    ----------
    years
        How far back visits were told; None: from birth on.
    clinical
        What the clinical rules say of them.
    """

    run_id: str
    patients: int = 0
    resources: Counter[str] = field(default_factory=Counter)
    skips: SkipLog = field(default_factory=SkipLog)
    years: float | None = None
    clinical: dict[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> dict[str, Any]:
        """Counts, as JSON values."""
        return {
            "run_id": self.run_id,
            "patients": self.patients,
            "years": self.years,
            "resources": dict(sorted(self.resources.items())),
            "skipped": self.skips.counts(),
            **({"clinical": self.clinical} if self.clinical else {}),
        }


@dataclass(frozen=True, slots=True)
class Telling:
    """How rows become lives; see :func:`assemble`."""

    schema: FeatureSchema
    timeline: Timeline
    run_id: str
    seed: int
    years: float | None
    locale: str
    ssn: bool

    def check(self, rows: pd.DataFrame) -> None:
        """Check that these rows can be told.

        Raises
        ------
        UsageError
            When they cannot.
        """
        check_writable(self.schema)
        identity(self.run_id, locale=self.locale)
        absent = [name for name in ["patient_id", *self.schema.columns] if name not in rows]
        if absent:
            raise UsageError(f"synthetic rows: lack the columns {', '.join(absent)}; make them with: fhirsynth augment")


@dataclass(frozen=True, slots=True)
class _Task:
    told: Telling
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()


Made = tuple[str, bytes | None, dict[str, int], str]
"""Patient, Bundle, counts by type, and what is wrong with the row instead."""


def assemble(
    rows: pd.DataFrame,
    schema: FeatureSchema,
    timeline: Timeline,
    *,
    run_id: str,
    out: Path,
    seed: int = 0,
    years: float | None = YEARS,
    locale: str = LOCALES[0],
    ssn: bool = False,
    workers: int = 1,
    skips: SkipLog | None = None,
    progress: Progress = silent,
) -> AssembleResult:
    """Write ``shared.json`` and ``transactions/NNNNNN.json``, a transaction Bundle a row, into the folder ``out``.

    Parameters
    ----------
    rows
        Synthetic rows: ``patient_id`` and the columns of ``schema``.
    timeline
        What lives look like, learned from the training tables.
    run_id
        Ids follow from it, the patient and an ordinal: the same call gives the same bytes, whatever ``workers`` is.
    years
        How far back visits are told; None: whole lives. Conditions that last are told whenever they began.
    locale, ssn
        Of names and addresses, one of :data:`~fhirsynth.assemble.identity.LOCALES`; whether US patients have a social
        security number (one that is never issued).
    skips
        Takes rows that cannot become a patient; by default the first one is raised.

    Raises
    ------
    UsageError
        When the schema has a column that cannot be written as FHIR, ``rows`` lacks one, or there is no such locale.
    InputError
        When a row contradicts itself, with the default ``skips``.
    AssembleError
        When a resource does not conform to R4, which is a defect of ours.
    """
    told = Telling(schema, timeline, run_id, seed, years, locale, ssn)
    told.check(rows)
    result = AssembleResult(run_id, skips=skips if skips is not None else SkipLog(strict=True), years=years)
    (out / TRANSACTIONS).mkdir(parents=True, exist_ok=True)
    (out / SHARED).write_bytes(shared_bundle(result))
    for number, body in enumerate(bundles_of(rows, told, result, workers), 1):
        if body is not None:
            (out / TRANSACTIONS / f"{result.patients:06d}.json").write_bytes(body)
        progress(number, len(rows))
    return result


def shared_bundle(result: AssembleResult) -> bytes:
    """The Bundle of those whom all patients refer to, which are counted in ``result``."""
    shared = Shared(result.run_id).resources()
    result.resources.update(check(one, "shared") for one in shared)
    return to_json(transaction(result.run_id, "shared", shared))


def bundles_of(rows: pd.DataFrame, told: Telling, result: AssembleResult, workers: int = 1) -> Iterator[bytes | None]:
    """A Bundle a row, None where it cannot become a patient; ``result`` counts and has the reasons."""
    for patient, body, counts, problem in _made(rows, told, workers):
        if body is None:
            result.skips.add(Skip("synthetic rows", patient, problem, "make it again, or correct the row"))
        else:
            result.patients += 1
            result.resources.update(counts)
        yield body


def check_writable(schema: FeatureSchema) -> None:
    """Check that every feature has a place in FHIR.

    Raises
    ------
    UsageError
        With the feature that has none.
    """
    for feature in schema.features:
        reason = _unwritable(feature)
        if reason:
            raise UsageError(f"feature {feature.name}: {reason}, so it cannot be written as FHIR; leave it out")


def _unwritable(feature: Feature) -> str:
    source = feature.source
    if source.rule == "demographic" and feature.name not in _DEMOGRAPHICS:
        return "is a column of patients that re-assembly does not know"
    if source.rule == "derived" and feature.name not in _DERIVED:
        return "is derived in a way that re-assembly does not know"
    if source.rule in ("latest", "present") and not source.codes:
        return "has no code"
    if source.rule == "latest" and feature.kind == "flag":
        return "is the latest value of a flag"
    if source.rule == "latest" and source.units and source.units.get(feature.unit) != 1:
        return f"is kept in '{feature.unit}', which its units do not take as it is"
    return ""


def _made(rows: pd.DataFrame, told: Telling, workers: int) -> Iterator[Made]:
    frame = told.schema.conform(rows)
    columns = tuple(frame.columns)
    values = list(frame.itertuples(index=False, name=None))
    tasks = [_Task(told, columns, tuple(values[at : at + CHUNK])) for at in range(0, len(values), CHUNK)]
    if workers == 1 or len(rows) < PARALLEL_FROM:
        for task in tasks:
            yield from _make(task)
        return
    with pool(min(workers, len(tasks))) as processes:
        for made in processes.map(_make, tasks):
            yield from made


def _make(task: _Task) -> Sequence[Made]:
    return [_one(task.told, dict(zip(task.columns, row, strict=True))) for row in task.rows]


def _one(told: Telling, row: dict[str, Any]) -> Made:
    patient = str(row.pop("patient_id"))
    random = rng(told.seed, "life", patient)
    try:
        chart = tell(
            told.run_id,
            patient,
            row,
            told.schema,
            told.timeline,
            random,
            years=told.years,
            locale=told.locale,
            ssn=told.ssn,
        )
    except AssembleError as error:
        return patient, None, {}, str(error)
    origin = Origin(told.run_id, "augmented", Shared(told.run_id), profiled=True)
    written = list(resources(chart, origin))
    counts = Counter(check(one, patient) for one in written)
    return patient, to_json(transaction(told.run_id, patient, written)), dict(counts), ""
