"""Classifiers that learn from synthetic and from real rows, and how sure one can be of what they reach.

Intervals hold two kinds of chance: which patients are in the holdout (paired stratified bootstrap), and which rows a
model happened to learn from (refits on random halves, whose spread is that of the whole: Politis, Romano & Wolf 1999,
https://doi.org/10.1007/978-1-4612-1554-7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fhirsynth.seeds import derive, rng
from fhirsynth.trilemma.encode import Encoder, flags
from fhirsynth.trilemma.intervals import Bools, Floats, Ints, auc, average_precision, bootstrap_curves
from fhirsynth.trilemma.samples import Samples
from fhirsynth.trilemma.threads import threads_for

HALVES = 6
"""Refits on random halves of the rows: their spread is then known to a third."""

LEAF, SHRINKAGE = 5, 1.0
"""Of boosted trees. With scikit-learn's leaves of twenty rows it is luck whether fifty cases can be split off at all:
average precision jumps between .3 and .7 from one training sample to the next; with these it does not."""

MODELS = {"logistic": "Logistic regression", "boosting": "Gradient boosting"}


@dataclass(frozen=True, slots=True)
class Learned:
    """What the classifiers, by name, say of the holdout, and their AUC and average precision over bootstrap draws.

    Rows of ``areas`` and ``precisions``: synthetic, then real, of one model after the other; ``areas_spread`` and
    ``precisions_spread`` are what they would differ by had the model learned from other rows of the same source.
    """

    labels: Bools
    real: dict[str, Floats]
    synthetic: dict[str, Floats]
    areas: Floats
    precisions: Floats
    areas_spread: Floats
    precisions_spread: Floats

    @property
    def order(self) -> list[Floats]:
        """The scores in the order of the rows of ``areas``."""
        return [one[name] for name in MODELS for one in (self.synthetic, self.real)]


def learn(samples: Samples, real: Mapping[str, Floats] | None = None) -> Learned:
    """Fit on synthetic and on real rows and score the holdout; ``real``: scores of the latter, if they are known."""
    target = str(samples.target)
    train, made, holdout = (
        frame[frame[target].notna()] for frame in (samples.train, samples.completed(prevalence=False), samples.holdout)
    )
    encoder = Encoder.fit(samples.train, samples.schema, skip={target})
    labels, test = flags(holdout[target]), encoder.transform(holdout)
    with threads_for(len(train)):
        arms = [
            _Arm.of(samples, name, encoder.transform(frame), flags(frame[target]), labels, test, known)
            for name, frame, known in (("synthetic", made, None), ("real", train, real))
        ]
    order = [arm.scores[name] for name in MODELS for arm in arms]
    areas, precisions = bootstrap_curves(labels, order, rng(samples.seed, "utility", len(labels)))
    spreads = np.array([arm.spread[name] for name in MODELS for arm in arms])
    return Learned(labels, arms[1].scores, arms[0].scores, areas, precisions, spreads[:, 0], spreads[:, 1])


@dataclass(frozen=True, slots=True)
class _Arm:
    """Scores of the holdout by model, and the spread of AUC and average precision over the rows that it learned."""

    scores: dict[str, Floats]
    spread: dict[str, tuple[float, float]]

    @classmethod
    def of(
        cls,
        samples: Samples,
        name: str,
        features: Floats,
        labels: Bools,
        asked: Bools,
        test: Floats,
        known: Mapping[str, Floats] | None,
    ) -> _Arm:
        if known is not None:
            return cls(dict(known), dict.fromkeys(MODELS, (0.0, 0.0)))
        generator = rng(samples.seed, "halves", name, len(labels))
        scores = {model: _predict(model, features, labels, test, samples.seed) for model in MODELS}
        spread = {}
        halves = [half for half in (_half(labels, generator) for _ in range(HALVES)) if half is not None]
        for model in MODELS:
            drawn = [_predict(model, features[half], labels[half], test, samples.seed) for half in halves]
            found = np.array([(auc(asked, one), average_precision(asked, one)) for one in drawn] or [(0.0, 0.0)] * 2)
            spread[model] = (float(found[:, 0].std(ddof=1)), float(found[:, 1].std(ddof=1)))
        return cls(scores, spread)


def _half(labels: Bools, generator: np.random.Generator) -> Ints | None:
    """A random half of the rows of each class; None where a class has hardly any."""
    parts = [np.flatnonzero(labels == value) for value in (False, True)]
    if min(map(len, parts)) < 4:
        return None
    return np.sort(np.concatenate([generator.choice(part, len(part) // 2, replace=False) for part in parts]))


def _predict(model: str, features: Floats, labels: Bools, test: Floats, seed: int) -> Floats:
    scores: Floats = fit(model, features, labels, seed).predict_proba(test)[:, 1]
    return scores


def fit(name: str, features: Floats, labels: Bools, seed: int, rounds: int = 100) -> Any:
    """A fitted classifier: ``logistic`` or ``boosting``."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    model: Any
    if name == "logistic":
        model = LogisticRegression(max_iter=5000)
    else:
        state = derive(seed, "boosting") % 2**32
        model = HistGradientBoostingClassifier(
            max_iter=rounds,
            early_stopping=False,
            min_samples_leaf=LEAF,
            l2_regularization=SHRINKAGE,
            random_state=state,
        )
    return model.fit(features, labels)
