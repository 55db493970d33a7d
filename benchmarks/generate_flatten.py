"""Generate and flatten patients beside the same Synthea run with every exporter off: what our way to tables costs.

Both are run in turn, several times, because a shared machine gives neither of them the same share twice; the ratio is
the median of the rounds. In the last round stock Synthea runs as well, with the export that it has by default.

Usage: ``python -m benchmarks.generate_flatten [PATIENTS [ROUNDS]]``.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from synthea_bridge.generate import GenerateSpec, generate
from synthea_bridge.jvm import class_path, launch

EXPORTERS = ("fhir", "hospital.fhir", "practitioner.fhir", "metadata", "ccda", "csv", "json", "text")


def bare_synthea(patients: int, folder: Path) -> None:
    """Synthea's own main class with every exporter off, in a JVM with our flags."""
    _synthea(patients, folder, [f"--exporter.{name}.export=false" for name in EXPORTERS])


def stock_synthea(patients: int, folder: Path) -> None:
    """The same as it comes: a Bundle a patient, indented, one of hospitals and one of practitioners; no tables."""
    _synthea(patients, folder, [])


def _synthea(patients: int, folder: Path, settings: list[str]) -> None:
    call = ["-p", str(patients), "-s", "1", "-cs", "1", "-r", "20260101", "-e", "20260101", *settings]
    with launch(
        "App", class_path("synthea"), [*call, f"--exporter.baseDirectory={folder}", "Massachusetts"], "3g"
    ) as app:
        app.stdout.read()
        if app.process.wait():
            raise SystemExit(app.said())


def ours(patients: int, folder: Path) -> None:
    """Until Bundles and tables are there."""
    generate(GenerateSpec(population=patients, seed=1), folder / "generated", tables=folder / "tables")


def timed(work: Callable[[int, Path], None], patients: int) -> tuple[float, float]:
    """Seconds on the clock, and of processors (our own and the JVM's)."""
    with tempfile.TemporaryDirectory() as scratch:
        before, begun = processor_seconds(), time.perf_counter()
        work(patients, Path(scratch))
        return time.perf_counter() - begun, processor_seconds() - before


def processor_seconds() -> float:
    """Those of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Print seconds and ratio."""
    patients = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    class_path("synthea", "Simulate")  # fetched and compiled before the clock runs
    ratios, processors = [], []
    for number in range(1, rounds + 1):
        bare, bare_cpu = timed(bare_synthea, patients)
        total, total_cpu = timed(ours, patients)
        ratios.append(total / bare)
        processors.append(total_cpu / bare_cpu)
        print(
            f"round {number}: Synthea, every exporter off, {bare:.1f} s ({bare_cpu:.0f} CPU s); "
            f"generate + flatten {total:.1f} s ({total_cpu:.0f} CPU s); ratio {ratios[-1]:.2f}",
            flush=True,
        )
    stock, stock_cpu = timed(stock_synthea, patients)
    print(
        f"stock Synthea, its default export: {stock:.1f} s ({stock_cpu:.0f} CPU s), {stock / total:.2f} x ours "
        f"({stock_cpu / total_cpu:.2f} x of CPU seconds; goal: >= 1.8)"
    )
    print(
        f"{patients} patients, median of {rounds} rounds: ratio {median(ratios):.2f} (goal: <= 1.10), "
        f"of CPU seconds {median(processors):.2f}"
    )


if __name__ == "__main__":
    main()
