"""Where the time of the demo goes, stage by stage: the clock, and the processor time of this process and of others.

Stages that are there already are left out, so that a work folder whose later stages were removed times these alone.

Usage: ``python -m benchmarks.profile_run [WORK]``; without a folder, one that is thrown away.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from synthea_bridge.progress import Progress, silent

SEED = 7
WORKERS = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds: on the clock, of processors in this process, and in those that it started and that have ended."""

    clock: float
    here: float
    beside: float

    @classmethod
    def now(cls) -> Spent:
        """So far."""
        times = os.times()
        return cls(times.elapsed, times.user + times.system, times.children_user + times.children_system)

    def since(self, before: Spent) -> Spent:
        """From then until this."""
        return Spent(self.clock - before.clock, self.here - before.here, self.beside - before.beside)


@contextmanager
def bar(_: str) -> Iterator[Progress]:
    """No progress display."""
    yield silent


def profiled(work: Path) -> dict[str, Spent]:
    """Run the demo in ``work``: what each stage spent."""
    began = time.perf_counter()
    from fhirsynth.pipeline import Run, RunSpec
    from fhirsynth.workspace import Workspace
    from synthea_bridge.spec import Cohort, GenerateSpec

    imported = time.perf_counter() - began
    generate = GenerateSpec(
        population=300,
        cohorts=(Cohort(condition="cystic-fibrosis", cases=150),),
        seed=SEED,
        state="Massachusetts",
        threads=WORKERS,
    )
    run = Run(RunSpec(generate=generate, augment=150, seed=SEED), Workspace(work), bar, WORKERS)
    spent = {"imports": Spent(imported, imported, 0)}
    before = Spent.now()
    for report in run.stages():
        now = Spent.now()
        if not report.resumed:
            spent[report.stage] = now.since(before)
        before = now
    return spent


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        spent = profiled(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch) / "work")
    whole = sum(one.clock for one in spent.values())
    print("| stage | clock | share | processor, here | beside |\n|---|---|---|---|---|")
    for stage, one in spent.items():
        share = one.clock / whole
        print(f"| {stage} | {one.clock:.1f} s | {share:.0%} | {one.here:.1f} s | {one.beside:.1f} s |")
    here, beside = (sum(getattr(one, side) for one in spent.values()) for side in ("here", "beside"))
    print(f"| all | {whole:.1f} s | | {here:.1f} s | {beside:.1f} s |")
    print(f"{WORKERS} workers; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
