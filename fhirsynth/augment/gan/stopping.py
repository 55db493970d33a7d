"""How many steps to take: judged on rows that are held back, by what a simple model learns from made ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from fhirsynth.augment.gan.training import Matrix

CHECK: Final = 250
"""Steps between two looks."""

HELD: Final = 1 / 3
"""Share of each class that is held back."""

WIDTH: Final = 3
"""Neighbouring looks that are averaged: with eight cases held back, one alone is best by luck."""

Bools = npt.NDArray[np.bool_]


def held_back(cases: Bools, random: np.random.Generator) -> Bools:
    """Which rows are held back, shape (rows,): a third of each class."""
    held = np.zeros(len(cases), dtype=np.bool_)
    for case in (False, True):
        places = random.permutation(np.flatnonzero(cases == case))
        held[places[: round(HELD * len(places))]] = True
    return held


def usefulness(made: Matrix, made_cases: Bools, held: Matrix, held_cases: Bools) -> float:
    """How well made rows teach, from 0 to 1.

    With both classes: the AUC on rows held back of a logistic regression that learned from made ones. With one: how
    little such a regression can tell made rows from those held back.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    if len(np.unique(held_cases)) == 2:
        model = LogisticRegression(max_iter=1000).fit(made, made_cases)
        return float(roc_auc_score(held_cases, model.decision_function(held)))
    both, origin = np.concatenate([made, held]), np.repeat([0, 1], [len(made), len(held)])
    odd = np.arange(len(both)) % 2 == 1
    model = LogisticRegression(max_iter=1000).fit(both[odd], origin[odd])
    return 1 - abs(2 * float(roc_auc_score(origin[~odd], model.decision_function(both[~odd]))) - 1)


def best(scores: Mapping[int, float]) -> int:
    """The step around which scores were highest; the earliest of equals."""
    steps = sorted(scores)
    values = np.array([scores[step] for step in steps])
    around = [values[max(0, place - WIDTH // 2) : place + WIDTH // 2 + 1].mean() for place in range(len(values))]
    return steps[int(np.argmax(around))]
