"""Peak memory of the Python side while patients are simulated and flattened in shards: how it grows with their number.

Usage: ``python -m benchmarks.memory [--oldest YEARS] [PATIENTS ...]``; 100, 1000 and 5000 by default, which takes ten
minutes. Of infants (``--oldest 1``) there are 100,000 in four: their lives are short, and the shards as many.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile

WORK = """
import resource, sys
from synthea_bridge.engines.local import LocalEngine
from synthea_bridge.sharded import generate_shards
from synthea_bridge.spec import GenerateSpec
spec = GenerateSpec(population=int(sys.argv[1]), seed=1, max_age=int(sys.argv[2]) if sys.argv[2] else None)
generate_shards(spec, sys.argv[3], LocalEngine(1), ["tables"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
"""One worker is the process itself, so that its own peak is that of the Python side; the JVM is a child."""


def main() -> None:
    """Print megabytes, and the slope between the first and the last."""
    options = argparse.ArgumentParser()
    options.add_argument("--oldest", default="")
    options.add_argument("patients", type=int, nargs="*", default=[100, 1000, 5000])
    given = options.parse_args()
    numbers = given.patients
    peaks = []
    for number in numbers:
        with tempfile.TemporaryDirectory() as scratch:
            call = [sys.executable, "-c", WORK, str(number), given.oldest, f"{scratch}/out"]
            done = subprocess.run(call, check=True, capture_output=True, text=True)
        peaks.append(int(done.stdout) / 1000)
        print(f"{number:,} patients: {peaks[-1]:.0f} MB (goal: < 400 MB)", flush=True)
    if len(numbers) > 1:
        slope = (peaks[-1] - peaks[0]) / (numbers[-1] - numbers[0]) * 1000
        print(f"{slope:+.1f} kB a patient, from the first to the last")


if __name__ == "__main__":
    main()
