"""A feature schema for anybody's rows: kinds guessed from what the columns hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd

from fhirsynth.errors import UsageError
from fhirsynth.schema import ConditionFeature, Feature, FeatureSchema, Kind, Source

FEW = 2
"""Distinct values up to which a column of 0 and 1, or of yes and no, is a flag."""

WORDS = {"true": True, "false": False, "yes": True, "no": False}
"""Words that are read as a flag, whatever their case."""


def guess_schema(frames: Sequence[pd.DataFrame], target: str | None = None) -> FeatureSchema:
    """The schema of the columns that all frames have, but ``patient_id``.

    Parameters
    ----------
    frames
        Train, holdout and synthetic rows; the first decides the order of columns.
    target
        The flag that makes the rare cohort, if any.

    Raises
    ------
    UsageError
        When the frames share no column.
    """
    shared = [name for name in frames[0].columns if name != "patient_id" and all(name in f.columns for f in frames)]
    if not shared:
        raise UsageError("the frames share no column beside patient_id; nothing can be compared")
    features = tuple(_guess(name, _known([frame[name] for frame in frames])) for name in shared)
    condition = None
    if target is not None and any(feature.name == target and feature.kind == "flag" for feature in features):
        slug = target.removeprefix("has_")
        # Only a column named has_… can be a condition of the schema; any other target makes the cohort by itself.
        if target.startswith("has_"):
            condition = ConditionFeature(slug=slug, name=slug.replace("_", " "), snomed="", display="")
    return FeatureSchema(features=features, condition=condition, index_date=date(1970, 1, 1))


def _guess(name: str, values: pd.Series) -> Feature:
    kind = _kind(values)
    decimals = 9 if kind == "number" else 0
    return Feature(name=name, title=name, kind=kind, decimals=decimals, nullable=True, source=Source(rule="derived"))


def _known(parts: Sequence[pd.Series]) -> pd.Series:
    """The values that are there; parts without any say nothing about the kind."""
    known = [part.dropna() for part in parts]
    joined: pd.Series = pd.concat([part for part in known if len(part)] or known[:1])
    return joined


def _kind(values: pd.Series) -> Kind:
    if pd.api.types.is_bool_dtype(values) or _looks_like_flag(values):
        return "flag"
    if not pd.api.types.is_numeric_dtype(values):
        return "category"
    whole = bool((values == values.round()).all())
    return "count" if whole and len(values) and float(values.min()) >= 0 else "number"


def _looks_like_flag(values: pd.Series) -> bool:
    levels = set(values.unique())
    if not levels or len(levels) > FEW:
        return False
    if pd.api.types.is_numeric_dtype(values):
        return levels <= {0, 1}
    return all(isinstance(one, bool) or str(one).lower() in WORDS for one in levels)


def as_kinds(frame: pd.DataFrame, schema: FeatureSchema) -> pd.DataFrame:
    """``frame`` with words for flags (true, no, …) read as flags; everything else stays."""
    result = frame.copy()
    for feature in schema.of_kind("flag"):
        column = result[feature.name] if feature.name in result.columns else None
        if column is not None and column.dtype in (object, "string"):
            known = column.map(lambda one: WORDS.get(str(one).lower(), one), na_action="ignore")
            result[feature.name] = known.astype("boolean")
    return result
