"""Rows as numbers: one common scaling for distances and models."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fhirsynth.schema import Feature, FeatureSchema
from fhirsynth.trilemma.intervals import Bools, Floats, Ints

CLIP = 8.0
"""Standard deviations: a single wild value must not decide a distance alone."""


def numbers(series: pd.Series) -> Floats:
    """A number, count or flag as float64, missing as NaN."""
    values: Floats = series.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan).astype(np.float64)
    return values


def flags(series: pd.Series) -> Bools:
    """A flag as bool; missing is False."""
    return series.astype("boolean").fillna(False).to_numpy(dtype=np.bool_)


def codes(parts: list[pd.Series], kind: str) -> tuple[list[Ints], int]:
    """Integer codes in order of value, the same for all parts; missing is code 0.

    Returns
    -------
    tuple
        The codes of each part, and how many there are.
    """
    joined = pd.concat(parts, ignore_index=True)
    values = joined.astype("string") if kind == "category" else pd.Series(numbers(joined))
    coded, levels = pd.factorize(values, sort=True)
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return [piece.astype(np.int64) for piece in np.split(coded + 1, ends)], len(levels) + 1


@dataclass(frozen=True, slots=True)
class _Scaled:
    name: str
    centre: float
    scale: float

    def apply(self, frame: pd.DataFrame) -> Floats:
        values = numbers(frame[self.name])
        missing = np.isnan(values)
        scaled = np.clip((values - self.centre) / self.scale, -CLIP, CLIP)
        return np.column_stack([np.where(missing, 0.0, scaled), missing.astype(np.float64)])


@dataclass(frozen=True, slots=True)
class _Levels:
    name: str
    levels: tuple[str, ...]

    def apply(self, frame: pd.DataFrame) -> Floats:
        values = frame[self.name].astype("string").fillna("\0missing").to_numpy(dtype=object)
        # 1/sqrt(2): two different categories are 1 apart, as two different flags are.
        same = values[:, None] == np.array([*self.levels, "\0missing"], dtype=object)
        encoded: Floats = same.astype(np.float64) / np.sqrt(2)
        return encoded


@dataclass(frozen=True, slots=True)
class Encoder:
    """Numbers and counts in standard deviations, flags as 0 and 1, categories one-hot, missing as a column of its own.

    Two patients who differ in one flag or category are 1 apart, as are two who differ by one standard deviation.
    """

    parts: tuple[_Scaled | _Levels, ...]

    @classmethod
    def fit(cls, frame: pd.DataFrame, schema: FeatureSchema, skip: Collection[str] = ()) -> Encoder:
        """Learn centre, scale and categories from ``frame``; columns in ``skip`` are left out."""
        return cls(tuple(_part(frame, feature) for feature in schema.features if feature.name not in skip))

    def transform(self, frame: pd.DataFrame) -> Floats:
        """An array with a row per row of ``frame``."""
        columns = [part.apply(frame) for part in self.parts]
        return np.hstack(columns) if columns else np.zeros((len(frame), 1))


def _part(frame: pd.DataFrame, feature: Feature) -> _Scaled | _Levels:
    if feature.kind == "category":
        return _Levels(feature.name, tuple(sorted(frame[feature.name].dropna().astype(str).unique())))
    values = numbers(frame[feature.name])
    known = values[~np.isnan(values)]
    centre = float(known.mean()) if len(known) else 0.0
    if feature.kind == "flag":
        return _Scaled(feature.name, centre, 1.0)
    scale = float(known.std()) if len(known) else 1.0
    # The spread of a constant column is rounding noise, or 0.
    return _Scaled(feature.name, centre, scale if scale > 1e-9 * abs(centre) else 1.0)
