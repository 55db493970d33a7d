"""What is measured: numbers by sex and age, how far a patient keeps a level of their own, and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.special import ndtri

from fhirsynth.assemble.learning.source import Floats, Frame, Source, bands, concepts, quantiles
from fhirsynth.assemble.timeline import BANDS, FEWEST, SEXES, Answer, Curve, Measure, Related, Sex
from fhirsynth.schema import Feature

AGES: Final = (
    0,
    0.17,
    0.5,
    0.75,
    1,
    1.5,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    16,
    17,
    18,
    25,
    35,
    45,
    55,
    65,
    75,
    130,
)
"""Bounds of the ages, in years, that values are gathered by: fine while a child grows."""
GATHERED: Final = 10
"""Patients that an age needs; fewer are joined with the next."""
VALUED: Final = 20
"""Values that a code needs to be measured at all."""
MOST_RELATED: Final = 60
SHRUNK: Final = 0.2
"""How far correlations between levels are drawn to none: they are known from few patients."""
MOST_DIGITS: Final = 3
MEMORIES: Final = (0.0, 0.05, 0.15, 0.5, 1.5, 5.0)
"""Years."""
STILL: Final = 0.005
"""Variance of standard normal scores below which a value does not change."""
TINY: Final = 1e-6
REACH: Final = 2.5


@dataclass(frozen=True, slots=True)
class _Levels:
    """Values of one code as standard normal scores, each with patient, age, and whether it is of the last years."""

    patient: Any
    age: Floats
    score: Floats
    late: Any


def learn_measures(source: Source) -> tuple[dict[str, Measure], Related]:
    """What is known of every code, and how the levels of numbers go together."""
    frame = source.observations.dropna(subset=["system", "code"])
    names = concepts(frame)
    own = {code: feature for feature in source.schema.of_rule("latest") for code in feature.source.codes}
    measures: dict[str, Measure] = {}
    levels: dict[str, _Levels] = {}
    for code, part in frame.groupby("code", sort=True):
        if part["patient_id"].nunique() < FEWEST:
            continue
        name = str(code)
        found = _measure(names[name], part, own.get(name))
        if found is None:
            continue
        measures[name] = found
        if found.curves:
            levels[name] = _levels(source, part, found, own.get(name))
            measures[name] = found.model_copy(update=_within(levels[name]))
    panels = frame[frame["component"] > 0].dropna(subset=["panel_code"])
    for code, part in panels.groupby("panel_code", sort=True):
        inside = part.groupby("code").size()
        wholes = part["observation_id"].nunique()
        parts = tuple(str(one) for one in inside.index if inside[one] >= wholes / 2 and str(one) in measures)
        name = str(code)
        if parts and name in names:
            before = measures.get(name, Measure(concept=names[name]))
            measures[name] = before.model_copy(update={"parts": parts})
    return measures, _related(levels)


def _measure(concept: Any, part: Frame, feature: Feature | None) -> Measure | None:
    """Numbers in the commonest unit, or else answers; None of what has no value."""
    numbers = part[(part["value_type"] == "quantity") & part["value_number"].notna()]
    if feature is not None and feature.kind != "category":
        return _numbers(concept, _converted(numbers, feature), feature.unit, feature.decimals)
    if len(numbers) >= max(VALUED, len(part) / 2):
        unit = numbers["value_unit"].fillna("").mode().iloc[0]
        mine = numbers[numbers["value_unit"].fillna("") == unit]
        return _numbers(concept, mine.assign(value=mine["value_number"]), str(unit), _digits(mine["value_number"]))
    return _answers(concept, part)


def _converted(numbers: Frame, feature: Feature) -> Frame:
    factor = numbers["value_unit"].map(feature.source.units).astype("float64")
    return numbers.assign(value=numbers["value_number"] * factor).dropna(subset=["value"])


def _digits(values: pd.Series[Any]) -> int:
    known = values.to_numpy(np.float64)
    return next(
        (one for one in range(MOST_DIGITS) if np.isclose(known, np.round(known, one)).mean() > 0.95), MOST_DIGITS
    )


def _numbers(concept: Any, part: Frame, unit: str, decimals: int) -> Measure | None:
    if part["patient_id"].nunique() < FEWEST:
        return None
    curves: dict[Sex, Curve] = {}
    for sex in SEXES:
        mine = part[part["sex"] == sex]
        curves[sex] = _curve(mine if mine["patient_id"].nunique() >= GATHERED else part)
    return Measure(concept=concept, unit=unit, decimals=decimals, curves=curves)


def _curve(part: Frame) -> Curve:
    """Quantiles by age; ages that too few patients were measured at are joined with the next."""
    age = part["age"].to_numpy(np.float64)
    value, patient = part["value"].to_numpy(np.float64), part["patient_id"].to_numpy()
    ages: list[float] = []
    rows: list[Any] = []
    start = 0
    for end in range(1, len(AGES)):
        here = (age >= AGES[start]) & (age < AGES[end])
        if len(np.unique(patient[here])) < GATHERED:
            continue
        ages.append(round(float(np.median(age[here])), 2))
        rows.append(quantiles(value[here]))
        start = end
    if not rows:
        ages, rows = [round(float(np.median(age)), 2)], [quantiles(value)]
    return Curve(ages=tuple(ages), quantiles=tuple(rows))


def score_of(curve: Curve, age: Floats, value: Floats) -> Floats:
    """Standard normal scores of values, shape (n,), by the quantiles of each one's age."""
    row = np.array(curve.quantiles)
    at = np.column_stack([np.interp(age, curve.ages, row[:, place]) for place in range(row.shape[1])])
    # Equal quantiles would leave a value without a place: the middle of the levels that have it.
    low = (at < value[:, None] - 1e-9).sum(axis=1)
    high = (at <= value[:, None] + 1e-9).sum(axis=1)
    steps = row.shape[1] - 1
    flat = (low + high - 1) / 2 / steps
    place = np.clip(low - 1, 0, steps - 1)
    left, right = np.take_along_axis(at, place[:, None], 1)[:, 0], np.take_along_axis(at, place[:, None] + 1, 1)[:, 0]
    between = (place + np.clip((value - left) / np.maximum(right - left, 1e-12), 0, 1)) / steps
    level = np.where(high > low, flat, between)
    score: Floats = np.clip(ndtri(np.clip(level, 0.006, 0.994)), -REACH, REACH)
    return score


def _levels(source: Source, part: Frame, measure: Measure, feature: Feature | None) -> _Levels:
    numbers = part[(part["value_type"] == "quantity") & part["value_number"].notna()]
    if feature is not None:
        numbers = _converted(numbers, feature)
    else:
        numbers = numbers[numbers["value_unit"].fillna("") == measure.unit]
        numbers = numbers.assign(value=numbers["value_number"])
    score = np.zeros(len(numbers))
    age, value = numbers["age"].to_numpy(np.float64), numbers["value"].to_numpy(np.float64)
    for sex, curve in measure.curves.items():
        mine = (numbers["sex"] == sex).to_numpy()
        if mine.any():
            score[mine] = score_of(curve, age[mine], value[mine])
    late = source.late(numbers["patient_id"], numbers["effective"])
    return _Levels(numbers["patient_id"].to_numpy(), age, score, late)


def _within(levels: _Levels) -> dict[str, float]:
    """How far patients keep their level (share of the variance between them), and how it drifts."""
    frame = pd.DataFrame({"patient": levels.patient, "age": levels.age, "score": levels.score})
    repeated = _repeated(frame[levels.late])
    if repeated["patient"].nunique() < GATHERED:
        repeated = _repeated(frame)
    if repeated["patient"].nunique() < FEWEST:
        return {"own": 0.5, "drift": 0.0}
    # Each patient counts once: who is measured daily must not decide for all.
    spread = repeated.groupby("patient")["score"].agg(["var", "size"])
    moving = spread[spread["var"] > STILL]
    if len(moving) < FEWEST:
        return {"own": 1.0, "steady": 1.0}
    # By the median, as few change much: of n normal values it is such a part of their variance (Wilson and Hilferty).
    within = float((moving["var"] / (1 - 2 / (9 * (moving["size"] - 1))) ** 3).median())
    repeated = repeated[repeated["patient"].isin(moving.index)]
    whole = max(float(frame["score"].var()), within, 1e-9)
    return {
        "own": round(float(np.clip(1 - within / whole, 0, 1)), 3),
        "steady": round(1 - len(moving) / len(spread), 3),
        "drift": round(_drift(frame), 3),
        "memory": _memory(repeated),
    }


def _repeated(frame: Frame) -> Frame:
    """The values of patients who have several."""
    return frame[frame.groupby("patient")["score"].transform("size") >= 2]


def _memory(frame: Frame) -> float:
    """Of :data:`MEMORIES` the one that explains best how alike are values that follow each other, by their distance."""
    rest = frame["score"] - frame.groupby("patient")["score"].transform("mean")
    ordered = frame.assign(rest=rest).sort_values(["patient", "age"], kind="stable")
    same = (ordered["patient"] == ordered["patient"].shift()).to_numpy()
    gap = ordered["age"].diff().to_numpy()[same]
    product = (ordered["rest"] * ordered["rest"].shift()).to_numpy()[same]
    spread = float((rest**2).mean())
    if len(gap) < VALUED or spread < TINY:
        return 0.0
    errors = [float(np.mean((product / spread - _kept(gap, one)) ** 2)) for one in MEMORIES]
    return MEMORIES[int(np.argmin(errors))]


def _kept(gap: Any, memory: float) -> Any:
    return np.exp(-gap / memory) if memory else np.zeros(len(gap))


def _drift(frame: Frame) -> float:
    """Spread of the patients' own slopes a year, beyond what scatter alone would give."""
    slopes, errors = [], []
    for _, part in frame.groupby("patient"):
        age = part["age"].to_numpy()
        if len(age) < 5 or np.ptp(age) < 2:
            continue
        centred = age - age.mean()
        square = float((centred**2).sum())
        slope = float((centred * part["score"].to_numpy()).sum() / square)
        rest = part["score"].to_numpy() - part["score"].mean() - slope * centred
        slopes.append(slope)
        errors.append(float((rest**2).sum() / (len(age) - 2) / square))
    if len(slopes) < GATHERED:
        return 0.0
    return float(np.sqrt(max(0.0, np.median(np.square(slopes)) / 0.455 - np.median(errors))))


def _answers(concept: Any, part: Frame) -> Measure | None:
    known = part[part["value_type"].isin(["code", "string", "integer", "boolean"])]
    whole = _said(known)
    if not whole:
        return None
    band = bands(known["age"])
    answers = {BANDS[0]: whole}
    for place, low in enumerate(BANDS):
        here = known[band == place]
        found = _said(here) if here["patient_id"].nunique() >= GATHERED else ()
        if found:
            answers[low] = found
        elif len(here) and place:
            answers[low] = whole
    said = known["value_code"].fillna("") + "\0" + known["value_text"].fillna("")
    same = (said == said.shift()) & (known["patient_id"] == known["patient_id"].shift())
    again = int((known["patient_id"] == known["patient_id"].shift()).sum())
    return Measure(concept=concept, answers=answers, repeats=round(float(same.sum()) / again, 3) if again else 0.0)


def _said(known: Frame) -> tuple[Answer, ...]:
    keys = ["value_type", "value_system", "value_code", "value_text"]
    counted = known.groupby(keys, dropna=False).agg(size=("patient_id", "size"), people=("patient_id", "nunique"))
    counted = counted[counted["people"] >= FEWEST].reset_index()
    counted = counted.sort_values(["size", *keys], ascending=[False, *[True] * 4])
    return tuple(
        Answer(kind=str(kind), system=_word(system), code=_word(code), text=_word(text), weight=float(size))
        for kind, system, code, text, size in counted[[*keys, "size"]].itertuples(index=False, name=None)
    )


def _word(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)


def _related(levels: dict[str, _Levels]) -> Related:
    """Correlations of the patients' mean scores, drawn towards none and made a matrix of correlations."""
    people = {code: len(set(one.patient)) for code, one in levels.items()}
    codes = sorted((code for code in levels if people[code] >= GATHERED), key=lambda code: (-people[code], code))
    codes = sorted(codes[:MOST_RELATED])
    if len(codes) < 2:
        return Related()
    means = pd.DataFrame({code: pd.Series(levels[code].score).groupby(levels[code].patient).mean() for code in codes})
    found = means.corr(min_periods=GATHERED).fillna(0).to_numpy(copy=True) * (1 - SHRUNK)
    np.fill_diagonal(found, 1)
    values, vectors = np.linalg.eigh(found)
    found = (vectors * np.maximum(values, 0.01)) @ vectors.T
    size = np.sqrt(np.diag(found))
    found = found / np.outer(size, size)
    return Related(codes=tuple(codes), rows=tuple(tuple(round(float(one), 3) for one in row) for row in found))
