"""What a report shows of histories: codes that differ, shares of codes, and charts of single patients."""

from __future__ import annotations

from typing import Literal

from fhirsynth.trilemma.frozen import Frozen

CodedTable = Literal["conditions", "observations", "medications", "procedures"]

CODED: tuple[CodedTable, ...] = ("conditions", "observations", "medications", "procedures")
"""Tables of which the codes are compared."""


class Difference(Frozen):
    """One code, pair, sequence or class in which real and synthetic histories differ.

    Parameters
    ----------
    title
        What it is, in words.
    real, synthetic
        The figure of each side: a share, or the middle of a distribution.
    distance
        How far apart the two are.
    band
        95th percentile of the same between two groups of real patients.
    """

    title: str
    real: float
    synthetic: float
    distance: float
    band: float

    @property
    def beyond(self) -> bool:
        """Whether the two are further apart than real patients are."""
        return self.distance > self.band


class TimelineMeasure(Frozen):
    """One property of patients' histories, and how far apart real and synthetic ones are.

    Parameters
    ----------
    unit
        What ``real`` and ``synthetic`` count.
    real, synthetic
        One figure for each side: a median, a mean or a share, as ``unit`` and ``note`` say.
    distance
        Between real and synthetic patients; ``statistic`` says which. None: too few patients have any.
    fresh
        The same distance between real patients and a fresh draw of them; without one, between random groups of them.
    band
        95th percentile of it between two groups of real patients (resampling patients).
    n_real, n_synthetic
        How many values there are.
    patients_real, patients_synthetic
        Who has any.
    statistic
        Kolmogorov-Smirnov D, total variation, or a mean over codes or pairs of them.
    furthest
        What differs most, where the property is one of several codes, pairs or classes.
    """

    name: str
    title: str
    unit: str
    real: float | None
    synthetic: float | None
    distance: float | None
    band: float | None
    n_real: int
    n_synthetic: int
    patients_real: int
    patients_synthetic: int
    note: str = ""
    statistic: str = "Kolmogorov-Smirnov D"
    fresh: float | None = None
    furthest: tuple[Difference, ...] = ()

    @property
    def within(self) -> bool | None:
        """Whether the distance is one that real patients have between them; None where nothing was compared."""
        return None if self.distance is None or self.band is None else self.distance <= self.band


class CodeShare(Frozen):
    """The share of patients that have a code, real and synthetic.

    Parameters
    ----------
    table
        The table that the code stands in.
    real, synthetic
        Shares of patients, 0 to 1.
    beyond
        Whether the synthetic share lies outside the band.
    """

    table: CodedTable
    title: str
    real: float
    synthetic: float
    beyond: bool


class CodeShares(Frozen):
    """The commonest codes of each table, and the band in which 95 of 100 real samples have their share.

    Parameters
    ----------
    points
        One for each code.
    at, low, high
        Real shares, and the ends of the band at each of them.
    hidden
        Codes that one to four real patients have: they are compared, and not shown.
    """

    points: tuple[CodeShare, ...]
    at: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    hidden: int = 0


class Ticks(Frozen):
    """What happened now and then: its name, and when, in years of the calendar."""

    title: str
    at: tuple[float, ...]


class Spans(Frozen):
    """What lasted: its name, and beginnings and ends in years of the calendar; an end that is null is not known."""

    title: str
    spans: tuple[tuple[float, float | None], ...]


class Course(Frozen):
    """A value that was measured again and again.

    Parameters
    ----------
    at
        When, in years of the calendar.
    value
        What was measured, in ``unit``.
    """

    title: str
    unit: str
    at: tuple[float, ...]
    value: tuple[float, ...]


class Chart(Frozen):
    """The history of one patient, as it is drawn: lanes of what happened, in years of the calendar.

    Parameters
    ----------
    origin
        Whether the patient is a real one (simulated by Synthea, or they are not shown) or a synthetic one.
    title
        Who it is: sex, age, and how many entries.
    start, end
        Years at the ends of the axis.
    encounters
        One lane for each class of encounter.
    conditions, medications, procedures
        One lane for each of the most prominent; those that are not drawn are in the last lane.
    labs
        The numbers that were measured most often.
    """

    origin: Literal["real", "synthetic"]
    title: str
    start: float
    end: float
    encounters: tuple[Ticks, ...] = ()
    conditions: tuple[Spans, ...] = ()
    medications: tuple[Ticks, ...] = ()
    procedures: tuple[Ticks, ...] = ()
    labs: tuple[Course, ...] = ()
