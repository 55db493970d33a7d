"""Feature rows as generators want them, and back: complete floats and short strings, nothing missing, nothing constant.

What a generator should not have to learn is taken out here and put back on the way out: columns with one value, which
values are missing together, and what follows from another column.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from fhirsynth.schema import Feature, FeatureSchema

YES: Final = "yes"
NO: Final = "no"
FOLLOWS: Final = {"length_of_stay": "prior_admissions_12m"}
"""Columns that are missing exactly where a count is 0, by definition (``features.toml``)."""


class Encoding(BaseModel):
    """How one training frame was encoded.

    Parameters
    ----------
    features
        The schema of the frame.
    constants
        Columns with one value (None: always missing where :attr:`missing` does not say otherwise).
    missing
        Column → name of the indicator that says where it is missing; columns that are missing together share one.
    follows
        Column → the count that it is missing with where that is 0.
    first
        A column that is put first (CTGAN samples on a condition rightly for the first discrete column only).
    """

    model_config = ConfigDict(frozen=True)

    features: FeatureSchema
    constants: dict[str, float | bool | str | None]
    missing: dict[str, str]
    follows: dict[str, str]
    first: str | None = None

    @classmethod
    def learn(cls, frame: pd.DataFrame, schema: FeatureSchema) -> Encoding:
        """Find what is constant, missing together or implied in ``frame``."""
        follows = {
            column: count
            for column, count in FOLLOWS.items()
            if {column, count} <= set(frame.columns) and (frame[column].isna() == (frame[count] == 0)).all()
        }
        first = schema.condition.column if schema.condition is not None else None
        return cls(
            features=schema,
            constants={f.name: _constant(frame[f.name]) for f in schema.features if frame[f.name].nunique() < 2},
            missing=_indicators(frame[[name for name in schema.columns if name not in follows]]),
            follows=follows,
            first=first,
        )

    @property
    def discrete(self) -> list[str]:
        """The encoded columns that hold strings, the condition's first."""
        flags = [f.name for f in self.features.of_kind("flag", "category") if f.name not in self.constants]
        return sorted(flags, key=lambda name: name != self.first) + sorted(set(self.missing.values()))

    @property
    def continuous(self) -> list[str]:
        """The encoded columns that hold floats."""
        return [f.name for f in self.features.of_kind("number", "count") if f.name not in self.constants]

    @property
    def columns(self) -> list[str]:
        """The encoded columns in order."""
        return [*self.discrete, *self.continuous]

    def encode(self, frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        """Encode rows; a missing value is replaced by one drawn from the others of its column.

        Drawing (and not the mean) leaves the shape of the column as it was; the indicator keeps what was missing.
        """
        encoded = {name: _filled(frame[name], self.features[name], rng) for name in self._valued}
        for column, indicator in self.missing.items():
            encoded[indicator] = _yes_no(frame[column].isna())
        return pd.DataFrame(encoded, index=frame.index)[self.columns]

    def decode(self, encoded: pd.DataFrame) -> pd.DataFrame:
        """Turn encoded rows into rows of the schema, rounded; counts below their bound become the bound."""
        frame = pd.DataFrame(index=encoded.index)
        for feature in self.features.features:
            name = feature.name
            values = encoded[name] if name in encoded else pd.Series(self.constants[name], index=encoded.index)
            frame[name] = _typed(values, feature)
        for column, indicator in self.missing.items():
            frame[column] = frame[column].mask(encoded[indicator] == YES)
        for column, count in self.follows.items():
            frame[column] = frame[column].mask(frame[count] == 0)
        return self.features.conform(frame)

    @property
    def _valued(self) -> list[str]:
        indicators = set(self.missing.values())
        return [name for name in self.columns if name not in indicators]


def out_of_bounds(frame: pd.DataFrame, schema: FeatureSchema) -> tuple[pd.Series[bool], Counter[str]]:
    """Which rows hold a value outside its declared bounds or categories, and how many by ``bounds:COLUMN``."""
    bad = pd.Series(data=False, index=frame.index)
    counts: Counter[str] = Counter()
    for feature in schema.features:
        wrong = _outside(frame[feature.name], feature)
        if wrong.any():
            counts[f"bounds:{feature.name}"] = int(wrong.sum())
            bad |= wrong
    return bad, counts


def _outside(values: pd.Series[Any], feature: Feature) -> pd.Series[bool]:
    wrong = pd.Series(data=False, index=values.index)
    if feature.kind in {"number", "count"}:
        numbers = values.astype("float64")
        if feature.minimum is not None:
            wrong |= numbers < feature.minimum
        if feature.maximum is not None:
            wrong |= numbers > feature.maximum
        wrong |= np.isinf(numbers)
    elif feature.categories:
        wrong |= values.notna() & ~values.isin(list(feature.categories))
    return wrong


def _constant(values: pd.Series[Any]) -> Any:
    present = values.dropna()
    if present.empty:
        return None
    value = present.iloc[0]
    return value.item() if isinstance(value, np.generic) else value


def _indicators(frame: pd.DataFrame) -> dict[str, str]:
    """Column → indicator, for the columns that are missing in some rows and present in others."""
    patterns: dict[bytes, str] = {}
    result = {}
    for name in frame.columns:
        gone = frame[name].isna().to_numpy()
        if gone.any() and not gone.all():
            result[name] = patterns.setdefault(gone.tobytes(), f"missing:{name}")
    return result


def _filled(values: pd.Series[Any], feature: Feature, rng: np.random.Generator) -> Any:
    gone = values.isna().to_numpy()
    if feature.kind == "flag":
        encoded = _yes_no(values.fillna(value=False)).to_numpy(copy=True)
    else:
        encoded = values.astype("object" if feature.kind == "category" else "float64").to_numpy(copy=True)
    if gone.any():
        encoded[gone] = rng.choice(encoded[~gone], int(gone.sum()))
    return encoded


def _yes_no(values: pd.Series[Any]) -> pd.Series[Any]:
    return values.astype(bool).map({True: YES, False: NO}).astype("object")


def _typed(values: pd.Series[Any], feature: Feature) -> pd.Series[Any]:
    if feature.kind == "flag":
        return values.map({YES: True, NO: False, True: True, False: False}).astype("boolean")
    if feature.kind == "category":
        return values.astype("string")
    numbers = values.astype("float64").replace([np.inf, -np.inf], np.nan)
    if feature.kind == "count":
        return numbers.round().clip(lower=max(0.0, feature.minimum or 0.0)).astype("Int64")
    return numbers.round(feature.decimals)
