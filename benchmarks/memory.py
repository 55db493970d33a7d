"""Peak memory of the Python side while patients are simulated and flattened in shards: how it grows with their number.

Usage: ``python -m benchmarks.memory [--oldest YEARS] [--workers N] [PATIENTS ...]``; 100, 1000 and 5000 with one worker
by default, which takes ten minutes. Needs Linux.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

LOOK_S = 0.2


def pythons(root: int) -> Iterator[int]:
    """Every process below ``root``, and itself, but the JVMs."""
    process = psutil.Process(root)
    for one in (process, *process.children(recursive=True)):
        if one.name() != "java":
            yield one.pid


def peak(process: int) -> float:
    """Megabytes that a process has had at most; one that is gone has none."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM")), 0)


def peaks(call: list[str]) -> list[float]:
    """Of the processes of a call, the largest first."""
    found: dict[int, float] = {}
    with subprocess.Popen(call, stdout=subprocess.DEVNULL) as process:
        while True:
            with suppress(psutil.Error, OSError):  # of one that ends while it is looked at
                found |= {one: size for one in pythons(process.pid) if (size := peak(one))}
            try:
                if process.wait(LOOK_S):
                    raise subprocess.CalledProcessError(process.returncode, call)
                return sorted(found.values(), reverse=True)
            except subprocess.TimeoutExpired:
                continue


def main() -> None:
    """Print megabytes, and the slope between the first and the last."""
    options = argparse.ArgumentParser()
    options.add_argument("--oldest")
    options.add_argument("--workers", default="1")
    options.add_argument("patients", type=int, nargs="*", default=[100, 1000, 5000])
    given = options.parse_args()
    largest = []
    for number in given.patients:
        with tempfile.TemporaryDirectory() as scratch:
            call = [sys.executable, "-m", "fhirsynth.cli", "generate", "--seed", "1", "--write", "tables"]
            call += ["--population", str(number), "--workers", given.workers, "--out", f"{scratch}/out"]
            found = peaks(call + (["--max-age", given.oldest] if given.oldest else []))
        largest.append(found[0])
        listed = ", ".join(f"{size:.0f}" for size in found)
        print(f"{number:,} patients: {found[0]:.0f} MB (goal: < 400 MB); process by process {listed} MB", flush=True)
    if len(largest) > 1:
        slope = (largest[-1] - largest[0]) / (given.patients[-1] - given.patients[0]) * 1000
        print(f"{slope:+.1f} kB a patient, from the first to the last")


if __name__ == "__main__":
    main()
