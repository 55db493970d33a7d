"""Intervals and tests that the measures share. Arrays in, numbers out; randomness is passed in.

Sources: stratified bootstrap percentile intervals, Efron & Tibshirani (1993), https://doi.org/10.1201/9780429246593;
score interval of a share, Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953; AUC as a rank statistic with
ties one half, Hanley & McNeil (1982), https://doi.org/10.1148/radiology.143.1.7063747; Holm (1979),
https://www.jstor.org/stable/4615733.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

DRAWS = 1000
"""Bootstrap draws: the 2.5 % quantile then rests on 25 of them."""

PERMUTATIONS = 2000
"""Smallest p-value 1/2001, well below every threshold that is used."""

CELLS = 1_000_000
"""Draws times patients that are held in memory at a time."""

Z95 = 1.959963984540054


def interval(draws: Floats) -> tuple[float, float]:
    """The 95 % percentile interval of bootstrap draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def wilson(successes: float, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share; ties counted one half may make ``successes`` fractional."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = successes / n, Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def auc(labels: Bools, scores: Floats) -> float:
    """Area under the ROC curve, ties counted one half."""
    positives = int(labels.sum())
    negatives = len(labels) - positives
    ranks = rankdata(scores)
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(labels: Bools, scores: Floats) -> float:
    """Area under the precision-recall curve as average precision, tied scores taken together."""
    hits, misses = (np.ones((1, int(side.sum())), dtype=np.int64) for side in (labels, ~labels))
    return float(_Tied.of(labels, scores).curves(hits, misses)[1][0])


def resample(n: int, draws: int, generator: np.random.Generator) -> Ints:
    """How often each of ``n`` patients is in each bootstrap draw: an array of shape (draws, n)."""
    chosen = generator.integers(0, n, (draws, n)) + np.arange(draws)[:, None] * n
    return np.bincount(chosen.ravel(), minlength=draws * n).reshape(draws, n)


def bootstrap_curves(
    labels: Bools, scores: Sequence[Floats], generator: np.random.Generator, draws: int = DRAWS
) -> tuple[Floats, Floats]:
    """AUC and average precision of several classifiers on the same bootstrap draws of patients.

    A draw keeps the number of positives and of negatives.

    Returns
    -------
    tuple
        Two arrays of shape (classifiers, draws): paired, so that ratios can be formed draw by draw.
    """
    groups = [_Tied.of(labels, one) for one in scores]
    areas, precisions = np.empty((len(groups), draws)), np.empty((len(groups), draws))
    step = max(1, CELLS // len(labels))
    for first in range(0, draws, step):
        part = slice(first, min(first + step, draws))
        size = part.stop - first
        hits, misses = (resample(int(side.sum()), size, generator) for side in (labels, ~labels))
        for row, group in enumerate(groups):
            areas[row, part], precisions[row, part] = group.curves(hits, misses)
    return areas, precisions


@dataclass(frozen=True, slots=True)
class _Tied:
    """Patients in order of falling score; equal scores are one group. ``ends``: its last patient, by class."""

    hits: Ints
    misses: Ints
    hit_ends: Ints
    miss_ends: Ints

    @classmethod
    def of(cls, labels: Bools, scores: Floats) -> _Tied:
        code = np.unique(-scores, return_inverse=True)[1]
        size = int(code.max()) + 1
        sides = [code[labels], code[~labels]]
        ends = [np.bincount(side, minlength=size).cumsum() for side in sides]
        return cls(np.argsort(sides[0], kind="stable"), np.argsort(sides[1], kind="stable"), ends[0], ends[1])

    def curves(self, hits: Ints, misses: Ints) -> tuple[Floats, Floats]:
        """AUC and average precision by draw, from how often each positive and each negative was drawn."""
        found, wrong = _up_to(hits[:, self.hits], self.hit_ends), _up_to(misses[:, self.misses], self.miss_ends)
        new, bad = np.diff(found, axis=1), np.diff(wrong, axis=1)
        found, wrong = found[:, 1:], wrong[:, 1:]
        positives, negatives = found[:, -1], wrong[:, -1]
        area = (new * (negatives[:, None] - wrong + bad / 2)).sum(axis=1) / (positives * negatives)
        precision = (new * found / np.maximum(found + wrong, 1)).sum(axis=1) / positives
        return area, precision


def _up_to(counts: Ints, ends: Ints) -> Ints:
    """Sums over the first 0, ``ends[0]``, ``ends[1]``, … columns."""
    sums = np.pad(counts.cumsum(axis=1), ((0, 0), (1, 0)))
    result: Ints = sums[:, np.concatenate([[0], ends])]
    return result


@dataclass(frozen=True, slots=True)
class StratifiedAuc:
    """AUC of members against non-members within strata, so that a different mix of strata is no signal.

    Parameters
    ----------
    value, low, high
        The average over strata, weighted by the number of pairs, and its bootstrap interval.
    p
        One-sided permutation p-value against 0.5.
    spread
        Standard deviation of the AUC when membership means nothing.
    """

    value: float
    low: float
    high: float
    p: float
    spread: float


def stratified_auc(
    member: Bools, scores: Floats, strata: Bools, generator: np.random.Generator, permutations: int = PERMUTATIONS
) -> StratifiedAuc | None:
    """Compare scores of members and non-members; None when no stratum has both."""
    parts = [strata == level for level in (False, True)]
    parts = [part for part in parts if member[part].any() and not member[part].all()]
    if not parts:
        return None
    pairs = np.array([member[part].sum() * (~member[part]).sum() for part in parts], dtype=np.float64)
    weights = pairs / pairs.sum()
    value, null, draws = 0.0, np.zeros(permutations), np.zeros(DRAWS)
    for part, weight in zip(parts, weights, strict=True):
        value += weight * auc(member[part], scores[part])
        null += weight * _permuted(member[part], scores[part], generator, permutations)
        draws += weight * bootstrap_curves(member[part], [scores[part]], generator)[0][0]
    p = float((1 + (null >= value - 1e-12).sum()) / (permutations + 1))
    low, high = interval(draws)
    return StratifiedAuc(float(value), low, high, p, float(null.std()))


def _permuted(member: Bools, scores: Floats, generator: np.random.Generator, permutations: int) -> Floats:
    ranks, inside = rankdata(scores), int(member.sum())
    offset, pairs = inside * (inside + 1) / 2, inside * (len(member) - inside)
    result = np.empty(permutations)
    step = max(1, CELLS // len(ranks))
    for first in range(0, permutations, step):
        rows = np.broadcast_to(ranks, (min(step, permutations - first), len(ranks)))
        result[first : first + step] = (generator.permuted(rows, axis=1)[:, :inside].sum(axis=1) - offset) / pairs
    return result


def relabelled(member: Bools, generator: np.random.Generator, draws: int) -> Iterator[Floats]:
    """Blocks of shape (draws, rows) of 0 and 1: who is called a member when membership means nothing."""
    step = max(1, CELLS // len(member))
    row = member.astype(np.float64)
    for first in range(0, draws, step):
        yield generator.permuted(np.broadcast_to(row, (min(step, draws - first), len(row))), axis=1)


def holm(p: Floats) -> Floats:
    """Holm's adjusted p-values: controls the chance of a single false alarm over all columns."""
    order = np.argsort(p)
    scaled = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted
