"""Fidelity of single columns: distances beside those of two real samples, and columns that differ by too much.

A p-value only says how many rows there were, and a distance alone does not say whether it is chance. A column fails
when it differs beyond chance (Holm over columns, https://www.jstor.org/stable/4615733) *and* by enough to matter: a
distance of :data:`SHIFT`, or a value that is :data:`TIMES` as frequent (or as rare), which is what a distance does not
see in rare flags. Discrete values are compared one by one, by chi-square or Fisher's exact test where a cell expects
fewer than five (Cochran 1954, https://doi.org/10.2307/3001616).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, sqrt
from typing import Literal

import numpy as np
from scipy.stats import chi2, fisher_exact, ks_2samp

from fhirsynth.schema import Feature
from fhirsynth.trilemma.encode import numbers
from fhirsynth.trilemma.intervals import Floats, Ints, holm, wilson
from fhirsynth.trilemma.measure import Cohort, ColumnFidelity, Measure, Verdict
from fhirsynth.trilemma.view import DRAWS, Beyond, Rows, View

MARGINAL = 0.10
"""Mean distance of columns beyond the noise floor: one patient in ten would have to change the bin."""

SHIFT = 0.10
"""Distance of a single column from which a difference beyond chance fails."""

TIMES = 1.5
"""How many times as frequent (or as rare) a value may be before a difference beyond chance fails."""

ALPHA: Mapping[Cohort, float] = {"overall": 0.02, "rare": 0.01}
"""Chance of a single false alarm over all columns of a cohort; both together then stay below 5 %."""

CERTAIN = 1e-4
"""Adjusted p-value of a difference that nobody takes for chance."""

FEW = 10
"""Values on either side below which p is counted out and not approximated."""

NOTICED = 0.25
"""A pass needs that a shift of this distance in a single column would have been noticed."""


@dataclass(frozen=True, slots=True)
class _Level:
    """One value of a column, against all others: how much more frequent it is among synthetic rows, and p."""

    ratio: float
    p: float


def compare_columns(view: View) -> tuple[list[ColumnFidelity], list[Measure]]:
    """Every column that varies, real holdout against synthetic, and the measures that sum them up."""
    generator = view.generator("columns")
    seen = _distances(view, *view.seen)
    null, boot = [], []
    for _ in range(DRAWS):
        null.append(_distances(view, *view.null(generator)))
        boot.append(_distances(view, *view.boot(generator)))
    bands = np.quantile(null, 0.95, axis=0)
    levels = [_levels(view, feature) for feature in view.features]
    p = np.array([_p_value(view, *one) for one in zip(view.features, levels, strict=True)])
    adjusted = holm(p)
    columns = [
        _column(view, index, float(seen[index]), float(bands[index]), float(p[index]), float(adjusted[index]), found)
        for index, found in enumerate(levels)
    ]
    return columns, [
        _literal(view, columns),
        _excess(view, seen, np.array(null), np.array(boot)),
        _shifted(view, columns),
    ]


def unlike(view: View) -> list[str]:
    """Titles of the columns that differ for certain; of two parts of the same population none should."""
    levels = [_levels(view, feature) for feature in view.features]
    p = np.array([_p_value(view, *one) for one in zip(view.features, levels, strict=True)])
    return [one.title for one, adjusted in zip(view.features, holm(p), strict=True) if adjusted <= CERTAIN]


def _column(
    view: View, index: int, distance: float, band: float, p: float, adjusted: float, levels: list[_Level]
) -> ColumnFidelity:
    feature = view.features[index]
    # The values that are beyond chance by themselves, however many values and columns were looked at.
    clear = [one.ratio for one in levels if one.p * len(levels) * len(view.features) <= ALPHA[view.cohort]]
    ratio = max(clear, key=lambda one: abs(log(one)), default=None)
    matters = distance >= SHIFT or (ratio is not None and abs(log(ratio)) >= log(TIMES))
    return ColumnFidelity(
        name=feature.name,
        title=feature.title,
        cohort=view.cohort,
        test="Kolmogorov-Smirnov" if _is_ordered(feature) else "chi-square",
        distance=distance,
        band=band,
        p=p,
        p_holm=adjusted,
        ratio=ratio,
        beyond=matters and adjusted <= ALPHA[view.cohort],
    )


def _is_ordered(feature: Feature) -> bool:
    return feature.kind in ("number", "count")


def _distance(feature: Feature, one: Ints, other: Ints, size: int) -> float:
    gap = np.bincount(one, minlength=size) / len(one) - np.bincount(other, minlength=size) / len(other)
    return float(np.abs(gap.cumsum()).max()) if _is_ordered(feature) else float(np.abs(gap).sum() / 2)


def _distances(view: View, left: Rows, right: Rows) -> Floats:
    """Distance of every column between rows of one frame and rows of another."""
    result = []
    for feature in view.features:
        parts, size = view.coded[feature.name]
        result.append(_distance(feature, parts[left[0]][left[1]], parts[right[0]][right[1]], size))
    return np.array(result)


def _levels(view: View, feature: Feature) -> list[_Level]:
    """Each value against all others; of numbers and counts only whether the value is missing."""
    parts, size = view.coded[feature.name]
    counts = np.array([np.bincount(part, minlength=size) for part in parts[:2]])
    if _is_ordered(feature):
        counts = np.column_stack([counts[:, 0], counts[:, 1:].sum(axis=1)])
    present = np.flatnonzero(counts.sum(axis=0) > 0)
    if len(present) < 2:
        return []
    # Of two values one is enough: the rarer one, whose frequency can multiply.
    if len(present) == 2:
        present = present[[int(counts[:, present].sum(axis=0).argmin())]]
    return [_level(counts[:, index], counts.sum(axis=1)) for index in present]


def _level(found: Ints, totals: Ints) -> _Level:
    table = np.array([found, totals - found], dtype=np.float64)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if expected.min() < 5:
        p = float(fisher_exact(table).pvalue)
    else:
        p = float(chi2.sf(((table - expected) ** 2 / expected).sum(), 1))
    real, made = (found + 0.5) / (totals + 1)
    return _Level(float(made / real), p)


def _p_value(view: View, feature: Feature, levels: list[_Level]) -> float:
    """The smallest p-value of a column times the number of its tests."""
    every = [one.p for one in levels]
    if _is_ordered(feature):
        one, other = (numbers(frame[feature.name]) for frame in view.frames[:2])
        one, other = one[~np.isnan(one)], other[~np.isnan(other)]
        if len(one) and len(other):
            # Of one value against a few the asymptotic p-value is 0, and of one against one it divides by zero.
            method: Literal["exact", "asymp"] = "exact" if min(len(one), len(other)) < FEW else "asymp"
            every.append(float(ks_2samp(one, other, method=method).pvalue))
    return min(1.0, len(every) * min(every, default=1.0))


def _literal(view: View, columns: list[ColumnFidelity]) -> Measure:
    n = len(columns)
    passing = sum(one.p > 0.05 for one in columns)
    low, high = wilson(passing, n)
    far = max(columns, key=lambda one: one.distance - one.band)
    return view.measure(
        "ks_columns_passing",
        "Share of columns with two-sample p > 0.05",
        passing / n,
        n,
        low=low,
        high=high,
        target="p > 0.05 in every column",
        met=passing == n,
        note=f"{view.sizes[1]} synthetic against {view.sizes[0]} holdout rows; Kolmogorov-Smirnov for numbers and "
        f"counts, chi-square for flags and categories. A perfect generator passes all {n} columns with probability "
        f"{0.95**n:.0%}; after Holm's correction {sum(one.p_holm > 0.05 for one in columns)} of {n} pass. "
        f"Largest distance beyond noise: {far.title} ({far.distance:.2f}; two real samples reach {far.band:.2f}).",
        literal=True,
    )


def _excess(view: View, seen: Floats, null: Floats, boot: Floats) -> Measure:
    floor = float(null.mean())
    note = f"Mean distance {seen.mean():.3f}; two real samples of these sizes are {floor:.3f} apart."
    figures = Beyond(float(seen.mean()), floor, float(boot.mean(axis=1).std()), len(seen), MARGINAL, note)
    return view.beyond_noise("marginal_distance", "Mean distance of columns (KS D, total variation)", figures)


def _shifted(view: View, columns: list[ColumnFidelity]) -> Measure:
    far = [one for one in columns if one.beyond]
    noticed = _noticed(*view.sizes, ALPHA[view.cohort] / len(columns))
    verdict: Verdict = "FAIL" if far else "PASS" if noticed <= NOTICED else "UNDERPOWERED"
    names = "; ".join(f"{one.title} (distance {one.distance:.2f}{_times(one)})" for one in far)
    return view.measure(
        "columns_shifted",
        "Columns that differ beyond chance and by enough to matter",
        float(len(far)),
        len(columns),
        target=f"none; a shift of {NOTICED:.2f} in one column would have been noticed",
        met=not far,
        note=f"{names or 'None'}. Beyond chance: p ≤ {ALPHA[view.cohort]} after Holm's correction; enough to matter: a "
        f"distance of {SHIFT:.2f}, or a value {TIMES} times as frequent or as rare.",
        verdict=verdict,
        baseline=0.0,
        detectable=noticed,
    )


def _times(one: ColumnFidelity) -> str:
    return f", a value {one.ratio:.2f} times as frequent" if one.ratio is not None else ""


def _noticed(real: int, made: int, alpha: float) -> float:
    """The KS distance of one column that is noticed with 80 % probability by the asymptotic test at a level."""
    critical = sqrt(-log(alpha / 2) / 2)
    return min(1.0, (critical + 0.842 * 0.5) * sqrt((real + made) / (real * made)))
