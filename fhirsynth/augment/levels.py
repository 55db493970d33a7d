"""Columns cut into levels that are known before any patient is seen: from the schema, or from simulated patients.

The edges and words of a column may not come from the rows that are to be protected: an edge that lies at somebody's
value tells of somebody.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from fhirsynth.errors import UsageError
from fhirsynth.guess import listed
from fhirsynth.schema import Feature, FeatureSchema

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEW: Final = 12
MANY: Final = 24
"""Levels of a number between declared bounds, under much noise and under little: bounds are wide, so that most of these
stay empty."""
LITTLE_NOISE: Final = 6.0
"""Standard deviation of the noise, in patients, below which there are many."""
FROM_PRIOR: Final = 8
"""Levels of a number that hold about as many simulated patients each."""
SKEWED: Final = 100.0
"""Upper over lower bound from which on levels grow by a factor (leukocytes: 0.1 to 500)."""
FEWEST_VALUES: Final = 50
"""Simulated values that quantiles are taken of; below, the bounds are used."""


class Levels(BaseModel):
    """The levels of one column; a missing value is one more, after the others, where the schema permits it.

    Parameters
    ----------
    feature
        The column.
    edges
        Of a number or count: level i holds ``edges[i]`` ≤ x < ``edges[i + 1]``, the outer ones what lies beyond, too.
    words
        Of a category or flag: level i is ``words[i]``.
    """

    model_config = ConfigDict(frozen=True)

    feature: Feature
    edges: tuple[float, ...] = ()
    words: tuple[bool | str, ...] = ()

    @property
    def valued(self) -> int:
        """Number of levels that hold a value."""
        return len(self.words) or len(self.edges) - 1

    @property
    def size(self) -> int:
        """Number of levels."""
        return self.valued + self.feature.nullable

    def codes(self, values: pd.Series[Any]) -> Ints:
        """The level of every value; −1 where it has none: a word or a gap that the schema does not permit."""
        gone = values.isna().to_numpy()
        if self.words:
            places = {word: place for place, word in enumerate(self.words)}
            found = values.astype("object").map(places).astype("float64").fillna(-1).to_numpy(dtype=np.int64)
        else:
            numbers = values.astype("float64").fillna(self.edges[0]).to_numpy()
            found = np.searchsorted(self.edges[1:-1], numbers, side="right").astype(np.int64)
        return np.where(gone, self.valued if self.feature.nullable else -1, found)

    def counts(self, values: pd.Series[Any]) -> Ints:
        """How many values every level holds; one value adds to at most one."""
        codes = self.codes(values)
        return np.bincount(codes[codes >= 0], minlength=self.size)


def public_levels(schema: FeatureSchema, skip: str | None, prior: pd.DataFrame | None, sigma: float) -> list[Levels]:
    """The levels of all columns but ``skip``.

    Parameters
    ----------
    sigma
        Standard deviation of the noise that their counts will get: the less, the finer the levels may be.

    Raises
    ------
    UsageError
        When bounds or categories are neither declared nor to be had from ``prior``: one line that names them.
    """
    features = [feature for feature in schema.features if feature.name != skip]
    number = MANY if sigma < LITTLE_NOISE else FEW
    found = [_levels(feature, None if prior is None else prior[feature.name], number) for feature in features]
    levels = [one for one in found if one is not None]
    if len(levels) < len(features):
        _refuse([feature for feature, one in zip(features, found, strict=True) if one is None])
    return levels


def _refuse(features: list[Feature]) -> None:
    numbers = [feature.name for feature in features if feature.kind != "category"]
    words = [feature.name for feature in features if feature.kind == "category"]
    wanted = [f"minimum and maximum of {listed(numbers)}"] if numbers else []
    wanted += [f"categories of {listed(words)}"] if words else []
    raise UsageError(
        f"the model 'private' takes no bounds from the patients, as these would tell of them; declare in the schema: "
        f"{'; '.join(wanted)} (finite, from what is possible and not from these data), or give simulated patients"
    )


def _levels(feature: Feature, prior: pd.Series[Any] | None, number: int) -> Levels | None:
    """Levels of one column; None where nothing public says what they are."""
    if feature.kind == "flag":
        return Levels(feature=feature, words=(False, True))
    if feature.kind == "category":
        words = feature.categories or (() if prior is None else tuple(sorted(prior.dropna().astype(str).unique())))
        return Levels(feature=feature, words=words) if words else None
    values = np.empty(0) if prior is None else prior.dropna().to_numpy(dtype=np.float64)
    values = values[np.isfinite(values)]
    bounds = _bounds(feature, values)
    if bounds is None:
        return None
    inner = _quantiles(values) if len(values) >= FEWEST_VALUES else _spaced(*bounds, number)
    if feature.kind == "count":
        inner = np.ceil(inner)
    inner = np.unique(inner[(inner > bounds[0]) & (inner < bounds[1])])
    return Levels(feature=feature, edges=(bounds[0], *map(float, inner), bounds[1]))


def _bounds(feature: Feature, values: Floats) -> tuple[float, float] | None:
    low = feature.minimum if feature.minimum is not None else 0.0 if feature.kind == "count" else None
    high = feature.maximum
    if len(values):
        low = float(values.min()) if low is None else low
        high = float(values.max()) if high is None else high
    if low is None or high is None or not np.isfinite([low, high]).all():
        return None
    # One value is possible: a level must have a width all the same.
    return (low, high) if high > low else (low, low + 1.0)


def _quantiles(values: Floats) -> Floats:
    """Edges around every value that fills a level alone (no admission), and quantiles of the others."""
    distinct, counts = np.unique(values, return_counts=True)
    alone = counts * FROM_PRIOR >= len(values)
    after = distinct[1:][alone[:-1]]
    others = values[~np.isin(values, distinct[alone])]
    parts = max(FROM_PRIOR - int(alone.sum()), 2)
    inner = np.quantile(others, np.arange(1, parts) / parts) if len(others) else np.empty(0)
    return np.concatenate([inner, distinct[alone], after])


def _spaced(low: float, high: float, number: int) -> Floats:
    """Edges between bounds: by a factor where these are far apart, by squares from 0 on, evenly otherwise."""
    if low > 0 and high / low >= SKEWED:
        return np.geomspace(low, high, number + 1)[1:-1]
    steps = np.arange(1, number) / number
    return low + (high - low) * (steps**2 if low == 0 else steps)


def within(levels: Levels, codes: Ints, density: Floats, prior: Floats, random: np.random.Generator) -> Floats:
    """A number in every level of ``codes``, NaN in that of missing ones.

    Parameters
    ----------
    density
        Probability of the levels, ``(levels.size,)``: says how the numbers lie between two edges.
    prior
        Sorted simulated values; where a level holds some, they say it instead.
    """
    place = np.minimum(codes, levels.valued - 1)
    uniform = random.random(len(codes))
    drawn = _between(levels, place, density[: levels.valued], uniform)
    if len(prior):
        starts = np.searchsorted(prior, levels.edges)
        starts[0], starts[-1] = 0, len(prior)
        width = np.diff(starts)[place]
        picked = prior[np.minimum(starts[place] + (uniform * width).astype(np.int64), len(prior) - 1)]
        drawn = np.where(width > 0, picked, drawn)
    bounds = levels.edges[0], levels.edges[-1]
    rounded: Floats = np.round(np.clip(drawn, *bounds), levels.feature.decimals).astype(np.float64)
    return np.where(codes < levels.valued, _inside(rounded, levels.feature), np.nan)


def _between(levels: Levels, place: Ints, weights: Floats, uniform: Floats) -> Floats:
    """Numbers by the inverse of a monotone cubic distribution function through the edges (Fritsch & Carlson 1980).

    Between its knots it has no steps, as levels of even density would have: a classifier finds those.
    """
    from scipy.interpolate import PchipInterpolator

    whole = levels.feature.kind == "count"
    edges = np.array(levels.edges) - 0.5 * whole
    edges[-1] += whole
    total = np.concatenate([[0.0], np.cumsum(weights / max(weights.sum(), 1e-300))])
    grid = np.unique(np.concatenate([np.linspace(low, high, 17) for low, high in pairwise(edges)]))
    shape = np.maximum.accumulate(PchipInterpolator(edges, total)(grid))
    wanted = total[place] + uniform * np.diff(total)[place]
    drawn: Floats = np.interp(wanted, shape, grid)
    return np.round(drawn) if whole else drawn


def _inside(values: Floats, feature: Feature) -> Floats:
    low = -np.inf if feature.minimum is None else feature.minimum
    high = np.inf if feature.maximum is None else feature.maximum
    return np.clip(values, low, high)
