"""The jobs of a plan, done in processes; what was computed is kept, so that a run goes on where it was stopped."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.rare.plan import UPLIFT, Job, Plan
from benchmarks.rare.summary import Summary, summarise
from benchmarks.rare.trials import Bench, do
from benchmarks.rare.variants import ABLATION, FRESH, GENERATORS, Variant
from fhirsynth.augment.store import hash_of
from fhirsynth.seeds import derive

Done = dict[str, dict[str, Any]]
Found = Iterable[tuple[str, dict[str, Any]]]


def run(
    plan: Plan,
    work: Path,
    workers: int,
    generators: Sequence[Variant] = GENERATORS,
    ablation: Sequence[Variant] = ABLATION,
) -> Summary:
    """Do what is not done yet; what comes out does not depend on the number of processes.

    Parameters
    ----------
    plan
        What is asked.
    work
        The folder with the simulated patients; results and rows are kept there too.
    workers
        Processes; 1: none but this one. More of them know only the generators of :mod:`benchmarks.rare.variants`.
    generators, ablation
        What is tried; generators whose model is not registered are left out, and named.
    """
    here = [one for one in generators if one.is_here]
    switched = list(ablation) if any(one.name == "ctgan" for one in here) else []
    stamp = f"{derive(plan.seed, *_settings(plan)) % 2**32:08x}"
    bench = Bench(work, work / f"rows-{stamp}", {one.name: one for one in (*here, *switched)})
    kept = work / f"trials-{stamp}.jsonl"
    fitted = [
        Job(trial, name, plan)
        for trial in plan.trials()
        for name in (
            *(one.name for one in here),
            FRESH,
            *(one.name for one in switched if trial.n in plan.ablated),
        )
    ]
    added = [Job(trial, UPLIFT, plan) for trial in plan.trials()]
    done = _read(kept)
    for jobs in (fitted, added):
        # What is added must have been made before.
        _work([job for job in jobs if not _is_done(job, done, bench)], bench, kept, done, workers)
    wanted = {job.key: done[job.key] for job in (*fitted, *added)}
    left_out = [one.title for one in generators if one not in here]
    return summarise(wanted, plan, here, switched, left_out)


def _settings(plan: Plan) -> tuple[str, ...]:
    """What decides the result of a job; how many there are does not."""
    parts = (plan.learn, plan.judge, plan.judge_cases, plan.before, plan.steps, plan.simulated, plan.cases)
    return tuple(map(str, parts))


def _read(kept: Path) -> Done:
    """Results by key; the last line may have been cut off where a run was stopped."""
    done: Done = {}
    for text in kept.read_text(encoding="utf-8").splitlines() if kept.exists() else ():
        try:
            key, result = json.loads(text)
        except ValueError:
            continue
        done[key] = result
    return done


def _is_done(job: Job, done: Mapping[str, Mapping[str, Any]], bench: Bench) -> bool:
    """Rows that are added to others later must still be there, and an uplift must have been that of these rows."""
    if job.key not in done:
        return False
    if job.what == UPLIFT:
        places = {name: bench.place(job.trial, name) for name, one in bench.variants.items() if one.added}
        rows = {name: hash_of(pd.read_parquet(place)) for name, place in places.items() if place.exists()}
        return bool(done[job.key].get("rows") == rows)
    variant = bench.variants.get(job.what)
    lasting = variant is not None and variant.added and bool(done[job.key]["made"])
    return not lasting or bench.place(job.trial, job.what).exists()


def _work(left: Sequence[Job], bench: Bench, kept: Path, done: Done, workers: int) -> None:
    with kept.open("a", encoding="utf-8") as lines, _processes(workers, bench) as found:
        if kept.stat().st_size and not kept.read_bytes().endswith(b"\n"):
            lines.write("\n")
        for count, (key, result) in enumerate(found(left), 1):
            line = json.dumps([key, result])
            # As it will be read when the run goes on.
            done[key] = json.loads(line)[1]
            lines.write(f"{line}\n")
            lines.flush()
            print(f"{count} of {len(left)}: {key}, {result['seconds']:.0f} s", file=sys.stderr, flush=True)


@contextmanager
def _processes(workers: int, bench: Bench) -> Iterator[Callable[[Sequence[Job]], Found]]:
    """Something that does jobs, in their order: here, or in so many processes."""
    if workers == 1:
        yield partial(map, partial(_quietly, bench=bench))
        return
    # A process for each core: threads of numerical libraries beside them would only wait for each other.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield partial(pool.map, partial(_called, patients=bench.patients, rows=bench.rows))


def _called(job: Job, patients: Path, rows: Path) -> tuple[str, dict[str, Any]]:
    """In a process of its own, which makes the table of generators anew: functions within it cannot be sent."""
    return _quietly(job, Bench(patients, rows, {one.name: one for one in (*GENERATORS, *ABLATION)}))


def _quietly(job: Job, bench: Bench) -> tuple[str, dict[str, Any]]:
    with warnings.catch_warnings():
        # Libraries remark on odd rows of poor generators; the figures say it.
        warnings.simplefilter("ignore")
        return do(job, bench)
