"""Rows of columns that a test makes itself, and what the measures of the evaluation ask of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype, is_integer_dtype

from fhirsynth.schema import Feature, FeatureSchema, Kind, Source
from fhirsynth.trilemma.measure import Measure
from fhirsynth.trilemma.samples import Samples, prepare


def plain_schema(frame: pd.DataFrame) -> FeatureSchema:
    """Every column by what it holds: floats a number, integers a count, bools a flag, all else a category."""
    features = tuple(
        Feature(
            name=name,
            title=f"The {name}",
            kind=_kind(frame[name]),
            decimals=9,
            nullable=True,
            source=Source(rule="derived"),
        )
        for name in map(str, frame.columns)
    )
    return FeatureSchema(features=features, index_date=date(2026, 1, 1))


def _kind(column: pd.Series) -> Kind:
    if is_bool_dtype(column):
        return "flag"
    if is_integer_dtype(column):
        return "count"
    return "number" if is_float_dtype(column) else "category"


def plain_samples(
    train: pd.DataFrame, holdout: pd.DataFrame, synthetic: pd.DataFrame, *, target: str | None = None, seed: int = 0
) -> Samples:
    """The three frames side by side; ``target`` is also the flag of the rare cohort."""
    return prepare(train, holdout, synthetic, plain_schema(train), target, (), seed)


def normals(rows: int, columns: int = 4, seed: int = 0) -> pd.DataFrame:
    """Independent normal numbers ``x0``, ``x1``, …"""
    values = np.random.default_rng([20260101, seed]).normal(size=(rows, columns))
    return pd.DataFrame(values, columns=[f"x{index}" for index in range(columns)])


def called(measures: Sequence[Measure], name: str) -> Measure:
    """The one measure of this name."""
    (found,) = [one for one in measures if one.name == name]
    return found


def figure(measures: Sequence[Measure], name: str) -> float:
    """The value of the one measure of this name, which must have one."""
    value = called(measures, name).value
    assert value is not None, name
    return value
