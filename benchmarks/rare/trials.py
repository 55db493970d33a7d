"""One job: fit a generator and judge its rows, or add the rows of several to the real ones."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pandas as pd

from benchmarks.rare.data import Draw, People, draw, people
from benchmarks.rare.plan import FACTOR, UPLIFT, Job, Plan, Trial
from benchmarks.rare.variants import FRESH, Variant
from fhirsynth.augment.store import hash_of
from fhirsynth.constraints import ConstraintSet
from fhirsynth.errors import AugmentError
from fhirsynth.seeds import derive, rng
from fhirsynth.trilemma.intervals import auc, average_precision
from fhirsynth.trilemma.measure import Cohort, Estimate, Uplift
from fhirsynth.trilemma.privacy import measure_privacy
from fhirsynth.trilemma.samples import Samples, prepare
from fhirsynth.trilemma.uplift.trial import Choice, Task, means
from fhirsynth.trilemma.uplift.uplift import measure_uplift
from fhirsynth.trilemma.utility import measure_utility
from synthea_bridge.progress import silent

Result = dict[str, Any]
COHORTS: Final[tuple[Cohort, ...]] = ("overall", "rare")


@dataclass(frozen=True)
class Bench:
    """What a process needs beside its job: where simulated patients and rows lie, and the generators by name."""

    patients: Path
    rows: Path
    variants: Mapping[str, Variant]

    def place(self, trial: Trial, name: str) -> Path:
        """Where the rows of a generator are kept."""
        return self.rows / f"{trial.condition}-{trial.n}-{trial.draw}-{name.replace('/', '-')}.parquet"


def do(job: Job, bench: Bench) -> tuple[str, Result]:
    """The key of a job, and its result as JSON values."""
    begun = time.process_time()
    everybody = people(bench.patients, job.trial.condition)
    drawn = draw(everybody, job.plan, job.trial)
    judge = uplifted if job.what == UPLIFT else judged
    result = judge(job, bench, everybody, drawn)
    return job.key, {**result, "seconds": round(time.process_time() - begun, 1)}


# ---------------------------------------------------------------- one generator


def judged(job: Job, bench: Bench, everybody: People, drawn: Draw) -> Result:
    """Make cases and others, and judge as many cases as there are real ones to learn from."""
    try:
        cases, others = made(job, bench, everybody, drawn)
    except AugmentError as error:
        return {"made": 0, "why": str(error)}
    n, seed = job.trial.n, _seed(job.plan, job.trial)
    part = pd.concat([cases.head(n), others], ignore_index=True)
    both, alone = (
        prepare(drawn.train, drawn.holdout, rows, everybody.schema, everybody.target, (), seed)
        for rows in (part, cases.head(n))
    )
    model = _chosen(job.plan, job.trial, str(bench.patients))
    result: Result = {"made": len(cases), "model": model, "all": taught(both, model), "cases": taught(alone, model)}
    if "/" not in job.what:
        result["privacy"] = {cohort: attacked(both, cohort) for cohort in COHORTS}
    return result


def made(job: Job, bench: Bench, everybody: People, drawn: Draw) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cases and others of a generator, exactly so many; kept where they are added to real ones later."""
    plan, trial = job.plan, job.trial
    seed = derive(plan.seed, trial.condition, trial.n, trial.draw, job.what)
    if job.what == FRESH:
        places = rng(seed, "others").permutation(len(drawn.prior))[: plan.learn]
        return drawn.oracle.head(trial.n), drawn.prior.iloc[places]
    variant = bench.variants[job.what]
    model = variant.make(seed)
    prior = drawn.prior if variant.prior else None
    model.fit(drawn.train, everybody.schema, seed=derive(seed, "fit"), steps=plan.steps, progress=silent, prior=prior)
    constraints = ConstraintSet.load().for_training(drawn.train, everybody.target)
    asked = ((True, trial.n * (FACTOR if variant.added else 1)), (False, plan.learn))
    cases, others = (
        model.sample(
            size,
            {everybody.target: case},
            seed=derive(seed, "sample", int(case)),
            keep=lambda rows: constraints.apply(rows)[0],
        )
        for case, size in asked
    )
    if variant.added:
        bench.rows.mkdir(parents=True, exist_ok=True)
        pd.concat([cases, others], ignore_index=True).to_parquet(bench.place(trial, job.what), index=False)
    return cases, others


def taught(samples: Samples, model: str) -> Result:
    """Train on synthetic, test on real: figures of the classifier ``model``, beside the one trained on real rows."""
    utility = measure_utility(samples, "overall")
    if utility.learned is None:
        return {"why": utility.sentence}
    learned = utility.learned
    ratio = next(one for one in utility.measures if one.name == f"auc_ratio_{model}")
    figures = {
        f"{name}{end}": score(learned.labels, scores[model])
        for name, score in (("auroc", auc), ("ap", average_precision))
        for end, scores in (("", learned.synthetic), ("_real", learned.real))
    }
    return {**figures, "ratio": ratio.value, "low": ratio.low, "high": ratio.high}


def attacked(samples: Samples, cohort: Cohort) -> Result:
    """Membership inference and near copies."""
    found = measure_privacy(samples, cohort, ())
    by_name = {one.name: one for one in found.measures}
    lead, copied = by_name["membership_auc"], by_name.get("copied_share")
    failed = sorted(one.name for one in found.measures if one.verdict == "FAIL")
    figures = {"auc": lead.value, "low": lead.low, "high": lead.high, "copied": copied.value if copied else None}
    return {**figures, "verdict": found.verdict, "failed": failed}


@cache
def _chosen(plan: Plan, trial: Trial, patients: str) -> str:
    """The classifier that learns best from the real training rows, by validation within them."""
    everybody = people(Path(patients), trial.condition)
    drawn = draw(everybody, plan, trial)
    samples = prepare(
        drawn.train, drawn.holdout, drawn.train, everybody.schema, everybody.target, (), _seed(plan, trial)
    )
    task = Task.of(samples, None)
    alone = means(map(Choice(task), range(task.splits)))
    return max(alone, key=lambda model: alone[model])


def _seed(plan: Plan, trial: Trial) -> int:
    return derive(plan.seed, "judge", trial.condition, trial.n, trial.draw)


# ---------------------------------------------------------------- adding cases


def uplifted(job: Job, bench: Bench, everybody: People, drawn: Draw) -> Result:
    """Real cases alone, and with the cases of each generator, of the usual remedies, and further real ones.

    ``rows`` says which rows were added, so that it is done again where a generator made others since.
    """
    schema, places = everybody.schema, {name: bench.place(job.trial, name) for name in added(bench.variants)}
    tables = {name: pd.read_parquet(place) for name, place in places.items() if place.exists()}
    frames = {name: schema.conform(table)[schema.columns] for name, table in tables.items()}
    result: Result = {"rows": {name: hash_of(table) for name, table in tables.items()}, "arms": {}, "curve": {}}
    if not frames:
        return result
    first, seed = next(iter(frames.values())), _seed(job.plan, job.trial)
    samples = prepare(drawn.train, drawn.holdout, first, schema, everybody.target, (), seed)
    found = measure_uplift(samples, frames, oracle=drawn.oracle)
    return {**result, **_as_values(found)}


def added(variants: Mapping[str, Variant]) -> Sequence[str]:
    """Names of the generators whose cases are added, in order."""
    return [name for name, variant in variants.items() if variant.added]


def _as_values(found: Uplift) -> Result:
    arms = {}
    for arm in found.arms:
        figures = {"auroc": arm.auroc, "ap": arm.auprc, "gain": arm.gain, "closed": arm.gap_closed}
        arms[arm.name] = {"ratio": arm.ratio, **{name: _ends(one) for name, one in figures.items()}}
    curve: dict[str, list[list[float]]] = {}
    for point in found.curve:
        curve.setdefault(point.arm, []).append([point.ratio, point.auprc, point.low, point.high])
    return {"model": found.model, "sentence": found.sentence, "arms": arms, "curve": curve}


def _ends(one: Estimate | None) -> list[float] | None:
    return None if one is None else [one.value, one.low, one.high]
