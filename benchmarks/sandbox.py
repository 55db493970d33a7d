"""How long a tester waits for the FHIR server, from the call until it answers.

Usage: ``python -m benchmarks.sandbox [ROUNDS]``.
"""

from __future__ import annotations

import sys
import time
from statistics import median

from fhirsynth.hapi import sandbox
from fhirsynth.hapi.sandbox import LOCK
from synthea_bridge.jvm import class_path


def main() -> None:
    """Print seconds."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    class_path(LOCK, "Sandbox")  # fetched and compiled before the clock runs
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        with sandbox():
            seconds.append(time.perf_counter() - begun)
    shown = ", ".join(f"{one:.1f}" for one in seconds)
    print(f"sandbox ready after {shown} s; median {median(seconds):.1f} s (goal: <= 45 s)")


if __name__ == "__main__":
    main()
