"""Augmentation uplift: does a classifier find rare patients better when synthetic ones are put beside the real ones?

Every arm learns from the same real patients and adds positives of its own; how many is chosen inside train, and real
patients whom nothing has seen judge once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from fhirsynth.trilemma.intervals import DRAWS, Floats, interval
from fhirsynth.trilemma.learning import MODELS
from fhirsynth.trilemma.measure import Estimate, Uplift, UpliftArm, UpliftPoint
from fhirsynth.trilemma.samples import Samples
from fhirsynth.trilemma.threads import threads_for
from fhirsynth.trilemma.uplift.arms import Arm, build_arms
from fhirsynth.trilemma.uplift.trial import Key, Steps, Task, fits, holdout_scores, inner_alone, inner_arms, log_odds
from fhirsynth.trilemma.uplift.words import Facts, notes, sentence
from fhirsynth.trilemma.weighted import calibration, ranking, redraw
from synthea_bridge.progress import Progress, silent


def measure_uplift(
    samples: Samples,
    generators: Mapping[str, pd.DataFrame],
    *,
    oracle: pd.DataFrame | None = None,
    weights: Floats | None = None,
    progress: Progress = silent,
) -> Uplift:
    """Compare real patients alone with ways to help them, synthetic positives among these.

    Parameters
    ----------
    samples
        Train and holdout, the schema, the target and the seed; its synthetic rows count only where ``generators``
        holds them.
    generators
        Synthetic rows with the schema's columns, by name of what made them; only positives of the target are added.
        The sentence is about the first.
    oracle
        A fresh real draw with the schema's columns; its positives show what further real patients would bring.
    weights
        How many people each row of the holdout stands for, shape (rows,), so that prevalence is the natural one;
        None: every row counts the same.
    progress
        Is told how many models have been fitted.

    Raises
    ------
    UsageError
        Without a target or a generator, where rows lack columns, or where weights do not fit the holdout.
    EvaluateError
        With fewer than ten patients of a class in train or holdout.
    """
    task = Task.of(samples, weights)
    made = build_arms(task.train, generators, oracle, samples.schema, task.target)
    steps = Steps(progress, fits(made.arms))
    with threads_for(len(task.train)):
        alone = {model: inner_alone(task, model, steps) for model in MODELS}
        model = max(MODELS, key=lambda name: alone[name])
        inner = {("none", 0.0): alone[model], **inner_arms(task, model, made.arms, steps)}
        scores = holdout_scores(task, model, made.arms, steps)
    chosen = {arm.name: max(arm.ratios, key=lambda ratio: inner[arm.name, ratio], default=0.0) for arm in made.arms}
    figures = _Figures.of(task, scores, set(chosen.items()))
    steps.end()
    positives = int(task.train_labels.sum())
    draft = Uplift(
        model=MODELS[model],
        positives=positives,
        negatives=len(task.train) - positives,
        holdout=len(task.labels),
        holdout_positives=int(task.labels.sum()),
        prevalence=task.share,
        specificity=task.specificity,
        arms=tuple(figures.arm(arm, chosen) for arm in made.arms),
        curve=tuple(_curve(figures, made.arms)),
        sentence="",
    )
    facts = Facts(
        generators=made.generators,
        made=made.notes,
        alone={MODELS[name]: alone[name] for name in MODELS},
        inner=inner,
        prior=task.prior,
        weighted=task.weighted,
    )
    return draft.model_copy(update={"sentence": sentence(draft, facts), "notes": notes(draft, facts)})


@dataclass(frozen=True, slots=True)
class _Figures:
    """By arm and ratio, shape (figures, 1 + draws): the mean over draws of what is added, then bootstrap draws.

    A bootstrap draw takes patients anew and one of the draws of what is added, so that both vary as they do in one
    run. Patients are the same for all arms. AUROC, average precision and recall; for chosen ratios also Brier, slope.
    """

    found: dict[Key, Floats]

    @classmethod
    def of(cls, task: Task, scores: Mapping[Key, list[Floats]], chosen: set[Key]) -> Self:
        found = {key: np.empty((5 if key in chosen else 3, 1 + DRAWS)) for key in scores}
        for key, several in scores.items():
            points = [_measured(task, one, task.weights[None, :], full=key in chosen) for one in several]
            found[key][:, 0] = np.mean(points, axis=0)[:, 0]
        for first, block in redraw(task.labels, task.weights, DRAWS, task.rng("bootstrap")):
            for key, several in scores.items():
                for number, one in enumerate(several):
                    mine = np.flatnonzero((first + np.arange(len(block))) % len(several) == number)
                    if len(mine):
                        measured = _measured(task, one, block[mine], full=key in chosen)
                        found[key][:, 1 + first + mine] = measured
        return cls(found)

    def arm(self, arm: Arm, chosen: Mapping[str, float]) -> UpliftArm:
        """The figures of an arm at its ratio, with its gain over real patients alone."""
        rows = self.found[arm.name, chosen[arm.name]]
        names = ("auroc", "auprc", "recall", "brier", "slope")
        figures: dict[str, Any] = {name: _estimate(row) for name, row in zip(names, rows, strict=True)}
        if arm.name != "none":
            gain = rows[1] - self.found["none", 0.0][1]
            figures["gain"], figures["gap_closed"] = _estimate(gain), self._closed(arm.name, gain, chosen)
        return UpliftArm(name=arm.name, title=arm.title, ratio=chosen[arm.name], **figures)

    def _closed(self, name: str, gain: Floats, chosen: Mapping[str, float]) -> Estimate | None:
        if "oracle" not in chosen:
            return None
        whole = self.found["oracle", chosen["oracle"]][1] - self.found["none", 0.0][1]
        low, high = interval(whole[1:])
        if low <= 0:
            return None
        if name == "oracle":
            return Estimate(value=1.0, low=1.0, high=1.0)
        # The few draws of patients in which the oracle gains next to nothing would make the share of any size.
        return _estimate(gain / np.clip(whole, low, high))


def _measured(task: Task, scores: Floats, weights: Floats, *, full: bool) -> Floats:
    ranks = ranking(task.labels, scores, weights, task.specificity)
    if not full:
        return ranks
    return np.vstack([ranks, calibration(task.labels, scores, log_odds(task.prior), weights)])


def _estimate(row: Floats) -> Estimate:
    low, high = interval(row[1:])
    return Estimate(value=float(row[0]), low=low, high=high)


def _curve(figures: _Figures, arms: tuple[Arm, ...]) -> Iterator[UpliftPoint]:
    """Average precision at every ratio of every arm that has any, from none added."""
    for arm in arms:
        for ratio in (0.0, *arm.ratios) if arm.ratios else ():
            one = _estimate(figures.found[(arm.name, ratio) if ratio else ("none", 0.0)][1])
            yield UpliftPoint(arm=arm.name, ratio=ratio, auprc=one.value, low=one.low, high=one.high)
