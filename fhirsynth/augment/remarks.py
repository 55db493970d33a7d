"""What anybody's table holds that a generator should not learn, or that its user should know: lines for people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd

from fhirsynth.augment.encode import out_of_bounds
from fhirsynth.guess import ALMOST, KEYS, NAMES_FROM, left_out, listed, shown
from fhirsynth.schema import Feature, FeatureSchema

NUMBERED: Final = 2
"""Whole numbers that are all different and lie in a range of so many times the rows are row numbers."""
PERSON: Final = re.compile(
    r"(?i)(patient|subject|participant|person|member|mrn|pid|ssn|nhs)([_ .-]?(id|no|nr|num|number|key|code))?"
)
"""Names of columns that say who a row is about, where they hold at least …"""
PEOPLE: Final = 0.1
"""… so many different values a row."""
WORDS_FROM: Final = 20
"""Rows from which on words that hardly repeat are names."""
LEVELS: Final = 20
"""Values of a column at most, of which it is told whether the target follows from them."""


def people(frame: pd.DataFrame) -> list[str]:
    """Columns that by name and content say who a row is about, perhaps of several rows."""
    found = [name for name in frame.columns if name not in KEYS and PERSON.fullmatch(name)]
    return [name for name in found if frame[name].nunique() >= max(NAMES_FROM, PEOPLE * len(frame))]


def row_numbers(frame: pd.DataFrame) -> list[str]:
    """Columns of whole numbers, another in every row and with hardly a gap: they count rows."""
    found = []
    for name in frame.columns:
        values = frame[name].dropna()
        if name in KEYS or len(values) < NAMES_FROM or not _whole(values) or not values.is_unique:
            continue
        if float(values.max()) - float(values.min()) < NUMBERED * len(values):
            found.append(name)
    return found


def names(frame: pd.DataFrame, schema: FeatureSchema) -> list[str]:
    """Categories with nearly another value in every row: a generator could only repeat whose they are."""
    known = {one.name: frame[one.name].dropna() for one in schema.of_kind("category")}
    return [
        name
        for name, values in known.items()
        if len(values) >= WORDS_FROM and values.nunique() >= max(2, ALMOST * len(values))
    ]


def not_learned(numbered: list[str], named: list[str], who: list[str]) -> list[str]:
    """Lines about the columns that are left out."""
    reasons = dict.fromkeys(numbered, "row numbers") | dict.fromkeys(named, "identifiers or free text")
    reasons |= dict.fromkeys(who, "who a row is about")
    return left_out(reasons, "learned")


def remarks(rows: pd.DataFrame, schema: FeatureSchema, target: str | None) -> Iterator[str]:
    """Lines about rows that are going to be learned: columns that say the target, or may name people."""
    every = [f.name for f in schema.of_kind("count") if len(rows) >= NAMES_FROM and _all_differ(rows[f.name])]
    if every:
        yield (
            f"{listed(every)}: another whole number in every row; if it names people, remove the column, as synthetic "
            "rows may repeat its values"
        )
    if target is not None:
        same = [f"{one.name} ({how})" for one in schema.features if (how := _says(rows, one, target))]
        if same:
            yield (
                f"{target} is the same as {listed(same)}, in every row: whoever knows that column knows {target}; "
                "remove the column, unless it is so by nature"
            )
    _, outside = out_of_bounds(rows, schema)
    if outside:
        told = (f"{name.removeprefix('bounds:')} ({count})" for name, count in outside.items())
        yield f"values outside the bounds of the schema, of which none is made: {listed(told)}"


def _says(rows: pd.DataFrame, feature: Feature, target: str) -> str | None:
    """How the target follows from another column and that from it; None where it does not."""
    flags = rows[target].astype(bool).to_numpy()
    values = rows[feature.name]
    if feature.name == target or not flags.any() or flags.all():
        return None
    gone = values.isna().to_numpy()
    if gone.any() and (np.array_equal(gone, flags) or np.array_equal(gone, ~flags)):
        return f"missing exactly where it is {'true' if np.array_equal(gone, flags) else 'false'}"
    if feature.kind in ("number", "count"):
        return None if gone.any() else _parted(values.to_numpy(np.float64), flags)
    # Missing is a value like others here.
    text = values.astype("string").fillna("(missing)")
    levels = text[flags].unique().tolist()
    return _levels(levels) if len(levels) <= LEVELS and not text[~flags].isin(levels).any() else None


def _levels(levels: list[Any]) -> str:
    return f"{' or '.join(map(shown, levels))} exactly where it is true"


def _parted(values: np.ndarray[Any, np.dtype[np.float64]], flags: np.ndarray[Any, np.dtype[np.bool_]]) -> str | None:
    """On which side of a threshold all cases are and nobody else; the threshold would be a patient's value."""
    if values[flags].min() > values[~flags].max():
        return "larger exactly where it is true"
    return "smaller exactly where it is true" if values[flags].max() < values[~flags].min() else None


def _all_differ(values: pd.Series[Any]) -> bool:
    return bool(values.notna().all() and values.is_unique)


def _whole(values: pd.Series[Any]) -> bool:
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return False
    numbers = values.astype("float64")
    return bool(np.isfinite(numbers).all() and (numbers == numbers.round()).all())
