"""The fits behind augmentation uplift: what is chosen inside train, and what is tested on the holdout.

Added positives make cases look commoner than they are; scores are put back by the ratio of odds: Elkan (2001),
https://dl.acm.org/doi/10.5555/1642194.1642224; Saerens et al. (2002), https://doi.org/10.1162/089976602753284446.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Self, TypeVar

import numpy as np
import pandas as pd

from fhirsynth.errors import EvaluateError, UsageError
from fhirsynth.seeds import derive, rng
from fhirsynth.trilemma.encode import Encoder, flags
from fhirsynth.trilemma.intervals import Bools, Floats, average_precision
from fhirsynth.trilemma.learning import MODELS, fit
from fhirsynth.trilemma.samples import Samples
from fhirsynth.trilemma.threads import one_thread
from fhirsynth.trilemma.uplift.arms import Arm, added, build_arms
from fhirsynth.trilemma.utility import MIN_POSITIVES

FOLDS = 3
"""Of the inner validation: with ten positives each part still has three to be found."""

REPEATS = 4
"""Of the inner validation, each with another split and other added rows: with few cases one alone chooses by luck."""

SEEDS = 5
"""Draws of the rows that an arm adds."""

ABOVE = 5
"""Negatives that must lie above the threshold of a specificity for it to mean anything."""

SPECIFICITIES = (0.95, 0.9, 0.8, 0.5)

Key = tuple[str, float]
"""Name of an arm, and a ratio."""

Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class Task:
    """Rows with the target known, and what each holdout row counts.

    Parameters
    ----------
    weighted
        Whether ``weights`` are those of the natural population.
    repeats, draws
        Of the inner validation, and of the rows that an arm adds.
    """

    train: pd.DataFrame
    holdout: pd.DataFrame
    samples: Samples
    target: str
    weights: Floats
    weighted: bool
    repeats: int
    draws: int

    @classmethod
    def of(cls, samples: Samples, weights: Floats | None) -> Self:
        """Take what can be used; ``weights`` of shape (holdout rows,), or None where each counts the same.

        Raises
        ------
        UsageError
            Without a target, or where weights do not fit the holdout.
        EvaluateError
            With fewer than ten patients of a class in train or holdout.
        """
        if samples.target is None:
            raise UsageError("uplift: no target was given (--target), so there is nothing to be predicted")
        counts = np.ones(len(samples.holdout)) if weights is None else np.asarray(weights, dtype=np.float64)
        if counts.shape != (len(samples.holdout),) or not np.isfinite(counts).all() or (counts < 0).any():
            raise UsageError(f"uplift: weights must be {len(samples.holdout)} numbers, one a holdout row, none below 0")
        # Who stands for nobody cannot be drawn: a bootstrap draw of such patients alone would say nothing.
        used = samples.holdout[samples.target].notna().to_numpy() & (counts > 0)
        train = samples.train[samples.train[samples.target].notna()]
        task = cls(
            train, samples.holdout[used], samples, samples.target, counts[used], weights is not None, REPEATS, SEEDS
        )
        task._check()
        return task

    def _check(self) -> None:
        weighted = " of a weight above 0" if self.weighted else ""
        for name, labels in (("the training rows hold", self.train_labels), ("the holdout holds", self.labels)):
            if min(labels.sum(), (~labels).sum()) < MIN_POSITIVES:
                raise EvaluateError(
                    f"uplift was not measured: {name} {labels.sum()} patients with '{self.target}' and "
                    f"{(~labels).sum()} without{weighted if name == 'the holdout holds' else ''}; "
                    f"{MIN_POSITIVES} of each are needed"
                )

    @property
    def train_labels(self) -> Bools:
        """Of train."""
        return flags(self.train[self.target])

    @property
    def labels(self) -> Bools:
        """Of the holdout."""
        return flags(self.holdout[self.target])

    @property
    def share(self) -> float:
        """Of positives in the holdout, weighted."""
        return float(np.average(self.labels, weights=self.weights))

    @property
    def prior(self) -> float:
        """The prevalence that predictions are put back to: the natural one where it is known, or that of train."""
        return self.share if self.weighted else float(self.train_labels.mean())

    @property
    def specificity(self) -> float:
        """The highest that so many negatives, in effect, can resolve."""
        weights = self.weights[~self.labels]
        effective = weights.sum() ** 2 / (weights**2).sum()
        return next((s for s in SPECIFICITIES if effective * (1 - s) >= ABOVE - 1e-9), SPECIFICITIES[-1])

    def rng(self, *path: str | int) -> np.random.Generator:
        """A stream of its own for ``path``."""
        return rng(self.samples.seed, "uplift", *path)

    @property
    def splits(self) -> int:
        """Of the inner validation."""
        return FOLDS * self.repeats

    def split(self, number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """A split of the inner validation: rows to learn from and rows to look at, all of train."""
        from sklearn.model_selection import RepeatedStratifiedKFold

        state = derive(self.samples.seed, "uplift", "folds") % 2**32
        folds = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=self.repeats, random_state=state)
        learn, look = next(islice(folds.split(self.train, self.train_labels), number, None))
        return self.train.iloc[learn], self.train.iloc[look]


@dataclass(frozen=True, slots=True)
class Bench:
    """Rows to learn from and rows to score, as numbers; nothing of the latter is used before they are scored."""

    positives: pd.DataFrame
    negatives: pd.DataFrame
    encoder: Encoder
    features: Floats
    test: Floats
    model: str
    seed: int

    @classmethod
    def of(cls, task: Task, model: str, learn: pd.DataFrame, test: pd.DataFrame) -> Self:
        """Split ``learn`` by class; scaling and categories are those of ``learn`` too."""
        labels = flags(learn[task.target])
        positives, negatives = learn[labels], learn[~labels]
        encoder = Encoder.fit(learn, task.samples.schema, skip={task.target})
        features = np.vstack([encoder.transform(positives), encoder.transform(negatives)])
        return cls(positives, negatives, encoder, features, encoder.transform(test), model, task.samples.seed)

    def score(self, extra: Floats | None = None, *, balanced: bool = False) -> Floats:
        """Log-odds of the rows to score, less the log-odds of the prevalence that was learned from.

        What is left is the evidence of a row for the condition, whatever the prevalence: to add the log-odds of any
        other prevalence gives the prediction there.
        """
        rows = self.features if extra is None else np.vstack([self.features, extra])
        labels = np.ones(len(rows), dtype=np.bool_)
        labels[len(self.positives) : len(self.features)] = False
        fitted = fit(self.model, rows, labels, self.seed)
        if balanced:
            fitted = fitted.set_params(class_weight="balanced").fit(rows, labels)
        learned = 0.5 if balanced else float(labels.mean())
        scores: Floats = fitted.decision_function(self.test) - log_odds(learned)
        return scores

    def sweep(self, arm: Arm, generator: np.random.Generator) -> Iterator[tuple[float, Floats]]:
        """The scores at each ratio of an arm; a larger ratio holds the rows of the smaller ones."""
        if arm.pool is not None:
            pool = self.encoder.transform(arm.pool(self.positives, self.negatives, generator))
            for ratio in arm.ratios:
                yield ratio, self.score(pool[: added(ratio, len(self.positives))])


def log_odds(share: float) -> float:
    """Of a share between 0 and 1, both excluded."""
    return float(np.log(share / (1 - share)))


def means(found: Iterable[Mapping[Name, float]]) -> dict[Name, float]:
    """The mean of each figure that all have."""
    several = list(found)
    return {name: float(np.mean([one[name] for one in several])) for name in several[0]}


@dataclass(frozen=True, slots=True)
class Choice:
    """Of the classifier, by real patients alone: each split of the inner validation is a piece of work."""

    task: Task

    def __call__(self, number: int) -> dict[str, float]:
        """Average precision of every classifier in a split."""
        learn, look = self.task.split(number)
        labels = flags(look[self.task.target])
        with one_thread():
            return {
                model: average_precision(labels, Bench.of(self.task, model, learn, look).score()) for model in MODELS
            }


@dataclass(frozen=True, slots=True)
class Trial:
    """Of all arms, with the classifier that was chosen: pieces of work that know nothing of each other.

    Parameters
    ----------
    generators, oracle
        As :func:`~fhirsynth.trilemma.uplift.arms.build_arms` takes them.
    """

    task: Task
    generators: Mapping[str, pd.DataFrame]
    oracle: pd.DataFrame | None
    model: str

    @property
    def pieces(self) -> int:
        """The splits of the inner validation, and after them the draws of what is added."""
        return self.task.splits + self.task.draws

    def __call__(self, number: int) -> tuple[dict[Key, float], dict[Key, Floats]]:
        """Average precision in a split, or scores of the holdout, by arm and ratio."""
        task = self.task
        arms = build_arms(task.train, self.generators, self.oracle, task.samples.schema, task.target).arms
        with one_thread():
            if number < task.splits:
                return self._inner(arms, number), {}
            return {}, self._holdout(arms, number - task.splits)

    def _inner(self, arms: tuple[Arm, ...], number: int) -> dict[Key, float]:
        learn, look = self.task.split(number)
        bench, labels = Bench.of(self.task, self.model, learn, look), flags(look[self.task.target])
        return {
            (arm.name, ratio): average_precision(labels, scores)
            for arm in arms
            for ratio, scores in bench.sweep(arm, self.task.rng(arm.name, "inner", number))
        }

    def _holdout(self, arms: tuple[Arm, ...], number: int) -> dict[Key, Floats]:
        """Ratio 0 adds nothing, and is there once."""
        bench = Bench.of(self.task, self.model, self.task.train, self.task.holdout)
        found: dict[Key, Floats] = {}
        for arm in arms:
            if arm.pool is None and number == 0:
                found[arm.name, 0.0] = bench.score(balanced=arm.balanced)
            for ratio, scores in bench.sweep(arm, self.task.rng(arm.name, "draw", number)):
                found[arm.name, ratio] = scores
        return found
