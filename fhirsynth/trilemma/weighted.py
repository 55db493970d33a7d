"""How well a classifier does on weighted patients, for many bootstrap draws at once. Arrays in, numbers out.

Sources: average precision as the sum of precision times steps of recall, Davis & Goadrich (2006),
https://doi.org/10.1145/1143844.1143874; Brier (1950); calibration slope, Cox (1958),
https://doi.org/10.1093/biomet/45.3-4.562, and Van Calster et al. (2016), https://doi.org/10.1016/j.jclinepi.2015.12.005.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import expit

from fhirsynth.trilemma.intervals import CELLS, Bools, Floats, resample

LOGIT = 14.0
"""Log-odds beyond which a prediction counts as certain: one in a million."""

STEEPEST = 20.0
"""Largest calibration slope that is told apart; where classes are wholly apart it would be infinite."""

STEPS = 60
"""Newton steps; about ten suffice unless the classes are nearly apart."""


def ranking(labels: Bools, scores: Floats, weights: Floats, specificity: float) -> Floats:
    """AUROC, average precision and recall at a specificity, tied scores taken together.

    Parameters
    ----------
    labels, scores
        Of n patients.
    weights
        Of every patient in every draw: an array of shape (draws, n), not negative, with both classes in each draw.
    specificity
        Recall is the largest share of positives above a threshold that at least this share of negatives lies below.

    Returns
    -------
    Floats
        An array of shape (3, draws).
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True)) + 1
    hit = labels[order]
    found, wrong = (_up_to(weights[:, order] * side, ends) for side in (hit, ~hit))
    new, bad = np.diff(found, axis=1), np.diff(wrong, axis=1)
    positives, negatives = found[:, -1], wrong[:, -1]
    area = (new * (negatives[:, None] - wrong[:, 1:] + bad / 2)).sum(axis=1) / (positives * negatives)
    above = found[:, 1:] + wrong[:, 1:]
    precision = (new * found[:, 1:] / np.where(above > 0, above, 1.0)).sum(axis=1) / positives
    # Sums of weights are not exact: a threshold that meets the specificity must not fail by rounding.
    allowed = wrong <= (1 - specificity) * negatives[:, None] * (1 + 1e-9)
    return np.stack([area, precision, (found * allowed).max(axis=1) / positives])


def _up_to(counts: Floats, ends: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Floats:
    sums = np.pad(counts.cumsum(axis=1), ((0, 0), (1, 0)))
    result: Floats = sums[:, np.concatenate([[0], ends])]
    return result


def calibration(labels: Bools, evidence: Floats, prior: float, weights: Floats) -> Floats:
    """Brier score and calibration slope, by draw.

    Parameters
    ----------
    labels, weights
        As in :func:`ranking`.
    evidence
        Log-odds of n patients at a prevalence of one half.
    prior
        Log-odds of the prevalence that predictions are for; added to ``evidence`` it gives their log-odds.

    Returns
    -------
    Floats
        An array of shape (2, draws).
    """
    error = (expit(evidence + prior) - labels) ** 2
    # A slope does not depend on the prior; at that of a rare disease nearly all predictions would be cut as certain.
    return np.stack([weights @ error / weights.sum(axis=1), slope(labels, evidence, weights)])


def slope(labels: Bools, logits: Floats, weights: Floats) -> Floats:
    """Coefficient of the logit in a logistic regression of the label on it, by draw; at most 20 either way.

    1 is right, less is overconfident. It does not depend on prevalence: a shift of all logits leaves it as it is.
    """
    x = np.clip(logits, -LOGIT, LOGIT)
    spread = float(x.std())
    if spread < 1e-9:
        return np.zeros(len(weights))
    scaled = weights / weights.mean(axis=1, keepdims=True)
    steep = _newton(labels, (x - x.mean()) / spread, scaled) / spread
    steep[_apart(labels, x, weights)] = STEEPEST
    bounded: Floats = np.clip(steep, -STEEPEST, STEEPEST)
    return bounded


def _newton(labels: Bools, x: Floats, weights: Floats) -> Floats:
    """The coefficient of ``x`` by draw. A step that makes the fit worse is halved: from afar a whole one overshoots."""
    positives, total = weights @ labels, weights.sum(axis=1)
    # So weak a pull towards 0 shows only where the classes are nearly apart and the slope has hardly a bound.
    ridge = 1e-6 * np.minimum(positives, total - positives)
    at = np.stack([np.log(positives / (total - positives)), np.zeros(len(weights))])
    loss, step = _derivatives(labels, x, weights, ridge, at)
    for _ in range(STEPS):
        trial = at + step
        found, next_step = _derivatives(labels, x, weights, ridge, trial)
        better = found <= loss + 1e-9 * np.abs(loss)
        at, loss = np.where(better, trial, at), np.where(better, found, loss)
        step = np.where(better, next_step, step / 2)
        if np.abs(step).max() < 1e-6:
            break
    coefficient: Floats = at[1]
    return coefficient


def _derivatives(labels: Bools, x: Floats, weights: Floats, ridge: Floats, at: Floats) -> tuple[Floats, Floats]:
    """What is minimised, by draw, and the Newton step from there, of shape (2, draws)."""
    logits = at[0][:, None] + at[1][:, None] * x
    share = expit(logits)
    loss = (weights * (np.logaddexp(0, logits) - labels * logits)).sum(axis=1) + ridge * at[1] ** 2 / 2
    rest, bend = weights * (labels - share), weights * share * (1 - share)
    first, second = rest.sum(axis=1), rest @ x - ridge * at[1]
    a, b, c = bend.sum(axis=1), bend @ x, bend @ x**2 + ridge
    determinant = np.maximum(a * c - b * b, 1e-300)
    return loss, np.stack([c * first - b * second, a * second - b * first]) / determinant


def _apart(labels: Bools, x: Floats, weights: Floats) -> Bools:
    """Draws in which no negative lies above a positive, so that the slope has no bound."""
    there = weights > 0
    lowest_hit = np.where(there & labels, x, np.inf).min(axis=1)
    lowest, highest = (
        fold(np.where(there & ~labels, x, end), axis=1) for fold, end in ((np.min, np.inf), (np.max, -np.inf))
    )
    highest_hit = np.where(there & labels, x, -np.inf).max(axis=1)
    apart: Bools = (highest <= lowest_hit) & (lowest < highest_hit)
    return apart


def redraw(labels: Bools, weights: Floats, draws: int, generator: np.random.Generator) -> Iterator[tuple[int, Floats]]:
    """Weights of patients in bootstrap draws that keep the number of positives and of negatives.

    Yields
    ------
    tuple
        The number of the first draw in a block, and the weights of the block: an array of shape (block, n).
    """
    size = max(1, CELLS // len(labels))
    for first in range(0, draws, size):
        block = np.empty((min(size, draws - first), len(labels)))
        for side in (labels, ~labels):
            block[:, side] = resample(int(side.sum()), len(block), generator) * weights[side]
        yield first, block
