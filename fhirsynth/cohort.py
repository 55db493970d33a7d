"""Split patients into what a generator may learn from and what it is judged by, before anything is learned."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from fhirsynth.errors import CohortError
from fhirsynth.seeds import derive

MINIMUM_CASES = 20
"""Fewer cases cannot be split into a part to learn from and a part to judge by: a holdout of 8 has a 95 % interval of
half the scale."""


@dataclass(frozen=True, slots=True)
class Split:
    """Features of the two parts, each sorted by ``patient_id``; no patient is in both."""

    train: pd.DataFrame
    holdout: pd.DataFrame


def split(
    features: pd.DataFrame,
    condition_column: str | None,
    holdout: float = 0.4,
    seed: int = 0,
    minimum: int = MINIMUM_CASES,
) -> Split:
    """Split by patient, with the same share of cases in both parts.

    Where a patient lands depends on the seed, the ids and the flags, and not on the order of the rows.

    Parameters
    ----------
    features
        One row a patient.
    condition_column
        The flag to stratify by, e.g. ``has_cystic_fibrosis``.
    holdout
        Share of the patients that is held out, above 0 and below 1.
    seed
        Decides who is held out.
    minimum
        The fewest cases (or, without a condition, patients) that are accepted.

    Raises
    ------
    CohortError
        When there are fewer.
    """
    _enough(features, condition_column, minimum)
    strata = [features] if condition_column is None else [part for _, part in features.groupby(condition_column)]
    held = {patient for part in strata for patient in _drawn(part["patient_id"], holdout, seed)}
    out = features["patient_id"].isin(held)
    parts = (features[~out], features[out])
    return Split(*(part.sort_values("patient_id", ignore_index=True) for part in parts))


def _enough(features: pd.DataFrame, column: str | None, minimum: int) -> None:
    what = "patients" if column is None else f"patients with {column.removeprefix('has_').replace('_', ' ')}"
    count = len(features) if column is None else int(features[column].fillna(False).sum())
    if count == 0:
        raise CohortError(
            f"there are no {what} among {len(features)}; choose another condition or target, or give their data"
        )
    if count < minimum:
        raise CohortError(
            f"there are {count} {what} among {len(features)}, at least {minimum} are needed to learn from some and "
            "judge by others; give more data (if they are simulated: more --cases)"
        )
    if column is not None and count == len(features):
        raise CohortError(f"all {count} patients have {column}; add patients without it, to learn the difference from")


def _drawn(patients: pd.Series[str], share: float, seed: int) -> list[str]:
    ordered = sorted(patients, key=lambda patient: (derive(seed, "holdout", patient), patient))
    return ordered[: round(len(ordered) * share)]
