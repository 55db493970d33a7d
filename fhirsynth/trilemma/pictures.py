"""Aggregates for the pictures: bins and shares, never rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binom

from fhirsynth.schema import Feature
from fhirsynth.trilemma.encode import Encoder, numbers
from fhirsynth.trilemma.intervals import Floats
from fhirsynth.trilemma.measure import Cohort, Marginal, PcaMap
from fhirsynth.trilemma.samples import Samples

BINS = 12
LEVELS = 8
"""Categories that are drawn; the rest are one bar, so that a rare value names nobody."""

LABEL = 32

FEWEST = 5
"""Real patients that a value or a cell of the map needs to be shown by itself."""

CELLS = 24
"""Cells of the map in each direction."""

_Shares = tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...], tuple[float, ...]]
"""Labels, and the shares of real, synthetic and all real rows."""


def marginals(samples: Samples, cohort: Cohort) -> tuple[Marginal, ...]:
    """Shares of every column, real holdout beside synthetic rows."""
    if cohort == "rare":
        samples = samples.rare()
    if not len(samples.holdout) or not len(samples.synthetic):
        return ()
    return tuple(
        marginal(feature, samples.holdout[feature.name], samples.synthetic[feature.name], samples.train[feature.name])
        for feature in samples.schema.features
        if feature.name != samples.cohort or cohort == "overall"
    )


def marginal(feature: Feature, real: pd.Series, made: pd.Series, more: pd.Series) -> Marginal:
    """Shares of one column, and the band of real samples as large as ``made``; ``more``: real rows for the band."""
    pool = pd.concat([real, more], ignore_index=True)
    discrete = feature.kind in ("flag", "category")
    labels, left, right, every = _levels(feature, real, made, pool) if discrete else _bins(real, made, pool)
    known, gone = int(made.notna().sum()), float(pool.isna().mean())
    low, high = band(every, known, int(pool.notna().sum()))
    missing_low, missing_high = band((gone,), len(made), len(pool))
    return Marginal(
        name=feature.name,
        title=f"{feature.title} ({feature.unit})" if feature.unit else feature.title,
        discrete=feature.kind in ("flag", "category"),
        labels=labels,
        real=left,
        synthetic=right,
        low=low,
        high=high,
        missing_low=missing_low[0],
        missing_high=missing_high[0],
        missing_real=round(float(real.isna().mean()), 4),
        missing_synthetic=round(float(made.isna().mean()), 4),
    )


def band(shares: tuple[float, ...], n: int, real: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The shares between which 95 of 100 samples of ``n`` lie, where ``real`` rows tell what they are (binomial)."""
    # Both vary: a sample by 1/n, and what is known of the true share by 1/real.
    size = round(n * real / (n + real)) if n and real else 0
    if size == 0:
        return tuple(0.0 for _ in shares), tuple(1.0 for _ in shares)
    # Half a row on either side: what none of the real rows has is rare, not impossible.
    likely = (np.clip(shares, 0.0, 1.0) * real + 0.5) / (real + 1)
    ends = (binom.ppf(end, size, likely) / size for end in (0.025, 0.975))
    low, high = (tuple(np.round(one, 4).tolist()) for one in ends)
    return low, high


def _levels(feature: Feature, real: pd.Series, made: pd.Series, pool: pd.Series) -> _Shares:
    if feature.kind == "flag":
        pairs = [_shares(numbers(one.dropna()), np.array([-0.5, 0.5, 1.5])) for one in (real, made, pool)]
        return ("no", "yes"), pairs[0], pairs[1], pairs[2]
    known = [one.dropna().astype(str) for one in (real, made, pool)]
    found = pd.concat(known[1:]).value_counts().sort_index(kind="stable")
    order = found.sort_values(ascending=False, kind="stable")
    common = known[2].value_counts()
    # A value that hardly any real patient has names them; what only synthetic rows have is nobody's.
    kept = [str(level) for level in order.index if common.get(level, FEWEST) >= FEWEST][:LEVELS]
    labels = [level if len(level) <= LABEL else level[: LABEL - 1] + "…" for level in kept]
    rest = ["others"] if len(order) > len(kept) else []
    sides = []
    for one in known:
        counts = one.value_counts(normalize=True)
        shares = [float(counts.get(level, 0.0)) for level in kept]
        sides.append(tuple(np.round(shares + [1 - sum(shares) if len(one) else 0.0] * len(rest), 4).tolist()))
    return tuple(labels + rest), sides[0], sides[1], sides[2]


def _bins(real: pd.Series, made: pd.Series, pool: pd.Series) -> _Shares:
    values = [numbers(one) for one in (real, made, pool)]
    values = [one[~np.isnan(one)] for one in values]
    both = np.concatenate(values[1:])
    if not len(both):
        return (), (), (), ()
    low, high = np.quantile(both, [0.01, 0.99])
    whole = bool((both == np.round(both)).all())
    if whole and high - low < BINS:
        edges = np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
        labels = tuple(f"{centre:.0f}" for centre in edges[:-1] + 0.5)
    else:
        edges = _round_edges(float(low), float(high) if high > low else float(low) + 1)
        labels = tuple(f"{centre:.4g}" for centre in (edges[:-1] + edges[1:]) / 2)
    one, two, three = (_shares(side, edges) for side in values)
    return labels, one, two, three


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


# ---------------------------------------------------------------- the map


def pca_map(samples: Samples, cohort: Cohort) -> PcaMap | None:
    """Where real and synthetic rows lie in the plane of the real rows' first two principal components.

    Cells with fewer than :data:`FEWEST` patients are left empty. None where there are too few rows or columns.
    """
    from sklearn.decomposition import PCA

    if cohort == "rare":
        samples = samples.rare()
    if min(len(samples.holdout), len(samples.synthetic)) < 10 * FEWEST:
        return None
    encoder = Encoder.fit(pd.concat([samples.train, samples.holdout], ignore_index=True), samples.schema)
    real, made = encoder.transform(samples.holdout), encoder.transform(samples.synthetic)
    if np.linalg.matrix_rank(real - real.mean(axis=0)) < 2:
        return None
    model = PCA(2, svd_solver="full").fit(real)
    places = [np.clip(model.transform(rows), -1e6, 1e6) for rows in (real, made)]
    # The sign of a component is arbitrary; fixed, so that the same data give the same picture.
    signs = np.where(model.components_[np.arange(2), np.abs(model.components_).argmax(axis=1)] < 0, -1.0, 1.0)
    places = [place * signs for place in places]
    cells = max(6, min(CELLS, int(np.sqrt(min(map(len, places))) / 2)))
    edges = [_edges(np.concatenate([place[:, axis] for place in places]), cells) for axis in (0, 1)]
    grids = [_grid(place, edges) for place in places]
    explained = model.explained_variance_ratio_
    return PcaMap(
        edges_x=tuple(np.round(edges[0], 3).tolist()),
        edges_y=tuple(np.round(edges[1], 3).tolist()),
        real=grids[0],
        synthetic=grids[1],
        explained=(round(float(explained[0]), 4), round(float(explained[1]), 4)),
    )


def _edges(values: Floats, cells: int) -> Floats:
    low, high = np.quantile(values, [0.005, 0.995])
    edges: Floats = np.linspace(low, high if high > low else low + 1, cells + 1)
    return edges


def _grid(place: Floats, edges: list[Floats]) -> tuple[tuple[float, ...], ...]:
    """Shares by cell, rows of the lowest second component first; what lies outside is in the outermost cells."""
    x, y = (np.clip(place[:, axis], edges[axis][0], edges[axis][-1]) for axis in (0, 1))
    counts = np.histogram2d(y, x, [edges[1], edges[0]])[0]
    shares = np.where(counts >= FEWEST, counts, 0) / len(place)
    return tuple(tuple(row) for row in np.round(shares, 4).tolist())
