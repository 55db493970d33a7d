"""Peak memory of the Python side while patients are simulated and flattened in shards: how it grows with their number.

Usage: ``python -m benchmarks.memory [PATIENTS ...]``; 100, 1000 and 5000 by default, which takes ten minutes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

WORK = """
import resource, sys
from synthea_bridge.engines.local import LocalEngine
from synthea_bridge.sharded import generate_shards
from synthea_bridge.spec import GenerateSpec
generate_shards(GenerateSpec(population=int(sys.argv[1]), seed=1), sys.argv[2], LocalEngine(1), ["tables"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
"""One worker is the process itself, so that its own peak is that of the Python side; the JVM is a child."""


def main() -> None:
    """Print megabytes, and the slope between the first and the last."""
    numbers = [int(text) for text in sys.argv[1:]] or [100, 1000, 5000]
    peaks = []
    for number in numbers:
        with tempfile.TemporaryDirectory() as scratch:
            call = [sys.executable, "-c", WORK, str(number), f"{scratch}/out"]
            done = subprocess.run(call, check=True, capture_output=True, text=True)
        peaks.append(int(done.stdout) / 1000)
        print(f"{number:,} patients: {peaks[-1]:.0f} MB (goal: < 400 MB)", flush=True)
    if len(numbers) > 1:
        slope = (peaks[-1] - peaks[0]) / (numbers[-1] - numbers[0]) * 1000
        print(f"{slope:+.1f} kB a patient, from the first to the last")


if __name__ == "__main__":
    main()
