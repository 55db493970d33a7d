"""Validate Bundles beside the bare Java engine in one thread: what our protocol costs, and what the cores bring.

Definitions are loaded in both before the clock runs, by one Bundle that is checked beforehand.

Usage: ``python -m benchmarks.validate [PATIENTS]``.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from fhirsynth.hapi.engine import LOCK, engine
from fhirsynth.sample import PATIENTS, sample_bundles
from synthea_bridge.jvm import Child, class_path, compile_sources, launch

ROUNDS = 5
"""The first is cold: while it runs the JVM's compiler keeps a core busy beside the one thread of the bare engine."""


@dataclass(frozen=True, slots=True)
class Round:
    """One time through all files: seconds, seconds of all processors, and messages."""

    seconds: float
    processor: float
    messages: int


def processor(child: Child) -> float:
    """Seconds that a child's threads, its compiler's included, have run so far (Linux)."""
    fields = Path(f"/proc/{child.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bare(folder: Path) -> list[Round]:
    """One thread over the files of ``folder``."""
    jars = class_path(LOCK)
    helper = compile_sources("Bare", {"Bare.java": Path(__file__).with_name("Bare.java").read_bytes()}, jars)
    rounds = []
    with launch("Bare", [helper, *jars], [str(folder), str(ROUNDS)]) as child:
        child.stdout.readline()  # it is ready
        begun = processor(child)
        for _ in range(ROUNDS):
            line = child.stdout.readline()
            if not line:
                raise SystemExit(child.obituary("the bare engine"))
            seconds, messages = line.split()
            ended = processor(child)
            rounds.append(Round(float(seconds), ended - begun, int(messages)))
            begun = ended
    return rounds


def ours(folder: Path, *, brief: bool) -> tuple[list[Round], int]:
    """Ours with all cores, files read and parsed on the clock; and the number of threads."""
    files = sorted(folder.iterdir())
    rounds = []
    with engine(brief=brief) as running:
        list(running.check([orjson.loads(files[0].read_bytes())]))
        for _ in range(1 if brief else ROUNDS):
            before, begun = processor(running.child), time.perf_counter()
            found = list(running.check(orjson.loads(file.read_bytes()) for file in files))
            seconds = time.perf_counter() - begun
            rounds.append(Round(seconds, processor(running.child) - before, sum(map(len, found))))
        return rounds, running.threads


def main() -> None:
    """Print seconds and ratios, cold and warm."""
    patients = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory() as scratch:
        folder, resources = Path(scratch), 0
        for seed in range(-(-patients // PATIENTS)):
            for bundle in sample_bundles(seed=seed)[seed > 0 :]:
                resources += len(bundle["entry"])
                (folder / f"{resources:06d}.json").write_bytes(orjson.dumps(bundle))
        alone = bare(folder)
        (once,), threads = ours(folder, brief=True)
        together, threads = ours(folder, brief=False)
    if len({one.messages for one in [*alone, once, *together]}) > 1:
        raise SystemExit("they do not say the same")
    print(f"{resources:,} resources, {ROUNDS} times; the bare engine in one thread, ours in {threads}")
    _say("once, as fhirsynth validate does it", alone[0], once, threads)
    for number, (one, own) in enumerate(zip(alone, together, strict=True), start=1):
        _say(f"time {number} of many", one, own, threads)


def _say(what: str, one: Round, own: Round, threads: int) -> None:
    print(
        f"{what}: {one.seconds:.1f} s bare, {own.seconds:.1f} s ours (CPU seconds {one.processor:.1f} and "
        f"{own.processor:.1f}); ratio {own.seconds / (one.seconds / threads):.2f} of the bare time divided by the "
        f"threads (goal: <= 1.2)"
    )


if __name__ == "__main__":
    main()
