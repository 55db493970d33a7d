"""One column given others, by a regression tree whose leaves hold the patients that a value is drawn from.

After Reiter (2005), Using CART to generate partially synthetic public use microdata, Journal of Official Statistics
21:441-462: a tree is grown, and a value is drawn from the leaf that a row falls into. Trees are pruned, and numbers are
drawn from a window: without that a leaf hands out what few patients have, and who they are can be told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from fhirsynth.schema import Feature

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Columns = Mapping[str, Floats]
"""Columns as numbers, all of the same length; missing is NaN."""
Random = np.random.Generator

SPIKE: Final = 0.1
"""A number that this share of those of a class with a value have (and as many as a leaf must hold) is nobody's own and
stays as it is. At 1 % every year of age stayed, and a classifier told members of 600 by their ages."""
LEAST_SPIKE: Final = 0.01
STANDS_OUT: Final = 10.0
"""So does a number that 1 % have, if they are so many times as many as usual for the numbers around it: a limit."""
AROUND: Final = 11
"""Numbers that are looked at for this, itself among them."""
LEVELS: Final = 16
"""Levels of a category that a tree tells apart when it is grown, the most frequent ones; more cost time and tell of
few. All levels are drawn."""
PRIOR_PATIENTS: Final = 10.0
"""Levels are sorted by their mean, drawn towards that of all as if so many more patients of no level were in each: one
patient's outcome is no reason to put a level at an end."""
CELLS: Final = 4
"""Patients between two knots of the quantiles, for every unit of smoothing, as a multiple of the root of the number of
patients beyond. With windows alone, a classifier told members by which numbers there are."""
MOST_LEAVES: Final = 5000
"""Of one tree, about: beyond so many, leaves get larger, as pruning takes the square of them."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How trees are grown.

    Parameters
    ----------
    floor
        Patients that a leaf holds, at least.
    penalty
        A split stays if it explains as much as so many patients of average spread: the penalty of a leaf in
        cost-complexity pruning (Breiman et al. 1984), in units of the variance of the column. 0: nothing is pruned.
    smoothing
        A number is drawn from between its next patients within the leaf, so many times the root of the leaf's size on
        either side, and from quantiles smoothed as much (:class:`Scale`); 0: patients' own numbers are handed out.
    """

    floor: int
    penalty: float
    smoothing: float


@dataclass(frozen=True, slots=True)
class Coding:
    """How one column becomes floats, and back.

    Parameters
    ----------
    feature
        The column.
    levels
        Of a category: what was seen, sorted; the code of a level is its place.
    known
        The distinct codes that were seen, sorted: numbers are their own code, flags 0 and 1.
    """

    feature: Feature
    levels: tuple[str, ...]
    known: Floats

    @classmethod
    def learn(cls, values: pd.Series[Any], feature: Feature) -> Coding:
        """Take note of what a column of the schema's dtype holds."""
        present = values.dropna()
        if feature.kind == "category":
            levels = tuple(sorted(map(str, present.unique())))
            return cls(feature, levels, np.arange(len(levels), dtype=np.float64))
        return cls(feature, (), np.unique(present.to_numpy(dtype=np.float64)))

    @property
    def measured(self) -> bool:
        """Whether it is a number or a count."""
        return self.feature.kind in {"number", "count"}

    def encode(self, values: pd.Series[Any]) -> Floats:
        """Codes, shape ``(n,)``; NaN where missing."""
        if self.feature.kind == "category":
            codes = {level: float(code) for code, level in enumerate(self.levels)}
            return np.array([codes.get(value, np.nan) for value in values.astype("object")], dtype=np.float64)
        return values.to_numpy(dtype=np.float64, na_value=np.nan)

    def decode(self, codes: Floats) -> pd.Series[Any]:
        """Values of the schema's dtype; numbers are rounded to their decimals."""
        kind, gone = self.feature.kind, np.isnan(codes)
        if kind == "number":
            return pd.Series(codes.round(self.feature.decimals))
        whole = np.where(gone, 0, np.rint(codes)).astype(np.int64)
        if kind == "count":
            return pd.Series(pd.arrays.IntegerArray(whole, gone))
        if kind == "flag":
            return pd.Series(pd.arrays.BooleanArray(whole == 1, gone))
        named = np.array([*self.levels, None], dtype=object)[np.where(gone, len(self.levels), whole)]
        return pd.Series(named, dtype="string")

    def targets(self, codes: Floats) -> Floats:
        """What a tree for this column is grown on where nothing is missing, shape ``(n, outputs)``.

        A number is its rank, so that neither tails nor units matter; a category, one indicator a level (squared error
        is then Gini's impurity).
        """
        if self.measured:
            from scipy.stats import rankdata

            return np.asarray(rankdata(codes)[:, None] / len(codes))
        counts = np.bincount(codes.astype(np.int64), minlength=2)
        told = np.argsort(-counts, kind="stable")[: min(LEVELS, len(counts) - 1)]
        return np.column_stack([(codes == level).astype(np.float64) for level in told])

    def position(self, codes: Floats) -> Floats:
        """The place of codes among those that were seen, in between where they lie in between.

        Trees are blind to units, so nothing is lost, and scikit-learn's single precision cannot merge large numbers.
        """
        if not len(self.known):
            return np.full(len(codes), np.nan)
        return np.asarray(np.interp(codes, self.known, np.arange(len(self.known), dtype=np.float64)))


def _is_spike(numbers: Floats, growth: Growth) -> Bools:
    """Whose number stays as it is, as so many have the same."""
    _, kind, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    share = counts / len(numbers)
    usual = pd.Series(counts).rolling(AROUND, center=True, min_periods=1).median().to_numpy()
    spike = (counts >= growth.floor) & ((share >= SPIKE) | ((share >= LEAST_SPIKE) & (counts >= STANDS_OUT * usual)))
    return np.asarray(spike[kind])


@dataclass(frozen=True, slots=True)
class Scale:
    """The quantiles of some patients' numbers, smoothed.

    Few of the patients are knots, and a monotone curve leads from one to the next, so that little of each patient is
    left. Knots are denser at the ends, so tails keep their shape, as they do not where windows are filled evenly.

    Parameters
    ----------
    numbers
        Those of all, sorted.
    knots
        Ranks whose quantiles are kept, from 0 to the number of patients.
    """

    numbers: Floats
    knots: Ints

    @classmethod
    def of(cls, numbers: Floats, growth: Growth) -> Scale:
        """Knots are as many patients apart at the ends as a leaf holds, and further the further in."""
        size, half = len(numbers), [0]
        while half[-1] < size // 2:
            half.append(half[-1] + max(growth.floor, round(CELLS * growth.smoothing * half[-1] ** 0.5)))
        inner = np.array([rank for rank in half if rank <= size // 2], dtype=np.int64)
        return cls(np.sort(numbers), np.unique(np.concatenate([inner, size - inner])))

    def rank(self, numbers: Floats, side: Literal["left", "right"]) -> Floats:
        """How many patients have a smaller number (``left``), or not a larger one (``right``)."""
        return np.searchsorted(self.numbers, numbers, side).astype(np.float64)

    def quantile(self, ranks: Floats) -> Floats:
        """Numbers at ranks from 0 to the number of patients."""
        from scipy.interpolate import PchipInterpolator

        at = self.numbers[np.minimum(self.knots, len(self.numbers) - 1)]
        curve = np.asarray(PchipInterpolator(self.knots, at)(ranks), dtype=np.float64)
        return np.clip(curve, at[0], at[-1])


Codings = Mapping[str, Coding]


@dataclass(frozen=True, slots=True)
class Leaves:
    """Patients by leaf: what one quantity is drawn from, given some columns.

    Parameters
    ----------
    before
        The columns that it is given, without those that nobody has.
    tree
        scikit-learn's; None where one leaf holds everybody.
    places
        For each category of ``before``: the place of every code in the order that splits go by.
    values, low, high
        Codes of the patients, leaf by leaf, and the ranks of ``scale`` that each is drawn between instead (NaN: it is
        handed out itself), shape ``(patients,)``.
    start, count
        First place and number of the patients of a leaf, by node of the tree.
    scale
        Of numbers that are smoothed.
    """

    before: tuple[str, ...]
    tree: Any
    places: Mapping[str, Floats]
    values: Floats
    low: Floats
    high: Floats
    start: Ints
    count: Ints
    scale: Scale | None

    @classmethod
    def grow(
        cls, codes: Floats, coding: Coding | None, before: Columns, codings: Codings, growth: Growth, seed: int
    ) -> Leaves:
        """Grow a tree for ``codes``, none missing, given the columns ``before``.

        Parameters
        ----------
        coding
            That of the codes; None for an indicator.
        codings
            Those of the columns before.
        seed
            Breaks ties between splits.
        """
        outcome = codes[:, None] if coding is None else coding.targets(codes)
        names = tuple(one for one in before if len(codings[one].known))
        places = {one: _order(before[one], len(codings[one].levels), outcome) for one in names if codings[one].levels}
        nodes, tree = np.zeros(len(codes), dtype=np.int64), None
        if names and len(codes) >= 2 * growth.floor and np.ptp(outcome, axis=0).any():
            matrix = _matrix(names, before, codings, places)
            tree = _tree(matrix, outcome, growth, seed)
            nodes = tree.apply(matrix).astype(np.int64)
        order = np.lexsort((codes, nodes))
        values, count = codes[order], np.bincount(nodes)
        low, high, scale = np.empty(0), np.empty(0), None
        if coding is not None and coding.measured and growth.smoothing > 0:
            free = ~_is_spike(values, growth)
            if free.any():
                scale = Scale.of(values[free], growth)
                low, high = _windows(values, nodes[order], free, scale, growth)
        return cls(names, tree, places, values, low, high, np.cumsum(count) - count, count, scale)

    def draw(self, columns: Columns, codings: Codings, size: int, random: Random) -> Floats:
        """One code for each of the ``size`` rows of ``columns``."""
        nodes = np.zeros(size, dtype=np.int64)
        if self.tree is not None and size:
            nodes = self.tree.apply(_matrix(self.before, columns, codings, self.places)).astype(np.int64)
        at = self.start[nodes] + (random.random(size) * self.count[nodes]).astype(np.int64)
        if self.scale is None:
            return self.values[at]
        ranks = self.low[at] + random.random(size) * (self.high[at] - self.low[at])
        return np.where(np.isnan(ranks), self.values[at], self.scale.quantile(np.nan_to_num(ranks)))


@dataclass(frozen=True, slots=True)
class Given:
    """One column given others: whether it is missing, and what it is where it is not.

    Each has its leaves, so one that a number is drawn from holds as many patients who have one as a leaf must.

    Parameters
    ----------
    gone
        Of 1 for missing and 0; None where all have a value, or nobody.
    value
        Of the codes of those who have one; None where nobody has.
    """

    gone: Leaves | None
    value: Leaves | None

    @classmethod
    def grow(
        cls, name: str, before: Sequence[str], columns: Columns, codings: Codings, growth: Growth, seed: int
    ) -> Given:
        """Grow the trees of ``name`` given the columns ``before`` on the patients of ``columns``."""
        codes, coding, others = columns[name], codings[name], {one: columns[one] for one in before}
        missing, gone, value = np.isnan(codes), None, None
        if missing.any() and not missing.all():
            gone = Leaves.grow(missing.astype(np.float64), None, others, codings, growth, seed)
        if not missing.all():
            present = {one: codes_[~missing] for one, codes_ in others.items()}
            value = Leaves.grow(codes[~missing], coding, present, codings, growth, seed)
        return cls(gone, value)

    def draw(self, columns: Columns, codings: Codings, size: int, random: Random) -> Floats:
        """One code for each of the ``size`` rows of ``columns``; NaN where it is missing."""
        if self.value is None:
            return np.full(size, np.nan)
        codes = self.value.draw(columns, codings, size, random)
        if self.gone is not None:
            codes = np.where(self.gone.draw(columns, codings, size, random) == 1, np.nan, codes)
        return codes


def _tree(matrix: npt.NDArray[np.float32], outcome: Floats, growth: Growth, seed: int) -> Any:
    from sklearn.tree import DecisionTreeRegressor

    return DecisionTreeRegressor(
        min_samples_leaf=max(growth.floor, len(outcome) // MOST_LEAVES),
        ccp_alpha=growth.penalty * float(outcome.var(axis=0).mean()) / len(outcome),
        random_state=seed % 2**32,
    ).fit(matrix, outcome)


def _matrix(
    before: Sequence[str], columns: Columns, codings: Codings, places: Mapping[str, Floats]
) -> npt.NDArray[np.float32]:
    """What trees see, shape ``(n, columns)``: places, NaN where missing (scikit-learn sends those to either side)."""
    made = np.empty((len(columns[before[0]]), len(before)), dtype=np.float32)
    for index, name in enumerate(before):
        codes = columns[name]
        if name in places:
            gone = np.isnan(codes)
            made[:, index] = np.where(gone, np.nan, places[name][np.where(gone, 0, codes).astype(np.int64)])
        else:
            made[:, index] = codings[name].position(codes)
    return made


def _order(codes: Floats, levels: int, outcome: Floats) -> Floats:
    """The place of every level when they are sorted by their mean of the output that differs most between them.

    For one output the best division of the levels into two is one of this order (Breiman et al. 1984, section 4.2),
    so that three hundred levels cost no more than a number.
    """
    present = ~np.isnan(codes)
    level, seen = codes[present].astype(np.int64), outcome[present]
    if not len(level):
        return np.arange(levels, dtype=np.float64)
    number, overall = np.bincount(level, minlength=levels), seen.mean(axis=0)
    sums = np.column_stack([np.bincount(level, weights=output, minlength=levels) for output in seen.T])
    means = (sums + PRIOR_PATIENTS * overall) / (number + PRIOR_PATIENTS)[:, None]
    most = int((number @ (means - overall) ** 2).argmax())
    places = np.empty(levels)
    places[np.argsort(means[:, most], kind="stable")] = np.arange(levels)
    return places


def _windows(values: Floats, nodes: Ints, free: Bools, scale: Scale, growth: Growth) -> tuple[Floats, Floats]:
    """Ranks that each of ``values``, sorted within ``nodes``, is drawn between; NaN for those that are not ``free``.

    A window spans the next patients of the leaf on either side. In ranks of all patients it is at least as wide as a
    leaf must be, so that a leaf in a dense place, or of equal numbers, gives no single patient's away.
    """
    own, node, last = values[free], nodes[free], float(len(scale.numbers))
    size = np.bincount(node)
    first = (np.cumsum(size) - size)[node]
    end, at, reach = first + size[node] - 1, np.arange(len(own)), max(1, growth.floor // 2)
    # Towards the ends of a leaf windows get smaller on both sides: otherwise its whole tail would reach the extremes.
    steps = np.minimum(np.minimum(at - first, end - at) + reach, np.ceil(growth.smoothing * np.sqrt(size[node])))
    down, up = np.maximum(at - steps, first).astype(np.int64), np.minimum(at + steps, end).astype(np.int64)
    low, high = np.full(len(values), np.nan), np.full(len(values), np.nan)
    low[free] = np.minimum(scale.rank(own[down], "left"), np.maximum(scale.rank(own, "left") - reach, 0))
    high[free] = np.maximum(scale.rank(own[up], "right"), np.minimum(scale.rank(own, "right") + reach, last))
    return low, high
