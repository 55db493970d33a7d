"""Values within bounds, and values that change no more than they can."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from fhirsynth.clinical.chart import Chart, Flags, Floats, Frame
from fhirsynth.clinical.fields import MONTH
from fhirsynth.clinical.kinds import Analyte, Change, Curve, Range
from fhirsynth.clinical.verdict import NO_BIRTH, NO_SEX, Verdict, day, number, span, usable

GRAIN = 1e-9
"""Share of a value that is lost when its unit is changed, and is no difference."""


def judge_range(rule: Range, chart: Chart, analyte: Analyte) -> Verdict:
    """Which values are out of their bounds."""
    unchecked: Counter[str] = Counter()
    rows = usable(chart.measures(rule.of), analyte.unit, unchecked)
    if rows.empty:
        return Verdict(0, rows, str, unchecked)
    patient = rows["patient"].to_numpy()
    least, greatest = chart.ages(patient, rows["seconds"].to_numpy())
    female = chart.patients["female"].to_numpy()[patient]
    aged = rule.curve is not None or any(band.start > 0 or band.end is not None for band in rule.bands)
    sexed = rule.curve is not None or any(band.sex is not None for band in rule.bands)
    unaged = np.isnan(greatest) & aged
    unsexed = ~unaged & np.isnan(female) & sexed
    unchecked[NO_BIRTH] += int(unaged.sum())
    unchecked[NO_SEX] += int(unsexed.sum())
    # Where the birth date leaves an age open, the widest bounds count.
    (low, high, inside), (low2, high2, inside2) = (_bounds(rule, age, female) for age in (least, greatest))
    low, high = np.minimum(low, low2), np.maximum(high, high2)
    applied = inside & inside2 & ~unaged & ~unsexed
    value = rows["value"].to_numpy()
    out = applied & ((value < low - GRAIN * np.abs(low)) | (value > high + GRAIN * np.abs(high)))
    broken = rows[out].assign(low=low[out], high=high[out], age=greatest[out])

    def say(row: Any) -> str:
        wrong = f"below {number(row.low)}" if row.value < row.low else f"above {number(row.high)}"
        age = f" at {span(row.age)}" if aged else ""
        return f"{analyte.title} {number(row.value)} {analyte.unit}{age} on {day(row.seconds)}, {wrong}"

    return Verdict(int(applied.sum()), broken, say, unchecked)


def _bounds(rule: Range, age: Floats, female: Floats) -> tuple[Floats, Floats, Flags]:
    """Lower bound, upper bound (infinite where there is none), and whether there are bounds for this age and sex."""
    if rule.curve is not None:
        return _along(rule.curve, age / MONTH, female)
    if not rule.bands:
        low, high = np.full(len(age), _or(rule.minimum, -np.inf)), np.full(len(age), _or(rule.maximum, np.inf))
        return low, high, np.ones(len(age), dtype=bool)
    low, high = np.full(len(age), -np.inf), np.full(len(age), np.inf)
    inside = np.zeros(len(age), dtype=bool)
    for band in rule.bands:
        fits = ~inside
        if band.start > 0 or band.end is not None:
            fits = fits & (age >= band.start) & (age < _or(band.end, np.inf))
        if band.sex is not None:
            fits = fits & (female == (band.sex == "female"))
        low[fits], high[fits] = _or(band.minimum, -np.inf), _or(band.maximum, np.inf)
        inside |= fits
    return low, high, inside


def _along(curve: Curve, months: Floats, female: Floats) -> tuple[Floats, Floats, Flags]:
    low, high, inside = np.zeros(len(months)), np.zeros(len(months)), np.zeros(len(months), dtype=bool)
    for sex, points in ((1.0, np.array(curve.female)), (0.0, np.array(curve.male))):
        fits = (female == sex) & (months >= points[0, 0]) & (months <= points[-1, 0])
        low[fits] = np.interp(months[fits], points[:, 0], points[:, 1])
        high[fits] = np.interp(months[fits], points[:, 0], points[:, 2])
        inside |= fits
    return low, high, inside


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def judge_change(rule: Change, chart: Chart, analyte: Analyte) -> Verdict:
    """Which values are too far from the reading before, or from the median of the patient's readings."""
    unchecked: Counter[str] = Counter()
    rows = usable(chart.measures(rule.of), analyte.unit, unchecked)
    rows = _of_age(rule, chart, rows, unchecked).sort_values(["patient", "seconds"], kind="stable")
    grouped = rows.groupby("patient", sort=False)
    if rule.against == "median":
        base, since = grouped["value"].transform("median").to_numpy(), np.zeros(len(rows))
        applied = (grouped["value"].transform("size") > 1).to_numpy()
    else:
        base, since = grouped["value"].shift().to_numpy(), (rows["seconds"] - grouped["seconds"].shift()).to_numpy()
        applied = ~np.isnan(base) & (since <= _or(rule.within, np.inf))
    change = rows["value"].to_numpy() - base
    size = np.abs(base) if rule.share else 1.0
    grain = GRAIN * np.abs(base)
    fall, rise = _or(rule.fall, np.inf) * size + grain, _or(rule.rise, np.inf) * size + grain
    out = applied & ((change < -fall) | (change > rise))
    broken = rows[out].assign(base=base[out], since=since[out])
    return Verdict(int(applied.sum()), broken, lambda row: _said(rule, analyte, row), unchecked)


def _of_age(rule: Change, chart: Chart, rows: Frame, unchecked: Counter[str]) -> Frame:
    """Rows with a date, of those who are of the age that is meant by every reading of their birth date."""
    least, greatest = chart.ages(rows["patient"].to_numpy(), rows["seconds"].to_numpy())
    unknown = np.isnan(greatest)
    unchecked[NO_BIRTH] += int(unknown.sum())
    return rows[~unknown & (least >= rule.start) & (greatest < _or(rule.end, np.inf))]


def _said(rule: Change, analyte: Analyte, row: Any) -> str:
    before = "a median of" if rule.against == "median" else f"{span(row.since)} after"
    return f"{analyte.title} {number(row.value)} {analyte.unit} on {day(row.seconds)}, {before} {number(row.base)}"
