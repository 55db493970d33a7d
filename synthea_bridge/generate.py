"""Simulated patients: a spec goes in, FHIR R4 Bundles come out, the same bytes for the same spec."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from synthea_bridge.conditions import find, overrides
from synthea_bridge.errors import SyntheaError, UsageError
from synthea_bridge.files import atomic_folder, write_json
from synthea_bridge.flatten import tables_in
from synthea_bridge.jvm import Child, class_path, launch
from synthea_bridge.progress import Progress, silent
from synthea_bridge.skips import SkipLog

SYNTHEA_VERSION = "3.3.0"
SHARED = "bundles/shared.json"
"""The Bundle of the organisations, locations and practitioners that patients refer to."""
RESOURCES = ("Patient", "Encounter", "Condition", "Observation", "MedicationRequest", "Procedure")
ATTEMPTS_PER_CASE, ATTEMPTS_AT_LEAST = 200, 1000
"""How many people may be simulated for each patient asked for: a condition that needs more is out of reach here."""

_FLAGS = ("-XX:NewRatio=1", "-XX:CompileThresholdScaling=5")
"""What a run of a minute gains most from: room for what lives as long as one patient, and the JVM's second compiler later."""

_ALWAYS = {
    "exporter.pretty_print": "false",
    "exporter.metadata.export": "false",
    "exporter.fhir.export": "false",
    "exporter.hospital.fhir.export": "false",
    "exporter.practitioner.fhir.export": "false",
    "exporter.fhir.us_core_version": "5.0.1",
    "exporter.fhir.transaction_bundle": "true",
    "generate.log_patients.detail": "none",
}


class GenerateSpec(BaseModel):
    """All that decides what is simulated.

    Parameters
    ----------
    population
        Number of living patients (without ``condition``, if one is named).
    condition, cases
        A condition (slug, name or SNOMED CT code) and the number of living patients who have it.
    seed, clinician_seed
        Seeds of patients and of clinicians (None: ``seed``).
    reference_date, end_date
        The day at which ages are drawn and the day at which the simulation ends; fixed, so that results repeat.
    state, city, gender, min_age, max_age
        Who is simulated; ``gender`` is ``M`` or ``F``. Ages follow the census of the place; with a bound (in years)
        they are drawn evenly between the two (0 and 110 where one is not given).
    resources
        FHIR resource types to keep; Patient and Encounter are always there.
    years_of_history
        Years of history to keep; 0: all of it.
    modules
        A folder with Synthea modules of the user's own.
    settings
        Any other Synthea setting.
    as_is
        Leave the Bundles as Synthea makes them, and do not provide what they refer to.
    threads, heap
        How, and not what: they do not change the result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    population: int = Field(ge=0)
    condition: str | None = None
    cases: int = Field(default=0, ge=0)
    seed: int = 0
    clinician_seed: int | None = None
    reference_date: date = date(2026, 1, 1)
    end_date: date = date(2026, 1, 1)
    state: str = "Massachusetts"
    city: str | None = None
    gender: Literal["M", "F"] | None = None
    min_age: int | None = Field(default=None, ge=0, le=140)
    max_age: int | None = Field(default=None, ge=0, le=140)
    resources: tuple[str, ...] = RESOURCES
    years_of_history: int = Field(default=0, ge=0)
    modules: Path | None = None
    settings: dict[str, str] = Field(default_factory=dict)
    as_is: bool = False
    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    heap: str = "3g"

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.cases and not self.condition:
            raise UsageError("cases of what? name a condition (see: fhirsynth conditions)")
        if not self.population + self.cases:
            raise UsageError("nothing to simulate: population and cases are both 0")
        youngest, oldest = self.min_age or 0, 110 if self.max_age is None else self.max_age
        if youngest > oldest:
            raise UsageError(f"ages from {youngest} to {oldest}: the first must not be above the second")
        if self.modules is not None and not self.modules.is_dir():
            raise UsageError(f"{self.modules}: is no folder of Synthea modules")
        return self


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
    counts
        People by what became of them.
    mends
        What was corrected in the Bundles of those who were kept: ``units`` and ``absent``.
    shared
        Entries of a transaction Bundle by type and id: what the Bundles refer to.
    """

    spec: GenerateSpec
    counts: Counter[str] = field(default_factory=Counter)
    factor: float | None = None
    mends: Counter[str] = field(default_factory=Counter)
    shared: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    @property
    def outcome(self) -> dict[str, Any]:
        """Spec and counts, as JSON values."""
        mended = {
            "units": self.mends["units"],
            "data_absent_reason": self.mends["absent"],
            "shared_resources": len(self.shared),
        }
        return {
            "synthea": SYNTHEA_VERSION,
            "spec": self.spec.model_dump(mode="json", exclude={"threads", "heap"}),
            "index_date": self.spec.end_date.isoformat(),
            "onset_factor": self.factor,
            "simulated": sum(self.counts.values()),
            "kept": {kind: self.counts[kind] for kind in ("control", "case")},
            "let_go": {kind: self.counts[kind] for kind in ("dead", "surplus")},
        } | ({} if self.spec.as_is else {"mended": mended})

    def share(self, bundle: bytes) -> None:
        """Take a Bundle of shared resources; what is known stays as it is."""
        for entry in orjson.loads(bundle).get("entry", ()):
            resource = entry["resource"]
            self.shared.setdefault((resource["resourceType"], resource["id"]), entry)

    def shared_bundle(self) -> bytes:
        """All shared resources as one transaction Bundle, by type and id."""
        entries = [self.shared[key] for key in sorted(self.shared)]
        return orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def generate(spec: GenerateSpec, out: Path, progress: Progress = silent, tables: Path | None = None) -> GenerateResult:
    """Simulate into the folder ``out``: ``bundles/`` and ``manifest.json``, whole or not at all.

    Parameters
    ----------
    tables
        A folder for the tables, which are filled while patients are simulated; none by default.
    """
    with ExitStack() as stack:
        scratch = stack.enter_context(atomic_folder(out))
        if tables is None:
            result = write_bundles(spec, scratch, progress)
        else:
            folder = stack.enter_context(atomic_folder(tables))
            with tables_in(folder, SkipLog(strict=True)) as filled:
                result = write_bundles(spec, scratch, progress, also=filled.take)
            write_json(folder / "manifest.json", {"stage": "tables", **filled.result(str(out)).outcome})
        write_json(scratch / "manifest.json", result.outcome)
    return result


def write_bundles(
    spec: GenerateSpec,
    folder: Path,
    progress: Progress = silent,
    also: Callable[[str, bytes], None] | None = None,
) -> GenerateResult:
    """Simulate into ``folder/bundles``, one file a patient, controls first, each in the order of simulation.

    What the patients refer to (organisations, locations, practitioners) is in ``shared.json`` beside them.

    Parameters
    ----------
    also
        Called with the name below ``folder`` and the bytes of each Bundle while the next ones are simulated.
    """
    result = GenerateResult(spec)
    (folder / "bundles").mkdir()

    def write(name: str, bundle: bytes) -> None:
        (folder / name).write_bytes(bundle)
        if also is not None:
            also(name, bundle)

    for number, patient in enumerate(stream(spec, result, progress), start=1):
        write(f"bundles/{number:06d}.json", patient.bundle)
    if result.shared:
        write(SHARED, result.shared_bundle())
    return result


def stream(
    spec: GenerateSpec, result: GenerateResult | None = None, progress: Progress = silent
) -> Iterator[SimulatedPatient]:
    """The patients of ``spec`` as they are simulated, in an order that does not depend on the threads.

    Patients with the condition come from a simulation of their own in which its onset is more frequent, the others from
    one as it is: so both are who they would be. What they refer to is in ``result`` at the end.

    Raises
    ------
    SyntheaError
        When Synthea fails, or does not reach the numbers; what it said last is in the message.
    """
    result = result if result is not None else GenerateResult(spec)
    total = spec.population + spec.cases
    for kind, number in (("control", spec.population), ("case", spec.cases)):
        if number:
            for patient in _simulate(spec, kind, number, result):
                progress(
                    result.counts["control"] + result.counts["case"], total, f"{sum(result.counts.values())} simulated"
                )
                yield patient


def _simulate(spec: GenerateSpec, kind: str, number: int, result: GenerateResult) -> Iterator[SimulatedPatient]:
    jars = class_path("synthea", "Simulate")
    with (
        _arguments(spec, kind, number, result) as arguments,
        launch("Simulate", jars, arguments, spec.heap, flags=_FLAGS) as child,
    ):
        for word, index, bundle, mends in _frames(child):
            if word in ("end", "exhausted"):
                break
            if word == "shared":
                result.share(bundle)
                continue
            result.counts[word] += 1
            if word == kind:
                result.mends.update(mends)
                yield SimulatedPatient(word, index, bundle)
    if word == "exhausted":
        raise SyntheaError(
            f"{index} people were simulated, {result.counts[kind]} of {number} wanted ({kind}) were found; "
            "ask for fewer, or widen ages, gender or place"
        )


def _frames(child: Child) -> Iterator[tuple[str, int, bytes, dict[str, int]]]:
    while header := child.stdout.readline():
        word, index, size, *counts = header.decode("ascii").split()
        bundle = child.stdout.read(int(size))
        if len(bundle) < int(size):
            break
        yield word, int(index), bundle, {name: int(number) for name, number in (one.split("=") for one in counts)}
        if word in ("end", "exhausted"):
            return
    child.process.wait()
    raise SyntheaError(f"Synthea ended early (exit code {child.process.returncode}); its last lines:\n{child.said()}")


@contextmanager
def _arguments(spec: GenerateSpec, kind: str, number: int, result: GenerateResult) -> Iterator[list[str]]:
    ours: dict[str, Any] = {
        "seed": spec.seed,
        "stream": ("control", "case").index(kind),  # nobody is in both simulations
        "clinician_seed": spec.seed if spec.clinician_seed is None else spec.clinician_seed,
        "reference": _milliseconds(spec.reference_date),
        "end": _milliseconds(spec.end_date),
        "state": spec.state,
        "city": spec.city,
        "gender": spec.gender,
        "min_age": spec.min_age,
        "max_age": spec.max_age,
        "modules": spec.modules,
        "as_is": 1 if spec.as_is else None,
        "threads": spec.threads,
        "years": spec.years_of_history,
        "population": number if kind == "control" else 0,
        "cases": number if kind == "case" else 0,
        "attempts": max(ATTEMPTS_AT_LEAST, ATTEMPTS_PER_CASE * number),
        "code": find(spec.condition).snomed if spec.condition else None,
    }
    settings = {**_ALWAYS, "exporter.fhir.included_resources": ",".join(spec.resources), **spec.settings}
    with tempfile.TemporaryDirectory(prefix="fhirsynth-") as scratch:
        settings["exporter.baseDirectory"] = scratch
        if kind == "case" and spec.condition:
            lines, result.factor = overrides(find(spec.condition), _synthea_jar())
            (Path(scratch) / "override.properties").write_text("\n".join(lines) + "\n", encoding="utf-8")
            settings["module_override"] = str(Path(scratch) / "override.properties")
        given = [f"{name}={value}" for name, value in ours.items() if value is not None]
        yield given + [f"set:{name}={value}" for name, value in settings.items()]


def _synthea_jar() -> Path:
    return next(jar for jar in class_path("synthea") if jar.name.startswith("synthea-"))


def _milliseconds(day: date) -> int:
    return int(datetime.combine(day, time(), tzinfo=UTC).timestamp() * 1000)
