"""FHIR dates as columns: an instant in UTC beside the text as it stood in the source."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from synthea_bridge.tables import INSTANT

_FHIR_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(?:Z|([+-])(\d\d):(\d\d))?)?)?)?",
    re.ASCII,
)


def instant_of(text: str) -> datetime | None:
    """The start of what a FHIR date, dateTime or instant names, in UTC; None when it is none.

    A text without an offset is taken as UTC. Digits beyond the microsecond are cut off; a leap second is the start of
    the next minute.
    """
    match = _FHIR_DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    try:
        moment = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), tzinfo=UTC)
        seconds = int(second or 0)
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        if seconds > 60:
            return None
        moment += timedelta(seconds=seconds, microseconds=int((fraction or "0")[:6].ljust(6, "0")))
        return moment + offset if sign == "-" else moment - offset
    except (ValueError, OverflowError):
        return None


def day_of(text: str) -> date | None:
    """The first day of what a FHIR date names; None when it is none."""
    moment = instant_of(text[:10])
    return None if moment is None else moment.date()


def instants(texts: pa.Array) -> pa.Array:
    """A column of texts as instants; null where a text is no FHIR date.

    Whole dateTimes with an offset, which is nearly all there is, are cast by Arrow at once; a column with anything
    else in it is parsed text by text.
    """
    try:
        return texts.cast(INSTANT)
    except pa.ArrowInvalid:
        known = {text: instant_of(text) for text in texts.unique().to_pylist() if text is not None}
        return pa.array([known.get(text) for text in texts.to_pylist()], INSTANT)


def days(texts: pa.Array) -> pa.Array:
    """A column of texts as days; null where a text is no FHIR date."""
    try:
        return texts.cast(pa.date32())
    except pa.ArrowInvalid:
        return pa.array([None if text is None else day_of(text) for text in texts.to_pylist()], pa.date32())
