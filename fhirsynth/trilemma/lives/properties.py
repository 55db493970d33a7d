"""What is asked of histories: each property as a number for a patient, or for each of several entries of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from fhirsynth.trilemma.intervals import Bools, Floats, Ints
from fhirsynth.trilemma.lives.histories import Lives
from fhirsynth.trilemma.lives.order import stays, whole
from fhirsynth.trilemma.lives.reading import YEAR
from synthea_bridge.tables import LOINC


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one property.

    Parameters
    ----------
    patient
        Whose each is, as the number of the patient, shape (n,).
    value
        The values, shape (n,).
    """

    patient: Ints
    value: Floats

    @property
    def patients(self) -> int:
        """Who has any."""
        return len(np.unique(self.patient))


@dataclass(frozen=True, slots=True)
class View:
    """Lives up to the end of the index day, or of the day of death.

    Parameters
    ----------
    lives
        The histories.
    end
        The end of each patient's last day, in days since 1970, shape (patients,).
    shared
        Codes of conditions that both sides have.
    """

    lives: Lives
    end: Floats
    shared: frozenset[str] = frozenset()

    @classmethod
    def of(cls, lives: Lives, until: float) -> View:
        """Look at ``lives`` up to ``until``, in days since 1970."""
        death = np.floor(lives.patients["deceased_at"].to_numpy()) + 1
        return cls(lives, np.fmin(death, until))

    def rows(self, frame: pd.DataFrame, time: str) -> Bools:
        """Which entries are not later than that; one without a time is none that can be later."""
        kept: Bools = ~(frame[time].to_numpy() >= self.end[frame["patient"].to_numpy()])
        return kept

    def counts(self, frame: pd.DataFrame, kept: Bools) -> Values:
        """Entries of each patient, 0 too."""
        counted = np.bincount(frame["patient"].to_numpy()[kept], minlength=len(self.lives))
        return Values(np.arange(len(self.lives)), counted.astype(np.float64))


def _encounters(view: View) -> Values:
    frame = view.lives.encounters
    return view.counts(frame, view.rows(frame, "start"))


def _recent(view: View) -> Values:
    """As the features count them: 365 days before the index day, and that day."""
    frame = view.lives.encounters
    opened = view.end[frame["patient"].to_numpy()] - 366
    return view.counts(frame, view.rows(frame, "start") & (frame["start"].to_numpy() > opened))


def _gaps(view: View) -> Values:
    patient, start = _starts(view)
    same = patient[1:] == patient[:-1]
    return Values(patient[1:][same], np.diff(start)[same])


def _length(view: View) -> Values:
    patient, start = _starts(view)
    places = np.flatnonzero(np.diff(patient, prepend=-1))
    ends = np.append(places[1:], len(patient))[: len(places)] - 1
    return Values(patient[places], (start[ends] - start[places]) / YEAR)


def _starts(view: View) -> tuple[Ints, Floats]:
    """Patient and time of each encounter, by patient and in order of time."""
    frame = view.lives.encounters
    kept = view.rows(frame, "start") & frame["start"].notna().to_numpy()
    patient, start = frame["patient"].to_numpy()[kept], frame["start"].to_numpy()[kept]
    order = np.lexsort((start, patient))
    return patient[order], start[order]


def _stays(view: View) -> Values:
    frame = view.lives.encounters
    days = (frame["end"] - frame["start"]).to_numpy()
    kept = stays(view.lives) & view.rows(frame, "start") & np.isfinite(days)
    return Values(frame["patient"].to_numpy()[kept], days[kept])


def _observed(view: View) -> Values:
    """Observations of each encounter, 0 too; those that name no encounter belong to none."""
    encounters, frame = view.lives.encounters, whole(view.lives)
    place = frame["encounter"].to_numpy()
    counted = np.bincount(place[place >= 0], minlength=len(encounters))
    kept = view.rows(encounters, "start")
    return Values(encounters["patient"].to_numpy()[kept], counted[kept].astype(np.float64))


def _codes(view: View) -> Values:
    frame = view.lives.observations
    kept = view.rows(frame, "effective") & (frame["system"] == LOINC).to_numpy() & frame["code"].notna().to_numpy()
    code, size = frame["code"].cat.codes.to_numpy(dtype=np.int64)[kept], max(len(frame["code"].cat.categories), 1)
    pairs = np.unique(frame["patient"].to_numpy()[kept] * size + code)
    counted = np.bincount(pairs // size, minlength=len(view.lives))
    return Values(np.arange(len(view.lives)), counted.astype(np.float64))


def _conditions(view: View) -> Values:
    frame = view.lives.conditions
    return view.counts(frame, view.rows(frame, "onset"))


def _onset(view: View) -> Values:
    return _ages(view, np.ones(len(view.lives.conditions), dtype=np.bool_))


def _shared_onset(view: View) -> Values:
    return _ages(view, view.lives.conditions["code"].isin(view.shared).to_numpy(dtype=np.bool_))


def _ages(view: View, wanted: Bools) -> Values:
    frame = view.lives.conditions
    patient = frame["patient"].to_numpy()
    age = (frame["onset"].to_numpy() - view.lives.patients["birth_date"].to_numpy()[patient]) / YEAR
    kept = wanted & view.rows(frame, "onset") & np.isfinite(age)
    return Values(patient[kept], age[kept])


def _medications(view: View) -> Values:
    frame = view.lives.medications
    return view.counts(frame, view.rows(frame, "authored"))


def _procedures(view: View) -> Values:
    frame = view.lives.procedures
    return view.counts(frame, view.rows(frame, "start"))


def _reason_gaps(view: View) -> Values:
    frame, conditions = view.lives.medications, view.lives.conditions
    kept = view.rows(frame, "authored") & (frame["reason"].to_numpy() >= 0)
    gap = frame["authored"].to_numpy()[kept] - conditions["onset"].to_numpy()[frame["reason"].to_numpy()[kept]]
    known = np.isfinite(gap)
    return Values(frame["patient"].to_numpy()[kept][known], gap[known] / YEAR)


@dataclass(frozen=True, slots=True)
class Property:
    """One property of histories.

    Parameters
    ----------
    name, title, unit
        Identifier, words for people, and the unit of the values.
    values
        Finds them.
    edges
        Lower bounds of the bins of its picture, in ``unit``; empty: it has none.
    note
        What the title does not say.
    """

    name: str
    title: str
    unit: str
    values: Callable[[View], Values]
    edges: tuple[float, ...] = ()
    note: str = ""


_COUNTS: Final = (0.0, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
_AGES: Final = (0.0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90)

PROPERTIES: Final = (
    Property("encounters_per_patient", "Encounters per patient", "", _encounters, _COUNTS),
    Property(
        "encounters_12m",
        "Encounters in the last 12 months",
        "",
        _recent,
        (0.0, 1, 2, 3, 4, 5, 7, 10, 20, 50),
    ),
    Property(
        "encounter_gap",
        "Time between encounters",
        "days",
        _gaps,
        (0.0, 1, 2, 7, 14, 30, 60, 90, 180, 365, 730),
        "From start to start.",
    ),
    Property("history_length", "Length of history, first to last encounter", "years", _length, _AGES),
    Property(
        "stay_length",
        "Length of stay of inpatient encounters",
        "days",
        _stays,
        (0.0, 0.25, 0.5, 1, 2, 3, 5, 7, 14, 30, 60),
    ),
    Property("observations_per_encounter", "Observations per encounter", "", _observed, (0.0, 1, 2, 3, 5, 10, 20, 50)),
    Property(
        "loinc_codes",
        "Distinct observation codes (LOINC) per patient",
        "",
        _codes,
        (0.0, 1, 5, 10, 20, 30, 40, 60, 80, 100, 150),
        "Of components too.",
    ),
    Property(
        "conditions_per_patient",
        "Conditions per patient",
        "",
        _conditions,
        (0.0, 1, 2, 3, 5, 10, 20, 50, 100, 200),
        "All that is recorded as one, findings on work and education too.",
    ),
    Property("onset_age", "Age at onset, all conditions", "years", _onset),
    Property(
        "onset_age_shared",
        "Age at onset, conditions that both sides have",
        "years",
        _shared_onset,
        _AGES,
        "Only codes that occur on both sides.",
    ),
    Property("medications_per_patient", "Medication orders per patient", "", _medications, _COUNTS),
    Property("procedures_per_patient", "Procedures per patient", "", _procedures),
    Property("reason_gap", "From the onset of its reason to a medication order", "years", _reason_gaps),
)
