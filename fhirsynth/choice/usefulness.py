"""How much made rows teach, judged on training patients that their generator has not seen.

With cases and others: average precision of a classifier that learned from made cases beside real others, as a share of
what as many real cases in their place reach. With one class alone there is nothing to find, and it counts how little a
classifier can tell made rows from real ones (two-sample test: Lopez-Paz & Oquab 2017, https://arxiv.org/abs/1610.06545).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import numpy as np
import pandas as pd

from fhirsynth.schema import FeatureSchema
from fhirsynth.seeds import derive, rng
from fhirsynth.trilemma.encode import Encoder, flags
from fhirsynth.trilemma.intervals import Bools, Floats, auc, average_precision, bootstrap_curves, interval
from fhirsynth.trilemma.learning import MODELS, fit

SIGNAL: Final = 0.1
"""Average precision above chance below which real cases teach nothing that could be a share of."""

FOLDS: Final = 5
"""Of the two-sample test."""

ROUNDS: Final = 40
"""Boosting rounds of it, as the fidelity of a report has them."""


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to learn from and rows to look at, no patient in both; indices count from 0 in each."""

    learn: pd.DataFrame
    look: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Reached:
    """What the rows of one source reach.

    Parameters
    ----------
    values, areas
        The figure that decides and the AUC, of shape (splits,).
    draws
        The figure over bootstrap draws of the rows that are looked at, of shape (splits, draws); the same rows are
        drawn for every source, so that differences can be formed draw by draw.
    """

    values: Floats
    areas: Floats
    draws: Floats

    @classmethod
    def over(cls, splits: Sequence[Reached]) -> Self:
        """Several splits as one."""
        return cls(*(np.concatenate([getattr(one, name) for one in splits]) for name in ("values", "areas", "draws")))

    @property
    def value(self) -> float:
        """The figure, over all splits."""
        return float(self.values.mean())

    def error(self, other: Reached) -> float:
        """Standard error of the difference to another source: of who is looked at, and of who is learned from."""
        looked = (self.draws.mean(axis=0) - other.draws.mean(axis=0)).var()
        learned = (self.values - other.values).var(ddof=1) / len(self.values) if len(self.values) > 1 else 0.0
        return float(np.sqrt(looked + learned))


@dataclass(frozen=True, slots=True)
class Share:
    """The figure above chance, as a share of that of real rows, with its 95 % interval."""

    value: float
    low: float
    high: float


class Judge(Protocol):
    """Something that made rows are judged by."""

    @property
    def where(self) -> Mapping[str, Any] | None:
        """What rows a generator is asked for."""
        ...

    def size(self, number: int) -> int:
        """How many rows are judged at a time in a split."""
        ...

    def reached(self, number: int, sets: Sequence[pd.DataFrame]) -> Reached:
        """What sets of made rows reach on average in the split ``number``."""
        ...

    def share(self, found: Reached) -> Share | None:
        """How much of what real rows reach; None where these reach nothing either."""
        ...

    def words(self, found: Reached) -> str:
        """The same as the second half of a sentence, after the name of the generator."""
        ...


@dataclass(frozen=True, slots=True)
class _Bench:
    """One split as numbers, for classifiers: real others and cases to learn from, and what is looked at."""

    encoder: Encoder
    others: Floats
    cases: Floats
    look: Floats
    labels: Bools

    @classmethod
    def of(cls, split: Split, schema: FeatureSchema, target: str) -> Self:
        case = flags(split.learn[target])
        encoder = Encoder.fit(split.learn, schema, skip={target})
        rows = encoder.transform(split.learn)
        return cls(encoder, rows[~case], rows[case], encoder.transform(split.look), flags(split.look[target]))

    def scores(self, model: str, cases: Floats, seed: int) -> Floats:
        rows = np.vstack([cases, self.others])
        fitted = fit(model, rows, np.arange(len(rows)) < len(cases), seed)
        scores: Floats = fitted.predict_proba(self.look)[:, 1]
        return scores


@dataclass(frozen=True, slots=True)
class Finding:
    """Judge of made cases, by how well a classifier that learned from them finds real ones.

    Parameters
    ----------
    target
        The flag of the cases.
    model
        The classifier, of :data:`fhirsynth.trilemma.learning.MODELS`: the one that does better with real cases.
    real
        What real cases reach.
    """

    target: str
    model: str
    real: Reached
    benches: tuple[_Bench, ...]
    seed: int

    @classmethod
    def of(cls, splits: Sequence[Split], schema: FeatureSchema, target: str, seed: int) -> Self:
        """See which classifier to use, and what real cases reach."""
        benches = tuple(_Bench.of(split, schema, target) for split in splits)
        found = {
            model: Reached.over([_found(bench, model, [bench.cases], seed, n) for n, bench in enumerate(benches)])
            for model in MODELS
        }
        model = max(found, key=lambda name: found[name].value)
        return cls(target, model, found[model], benches, seed)

    @property
    def where(self) -> Mapping[str, Any]:
        """Cases."""
        return {self.target: True}

    @property
    def chance(self) -> float:
        """Average precision of a guess."""
        return float(np.mean([bench.labels.mean() for bench in self.benches]))

    def size(self, number: int) -> int:
        """As many as the real cases in whose place they are put."""
        return len(self.benches[number].cases)

    def reached(self, number: int, sets: Sequence[pd.DataFrame]) -> Reached:
        """Average precision and AUC on the rows that are looked at."""
        bench = self.benches[number]
        return _found(bench, self.model, [bench.encoder.transform(rows) for rows in sets], self.seed, number)

    def share(self, found: Reached) -> Share | None:
        """Of the average precision above chance."""
        if self.real.value < self.chance + SIGNAL:
            return None
        real = np.maximum(self.real.draws.mean(axis=0) - self.chance, 1e-9)
        low, high = interval((found.draws.mean(axis=0) - self.chance) / real)
        return Share((found.value - self.chance) / (self.real.value - self.chance), low, high)

    def words(self, found: Reached) -> str:
        """Share and figures."""
        share = self.share(found)
        figures = f"average precision {found.value:.2f}, with real cases {self.real.value:.2f}"
        if share is None:
            return f"real cases themselves teach hardly anything here ({figures}, by chance {self.chance:.2f})"
        return f"its cases teach {share.value:.0%} of what as many real ones do ({figures})"


def _found(bench: _Bench, model: str, cases: Sequence[Floats], seed: int, number: int) -> Reached:
    scores = [bench.scores(model, rows, seed) for rows in cases]
    _, drawn = bootstrap_curves(bench.labels, scores, rng(seed, "looked at", number))
    values = np.mean([average_precision(bench.labels, one) for one in scores])
    areas = np.mean([auc(bench.labels, one) for one in scores])
    return Reached(np.array([values]), np.array([areas]), drawn.mean(axis=0)[None, :])


@dataclass(frozen=True, slots=True)
class Telling:
    """Judge of rows of one class, by how little a classifier tells them from real ones: 1 not at all, 0 for certain."""

    splits: tuple[Split, ...]
    schema: FeatureSchema
    seed: int

    @property
    def where(self) -> None:
        """Whatever the generator makes."""
        return

    def size(self, number: int) -> int:
        """As many as are looked at, so that chance is one half."""
        return len(self.splits[number].look)

    def reached(self, number: int, sets: Sequence[pd.DataFrame]) -> Reached:
        """Twice the distance of the AUC from 1, where it is above one half."""
        parts = [self._told(number, rows) for rows in sets]
        areas, draws = np.array([part[0] for part in parts]), np.array([part[1] for part in parts])
        values = _unlike(areas)
        return Reached(np.array([values.mean()]), np.array([areas.mean()]), _unlike(draws).mean(axis=0)[None, :])

    def share(self, found: Reached) -> Share:
        """The figure itself: other real rows could not be told at all."""
        return Share(found.value, *interval(found.draws.mean(axis=0)))

    def words(self, found: Reached) -> str:
        """The AUC."""
        return f"a classifier tells its rows from real ones with an AUC of {found.areas.mean():.2f} (by chance 0.50)"

    def _told(self, number: int, rows: pd.DataFrame) -> tuple[float, Floats]:
        from sklearn.model_selection import StratifiedKFold

        both = pd.concat([self.splits[number].look, rows], ignore_index=True)
        features = Encoder.fit(both, self.schema).transform(both)
        labels = np.arange(len(both)) >= len(both) - len(rows)
        state = derive(self.seed, "told", number) % 2**32
        scores = np.zeros(len(both))
        for learn, look in StratifiedKFold(FOLDS, shuffle=True, random_state=state).split(features, labels):
            model = fit("boosting", features[learn], labels[learn], state, rounds=ROUNDS)
            scores[look] = model.predict_proba(features[look])[:, 1]
        areas, _ = bootstrap_curves(labels, [scores], rng(self.seed, "looked at", number))
        return auc(labels, scores), areas[0]


def _unlike(areas: Floats) -> Floats:
    figure: Floats = np.clip(2 * (1 - areas), 0.0, 1.0)
    return figure
