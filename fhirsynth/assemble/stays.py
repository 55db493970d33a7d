"""Stays within 12 months: which counts and lengths can be, and where they are put."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from fhirsynth.errors import AssembleError

YEAR: Final = 365.99
"""Days from the opening of the 12 months to the last minute of the index day."""
INFANT: Final = 363.0
"""Days that a patient of age 0 can have lived."""
APART: Final = 30.5
"""Days between two stays that are no readmission."""
CLOSE: Final = 29.0
"""Longest time to a readmission, in days."""
LEAST_GAP: Final = 0.05
LEAST_STAY: Final = 0.1


@dataclass(frozen=True, slots=True)
class Stay:
    """Begin and length in days, counted from the opening of the time that was given."""

    begin: float
    days: float


def needed(stays: int, days: float | None, readmitted: bool) -> float:
    """The fewest days that hold so many stays."""
    if stays == 0 or days is None:
        return 0.0
    return days + (stays - 1) * (LEAST_STAY + (LEAST_GAP if readmitted else APART))


def possible(stays: int, days: float | None, readmitted: bool, age: int) -> bool:
    """Whether a patient of ``age`` years can have had these stays in 12 months.

    Parameters
    ----------
    stays
        Number of stays.
    days
        Length of the latest one.
    readmitted
        Whether one began within 30 days after the end of an earlier one.
    """
    if stays == 0:
        return days is None and not readmitted
    if days is None or (readmitted and stays < 2):
        return False
    return needed(stays, days, readmitted) <= (YEAR if age > 0 else INFANT)


def place(
    stays: int, days: float | None, readmitted: bool, room: float, lengths: list[float], random: np.random.Generator
) -> list[Stay]:
    """Put the stays into ``room`` days, in order; the last one is ``days`` long.

    Parameters
    ----------
    lengths
        Wished-for lengths of the stays before the last; they shrink where there is no room.

    Raises
    ------
    AssembleError
        When they do not fit.
    """
    if stays == 0:
        return []
    least = needed(stays, days, readmitted)
    if days is None or least > room:
        raise AssembleError(f"{stays} stays, the last of {days} days, do not fit into {room:.0f} days")
    spare = room - least
    wished = np.array([max(length - LEAST_STAY, 0.0) for length in lengths[: stays - 1]])
    if wished.sum() > spare / 2:
        wished *= spare / 2 / wished.sum()
    spare -= float(wished.sum())
    gaps = np.full(stays - 1, LEAST_GAP if readmitted else APART)
    free = np.ones(stays + 1)
    if readmitted:
        soon = int(random.integers(stays - 1))
        extra = min(spare, float(random.uniform(0, CLOSE)))
        gaps[soon] += extra
        spare -= extra
        free[soon + 1] = 0
    slack = np.zeros(stays + 1)
    slack[free > 0] = spare * random.dirichlet(np.ones(int(free.sum())))
    lengths_in_order = [*(wished + LEAST_STAY), days]
    begins = np.cumsum(slack[:stays] + np.array([0.0, *gaps])) + np.cumsum([0.0, *lengths_in_order[:-1]])
    return [Stay(float(begin), float(length)) for begin, length in zip(begins, lengths_in_order, strict=True)]
