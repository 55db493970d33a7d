"""Synthea in a JVM that stays up: one simulation's shards are asked for, and people come out."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final

from synthea_bridge.bundles import LARGE
from synthea_bridge.errors import SyntheaError
from synthea_bridge.journal import Frame
from synthea_bridge.jvm import Child, class_path, launch
from synthea_bridge.plan import Plan, plans, write_modules
from synthea_bridge.spec import GenerateSpec
from synthea_bridge.streams import CHUNK

ENDS: Final = ("end", "exhausted")

_FLAGS: Final = ("-XX:NewRatio=1", "-XX:CompileThresholdScaling=5", "-XX:MetaspaceSize=192m")
"""What a run of a minute gains from: room for what lives as long as one patient, the second compiler later, and no full
collection whenever another 20 MB of classes are loaded."""

_ALWAYS: Final = {
    "exporter.pretty_print": "false",
    "exporter.metadata.export": "false",
    "exporter.fhir.export": "false",
    "exporter.hospital.fhir.export": "false",
    "exporter.practitioner.fhir.export": "false",
    "exporter.fhir.us_core_version": "5.0.1",
    "exporter.fhir.transaction_bundle": "true",
    "generate.log_patients.detail": "none",
}


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running helper ``Simulate``, see there."""

    child: Child

    def ask(
        self, *, cases: bool, start: int, until: int, wanted: int, references: Path | None = None
    ) -> Iterator[Frame]:
        """Kind, index, Bundle and counts of people from ``start`` on; read to the end before the next are asked for.

        A Bundle can be read until the next one is asked for; a large one waits on disk.

        Parameters
        ----------
        cases
            Whether those are wanted who have the condition, or the others.
        start, until
            The first index, and the one before which is the last that may be tried.
        wanted
            How many living ones.
        references
            A file with the conditional references in Bundles that were kept before, a line each.

        Raises
        ------
        SyntheaError
            When it ends before its end.
        """
        population, positive = (0, wanted) if cases else (wanted, 0)
        asked = {"start": start, "until": until, "population": population, "cases": positive, "references": references}
        line = "\t".join(f"{name}={value}" for name, value in asked.items() if value is not None)
        try:
            self.child.stdin.write(f"{line}\n".encode())
            self.child.stdin.flush()
        except BrokenPipeError:
            pass  # its last words follow
        return _frames(self.child)


def _frames(child: Child) -> Iterator[Frame]:
    while header := child.stdout.readline():
        word, index, size, *counts = header.decode("ascii").split()
        with SpooledTemporaryFile(LARGE) as bundle:
            if not _copied(child.stdout, bundle, int(size)):
                break
            yield word, int(index), bundle, {name: int(number) for name, number in (one.split("=") for one in counts)}
        if word in ENDS:
            return
    child.process.wait()
    raise SyntheaError(f"Synthea ended early (exit code {child.process.returncode}); its last lines:\n{child.said()}")


def _copied(source: IO[bytes], target: IO[bytes], size: int) -> bool:
    """Whether so many bytes were there."""
    while size and (chunk := source.read(min(size, CHUNK))):
        target.write(chunk)
        size -= len(chunk)
    target.seek(0)
    return not size


@contextmanager
def simulator(spec: GenerateSpec, plan: Plan, **more: Any) -> Iterator[Simulator]:
    """A JVM for one simulation; ``more`` is handed on to the helper."""
    jars = class_path("synthea", "Simulate")
    with (
        _arguments(spec, plan, **more) as given,
        launch("Simulate", jars, given, spec.heap, flags=_FLAGS) as child,
    ):
        yield Simulator(child)


@dataclass(slots=True)
class Held:
    """The one simulator that this process keeps from shard to shard."""

    _made_for: tuple[Any, ...] = ()
    _simulator: Simulator | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    @contextmanager
    def simulator(self, spec: GenerateSpec, number: int) -> Iterator[Simulator]:
        """The one of the plan with this number, new where the last one was another; not kept after a failure."""
        made_for = (spec.key, spec.threads, spec.heap, number)
        try:
            if self._simulator is None or self._made_for != made_for:
                self.close()
                plan = next(plan for plan in plans(spec, synthea_jar()) if plan.number == number)
                self._simulator, self._made_for = self._stack.enter_context(simulator(spec, plan)), made_for
            yield self._simulator
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it."""
        self._simulator = None
        self._stack.close()


HELD: Final = Held()
atexit.register(HELD.close)


@contextmanager
def _arguments(spec: GenerateSpec, plan: Plan, **more: Any) -> Iterator[list[str]]:
    """What the helper ``Simulate`` is given for one simulation."""
    ours: dict[str, Any] = {
        "seed": spec.seed,
        "stream": plan.number,  # nobody is in two simulations
        "clinician_seed": spec.seed if spec.clinician_seed is None else spec.clinician_seed,
        "reference": _milliseconds(spec.reference_date),
        "end": _milliseconds(spec.end_date),
        "state": spec.state,
        "city": spec.city,
        "gender": spec.gender,
        "min_age": spec.min_age,
        "max_age": spec.max_age,
        "as_is": 1 if spec.as_is else None,
        "threads": spec.threads,
        "years": spec.years_of_history,
        "codes": plan.codes or None,
        **more,
    }
    settings = {**_ALWAYS, "exporter.fhir.included_resources": ",".join(spec.resources), **spec.settings}
    with tempfile.TemporaryDirectory(prefix="fhirsynth-") as scratch:
        settings["exporter.baseDirectory"] = scratch
        ours["modules"] = write_modules(plan.modules, Path(scratch) / "modules")
        given = [f"{name}={value}" for name, value in ours.items() if value is not None]
        yield given + [f"set:{name}={value}" for name, value in settings.items()]


def synthea_jar() -> Path:
    """Synthea's own jar, in which its modules are."""
    return next(jar for jar in class_path("synthea") if jar.name.startswith("synthea-"))


def _milliseconds(day: date) -> int:
    return int(datetime.combine(day, time(), tzinfo=UTC).timestamp() * 1000)
