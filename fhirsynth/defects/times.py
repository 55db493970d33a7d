"""Defects in dates, times and periods."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from fhirsynth.defects.edit import Change, Path, Site, look
from synthea_bridge.dates import instant_of

TIMES: Final[tuple[Path, ...]] = (
    ("birthDate",),
    ("effectiveDateTime",),
    ("onsetDateTime",),
    ("recordedDate",),
    ("authoredOn",),
    ("performedDateTime",),
    ("period", "start"),
    ("period", "end"),
    ("performedPeriod", "start"),
    ("performedPeriod", "end"),
)
_ZONED: Final = re.compile(r"(.+T.+?)(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")


def times(site: Site) -> Iterator[tuple[Path, str]]:
    """Dates and times that are there."""
    for path in TIMES:
        text = look(site.resource, path)
        if isinstance(text, str) and instant_of(text) is not None:
            yield path, text


def date_without_zone(site: Site, random: np.random.Generator) -> Change | None:
    """The time without its offset."""
    options = [(path, match[1]) for path, text in times(site) if (match := _ZONED.fullmatch(text))]
    return Change(*options[int(random.integers(len(options)))]) if options else None


def foreign_date_format(site: Site, random: np.random.Generator) -> Change | None:
    """The day as it is written in Germany or the United States, or date and time as in HL7 version 2."""
    options = [(path, text) for path, text in times(site) if len(text) >= len("2020-12-31")]
    if not options:
        return None
    path, text = options[int(random.integers(len(options)))]
    year, month, day = text[:10].split("-")
    clock = re.sub(r"\D", "", text[11:19])
    forms = (f"{day}.{month}.{year}", f"{month}/{day}/{year}", f"{year}{month}{day}{clock}")
    return Change(path, forms[int(random.integers(len(forms)))])


def reversed_period(site: Site, _random: np.random.Generator) -> Change | None:
    """Start and end in each other's place."""
    for key in ("period", "performedPeriod"):
        period = look(site.resource, (key,))
        ends = [look(period, (end,)) for end in ("start", "end")]
        moments = [instant_of(one) if isinstance(one, str) else None for one in ends]
        if moments[0] is not None and moments[1] is not None and moments[0] < moments[1]:
            return Change((key,), {**period, "start": ends[1], "end": ends[0]})
    return None
