"""A feature schema for anybody's rows: kinds guessed from what the columns hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

import pandas as pd

from fhirsynth.errors import UsageError
from fhirsynth.schema import ConditionFeature, Feature, FeatureSchema, Kind, Source

KEYS: Final = frozenset({"patient_id", "weight"})
"""Columns that say who a row is about and how many people it stands for, not what is true of them."""

FEW = 2
"""Distinct values up to which a column of 0 and 1, or of yes and no, is a flag."""

NAMES = 0.5
"""Share of distinct values from which on a column of words is an identifier or free text …"""

NAMES_FROM = 50
"""… if there are so many of them."""

EPOCH: Final = pd.Timestamp("1970-01-01", tz="UTC")

WORDS = {"true": True, "false": False, "yes": True, "no": False}
"""Words that are read as a flag, whatever their case."""


def guess_schema(frames: Sequence[pd.DataFrame], target: str | None = None) -> tuple[FeatureSchema, tuple[str, ...]]:
    """The schema of the columns that all frames have, but for :data:`KEYS`, and what was guessed, in lines for people.

    Columns of words that hardly repeat (identifiers, free text) are left out: no synthetic row can be compared by them.

    Parameters
    ----------
    frames
        Train, holdout and synthetic rows; the first decides the order of columns.
    target
        The flag that makes the rare cohort, if any.

    Raises
    ------
    UsageError
        When the frames share no column that can be compared.
    """
    shared = [name for name in frames[0].columns if name not in KEYS and all(name in f.columns for f in frames)]
    known = {name: _known([frame[name] for frame in frames]) for name in shared}
    left_out = [name for name in shared if name != target and _is_name(known[name])]
    dates = [name for name in shared if name not in left_out and _as_days(known[name]) is not None]
    features = tuple(_guess(name, known[name], name in dates) for name in shared if name not in left_out)
    if not features:
        raise UsageError("the frames share no column that can be compared; give tables with the same columns")
    kinds = ", ".join(f"{one.name}: {'date' if one.name in dates else one.kind}" for one in features)
    notices = [f"no schema given; taken as {kinds}"]
    if left_out:
        notices.append(
            f"left out, as identifiers or free text: {', '.join(left_out)}; give a --schema to have them compared"
        )
    condition = None
    if target is not None and any(feature.name == target and feature.kind == "flag" for feature in features):
        slug = target.removeprefix("has_")
        # Only a column named has_… can be a condition of the schema; any other target makes the cohort by itself.
        if target.startswith("has_"):
            condition = ConditionFeature(slug=slug, name=slug.replace("_", " "), snomed="", display="")
    return FeatureSchema(features=features, condition=condition, index_date=date(1970, 1, 1)), tuple(notices)


def _guess(name: str, values: pd.Series, is_date: bool) -> Feature:
    kind: Kind = "number" if is_date else _kind(values)
    title = f"{name} (days since 1970-01-01)" if is_date else name
    decimals = 9 if kind == "number" else 0
    return Feature(name=name, title=title, kind=kind, decimals=decimals, nullable=True, source=Source(rule="derived"))


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


def _is_words(values: pd.Series) -> bool:
    return not (pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values))


def _is_name(values: pd.Series) -> bool:
    if not _is_words(values) or _as_days(values) is not None:
        return False
    distinct = values.nunique()
    return distinct >= NAMES_FROM and distinct >= NAMES * len(values)


def _as_days(values: pd.Series) -> pd.Series | None:
    """Dates and times, or text in ISO 8601, as days since 1970; None where a value is neither."""
    known = values.dropna()
    if not len(known) or not _is_words(known):
        return None
    if known.dtype in (object, "string") and not known.astype("string").str.match(r"\d{4}-\d{2}-\d{2}").all():
        return None
    try:
        times = pd.to_datetime(values, format="ISO8601", utc=True)
    except (ValueError, TypeError, OverflowError):
        return None
    days: pd.Series = (times - EPOCH) / pd.Timedelta(days=1)
    return days.astype("float64")


def as_kinds(frame: pd.DataFrame, schema: FeatureSchema) -> pd.DataFrame:
    """``frame`` with words for flags (true, no, …) read as flags and dates as days; everything else stays."""
    result = frame.copy()
    for feature in schema.of_kind("flag", "number"):
        column = result[feature.name] if feature.name in result.columns else None
        if column is None or not _is_words(column):
            continue
        if feature.kind == "number":
            days = _as_days(column)
            result[feature.name] = column if days is None else days
        elif column.dtype in (object, "string"):
            known = column.map(lambda one: WORDS.get(str(one).lower(), one), na_action="ignore")
            result[feature.name] = known.astype("boolean")
    return result
