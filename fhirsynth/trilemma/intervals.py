"""Intervals and tests that the measures share. Arrays in, numbers out; randomness is passed in.

Sources: stratified bootstrap percentile intervals, Efron & Tibshirani (1993), https://doi.org/10.1201/9780429246593;
score interval of a share, Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953; AUC as a rank statistic with
ties one half, Hanley & McNeil (1982), https://doi.org/10.1148/radiology.143.1.7063747; Holm (1979),
https://www.jstor.org/stable/4615733.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    codes = np.unique(-scores, return_inverse=True)[1]
    return _precision(_counts(codes[labels]), _counts(codes[~labels]))


def resample(labels: Bools, generator: np.random.Generator) -> Ints:
    """Indices of a bootstrap draw that keeps the number of positives and of negatives."""
    parts = [np.flatnonzero(labels), np.flatnonzero(~labels)]
    return np.concatenate([part[generator.integers(0, len(part), len(part))] for part in parts])


def bootstrap_curves(
    labels: Bools, scores: Sequence[Floats], generator: np.random.Generator, draws: int = DRAWS
) -> tuple[Floats, Floats]:
    """AUC and average precision of several classifiers on the same bootstrap draws of patients.

    Returns
    -------
    tuple
        Two arrays of shape (classifiers, draws): paired, so that ratios can be formed draw by draw.
    """
    codes = [np.unique(-one, return_inverse=True)[1] for one in scores]
    areas, precisions = np.empty((len(codes), draws)), np.empty((len(codes), draws))
    positives = int(labels.sum())
    for draw in range(draws):
        index = resample(labels, generator)
        for row, code in enumerate(codes):
            chosen, size = code[index], int(code.max()) + 1
            hits, misses = _counts(chosen[:positives], size), _counts(chosen[positives:], size)
            below = misses.sum() - misses.cumsum()
            areas[row, draw] = (hits * (below + misses / 2)).sum() / (hits.sum() * misses.sum())
            precisions[row, draw] = _precision(hits, misses)
    return areas, precisions


def _counts(codes: Ints, size: int = 0) -> Floats:
    return np.bincount(codes, minlength=size).astype(np.float64)


def _precision(hits: Floats, misses: Floats) -> float:
    size = max(len(hits), len(misses))
    hits, misses = np.pad(hits, (0, size - len(hits))), np.pad(misses, (0, size - len(misses)))
    found = hits.cumsum()
    seen = np.maximum(found + misses.cumsum(), 1)
    return float((hits / hits.sum() * found / seen).sum())


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
    for index in range(permutations):
        result[index] = (generator.permutation(ranks)[:inside].sum() - offset) / pairs
    return result


def holm(p: Floats) -> Floats:
    """Holm's adjusted p-values: controls the chance of a single false alarm over all columns."""
    order = np.argsort(p)
    scaled = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted
