"""Values as people write them, read as what they mean: flags, numbers and dates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pandas as pd

FLAGS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("true", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "no", "n", "0"), False),
}
"""Words that are read as a flag, whatever their case."""

POINT: Final = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
COMMA: Final = r"[+-]?\d*,\d+|[+-]?\d+"

CODES: Final = r"[+-]?0\d.*|\d{16,}"
"""Digits that are no number: nobody counts with leading zeros, and a double does not hold sixteen digits."""

THOUSANDS: Final = r"[+-]?[1-9]\d{0,2}(?:,\d{3})+"
"""12,345 is twelve in German and twelve thousand in English."""

DATES: Final = ("ISO8601", "%d.%m.%Y", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y")
"""Forms of dates, ISO 8601 first; a column has one of them."""

LOOKS: Final[Mapping[str, str]] = {
    "ISO8601": r"\d{4}-\d{2}-\d{2}.*",
    "%d.%m.%Y": r"\d{1,2}\.\d{1,2}\.\d{4}",
    "%Y/%m/%d": r"\d{4}/\d{1,2}/\d{1,2}",
    "%d/%m/%Y": r"\d{1,2}/\d{1,2}/\d{4}",
    "%m/%d/%Y": r"\d{1,2}/\d{1,2}/\d{4}",
}

EPOCH: Final = pd.Timestamp("1970-01-01", tz="UTC")


def is_words(values: pd.Series) -> bool:
    """Whether a column holds anything else than numbers and booleans."""
    return not (pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values))


def as_text(values: pd.Series) -> pd.Series:
    """Values as text without spaces around it; 1, 1.0 and "1" become the same, empty text is missing."""
    text: pd.Series = values.astype("string").str.strip().str.removesuffix(".0")
    return text.mask(text == "")


def as_flags(values: pd.Series, words: Mapping[str, bool] = FLAGS) -> pd.Series | None:
    """``values`` as a flag; None where one of them is no word for it."""
    text = as_text(values).str.lower()
    if not set(text.dropna().unique()) <= set(words):
        return None
    return text.map(words, na_action="ignore").astype("boolean")


def decimal_sign(text: pd.Series) -> str | None:
    """The sign before decimals in the numbers of ``text``: a point or a comma; None where both could be meant."""
    numbers = text[text.str.fullmatch(COMMA) & text.str.contains(",", regex=False)]
    if not len(numbers):
        return "."
    pointed = text[text.str.fullmatch(POINT) & text.str.contains(".", regex=False)]
    return None if len(pointed) or numbers.str.fullmatch(THOUSANDS).all() else ","


def as_numbers(values: pd.Series, decimal: str | None = None) -> pd.Series:
    """``values`` as float64, missing where one is no number.

    Parameters
    ----------
    values
        Numbers, or text that may hold some.
    decimal
        The sign before decimals; None: found in the values.
    """
    if not is_words(values):
        numbers: pd.Series = values.astype("Float64").astype("float64")
        return numbers
    text = as_text(values)
    known = text.dropna()
    sign = decimal if decimal is not None else decimal_sign(known)
    if sign is None or known.str.fullmatch(CODES).any():
        return pd.Series(float("nan"), index=values.index)
    read = text.where(text.str.fullmatch(COMMA if sign == "," else POINT).fillna(False))
    found: pd.Series = pd.to_numeric(read.str.replace(",", ".", regex=False)).astype("Float64").astype("float64")
    return found


def as_days(values: pd.Series, form: str = "ISO8601") -> pd.Series | None:
    """Dates and times, or text in ``form``, as days since 1970 (float64); None where a value is neither."""
    known = values.dropna()
    if not len(known) or not is_words(known):
        return None
    if not pd.api.types.is_datetime64_any_dtype(known):
        text = as_text(known)
        if not text.str.fullmatch(LOOKS[form]).all():
            return None
        values = text.reindex(values.index)
    try:
        times = pd.to_datetime(values, format=form, utc=True)
    except (ValueError, TypeError, OverflowError):
        return None
    days: pd.Series = (times - EPOCH) / pd.Timedelta(days=1)
    return days.astype("float64")


def date_form(values: pd.Series) -> str | None:
    """The form in which all values are dates; None where there is none, or day and month could be either."""
    forms = [form for form in DATES if as_days(values, form) is not None]
    return forms[0] if len(forms) == 1 or forms[:1] == ["ISO8601"] else None
