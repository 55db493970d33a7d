"""A generator with differential privacy: what it knows of patients are noisy counts, and nothing else.

The model is a class-conditional one: for patients with the condition and for those without, the distribution of every
column over levels that are fixed beforehand (:mod:`fhirsynth.augment.levels`). It is the two-way marginals of label and
column that are measured, all at once, with the Gaussian mechanism (:mod:`fhirsynth.augment.noise`); the distributions
are then estimated from the noisy counts (:mod:`fhirsynth.augment.tilt`, :mod:`fhirsynth.augment.classwise`). Measuring
marginals, and making rows from what fits them, is the form of the methods that do best among private generators
(McKenna, Miklau & Sheldon 2021, https://doi.org/10.29012/jpc.778). Pairs of columns are not measured: one pair for each
column would raise the noise on every count by the square root of 2. Within a class columns are therefore independent,
unless there are simulated patients: then the ranks of one of these are given the measured distributions, and so keep
how its columns hang together (a public prior costs nothing: Liu et al. 2021,
https://proceedings.mlr.press/v139/liu21w.html).

The guarantee
-------------
For any two tables of which one has one row more, and any set of fitted models, the probabilities p and q that the model
lies in it obey p ≤ e^ε q + δ, and q ≤ e^ε p + δ. One row is one patient with everything known of them: its removal
changes one count of every column by 1. How many rows there are is protected like everything else. All rows that are
sampled, however many, are covered by it. Every further fit to the same patients spends its own ε and δ: they add up.
A patient who has several rows is protected less, by about ε for each of them. Simulated patients are not protected.

What the guarantee does not cover, as it reads the rows beside the model: checks before the fit (the refusal of fewer
cases than a pipeline asks for, the number of rows and cases and the hash in ``model.json``, a schema that was guessed
from the rows, constraints that are switched off because the rows break them), the split in training rows and holdout,
the report, and how long things take. Nor does it say that nothing is learned of a person: what is true of patients in
general is true of them, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from fhirsynth.augment.classwise import Classwise, labels_of
from fhirsynth.augment.levels import Ints, Levels, public_levels
from fhirsynth.augment.noise import Mechanism, Origin, check_budget, noise_key
from fhirsynth.augment.protocol import Keep, Tally
from fhirsynth.augment.sampling import acceptor, exactly
from fhirsynth.errors import UsageError
from fhirsynth.schema import FeatureSchema
from fhirsynth.seeds import rng
from synthea_bridge.files import atomic_file
from synthea_bridge.progress import Progress

RELEASED: Final = "released.json"
SCHEMA: Final = "schema.json"
PRIOR: Final = "prior.parquet"
LARGEST_PRIOR: Final = 2500
"""Simulated patients of each class that are kept with the model."""
NEIGHBOURING: Final = "tables that differ by one row (one patient, all of their columns), added or removed"
OUTSIDE: Final = (
    "what is read beside the model: the check for enough cases, numbers of rows and cases, hashes, switched-off "
    "constraints, a schema guessed from the rows, and the report"
)
ADVICE: Final = "give a larger --epsilon, more patients, or simulated patients to learn from before"


class Released(BaseModel):
    """Everything that a fitted model knows of the patients.

    Parameters
    ----------
    variance
        Of the noise, as a fraction.
    noise
        Where its key came from; the key itself is kept nowhere.
    counts
        By column and class (False before True; one class without a condition): noisy counts of its levels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float
    delta: float
    variance: tuple[int, int]
    noise: Origin
    levels: tuple[Levels, ...]
    counts: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def mechanism(self) -> Mechanism:
        """The mechanism that released it."""
        return Mechanism(self.epsilon, self.delta, len(self.levels), Fraction(*self.variance))


class Private:
    """Class-conditional levels with Gaussian noise, (ε, δ)-differentially private.

    Parameters
    ----------
    epsilon, delta
        The budget of one fit. δ is the probability that may lie beyond the bound of ε: far below one in the number of
        patients.
    noise_seed
        Key of the noise, 128 bits or more, as secret as the patients; None: FHIRSYNTH_NOISE_SEED if it is set,
        otherwise from the operating system, so that nobody can compute the noise again. The same key and rows give the
        same model.

    Raises
    ------
    UsageError
        When epsilon or delta is no budget.
    """

    name: ClassVar[str] = "private"
    default_steps: ClassVar[int] = 0

    def __init__(self, epsilon: float = 1.0, delta: float = 1e-6, noise_seed: bytes | None = None) -> None:
        check_budget(epsilon, delta)
        self.tally = Tally()
        self._budget = epsilon, delta
        self._noise_seed = noise_seed
        self._schema: FeatureSchema
        self._released: Released
        self._prior: pd.DataFrame | None = None
        self._fitted: Classwise

    def fit(
        self,
        features: pd.DataFrame,
        schema: FeatureSchema,
        *,
        seed: int,
        steps: int | None,
        progress: Progress,
        prior: pd.DataFrame | None = None,
    ) -> None:
        """Count, add noise, and forget the rows. ``seed`` chooses among simulated patients and never the noise.

        Raises
        ------
        UsageError
            When the schema does not declare the bounds and categories of its columns and no prior has them.
        """
        condition = _condition(schema)
        self._schema = schema
        self._prior = None if prior is None else _some(schema.conform(prior)[schema.columns], condition, seed)
        columns = [name for name in schema.columns if name != condition]
        if not columns:
            raise UsageError("there is no column to learn beside the condition; give a schema that has some")
        mechanism = Mechanism.calibrated(*self._budget, ones=len(columns))
        levels = public_levels(schema, condition, self._prior, mechanism.sigma)
        key, origin = noise_key(self._noise_seed)
        counts = count(schema.conform(features), levels, condition)
        self._released = Released(
            epsilon=mechanism.epsilon,
            delta=mechanism.delta,
            variance=mechanism.variance.as_integer_ratio(),
            noise=origin,
            levels=tuple(levels),
            counts=_cut(mechanism.release(counts, key), levels, 1 if condition is None else 2),
        )
        self._fitted = _estimated(self._released, schema, self._prior)
        progress(1, 1, "counted with noise")

    def sample(
        self, n: int, where: Mapping[str, Any] | None = None, *, seed: int, keep: Keep | None = None
    ) -> pd.DataFrame:
        """Exactly ``n`` rows like ``where``: the condition is set, and without a prior categories and flags, too.

        Raises
        ------
        Shortfall
            When the model makes too few of them.
        """
        self.tally = Tally()
        accept = acceptor(self._schema, where, keep, self.tally)

        def draw(size: int, attempt: int) -> pd.DataFrame:
            return self._schema.conform(self._fitted.draw(size, where or {}, rng(seed, self.name, attempt)))

        return self._schema.conform(exactly(n, draw, accept, ADVICE))

    def parameters(self) -> dict[str, Any]:
        """The guarantee in numbers and words."""
        mechanism = self._released.mechanism
        return {
            "epsilon": mechanism.epsilon,
            "delta": mechanism.delta,
            "mechanism": "discrete Gaussian noise on counts of condition × column, released once",
            "sigma": round(mechanism.sigma, 6),
            "sensitivity": round(mechanism.sensitivity, 6),
            "neighbouring": NEIGHBOURING,
            "not_covered": OUTSIDE,
            "noise": self._released.noise,
            "columns": len(self._released.levels),
            "counts": sum(len(part) for column in self._released.counts for part in column),
            "prior_rows": 0 if self._prior is None else len(self._prior),
        }

    def save(self, folder: Path) -> None:
        """Write the noisy counts, the schema and simulated patients: nothing that was not released with noise."""
        with atomic_file(folder / RELEASED) as scratch:
            scratch.write_text(self._released.model_dump_json(indent=2) + "\n", encoding="utf-8")
        self._schema.save(folder / SCHEMA)
        if self._prior is not None:
            with atomic_file(folder / PRIOR) as scratch:
                self._prior.to_parquet(scratch, index=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote, and estimate the same distributions from it."""
        released = Released.model_validate_json((folder / RELEASED).read_bytes())
        model = cls(released.epsilon, released.delta)
        model._schema = FeatureSchema.load(folder / SCHEMA)
        model._released = released
        if (folder / PRIOR).is_file():
            model._prior = model._schema.conform(pd.read_parquet(folder / PRIOR))
        model._fitted = _estimated(released, model._schema, model._prior)
        return model


def count(features: pd.DataFrame, levels: list[Levels], condition: str | None) -> Ints:
    """All that is counted, in one vector: by column, class and level.

    A row adds 1 to at most one count of every column, so that adding or removing one moves the vector by at most the
    square root of the number of columns.

    Parameters
    ----------
    condition
        The flag that parts the classes (missing: as if not); None: there is one class.
    """
    labels = labels_of(features, condition)
    classes = [False] if condition is None else [False, True]
    parts = [one.counts(features.loc[labels == value, one.feature.name]) for one in levels for value in classes]
    return np.concatenate(parts)


def _estimated(released: Released, schema: FeatureSchema, prior: pd.DataFrame | None) -> Classwise:
    """What the released counts say; nothing else of the patients is known here any more."""
    tables = [np.array(one, dtype=np.float64) for one in released.counts]
    return Classwise(released.levels, tables, float(released.mechanism.variance), _condition(schema), prior)


def _condition(schema: FeatureSchema) -> str | None:
    return None if schema.condition is None else schema.condition.column


def _some(prior: pd.DataFrame, condition: str | None, seed: int) -> pd.DataFrame:
    """At most :data:`LARGEST_PRIOR` simulated patients of each class, in their order."""
    labels = labels_of(prior, condition)
    shuffled = rng(seed, "prior").permutation(len(prior))
    kept = [shuffled[labels[shuffled] == value][:LARGEST_PRIOR] for value in (False, True)]
    return prior.iloc[np.sort(np.concatenate(kept))].reset_index(drop=True)


def _cut(counts: Ints, levels: list[Levels], classes: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """The vector of counts by column and class."""
    ends = np.cumsum([one.size for one in levels for _ in range(classes)])[:-1]
    parts = [tuple(int(each) for each in part) for part in np.split(counts, ends)]
    return tuple(tuple(parts[start : start + classes]) for start in range(0, len(parts), classes))
