"""Populations to draw from: real rows in plenty, of which no draw knows another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from fhirsynth.schema import Feature, FeatureSchema, Source, build_schema
from fhirsynth.trilemma.encode import flags

SEED = 20260101


@dataclass(frozen=True)
class Draw:
    """Training rows, holdout and a fresh draw: disjoint random samples, as a perfect generator would give."""

    train: pd.DataFrame
    holdout: pd.DataFrame
    fresh: pd.DataFrame
    target: str
    generator: np.random.Generator

    def shuffled(self, name: str) -> pd.Series:
        """A column of the fresh draw in random order."""
        column: pd.Series = self.fresh[name].iloc[self.generator.permutation(len(self.fresh))].reset_index(drop=True)
        return column


@dataclass(frozen=True)
class Population:
    """Rows to draw from, the flag that utility predicts, and how many rows each of three disjoint samples has."""

    name: str
    frame: pd.DataFrame
    schema: FeatureSchema
    target: str
    rows: int

    def draw(self, seed: int, rows: int | None = None) -> Draw:
        """Three disjoint samples; the same seed gives the same ones."""
        n = rows or self.rows
        generator = np.random.default_rng([SEED, seed])
        order = generator.permutation(len(self.frame))
        parts = [self.frame.iloc[order[index * n : (index + 1) * n]].reset_index(drop=True) for index in range(3)]
        return Draw(parts[0], parts[1], parts[2], self.target, generator)


def synthea(folder: Path, patients: int) -> Population:
    """Patients of Synthea, simulated and flattened by our own commands, once."""
    from fhirsynth.features import build_features
    from synthea_bridge.generate import GenerateSpec, generate

    place = folder / f"features-{patients}.parquet"
    schema = build_schema(date(2026, 1, 1))
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        tables = folder / f"tables-{patients}"
        if not tables.exists():
            generate(GenerateSpec(population=patients, seed=11), tables, tables_only=True)
        build_features(tables, schema).to_parquet(place, index=False)
    frame = schema.conform(pd.read_parquet(place))[schema.columns]
    return Population("Synthea", frame, schema, "has_diabetes", 1000)


def breast_cancer() -> Population:
    """569 tumours, 30 numbers each (Wolberg, Street, Mangasarian 1995); the flag: malignant."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    frame = pd.DataFrame(data.data, columns=[name.replace(" ", "_") for name in data.feature_names])
    return _shipped("breast cancer", frame, "malignant", data.target == 0)


def digits() -> Population:
    """1,797 handwritten digits, 64 counts each (Alpaydin, Kaynak 1998); the flag: it is an eight."""
    from sklearn.datasets import load_digits

    data = load_digits()
    frame = pd.DataFrame(data.data, columns=data.feature_names)
    return _shipped("digits", frame.loc[:, frame.nunique() > 1], "is_eight", data.target == 8)


def _shipped(name: str, frame: pd.DataFrame, target: str, positive: np.ndarray) -> Population:
    whole = bool((frame == frame.round()).all(axis=None))
    kind = "count" if whole else "number"
    source = Source(rule="derived")
    features = [Feature(name=one, title=one, kind=kind, decimals=0 if whole else 9, source=source) for one in frame]
    features.append(Feature(name=target, title=target.replace("_", " "), kind="flag", source=source))
    schema = FeatureSchema(features=tuple(features), index_date=date(1970, 1, 1))
    return Population(name, schema.conform(frame.assign(**{target: positive})), schema, target, len(frame) // 3)


# ---------------------------------------------------------------- what is done to a fresh draw

Spoil = Callable[[Draw], pd.DataFrame]


def untouched(draw: Draw) -> pd.DataFrame:
    """A perfect generator."""
    return draw.fresh


def copies(share: float) -> Spoil:
    """Replace a share of the rows by training rows."""

    def spoil(draw: Draw) -> pd.DataFrame:
        size = round(share * len(draw.fresh))
        kept = draw.generator.permutation(len(draw.fresh))[size:]
        copied = draw.generator.permutation(len(draw.train))[:size]
        return pd.concat([draw.fresh.iloc[kept], draw.train.iloc[copied]], ignore_index=True)

    return spoil


def independent(draw: Draw) -> pd.DataFrame:
    """Shuffle every column on its own."""
    columns = {str(name): draw.shuffled(str(name)) for name in draw.fresh}
    return pd.DataFrame(columns)


def mislabelled(draw: Draw) -> pd.DataFrame:
    """Shuffle the labels."""
    return draw.fresh.assign(**{draw.target: draw.shuffled(draw.target)})


def doubled(flag: str) -> Spoil:
    """Make a flag twice as frequent, by drawing its rows again in the place of others."""

    def spoil(draw: Draw) -> pd.DataFrame:
        has = flags(draw.fresh[flag])
        others = draw.generator.permutation(np.flatnonzero(~has))[: (~has).sum() - has.sum()]
        rows = np.concatenate([np.flatnonzero(has), np.flatnonzero(has), others])
        return draw.fresh.iloc[rows].reset_index(drop=True)

    return spoil
