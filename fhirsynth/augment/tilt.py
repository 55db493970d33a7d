"""Distributions from noisy counts: what is known of the noise is used, and no patient is looked at again.

All of this is work on what was released, so that it costs nothing of the budget of a private release.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fhirsynth.augment.levels import Levels

Floats = NDArray[np.float64]

DEGREE: Final = 4
"""Highest power of the rank that a class may differ from its base by; a factor falls with its power, as classes differ
in where their values lie rather than in wiggles."""
WORD: Final = 1.0
LEVEL: Final = 0.5
"""Standard deviations of the logarithm by which one word, or a level of numbers by itself, may differ."""
NEIGHBOURS: Final = 0.1
"""Share of a level that is spread to each of its neighbours: counts that noise took away come back."""
FLOOR: Final = 0.002
"""Share that is spread over all levels: none is impossible."""
GAPS: Final = 1.0
"""Standard deviations of the noise that the number of missing values must exceed for a column to have any."""


def share_out(noisy: Floats, total: float) -> Floats:
    """The probabilities that are nearest to ``noisy / total``: the most likely ones under Gaussian noise.

    Euclidean projection on the simplex (Held, Wolfe & Crowder 1974, https://doi.org/10.1007/BF01580223): what is
    within the noise of nothing becomes nothing.
    """
    ordered = np.sort(noisy)[::-1]
    offsets = (np.cumsum(ordered) - total) / np.arange(1, len(noisy) + 1)
    last = int(np.flatnonzero(ordered > offsets)[-1])
    kept: Floats = np.maximum(noisy - offsets[last], 0) / total
    return kept


def totals(tables: list[Floats], fewest: float = 1.0) -> Floats:
    """Rows of every class, ``(classes,)``: each column counts them, the better the fewer levels it has."""
    weights = np.array([1 / table.shape[1] for table in tables])
    sums = np.array([table.sum(axis=1) for table in tables])
    rows: Floats = np.maximum(weights @ sums / weights.sum(), fewest)
    return rows


def smooth(base: Floats, levels: Levels) -> Floats:
    """``base`` with something in every level but that of missing values."""
    result, valued = base.copy(), levels.valued
    if levels.edges:
        padded = np.concatenate([base[:1], base[:valued], base[valued - 1 : valued]])
        result[:valued] += NEIGHBOURS * (padded[:-2] + padded[2:] - 2 * base[:valued])
    result[:valued] += FLOOR / valued
    return _shares(result)


def without_gaps(base: Floats, missing: float, deviation: float, levels: Levels) -> Floats:
    """``base`` without missing values, where no more of them were counted than noise makes.

    Parameters
    ----------
    missing, deviation
        The noisy number of missing values and the standard deviation of its noise.
    """
    if not levels.feature.nullable or missing >= GAPS * deviation or base[: levels.valued].sum() <= 0:
        return base
    result = base.copy()
    result[levels.valued] = 0
    return _shares(result)


def tilted(noisy: Floats, total: float, base: Floats, levels: Levels, variance: float) -> Floats:
    """The distribution p ∝ base · exp(θ · f) that is most likely given the counts and θ ~ N(0, scale²).

    The f are powers of the rank of a number, orthonormal under ``base``, and every level by itself. The prior on θ lets
    a class differ from its base as far as its counts say so beyond their noise.

    Parameters
    ----------
    noisy, total
        Counts of the levels, ``(levels.size,)``, and their sum.
    variance
        Of the noise on each count; that of sampling comes on top.
    """
    from scipy.optimize import minimize

    functions, scales = _functions(base, levels)
    spread = variance + total * np.maximum(base, 1e-4)
    logs = np.log(np.maximum(base, 1e-12))

    def loss(theta: Floats) -> tuple[float, Floats]:
        found = _normal(logs + theta @ functions)
        miss = (noisy - total * found) / spread
        slope = -total * functions @ (found * (miss - found @ miss)) + theta / scales**2
        return float(((noisy - total * found) ** 2 / spread).sum() + ((theta / scales) ** 2).sum()) / 2, slope

    theta = minimize(loss, np.zeros(len(functions)), jac=True, method="L-BFGS-B").x
    return _shares(_normal(logs + theta @ functions) * (base > 0))


def _normal(logs: Floats) -> Floats:
    return _shares(np.exp(logs - logs.max()))


def _shares(weights: Floats) -> Floats:
    shares: Floats = weights / weights.sum()
    return shares


def _functions(base: Floats, levels: Levels) -> tuple[Floats, Floats]:
    """Functions of the level, ``(functions, levels.size)``, and the scale of the factor of each."""
    scale = WORD if levels.words else LEVEL
    scales = np.full(levels.size, scale)
    scales[levels.valued :] = WORD
    powers = _powers(base, levels)
    return np.concatenate([powers, np.eye(levels.size)]), np.concatenate([1 / np.arange(1, len(powers) + 1), scales])


def _powers(base: Floats, levels: Levels) -> Floats:
    """Powers of the rank of a number, orthonormal under ``base``, and 0 where it is missing."""
    here = (np.arange(levels.size) < levels.valued).astype(np.float64)
    held = base * here
    rank = 2 * (np.cumsum(held) - held / 2) / max(float(held.sum()), 1e-12) - 1
    found: list[Floats] = [here / max(float(np.sqrt(held.sum())), 1e-12)]
    for power in range(1, DEGREE + 1 if levels.edges else 1):
        function = here * rank**power
        rest = function - sum(((held * known) @ function) * known for known in found)
        norm = float(np.sqrt(held @ rest**2))
        if norm <= 1e-6:
            break
        found.append(rest / norm)
    return np.array(found[1:]).reshape(-1, levels.size)
