"""Generators on trial: each learns from two thirds of the training patients and is judged by the last third.

Three times, so that every training patient is looked at once; the holdout is never touched. What a trial costs is
bounded: so many rows, so many steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import pandas as pd

from fhirsynth.augment.protocol import Synthesizer
from fhirsynth.augment.registry import TAKE_PRIOR, check_available, model_class
from fhirsynth.choice.decision import Tried
from fhirsynth.choice.remembering import Remembered
from fhirsynth.choice.usefulness import Finding, Judge, Reached, Split, Telling
from fhirsynth.constraints import ConstraintSet
from fhirsynth.errors import AugmentError, CohortError, ExtraMissing
from fhirsynth.schema import FeatureSchema
from fhirsynth.seeds import derive, rng
from fhirsynth.trilemma.encode import flags
from fhirsynth.trilemma.intervals import Bools, Ints
from fhirsynth.trilemma.threads import threads_for
from synthea_bridge.progress import Progress, silent

SPLITS: Final = 3
"""Thirds: with 25 cases each still has eight to be found, and all are looked at once."""

SETS: Final = 2
"""Sets of made rows that are judged in a split: which rows a generator happens to draw matters as much as who is looked
at. Privacy is attacked on all of them, as more rows give more away."""

FEWEST: Final = 6
"""Cases, or others, below which a third holds fewer than two."""

FEWEST_ROWS: Final = 60
"""Rows without a condition: what models need at least, and a third to look at."""

CASES: Final = 1_500
OTHERS: Final = 4_500
"""Rows of each class that a trial uses, of more at random: average precision on 500 cases is known to two points, and
more rows would cost minutes without deciding anything. The model that is chosen learns from all."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The splits, and what is looked for in them.

    Parameters
    ----------
    target
        The flag of the cases; None where one class is all there is, and made rows are judged by how real they look.
    rows
        How many rows are used.
    """

    schema: FeatureSchema
    target: str | None
    splits: tuple[Split, ...]
    judge: Judge
    rows: int
    seed: int

    @classmethod
    def of(cls, rows: pd.DataFrame, schema: FeatureSchema, seed: int) -> Self:
        """Split training rows of the schema.

        Raises
        ------
        CohortError
            When there are too few.
        """
        target = schema.condition.column if schema.condition is not None else None
        cases = flags(rows[target]) if target is not None else np.zeros(len(rows), dtype=np.bool_)
        if target is not None and int((~cases).sum()) < FEWEST:
            target = None
        _check(len(rows), int(cases.sum()) if target else None)
        kept = _thinned(cases, rng(seed, "thin"))
        splits = _split(rows.iloc[kept], cases[kept], seed)
        with threads_for(0):
            judge: Judge = Telling(splits, schema, seed) if target is None else Finding.of(splits, schema, target, seed)
        return cls(schema, target, splits, judge, len(kept), seed)

    def tried(self, name: str, prior: pd.DataFrame | None, steps: int | None, progress: Progress) -> Tried:
        """Try one model. ``progress`` is told of every split; what goes wrong is a reason to leave it out, no error."""
        useful, remembered = [], []
        try:
            check_available(name)
            for number, split in enumerate(self.splits):
                progress(number, len(self.splits), f"try {name}, {number + 1} of {len(self.splits)}")
                made = self._made(name, number, split, prior, steps)
                with threads_for(0):
                    seed = derive(self.seed, "attack", number)
                    remembered.append(Remembered.of(split, made, self.schema, self.target, seed))
                    useful.append(self.judge.reached(number, _sets(made)))
        except ExtraMissing as error:
            return Tried(name, reason=f"is not installed ({str(error).partition('; ')[2]})")
        except (AugmentError, CohortError) as error:
            return Tried(name, reason=f"failed: {error}")
        kept = Remembered.over(remembered)
        reason = f"remembers patients: {kept.words}" if kept.verdict == "FAIL" else ""
        return Tried(name, Reached.over(useful), kept, reason)

    def _made(
        self, name: str, number: int, split: Split, prior: pd.DataFrame | None, steps: int | None
    ) -> pd.DataFrame:
        """Rows of a model that has learned from one split, with the constraints that its rows allow."""
        model: Synthesizer = model_class(name)()
        model.fit(
            split.learn,
            self.schema,
            seed=derive(self.seed, "fit", name, number),
            steps=steps,
            progress=silent,
            prior=prior if name in TAKE_PRIOR else None,
        )
        active = ConstraintSet.load().for_training(split.learn, self.target)
        rows = model.sample(
            SETS * self.judge.size(number),
            self.judge.where,
            seed=derive(self.seed, "sample", name, number),
            keep=lambda made: active.apply(made)[0],
        )
        return self.schema.conform(rows)[self.schema.columns].reset_index(drop=True)


def _sets(made: pd.DataFrame) -> list[pd.DataFrame]:
    size = len(made) // SETS
    return [made.iloc[first : first + size] for first in range(0, size * SETS, size)]


def _check(rows: int, cases: int | None) -> None:
    if cases is not None and cases < FEWEST:
        raise CohortError(
            f"{cases} cases to learn from; to try models on parts of them takes at least {FEWEST}: name one with "
            "--model"
        )
    if cases is None and rows < FEWEST_ROWS:
        raise CohortError(
            f"{rows} patients to learn from; to try models on parts of them takes at least {FEWEST_ROWS}: name one "
            "with --model"
        )


def _thinned(cases: Bools, random: np.random.Generator) -> Ints:
    """Places of the rows that are used, in order."""
    parts = [(np.flatnonzero(cases), CASES), (np.flatnonzero(~cases), OTHERS)]
    if not cases.any() or cases.all():
        parts = [(places, CASES + OTHERS) for places, _ in parts]
    return np.sort(np.concatenate([random.permutation(places)[:most] for places, most in parts]))


def _split(rows: pd.DataFrame, cases: Bools, seed: int) -> tuple[Split, ...]:
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(SPLITS, shuffle=True, random_state=derive(seed, "splits") % 2**32)
    strata = cases if min(cases.sum(), (~cases).sum()) >= SPLITS else np.zeros(len(cases))
    return tuple(
        Split(*(rows.iloc[places].reset_index(drop=True) for places in parts)) for parts in folds.split(rows, strata)
    )
