"""Validate Bundles beside the bare Java engine in one thread: what our protocol costs, and what the cores bring.

Definitions are loaded in both before the clock runs, by one Bundle that is checked beforehand.

Usage: ``python -m benchmarks.validate [PATIENTS]``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import orjson

from fhirsynth.hapi.engine import LOCK, engine
from fhirsynth.sample import PATIENTS, sample_bundles
from synthea_bridge.jvm import class_path, compile_source, launch


def bare(folder: Path) -> tuple[float, int]:
    """Seconds and messages of one thread over the files of ``folder``."""
    jars = class_path(LOCK)
    helper = compile_source("Bare", Path(__file__).with_name("Bare.java").read_bytes(), jars)
    with launch("Bare", [helper, *jars], [str(folder)]) as child:
        line = child.stdout.readline()
        if not line:
            raise SystemExit(child.obituary("the bare engine"))
    seconds, messages = line.split()
    return float(seconds), int(messages)


def ours(folder: Path, threads: int | None = None) -> tuple[float, int, int]:
    """Seconds, messages and threads of ours, files read and parsed on the clock."""
    files = sorted(folder.iterdir())
    with engine(threads=threads) as running:
        list(running.check([orjson.loads(files[0].read_bytes())]))
        begun = time.perf_counter()
        found = list(running.check(orjson.loads(file.read_bytes()) for file in files))
        return time.perf_counter() - begun, sum(map(len, found)), running.threads


def main() -> None:
    """Print seconds and ratio."""
    patients = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory() as scratch:
        folder, resources = Path(scratch), 0
        for seed in range(-(-patients // PATIENTS)):
            for bundle in sample_bundles(seed=seed)[seed > 0 :]:
                resources += len(bundle["entry"])
                (folder / f"{resources:06d}.json").write_bytes(orjson.dumps(bundle))
        alone, said = bare(folder)
        seconds, messages, threads = ours(folder)
    if messages != said:
        raise SystemExit(f"the two do not say the same: {said} and {messages} messages")
    print(
        f"{resources:,} resources: bare engine, one thread, {alone:.1f} s; ours, {threads} threads, {seconds:.1f} s; "
        f"ratio {seconds / (alone / threads):.2f} of the bare time divided by the threads (goal: <= 1.2)"
    )


if __name__ == "__main__":
    main()
