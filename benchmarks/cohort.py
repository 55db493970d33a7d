"""150 cystic-fibrosis patients: how many people are simulated for them, beside waiting for them; and how long it takes
beside 150 ordinary patients, the start of Synthea aside.

Usage: ``python -m benchmarks.cohort [CASES [ROUNDS]]``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from synthea_bridge.generate import GenerateResult, GenerateSpec, generate
from synthea_bridge.jvm import class_path
from synthea_bridge.spec import Cohort


def timed(spec: GenerateSpec) -> tuple[float, GenerateResult]:
    """Seconds, and what was made."""
    with tempfile.TemporaryDirectory() as scratch:
        begun = time.perf_counter()
        result = generate(spec, Path(scratch) / "generated")
        return time.perf_counter() - begun, result


def main() -> None:
    """Print people and seconds."""
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 150
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    class_path("synthea", "Simulate")  # fetched and compiled before the clock runs
    ratios = []
    for number in range(1, rounds + 1):
        start, _ = timed(GenerateSpec(population=1, seed=number))
        ordinary, _ = timed(GenerateSpec(population=cases, seed=number))
        cohort = (Cohort(condition="cystic-fibrosis", cases=cases),)
        rare, result = timed(GenerateSpec(population=0, cohorts=cohort, seed=number))
        (part,) = result.outcome["parts"]
        waited = cases / part["natural_prevalence"]
        ratios.append((rare - start) / (ordinary - start))
        fewer = waited / part["simulated"]
        print(
            f"round {number}: {part['simulated']:,} people for {cases} cases, {waited:,.0f} without boosting "
            f"({fewer:,.0f} × fewer; goal: >= 500); {rare - start:.1f} s, {cases} ordinary patients "
            f"{ordinary - start:.1f} s, start of {start:.1f} s aside; ratio {ratios[-1]:.2f}",
            flush=True,
        )
    print(f"median ratio {median(ratios):.2f} (goal: <= 2)")


if __name__ == "__main__":
    main()
