"""Flattening beside what else makes tables of FHIR in Python, on the same Bundles, each in one process.

They are no dependencies: ``PYTHON`` is an interpreter that has fhiry and fhir-pyrate installed.

Usage: ``python -m benchmarks.flatteners PYTHON [FOLDER OF BUNDLES]``; without a folder,
20 patients are simulated first.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.flatten import simulate

START = "import sys, json, pathlib\n"
OURS = """
from synthea_bridge.flatten import flatten
made = flatten(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]) / "ours")
print("six typed tables,", sum(made.rows.values()), "rows")
"""
FHIRY = """
from fhiry import Fhiry
made = Fhiry()
made.folder = sys.argv[1]
made.process_source()
made.df.astype("string").to_parquet(pathlib.Path(sys.argv[2]) / "fhiry.parquet")
print("one table,", made.df.shape[0], "rows,", made.df.shape[1], "columns, components as text")
"""
PYRATE = """
from fhir_pyrate import Pirate
from fhir_pyrate.util import FHIRObj
pirate = Pirate(base_url="http://localhost", auth=None, disable_multiprocessing_build=True)
bundles = [FHIRObj(**json.loads(path.read_bytes())) for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json"))]
made = pirate.bundles_to_dataframe(bundles)
made = made if isinstance(made, dict) else {"all": made}
for name, table in made.items():
    table.astype("string").to_parquet(pathlib.Path(sys.argv[2]) / f"{name}.parquet")
rows, columns = (sum(table.shape[side] for table in made.values()) for side in (0, 1))
print(len(made), "tables,", rows, "rows,", columns, "columns")
"""


def run(python: str, code: str, *arguments: str) -> tuple[float, str]:
    """User and system seconds of a child process, and its last line."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = {"PYTHONPATH": os.pathsep.join(sys.path)} if python == sys.executable else {}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", code, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**kept, **own},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, (done.stdout.splitlines() or [""])[-1]


def main() -> None:
    """Print seconds without imports, and the ratio to ours."""
    with tempfile.TemporaryDirectory() as scratch:
        source = sys.argv[2] if len(sys.argv) > 2 else str(simulate(Path(scratch), patients=20))
        megabytes = sum(path.stat().st_size for path in Path(source).glob("*.json")) / 1e6
        print(f"{megabytes:.0f} MB", flush=True)
        first = None
        for name, python, code in (
            ("fhirsynth", sys.executable, OURS),
            ("fhiry", sys.argv[1], FHIRY),
            ("fhir-pyrate", sys.argv[1], PYRATE),
        ):
            start, _ = run(python, START + "\n".join(line for line in code.splitlines() if line.startswith("from ")))
            total, said = run(python, START + code, source, scratch)
            first = first or total - start
            print(f"{name}: {total - start:.1f} s, {(total - start) / first:.1f} × ours; {said}", flush=True)


if __name__ == "__main__":
    main()
