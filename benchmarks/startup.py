"""``fhirsynth --help`` beside ``python -c pass``: what a user waits before anything happens."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

RUNS = 9


def seconds(*command: str) -> float:
    """Median wall time of ``command`` over :data:`RUNS` runs."""
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - begun)
    return median(times)


def main() -> None:
    """Print both medians and the ratio."""
    ours = seconds(sys.executable, "-m", "fhirsynth.cli", "--help")
    bare = seconds(sys.executable, "-c", "pass")
    print(f"fhirsynth --help {ours:.3f} s; python -c pass {bare:.3f} s; ratio {ours / bare:.1f} (goal: < 0.4 s)")


if __name__ == "__main__":
    main()
