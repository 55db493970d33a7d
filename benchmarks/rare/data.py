"""Simulated patients: cases of two rare conditions, others, and who of them is drawn for what."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from benchmarks.rare.plan import FACTOR, Plan, Trial
from fhirsynth.errors import EvaluateError
from fhirsynth.schema import ConditionFeature, FeatureSchema, build_schema
from fhirsynth.seeds import derive, rng

ATTEMPTS = 20_000
"""People who may be simulated for one part: a lethal condition takes about five for each case."""


@dataclass(frozen=True)
class People:
    """Cases of a condition and others, as features."""

    schema: FeatureSchema
    cases: pd.DataFrame
    others: pd.DataFrame

    @property
    def target(self) -> str:
        """The flag of the condition."""
        return self.condition.column

    @property
    def slug(self) -> str:
        """The name of the condition."""
        return self.condition.slug

    @property
    def condition(self) -> ConditionFeature:
        """What the cases have."""
        assert self.schema.condition is not None
        return self.schema.condition


@dataclass(frozen=True)
class Draw:
    """Disjoint patients of one trial.

    Parameters
    ----------
    train
        Cases and others, for generators and classifiers to learn from.
    holdout
        Cases and others who judge; nothing learns from them.
    prior
        Further others, of no condition: what is public.
    oracle
        Further cases, up to eight to each one of train: what waiting for them would bring.
    """

    train: pd.DataFrame
    holdout: pd.DataFrame
    prior: pd.DataFrame
    oracle: pd.DataFrame


def simulate(plan: Plan, work: Path) -> None:
    """Fill ``work`` with the features of everybody, if they are not there; takes about twelve minutes."""
    if all(_places(work, condition)[0].exists() for condition in plan.conditions):
        return
    from fhirsynth.features import build_features
    from synthea_bridge.conditions import find
    from synthea_bridge.generate import GenerateSpec, generate
    from synthea_bridge.spec import Cohort

    tables, seed = work / "tables", derive(plan.seed, "simulate") % 2**31
    if not tables.exists():
        cohorts = tuple(Cohort(condition=condition, cases=plan.cases) for condition in plan.conditions)
        spec = GenerateSpec(population=plan.simulated, cohorts=cohorts, seed=seed, attempts=ATTEMPTS)
        generate(spec, tables, tables_only=True)
    schemas = [
        build_schema(GenerateSpec(population=1).end_date, ConditionFeature.of(find(name))) for name in plan.conditions
    ]
    frames = [build_features(tables, schema) for schema in schemas]
    flagged = [frame[schema.columns[-1]].astype(bool) for frame, schema in zip(frames, schemas, strict=True)]
    nobody = ~pd.concat(flagged, axis=1).any(axis=1)
    for name, schema, frame, cases in zip(plan.conditions, schemas, frames, flagged, strict=True):
        path, beside = _places(work, name)
        schema.save(beside)
        frame[cases | nobody].to_parquet(path, index=False)
    shutil.rmtree(tables)


def people(work: Path, condition: str) -> People:
    """Everybody that a condition's trials draw from."""
    return _people(str(work), condition)


@cache
def _people(work: str, condition: str) -> People:
    path, beside = _places(Path(work), condition)
    schema = FeatureSchema.load(beside)
    frame = schema.conform(pd.read_parquet(path))[schema.columns]
    assert schema.condition is not None
    has = frame[schema.condition.column].astype(bool)
    return People(schema, frame[has].reset_index(drop=True), frame[~has].reset_index(drop=True))


def draw(everybody: People, plan: Plan, trial: Trial) -> Draw:
    """Who is drawn for what; smaller sizes are the first of the larger ones, and the holdout is that of all of them.

    Raises
    ------
    EvaluateError
        When there are too few patients.
    """
    cases, others = everybody.cases, everybody.others
    needed = (plan.judge_cases + max(plan.sizes), plan.learn + plan.judge + plan.before)
    if len(cases) < needed[0] or len(others) < needed[1]:
        raise EvaluateError(
            f"{everybody.slug}: {len(cases)} cases and {len(others)} others were simulated, {needed[0]} and "
            f"{needed[1]} are needed; remove the work folder and simulate again"
        )
    # Others are drawn alike for all conditions; cases need an order of their own.
    places = rng(plan.seed, "others", trial.draw).permutation(len(others))
    learn, judge, before = (
        others.iloc[places[start : start + size]]
        for start, size in (
            (0, plan.learn),
            (plan.learn, plan.judge),
            (plan.learn + plan.judge, plan.before),
        )
    )
    order = rng(plan.seed, "cases", trial.condition, trial.draw).permutation(len(cases))
    first, end = plan.judge_cases, plan.judge_cases + trial.n
    holdout, train, oracle = (
        cases.iloc[order[part]] for part in (slice(first), slice(first, end), slice(end, end + FACTOR * trial.n))
    )
    return Draw(
        _both(train, learn), _both(holdout, judge), before.reset_index(drop=True), oracle.reset_index(drop=True)
    )


def _both(cases: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([cases, others], ignore_index=True)


def _places(work: Path, condition: str) -> tuple[Path, Path]:
    """The features, and their schema."""
    return work / f"{condition}.parquet", work / f"{condition}.schema.json"
