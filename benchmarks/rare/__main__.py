"""Do synthetic cases help a rare cohort? Patients are simulated, drawn, learned from and judged, all from one seed.

What was computed is kept in the work folder, so that a run goes on where it was stopped; remove the lines of a
generator from its trials-*.jsonl after a change of that generator, and the whole file after a change of the measures.

Usage: ``python -m benchmarks.rare [--out docs/rare] [--work DIR] [--quick] [--workers N]``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.rare.data import simulate
from benchmarks.rare.plan import Plan
from benchmarks.rare.tables import write
from benchmarks.rare.work import run
from fhirsynth.errors import FhirsynthError
from synthea_bridge.errors import BridgeError

QUICK: Final = Plan(sizes=(25,), draws=1, ablated=(25,), steps=150)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.rare", description=__doc__)
    options.add_argument("--out", type=Path, default=Path("docs/rare"))
    options.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "fhirsynth-rare")
    options.add_argument("--quick", action="store_true", help="One draw of 25 cases, and networks of few steps.")
    options.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    chosen = options.parse_args()
    plan = QUICK if chosen.quick else Plan()
    try:
        chosen.work.mkdir(parents=True, exist_ok=True)
        simulate(plan, chosen.work)
        write(run(plan, chosen.work, max(chosen.workers, 1)), chosen.out)
    except (FhirsynthError, BridgeError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
