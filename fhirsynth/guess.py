"""A feature schema for anybody's rows: kinds guessed from what the columns hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from functools import partial
from math import floor, log10
from typing import Final

import numpy as np
import pandas as pd

from fhirsynth.errors import UsageError
from fhirsynth.schema import ConditionFeature, Feature, FeatureSchema, Kind, Source
from fhirsynth.texts import FLAGS, as_days, as_flags, as_numbers, as_text, date_form, decimal_sign, is_words

KEYS: Final = frozenset({"patient_id", "weight"})
"""Columns that say who a row is about and how many people it stands for, not what is true of them."""

NAMES: Final = 0.5
"""Share of distinct values from which on a column of words is an identifier or free text …"""

ALMOST: Final = 0.9
"""… and the same where every table may have the same ones, as numbered rows have …"""

NAMES_FROM: Final = 50
"""… if there are so many of them."""

STRAY: Final = 3
"""Different words among numbers that are taken for "missing" (unknown, ?, n.d.) …"""

MEASURED: Final = 20
"""… where there are so many different numbers, so that they are no codes."""

LARGEST: Final = 1e15
"""A whole number beyond it is a code; a double no longer counts there."""

UNNAMED: Final = re.compile(r"Unnamed: \d+")
KEY: Final = re.compile(r"(?i:id|index|.*[_ .-]id|.*uuid)|.*[a-z]I[dD]")
"""Names of columns that hold a key, where they hold another value in every row."""

UNKNOWN: Final = date(1970, 1, 1)
"""The index date of a guessed schema: nobody has said on which day patients are described."""

DATE: Final = r"\d{1,4}([./-])\d{1,2}\1\d{1,4}"

NAMED: Final = 5
"""Names that are listed in a line."""

SHOWN: Final = 40
"""Letters of a value that are shown."""

Reader = Callable[[pd.Series], pd.Series | None]
"""Reads a column as its kind; None where it cannot."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What the columns are taken for.

    Parameters
    ----------
    schema
        Their kinds.
    notices
        What was guessed and what was left out, in lines for people.
    readers
        How each column becomes its kind.
    """

    schema: FeatureSchema
    notices: tuple[str, ...]
    readers: Mapping[str, Reader]

    def read(self, frame: pd.DataFrame) -> pd.DataFrame:
        """``frame`` with each column read as its kind; what cannot be read stays."""
        return _read(frame, self.readers)


@dataclass(frozen=True, slots=True)
class _Parts:
    """One column in every frame that has it, by what the frame is called."""

    name: str
    by_frame: Mapping[str, pd.Series]
    joined: pd.Series = field(init=False)

    def __post_init__(self) -> None:
        known = [part.dropna() for part in self.by_frame.values()]
        # Parts without any value say nothing about the kind.
        joined = pd.concat([part for part in known if len(part)] or known[:1], ignore_index=True)
        object.__setattr__(self, "joined", joined)

    @property
    def real(self) -> list[pd.Series]:
        return list(self.by_frame.values())[:2]


@dataclass(frozen=True, slots=True)
class _Found:
    """What a column is taken for; ``told`` is the same in words, ``title`` what a report calls it."""

    kind: Kind
    read: Reader
    told: str
    title: str = ""
    decimals: int = 0

    def feature(self, name: str) -> Feature:
        """The column as the schema has it."""
        title, source = self.title or name, Source(rule="derived")
        return Feature(name=name, title=title, kind=self.kind, decimals=self.decimals, nullable=True, source=source)


def guess_schema(
    frames: Sequence[pd.DataFrame],
    target: str | None = None,
    names: Sequence[str] = ("train", "holdout", "synthetic"),
) -> Guess:
    """The schema of the frames' columns, but for :data:`KEYS`.

    Columns of words that hardly repeat (identifiers, free text) are left out: nothing can be learned from them, and no
    synthetic row can be compared by them.

    Parameters
    ----------
    frames
        Train, holdout and synthetic rows, or one table to learn from; the first decides the order of columns.
    target
        The flag that makes the rare cohort, if any; of two other values the rarer one is taken as true.
    names
        What the frames are called in errors.

    Raises
    ------
    UsageError
        When a frame lacks a column, holds words where the training rows hold numbers, or nothing is left to compare;
        when ``target`` is no column, or has not two values.
    """
    use = "learned" if len(frames) == 1 else "compared"
    every = dict.fromkeys(name for frame in frames for name in frame.columns if name not in KEYS)
    columns = [
        _Parts(name, {called: f[name] for called, f in zip(names, frames, strict=False) if name in f.columns})
        for name in every
    ]
    if target is not None and target not in every:
        raise UsageError(f"target '{target}': no column is called so{_near(target, every)}; there are: {listed(every)}")
    judged = {one.name: _target(one) if one.name == target else _found(one) for one in columns}
    found = {name: one for name, one in judged.items() if isinstance(one, _Found)}
    # What most have comes first: one table of another form is named, and not those that are right.
    common = [name for name in found if 2 * sum(name in frame.columns for frame in frames) > len(frames)]
    for wanted in (common, list(found)):
        for called, frame in zip(names, frames, strict=False):
            refuse_lacking(called, frame, wanted)
    if not found:
        alone = "the table has no column that can be learned; give one that measures something"
        shared = "the tables share no column that can be compared; give tables with the same columns"
        raise UsageError(alone if len(frames) == 1 else shared)
    notices = (
        f"no schema given; taken as {', '.join(f'{name}: {one.told}' for name, one in found.items())}",
        *left_out({name: one for name, one in judged.items() if isinstance(one, str)}, use),
    )
    schema = FeatureSchema(
        features=tuple(one.feature(name) for name, one in found.items()),
        condition=_condition(target),
        index_date=UNKNOWN,
    )
    return Guess(schema, notices, {name: one.read for name, one in found.items()})


def as_kinds(frame: pd.DataFrame, schema: FeatureSchema, guess: Guess | None = None) -> pd.DataFrame:
    """``frame`` with its text read as the kinds of ``schema``; what cannot be read stays, for others to refuse.

    With a ``guess`` columns are read as was guessed, where that is of the same kind: dates and words of any form.
    """
    by_kind: dict[Kind, Reader] = {"flag": as_flags, "number": _numbers_or_days, "count": _numbers}
    readers = {one.name: by_kind.get(one.kind, as_text) for one in schema.features}
    if guess is not None:
        alike = {one.name: {one.kind, schema[one.name].kind} for one in guess.schema.features}
        numbers = {"number", "count"}
        readers |= {name: guess.readers[name] for name, both in alike.items() if len(both) == 1 or both == numbers}
    return _read(frame, readers)


def refuse_lacking(called: str, frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse a frame without one of ``columns``, naming what is called nearly so.

    Raises
    ------
    UsageError
        When one is not there.
    """
    absent = [name for name in columns if name not in frame.columns]
    if absent:
        surplus = [name for name in frame.columns if name not in columns]
        near = _near(absent[0], surplus)
        valued = any(re.fullmatch(r"-?\d+[.,]\d+", name) for name in (*absent, *surplus))
        header = "; does the first line of every file hold the names of the columns?" if valued else ""
        raise UsageError(
            f"{called}: lacks the columns {listed(absent)}{near}; all tables need the same ones (see --schema){header}"
        )


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    every = list(names)
    more = len(every) - NAMED
    return ", ".join(every[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _read(frame: pd.DataFrame, readers: Mapping[str, Reader]) -> pd.DataFrame:
    result = frame.copy()
    for name, reader in readers.items():
        if name in result.columns:
            values = reader(result[name])
            result[name] = result[name] if values is None else values
    return result


def _numbers(values: pd.Series, decimal: str | None = None, missing: Collection[str] = frozenset()) -> pd.Series | None:
    """Numbers; None where they are already, or where some value is neither one nor a word for a missing one."""
    if not is_words(values):
        return None
    text = as_text(values)
    numbers = as_numbers(text, decimal)
    return numbers if text[numbers.isna() & text.notna()].isin(missing).all() else None


def _numbers_or_days(values: pd.Series) -> pd.Series | None:
    days = as_days(values)
    return _numbers(values) if days is None else days


# ---------------------------------------------------------------- one column


def _found(column: _Parts) -> _Found | str:
    """What a column is taken for, or as what it is left out."""
    values = column.joined
    reason = _no_measure(column)
    if reason:
        return reason
    if len(values) and as_flags(values) is not None:
        return _Found("flag", as_flags, "flag")
    if not is_words(values) and not _are_codes(values):
        return _number(values, _numbers)
    form = date_form(values)
    if form is not None:
        return _Found("number", partial(as_days, form=form), "date", f"{column.name} (days since 1970-01-01)", 9)
    return _written(column) or _unlike_words(column) or _Found("category", as_text, "category")


def _no_measure(column: _Parts) -> str | None:
    """As what a column is left out that says nothing of a patient; None where it may."""
    values = column.joined
    if values.dtype == object and not all(pd.api.types.is_hashable(one) for one in values):
        return "lists or tables"
    different = all(part.dropna().is_unique for part in column.real) and (is_words(values) or _is_whole(values))
    if UNNAMED.fullmatch(column.name) and (different or not len(values)):
        return "row numbers or empty"
    return "identifiers" if KEY.fullmatch(column.name) and different and len(values) else None


def _written(column: _Parts) -> _Found | None:
    """Numbers written as text, among which some words may stand for a missing value."""
    text = as_text(column.joined)
    sign = decimal_sign(text)
    if sign is None or any(isinstance(part.dtype, pd.CategoricalDtype) for part in column.by_frame.values()):
        return None
    numbers = as_numbers(text, sign)
    words = text[numbers.isna()].unique().tolist()
    if numbers.isna().all() or (len(words) and not _are_strays(column, numbers, words, sign)):
        return None
    missing = f"{listed(map(shown, words))} taken as missing" if len(words) else ""
    remark = "; ".join(one for one in ("decimal commas" if sign == "," else "", missing) if one)
    reader = partial(_numbers, decimal=sign, missing=frozenset(words))
    return _number(numbers.dropna(), reader, f" ({remark or 'written as text'})")


def _are_strays(column: _Parts, numbers: pd.Series, words: Sequence[str], sign: str) -> bool:
    """Whether few words stand among many measured numbers, in every frame.

    Raises
    ------
    UsageError
        When they do not, and the training rows hold numbers only: the frames then cannot be compared.
    """
    parts = {called: part for called, part in column.by_frame.items() if part.notna().any()}
    unread = {called: as_numbers(as_text(part.dropna()), sign).isna() for called, part in parts.items()}
    if len(words) <= STRAY and numbers.nunique() >= MEASURED and max(one.mean() for one in unread.values()) < NAMES:
        return True
    first = next(iter(parts))
    if not is_words(parts[first]) and not unread[first].any():
        called = next(called for called, one in unread.items() if one.any())
        found = as_text(parts[called].dropna())[unread[called]].unique()
        raise UsageError(
            f"{called}, column {column.name}: holds {listed(map(shown, found))} where {first} holds numbers; correct "
            "it, leave it empty, or say in a --schema that the column is a category"
        )
    return False


def _unlike_words(column: _Parts) -> str | None:
    """Why a column of words cannot be compared; None where it can."""
    text = as_text(column.joined).dropna()
    hardly = all(part.nunique() >= ALMOST * part.count() for part in column.real)
    if text.nunique() < NAMES_FROM or not (hardly or text.nunique() >= NAMES * len(text)):
        return None
    if text.str.fullmatch(DATE).all():
        return "dates of which day and month are not clear (write 2024-12-31)"
    if decimal_sign(text) is None:
        return "numbers of which the decimal sign is not clear (write 1234.5)"
    return "identifiers or free text"


def _target(column: _Parts) -> _Found:
    """A flag, or a column of two other values, of which the rarer one is true."""
    name, real = column.name, pd.concat([as_text(part) for part in column.real]).dropna()
    levels = real.value_counts().sort_index().sort_values(kind="stable", ascending=False).index.tolist()
    flag = as_flags(real) is not None
    place = "train and holdout" if len(column.by_frame) > 1 else "the data"
    if not levels:
        raise UsageError(f"target '{name}' holds no value in {place}; choose another column")
    if not flag and len(levels) != 2:
        kind = getattr(_found(column), "kind", "text")
        values = f"{len(levels)} values" if len(levels) > 1 else f"the single value {shown(levels[0])}"
        raise UsageError(
            f"target '{name}' is a {kind} with {values} in {place}; it has to be a flag (0 and 1, yes and no), or a "
            "column of two values"
        )
    words = FLAGS if flag else {levels[0].lower(): False, levels[1].lower(): True}
    for called, part in column.by_frame.items():
        text = as_text(part).dropna()
        stray = text[~text.str.lower().isin(words)].unique()
        if len(stray):
            raise UsageError(
                f"{called}, column {name}: holds {listed(map(shown, stray))}, but the target is "
                f"{' or '.join(map(shown, sorted(levels)))}; correct it, or round it"
            )
    if flag:
        return _Found("flag", as_flags, "flag")
    told = f"flag (true where it is {shown(levels[1])}, the rarer value)"
    return _Found("flag", partial(as_flags, words=words), told, f"{name} = {levels[1]}")


def _number(values: pd.Series, read: Reader, remark: str = "") -> _Found:
    largest = float(values.astype("float64").abs().max()) if len(values) else 0.0
    if len(values) and _is_whole(values) and float(values.min()) >= 0 and largest <= LARGEST:
        return _Found("count", read, f"count{remark}")
    # Nine digits of the largest value: rounding must not make a column in small units constant.
    small = -floor(log10(largest)) if 0 < largest < np.inf else 0
    return _Found("number", read, f"number{remark}", decimals=min(max(9, 9 + small), 300))


def _is_whole(values: pd.Series) -> bool:
    numbers = values.astype("float64")
    return bool(np.isfinite(numbers).all() and (numbers == numbers.round()).all())


def _are_codes(values: pd.Series) -> bool:
    """Whether whole numbers are so long that they can only be codes."""
    return pd.api.types.is_integer_dtype(values) and bool((values > LARGEST).any())


# ---------------------------------------------------------------- words for people


def shown(value: object) -> str:
    """A value in quotation marks, on one line and not too long."""
    text = "".join(one if one.isprintable() else " " for one in str(value))
    return f"“{text[:SHOWN]}…”" if len(text) > SHOWN else f"“{text}”"


def left_out(reasons: Mapping[str, str], use: str) -> list[str]:
    """Lines that say which columns are left out as what, from column → reason; ``use`` is what they are not."""
    return [
        f"left out, as {reason}: {', '.join(name for name, one in reasons.items() if one == reason)}; give a --schema "
        f"to have them {use}"
        for reason in dict.fromkeys(reasons.values())
    ]


def _near(name: str, names: Iterable[str]) -> str:
    """That another name is nearly the same."""
    lowered = {one.casefold(): one for one in names}
    near = get_close_matches(name.casefold(), lowered, n=1, cutoff=0.8)
    return f" (there is '{lowered[near[0]]}')" if near else ""


def _condition(target: str | None) -> ConditionFeature | None:
    """Only a column named has_… can be a condition of the schema; any other target makes the cohort by itself."""
    if target is None or not target.startswith("has_"):
        return None
    slug = target.removeprefix("has_")
    return ConditionFeature(slug=slug, name=slug.replace("_", " "), snomed="", display="")
