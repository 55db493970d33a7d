"""The three frames side by side, and how unlike compositions are made comparable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fhirsynth.errors import EvaluateError, UsageError
from fhirsynth.schema import FeatureSchema
from fhirsynth.seeds import rng
from fhirsynth.tables import conform
from fhirsynth.trilemma.encode import flags
from fhirsynth.trilemma.intervals import Bools
from fhirsynth.trilemma.measure import Sizes
from fhirsynth.trilemma.notices import lump, notices, refuse_leak

MIN_ROWS = 10
"""Below this no interval means anything."""

MIN_CLASS = 5
"""Synthetic rows of a class below this number are strays, not a class that was made."""

CAP = 10_000
"""Rows of each frame that go into quadratic measures; a share of 10,000 is known to one point."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What is compared: ``train`` (seen by the generator), ``holdout`` (never seen) and ``synthetic``.

    Parameters
    ----------
    cohort
        The flag that makes the rare cohort, if there is one.
    target
        The flag that utility predicts, if there is one.
    notices
        What a reader must know of these rows, one line each.
    """

    train: pd.DataFrame
    holdout: pd.DataFrame
    synthetic: pd.DataFrame
    schema: FeatureSchema
    target: str | None
    cohort: str | None
    seed: int
    notices: tuple[str, ...] = ()

    def cases(self, frame: pd.DataFrame) -> Bools:
        """Who belongs to the rare cohort."""
        return flags(frame[self.cohort]) if self.cohort else np.zeros(len(frame), dtype=np.bool_)

    @property
    def missing_class(self) -> bool | None:
        """The value of the cohort's flag that the synthetic rows lack; None when they lack none."""
        if self.cohort is None:
            return None
        made = self.cases(self.synthetic)
        if (~made).sum() < MIN_CLASS:
            return False
        return True if made.sum() < MIN_CLASS else None

    @property
    def sizes(self) -> Sizes:
        """Rows and cases of each frame."""
        frames = {"train": self.train, "holdout": self.holdout, "synthetic": self.synthetic}
        counts = {name: len(frame) for name, frame in frames.items()}
        counts |= {f"{name}_cases": int(self.cases(frame).sum()) for name, frame in frames.items()}
        return Sizes(**counts)

    def composition(self) -> str:
        """How the frames were made comparable, in words."""
        if self.missing_class is None:
            return "The synthetic rows have the same composition as the real ones and are judged as they are."
        made, filled = ("with", "without") if self.missing_class is False else ("without", "with")
        return (
            f"The synthetic rows hold only patients {made} the condition. For utility and fidelity of everybody they "
            f"are completed with the real training patients {filled} it, at the training prevalence where composition "
            "matters; the figures for the rare cohort and for privacy rest on synthetic rows alone."
        )

    def completed(self, *, prevalence: bool) -> pd.DataFrame:
        """Synthetic rows, with real training rows for a class that was not made.

        Parameters
        ----------
        prevalence
            Thin the larger side, so that the cohort has its share of the training rows.
        """
        lacking = self.missing_class
        if lacking is None:
            return self.synthetic
        made: pd.DataFrame = self.synthetic[self.cases(self.synthetic) != lacking]
        real: pd.DataFrame = self.train[self.cases(self.train) == lacking]
        if prevalence:
            share = float((self.cases(self.train) == lacking).mean())
            if 0 < share < 1:
                made = self._thin(made, round(len(real) * (1 - share) / share))
                real = self._thin(real, round(len(made) * share / (1 - share)))
        return pd.concat([made, real], ignore_index=True)

    def rare(self) -> Samples:
        """The same, of the rare cohort only."""
        parts = [frame[self.cases(frame)].reset_index(drop=True) for frame in self._frames]
        return replace(self, train=parts[0], holdout=parts[1], synthetic=parts[2])

    def capped(self, rows: int = CAP) -> Samples:
        """At most ``rows`` rows of each frame, drawn at random."""
        parts = [self._thin(frame, rows) for frame in self._frames]
        return replace(self, train=parts[0], holdout=parts[1], synthetic=parts[2])

    @property
    def _frames(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        return self.train, self.holdout, self.synthetic

    def _thin(self, frame: pd.DataFrame, n: int) -> pd.DataFrame:
        if len(frame) <= n:
            return frame.reset_index(drop=True)
        kept = np.sort(rng(self.seed, "thin", len(frame), n).choice(len(frame), max(n, 1), replace=False))
        return frame.iloc[kept].reset_index(drop=True)


def prepare(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: FeatureSchema,
    target: str | None,
    sensitive: Sequence[str],
    seed: int,
) -> Samples:
    """Check the frames and set their dtypes.

    Raises
    ------
    UsageError
        When a column is missing, or ``target`` is no flag.
    EvaluateError
        When a frame has too few rows, or a value that its column cannot hold, or patients are in train and holdout.
    """
    frames = {"train": train, "holdout": holdout, "synthetic": synthetic}
    condition = schema.condition.column if schema.condition else None
    target = target if target is not None else condition
    if target is not None and schema[target].kind != "flag":
        raise UsageError(f"target '{target}' is a {schema[target].kind}; utility needs a flag (true or false)")
    for name in sensitive:
        schema[name]  # raises when there is no such feature
    for name, frame in frames.items():
        if len(frame) < MIN_ROWS:
            raise EvaluateError(f"{name}: has {len(frame)} rows; at least {MIN_ROWS} are needed to compare anything")
    ready = [conform(name, frame, schema) for name, frame in frames.items()]
    _apart(train, holdout, schema.columns)
    leak = refuse_leak(ready[0], ready[1])
    cohort = condition or target
    said = [*([leak] if leak else []), *notices(ready[0], ready[1], ready[2], schema, cohort)]
    ready, lumped = lump(ready, schema)
    return Samples(ready[0], ready[1], ready[2], schema, target, cohort, seed, (*said, *lumped))


def _apart(train: pd.DataFrame, holdout: pd.DataFrame, columns: list[str]) -> None:
    """Refuse patients who are on both sides; an id alone proves nothing, as it may be no more than a row number."""
    if "patient_id" not in train.columns or "patient_id" not in holdout.columns:
        return
    sides = [frame.drop_duplicates("patient_id").set_index("patient_id")[columns] for frame in (train, holdout)]
    both = sides[0].index.intersection(sides[1].index)
    left, right = (side.loc[both].astype("string").fillna("") for side in sides)
    same = int((left == right).all(axis=1).sum())
    if same and same >= len(both) / 2:
        raise EvaluateError(
            f"{same} patients are in train and in holdout, by patient_id and by every column; "
            "a generator must never have seen the holdout: split by patient and train anew"
        )
