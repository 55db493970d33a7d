"""Augmentation uplift: does a classifier find rare patients better when synthetic ones are put beside the real ones?

Every arm learns from the same real patients and adds positives of its own; how many is chosen inside train, and real
patients whom nothing has seen judge once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import pandas as pd

from fhirsynth.trilemma.intervals import DRAWS, Floats, interval
from fhirsynth.trilemma.learning import MODELS
from fhirsynth.trilemma.measure import Estimate, Uplift, UpliftArm, UpliftPoint
from fhirsynth.trilemma.samples import Samples
from fhirsynth.trilemma.threads import one_thread
from fhirsynth.trilemma.uplift.arms import Arm, build_arms
from fhirsynth.trilemma.uplift.trial import Choice, Key, Task, Trial, log_odds, means
from fhirsynth.trilemma.uplift.words import Facts, notes, sentence
from fhirsynth.trilemma.weighted import calibration, ranking, redraw
from synthea_bridge.engines import Mapper, Tell
from synthea_bridge.engines.local import LocalEngine
from synthea_bridge.progress import Progress, silent

PIECES: Final = 8
"""Of the bootstrap: in each all patients are drawn anew."""

ALONE: Final[Mapper] = LocalEngine()
"""This process."""


def measure_uplift(
    samples: Samples,
    generators: Mapping[str, pd.DataFrame],
    *,
    oracle: pd.DataFrame | None = None,
    weights: Floats | None = None,
    engine: Mapper = ALONE,
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
    engine
        Fits the models; the result is the same wherever that is.
    progress
        Is told how many pieces of that are done.

    Raises
    ------
    UsageError
        Without a target or a generator, where rows lack columns, or where weights do not fit the holdout.
    EvaluateError
        With fewer than ten patients of a class in train or holdout.
    WorkerError
        When a process or executor that fits is lost.
    """
    task = Task.of(samples, weights)
    made = build_arms(task.train, generators, oracle, samples.schema, task.target)
    pieces = task.splits + task.splits + task.draws + PIECES

    def tell(before: int, words: str) -> Tell:
        return lambda done: progress(int(before + done), pieces, f"augmentation uplift, {words}")

    progress(0, pieces, "augmentation uplift")
    alone = means(engine.each(Choice(task), task.splits, tell=tell(0, "choice of the model")))
    model = max(MODELS, key=lambda name: alone[name])
    trial = Trial(task, generators, oracle, model)
    found = engine.each(trial, trial.pieces, tell=tell(task.splits, "all ways to add cases"))
    inner = {("none", 0.0): alone[model], **means(one for one, _ in found[: task.splits])}
    scores: dict[Key, list[Floats]] = {}
    for _, draw in found[task.splits :]:
        for key, values in draw.items():
            scores.setdefault(key, []).append(values)
    chosen = {arm.name: max(arm.ratios, key=lambda ratio: inner[arm.name, ratio], default=0.0) for arm in made.arms}
    bootstrap = _Bootstrap(task, scores, set(chosen.items()), DRAWS)
    measured = engine.each(bootstrap, PIECES, tell=tell(task.splits + trial.pieces, "intervals"))
    figures = _Figures(dict(chain.from_iterable(map(dict.items, measured))))
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
class _Bootstrap:
    """The figures of some arms and ratios: pieces of work that know nothing of each other.

    A bootstrap draw takes patients anew and one of the draws of what is added, so that both vary as they do in one
    run. Patients are the same for all arms.

    Parameters
    ----------
    scores
        Of the holdout, by arm and ratio.
    chosen
        Of which there are more figures; these take the longest, and are dealt first.
    """

    task: Task
    scores: Mapping[Key, list[Floats]]
    chosen: set[Key]
    draws: int

    def __call__(self, number: int) -> dict[Key, Floats]:
        with one_thread():
            return self._of(number)

    def _of(self, number: int) -> dict[Key, Floats]:
        task = self.task
        keys = sorted(self.scores, key=lambda key: key not in self.chosen)[number::PIECES]
        found = {key: np.empty((5 if key in self.chosen else 3, 1 + self.draws)) for key in keys}
        for key, figures in found.items():
            points = [_measured(task, one, task.weights[None, :], full=key in self.chosen) for one in self.scores[key]]
            figures[:, 0] = np.mean(points, axis=0)[:, 0]
        for first, block in redraw(task.labels, task.weights, self.draws, task.rng("bootstrap")) if keys else ():
            for key, figures in found.items():
                several = self.scores[key]
                for draw, one in enumerate(several):
                    mine = np.flatnonzero((first + np.arange(len(block))) % len(several) == draw)
                    if len(mine):
                        figures[:, 1 + first + mine] = _measured(task, one, block[mine], full=key in self.chosen)
        return found


@dataclass(frozen=True, slots=True)
class _Figures:
    """By arm and ratio, shape (figures, 1 + draws): the mean over draws of what is added, then bootstrap draws.

    AUROC, average precision and recall; for chosen ratios also Brier, slope.
    """

    found: dict[Key, Floats]

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
