"""Aggregates for the pictures: bins and shares, never rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fhirsynth.schema import Feature
from fhirsynth.trilemma.encode import numbers
from fhirsynth.trilemma.intervals import Floats
from fhirsynth.trilemma.measure import Cohort, Marginal
from fhirsynth.trilemma.samples import Samples

BINS = 12
LEVELS = 8
"""Categories that are drawn; the rest are one bar, so that a rare value names nobody."""

LABEL = 32


def marginals(samples: Samples, cohort: Cohort) -> tuple[Marginal, ...]:
    """Shares of every column, real holdout beside synthetic rows."""
    if cohort == "rare":
        samples = samples.rare()
    if not len(samples.holdout) or not len(samples.synthetic):
        return ()
    return tuple(
        _marginal(feature, samples.holdout[feature.name], samples.synthetic[feature.name])
        for feature in samples.schema.features
        if feature.name != samples.cohort or cohort == "overall"
    )


def _marginal(feature: Feature, real: pd.Series, made: pd.Series) -> Marginal:
    pairs = _levels(feature, real, made) if feature.kind in ("flag", "category") else _bins(real, made)
    labels, left, right = pairs
    return Marginal(
        name=feature.name,
        title=f"{feature.title} ({feature.unit})" if feature.unit else feature.title,
        discrete=feature.kind in ("flag", "category"),
        labels=labels,
        real=left,
        synthetic=right,
        missing_real=round(float(real.isna().mean()), 4),
        missing_synthetic=round(float(made.isna().mean()), 4),
    )


def _levels(
    feature: Feature, real: pd.Series, made: pd.Series
) -> tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...]]:
    if feature.kind == "flag":
        shares = [float(one.fillna(False).mean()) for one in (real, made)]
        pairs = [(round(1 - share, 4), round(share, 4)) for share in shares]
        return ("no", "yes"), pairs[0], pairs[1]
    known = [one.dropna().astype(str) for one in (real, made)]
    order = (
        pd.concat(known).value_counts(sort=True).sort_index(kind="stable").sort_values(ascending=False, kind="stable")
    )
    kept = [str(level) for level in order.index[:LEVELS]]
    labels = [level if len(level) <= LABEL else level[: LABEL - 1] + "…" for level in kept]
    rest = ["others"] if len(order) > LEVELS else []
    sides = []
    for one in known:
        counts = one.value_counts(normalize=True)
        shares = [float(counts.get(level, 0.0)) for level in kept]
        sides.append(tuple(np.round(shares + [1 - sum(shares)] * len(rest), 4).tolist()))
    return tuple(labels + rest), sides[0], sides[1]


def _bins(real: pd.Series, made: pd.Series) -> tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...]]:
    values = [numbers(one) for one in (real, made)]
    values = [one[~np.isnan(one)] for one in values]
    both = np.concatenate(values)
    if not len(both):
        return (), (), ()
    low, high = np.quantile(both, [0.01, 0.99])
    whole = bool((both == np.round(both)).all())
    if whole and high - low < BINS:
        edges = np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
        labels = tuple(f"{centre:.0f}" for centre in edges[:-1] + 0.5)
    else:
        edges = _round_edges(float(low), float(high) if high > low else float(low) + 1)
        labels = tuple(f"{centre:.4g}" for centre in (edges[:-1] + edges[1:]) / 2)
    return labels, _shares(values[0], edges), _shares(values[1], edges)


def _round_edges(low: float, high: float) -> Floats:
    """Edges at round numbers: at most :data:`BINS` + 2 bins of width 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10((high - low) / BINS))
    width = next(step * power for step in (1, 2, 5, 10) if step * power * BINS >= high - low)
    first, last = np.floor(low / width), np.ceil(high / width)
    edges: Floats = np.arange(first, max(last, first + 1) + 1) * width
    return edges


def _shares(values: Floats, edges: Floats) -> tuple[float, ...]:
    if not len(values):
        return tuple(0.0 for _ in edges[:-1])
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return tuple(np.round(counts / len(values), 4).tolist())
