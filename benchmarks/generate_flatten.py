"""Generate and flatten patients beside the same Synthea run with every exporter off: what our way to tables costs.

Usage: ``python -m benchmarks.generate_flatten [PATIENTS]``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from synthea_bridge.generate import GenerateSpec, generate
from synthea_bridge.jvm import class_path, launch

EXPORTERS = ("fhir", "hospital.fhir", "practitioner.fhir", "metadata", "ccda", "csv", "json", "text")


def bare_synthea(patients: int, folder: Path) -> float:
    """Seconds of Synthea's own main class with every exporter off, in a JVM with our flags."""
    off = [f"--exporter.{name}.export=false" for name in EXPORTERS]
    call = ["-p", str(patients), "-s", "1", "-cs", "1", "-r", "20260101", "-e", "20260101", *off]
    begun = time.perf_counter()
    with launch(
        "App", class_path("synthea"), [*call, f"--exporter.baseDirectory={folder}", "Massachusetts"], "3g"
    ) as app:
        app.stdout.read()
        if app.process.wait():
            raise SystemExit(app.said())
    return time.perf_counter() - begun


def ours(patients: int, folder: Path) -> float:
    """Seconds until Bundles and tables are there."""
    begun = time.perf_counter()
    generate(GenerateSpec(population=patients, seed=1), folder / "generated", tables=folder / "tables")
    return time.perf_counter() - begun


def main() -> None:
    """Print seconds and ratio."""
    patients = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    class_path("synthea", "Simulate")  # fetched and compiled before the clock runs
    with tempfile.TemporaryDirectory() as scratch:
        bare = bare_synthea(patients, Path(scratch))
        total = ours(patients, Path(scratch))
    print(
        f"{patients} patients: Synthea, every exporter off, {bare:.1f} s; generate + flatten {total:.1f} s; "
        f"ratio {total / bare:.2f} (goal: <= 1.25)"
    )


if __name__ == "__main__":
    main()
