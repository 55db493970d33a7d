"""Values that agree with others of the same patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from fhirsynth.clinical.chart import Chart, Flags, Floats, Frame
from fhirsynth.clinical.fields import YEAR
from fhirsynth.clinical.kinds import Analyte, Relation
from fhirsynth.clinical.ranges import GRAIN
from fhirsynth.clinical.verdict import NO_BIRTH, NO_DATE, NO_SEX, Verdict, day, number, span, usable

SPAN: Final = 2**40
"""Seconds between the numbers of two patients' moments: 35,000 years, so that no moment reaches the next patient."""
SAME_MOMENT: Final = 4
"""Different values of one analyte at one moment that are looked at; a rule holds where any of them fits."""
Analytes = Mapping[str, Analyte]
Keys = npt.NDArray[np.int64]


def judge_relation(rule: Relation, chart: Chart, analytes: Analytes) -> Verdict:
    """Which values fit no formula, or are beyond a bound that follows from other values."""
    unchecked: Counter[str] = Counter()
    rows = _judged(rule, chart, analytes[rule.of], unchecked)
    if rows.empty:
        return Verdict(0, rows, str, unchecked)
    pairs = _with_others(rule, chart, rows, analytes, unchecked)
    values = {name: pairs[name].to_numpy() for name in (*rule.names, rule.of)}
    fits, expected, met = _fits(rule, values)
    known = ~np.isnan(expected)
    row = pairs["row"].to_numpy()[known]

    def anywhere(hits: Flags) -> Flags:
        """Of each row, whether any of its combinations is a hit."""
        return np.asarray(np.bincount(row, weights=hits[known], minlength=len(rows)) > 0)

    first = pairs.assign(expected=expected)[known].drop_duplicates("row")
    unchecked["the formula has no value"] += pairs["row"].nunique() - len(first)
    return Verdict(
        applied=len(first),
        broken=first[~anywhere(fits)[first["row"].to_numpy()]],
        say=lambda one: _said(rule, analytes, one),
        unchecked=unchecked,
        met=Counter({name: int(anywhere(hits).sum()) for name, hits in met.items()}),
        moments=_moments(first[rule.of], first["expected"]) if rule.correlate else np.zeros(6),
    )


def _judged(rule: Relation, chart: Chart, analyte: Analyte, unchecked: Counter[str]) -> Frame:
    """The values that are judged, with what formulas may ask of the patient."""
    rows = usable(chart.measures(rule.of), analyte.unit, unchecked)
    patient = rows["patient"].to_numpy()
    least, greatest = chart.ages(patient, rows["seconds"].to_numpy())
    rows = rows.assign(age=greatest / YEAR, female=chart.patients["female"].to_numpy()[patient])
    keep = ~np.isnan(rows["seconds"].to_numpy())
    unchecked[NO_DATE] += int((~keep).sum())
    aged = rule.start > 0 or rule.end is not None
    for wanted, column, reason in (
        ("age" in rule.names or aged, "age", NO_BIRTH),
        ("female" in rule.names, "female", NO_SEX),
    ):
        missing = keep & rows[column].isna().to_numpy() & wanted
        unchecked[reason] += int(missing.sum())
        keep = keep & ~missing
    if aged:
        keep = keep & (least >= rule.start) & (greatest < (np.inf if rule.end is None else rule.end))
    judged: Frame = rows[keep].reset_index(drop=True).rename(columns={"value": rule.of})
    return judged


def _with_others(rule: Relation, chart: Chart, rows: Frame, analytes: Analytes, unchecked: Counter[str]) -> Frame:
    """The judged rows with each combination of the other values; rows to which there are none are counted."""
    pairs: Frame = rows.assign(row=np.arange(len(rows)))
    keys = keys_of(rows["patient"], rows["seconds"])
    absent: dict[str, Flags] = {}
    for name in rule.inputs:
        others = usable(chart.measures(name), analytes[name].unit, Counter())
        others = others[others["seconds"].notna()]
        if rule.take == "mean":
            mean = _mean_before(keys, others, rule)
            absent[name], values = np.isnan(mean), Frame({"row": np.arange(len(rows)), name: mean})
        else:
            values = _nearest(keys, others, rule.within).rename(columns={"value": name})
            absent[name] = ~np.isin(np.arange(len(rows)), values["row"].to_numpy())
        pairs = pairs.merge(values, on="row", how="inner", sort=False)
    missing = np.zeros(len(rows), dtype=bool)
    for name, gone in absent.items():
        unchecked[f"no {analytes[name].title}{_when(rule)}"] += int((gone & ~missing).sum())
        missing |= gone
    pairs = pairs[~missing[pairs["row"].to_numpy()]]
    for name, (low, high) in rule.limits.items():
        inside = pairs[name].between(low, high)
        unchecked[f"{analytes[name].title} outside {number(low)} to {number(high)}, for which it is not meant"] += (
            pairs["row"].nunique() - pairs.loc[inside, "row"].nunique()
        )
        pairs = pairs[inside]
    return pairs


def _when(rule: Relation) -> str:
    if rule.take == "mean":
        few = f" ({rule.fewest} or more)" if rule.fewest > 1 else ""
        return f"{few} in the {span(rule.within)} before"
    return " at that moment" if rule.within == 0 else f" within {span(rule.within)}"


def keys_of(patient: pd.Series[Any], seconds: pd.Series[Any]) -> Keys:
    """One number for patient and moment, in the order of both."""
    return np.asarray(patient.to_numpy() * SPAN + seconds.to_numpy().astype(np.int64), dtype=np.int64)


def _nearest(keys: Keys, others: Frame, within: float) -> Frame:
    """For each judged row the different values at the nearest moment that has any, at most ``within`` away."""
    key = keys_of(others["patient"], others["seconds"])
    table = Frame({"key": key, "value": others["value"].to_numpy()}).drop_duplicates()
    table = table[table.groupby("key").cumcount() < SAME_MOMENT]
    moments = np.unique(table["key"].to_numpy())
    if not len(moments):
        return Frame({"row": np.array([], dtype=np.int64), "value": np.array([], dtype=np.float64)})
    after = np.clip(np.searchsorted(moments, keys), 0, len(moments) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(moments[before] - keys) <= np.abs(moments[after] - keys)
    nearest = np.where(nearer, moments[before], moments[after])
    # Two patients are SPAN apart, and no rule looks so far.
    near = np.abs(nearest - keys) <= within
    judged = Frame({"row": np.flatnonzero(near), "key": nearest[near]})
    return judged.merge(table, on="key", how="inner", sort=False)[["row", "value"]]


def _mean_before(keys: Keys, others: Frame, rule: Relation) -> Floats:
    """The mean of the values up to each judged row, and no longer before than the rule says."""
    key = keys_of(others["patient"], others["seconds"])
    order = np.argsort(key, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(others["value"].to_numpy()[order])])
    first = np.searchsorted(key[order], keys - np.int64(rule.within), side="left")
    last = np.searchsorted(key[order], keys, side="right")
    count = last - first
    return np.where(count >= rule.fewest, (sums[last] - sums[first]) / np.maximum(count, 1), np.nan)


def _fits(rule: Relation, values: Mapping[str, Any]) -> tuple[Flags, Floats, dict[str, Any]]:
    """Whether each pair fits, what was expected (of the first formula), and which formula fits it."""
    value = values[rule.of]
    if not rule.equals:
        return _within_bounds(rule, values)
    met: dict[str, Any] = {}
    expected = [np.broadcast_to(np.asarray(one(values), dtype=np.float64), value.shape) for one in rule.equals.values()]
    for name, result in zip(rule.equals, expected, strict=True):
        allowed = np.maximum(rule.absolute, rule.tolerance * np.abs(result)) + GRAIN * np.abs(result)
        met[name] = np.abs(value - result) <= allowed
    return np.logical_or.reduce(list(met.values())), np.where(np.isfinite(expected[0]), expected[0], np.nan), met


def _within_bounds(rule: Relation, values: Mapping[str, Any]) -> tuple[Flags, Floats, dict[str, Any]]:
    value = values[rule.of]
    fits, expected = np.ones(len(value), dtype=bool), np.full(len(value), np.nan)
    bounds: list[tuple[Any, Callable[..., Any]]] = [(rule.at_least, np.less), (rule.at_most, np.greater)]
    for formula, beyond in bounds:
        if formula is not None:
            bound = np.broadcast_to(np.asarray(formula(values), dtype=np.float64), value.shape)
            wrong = beyond(value, bound) & (np.abs(value - bound) > GRAIN * np.abs(bound))
            expected = np.where(wrong | np.isnan(expected), bound, expected)
            fits &= ~wrong
    return fits, expected, {}


def _moments(value: pd.Series[Any], expected: pd.Series[Any]) -> Floats:
    x, y = value.to_numpy(), expected.to_numpy()
    return np.array([len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()])


def _said(rule: Relation, analytes: Analytes, row: Any) -> str:
    def shown(name: str) -> str:
        mean = f"mean {analytes[name].title}" if rule.take == "mean" else analytes[name].title
        return f"{mean} {number(getattr(row, name))} {analytes[name].unit}"

    analyte = analytes[rule.of]
    value = getattr(row, rule.of)
    start = f"{analyte.title} {number(value)} {analyte.unit} on {day(row.seconds)}"
    if rule.equals:
        where = f"by {next(iter(rule.equals))} {number(row.expected)}"
    else:
        where = f"{'at least' if value < row.expected else 'at most'} {number(row.expected)} would fit"
    given = [shown(name) for name in rule.inputs]
    given += [span(row.age * YEAR)] * ("age" in rule.names)
    given += ["female" if row.female else "male"] * ("female" in rule.names)
    return f"{start}; {where} ({', '.join(given)})"
