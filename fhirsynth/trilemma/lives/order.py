"""Order in time: what cannot be in a history, whatever its dates leave open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from fhirsynth.features import STAYS
from fhirsynth.trilemma.intervals import Bools, Floats, Ints
from fhirsynth.trilemma.lives.histories import Lives, earliest, latest
from fhirsynth.trilemma.measure import Rule
from fhirsynth.trilemma.rules import Tally, as_rule


class _Asked(NamedTuple):
    """Whose entry each is, whether the rule applies to it, and whether it breaks it; each of shape (entries,)."""

    patient: Ints
    applies: Bools
    broken: Bools


class _Events(NamedTuple):
    """When everything began, of all tables together."""

    patient: Ints
    early: Floats
    late: Floats


_BEGINS: Final[Mapping[str, str]] = {
    "encounters": "start",
    "conditions": "onset",
    "observations": "effective",
    "medications": "authored",
    "procedures": "start",
}


def order_in_time(real: Lives, made: Lives, index_date: date) -> tuple[Rule, ...]:
    """How often each rule of order in time applied to an entry and was broken, real beside synthetic.

    Where a date is no more precise than a day, a month or a year, only what is wrong whatever it means counts.

    Parameters
    ----------
    real, made
        The histories of real and of synthetic patients.
    index_date
        The last day of which anything can be known, in UTC.
    """
    until = day_number(index_date) + 1
    sides = [_tallies(lives, until) for lives in (real, made)]
    return tuple(as_rule(name, title, "time", sides[0][name], sides[1][name]) for name, title in _TITLES.items())


def day_number(day: date) -> float:
    """Days from 1970 to the beginning of ``day``."""
    return float((day - date(1970, 1, 1)).days)


def stays(lives: Lives) -> Bools:
    """Which encounters are stays in hospital, of shape (encounters,)."""
    return lives.encounters["class_code"].isin(STAYS).to_numpy(dtype=np.bool_)


_TITLES: Final = {
    "nothing-before-birth": "Nothing begins before birth",
    "nothing-after-death": "Nothing begins after death",
    "nothing-in-future": "Nothing begins after the index date",
    "encounter-end": "No encounter ends before it begins",
    "discharge-after-admission": "A discharge from hospital is after the admission",
    "one-stay-at-a-time": "No stay in hospital begins before the last one has ended",
    "condition-end": "No condition ends before it begins",
    "condition-recorded": "No condition is recorded before it begins",
    "condition-encounter": "A condition begins before the encounter ends at which it was found",
    "observation-encounter": "An observation is made during its encounter",
    "medication-encounter": "A medication is ordered during its encounter",
    "medication-first": "No medication is ordered before the first encounter",
    "procedure-encounter": "A procedure begins during its encounter",
    "procedure-end": "No procedure ends before it begins",
}


def _tallies(lives: Lives, until: float) -> dict[str, Tally]:
    events = _events(lives)
    asked: dict[str, Callable[[], _Asked]] = {
        "nothing-before-birth": lambda: _before_birth(lives, events),
        "nothing-after-death": lambda: _after_death(lives, events),
        "nothing-in-future": lambda: _Asked(events.patient, np.isfinite(events.early), events.early >= until),
        "encounter-end": lambda: _ends(lives.encounters, "start", "end"),
        "discharge-after-admission": lambda: _discharge(lives),
        "one-stay-at-a-time": lambda: _overlap(lives),
        "condition-end": lambda: _ends(lives.conditions, "onset", "abatement"),
        "condition-recorded": lambda: _ends(lives.conditions, "onset", "recorded"),
        "condition-encounter": lambda: _within(lives, lives.conditions, "onset", from_start=False),
        "observation-encounter": lambda: _within(lives, whole(lives), "effective"),
        "medication-encounter": lambda: _within(lives, lives.medications, "authored"),
        "medication-first": lambda: _medication(lives),
        "procedure-encounter": lambda: _within(lives, lives.procedures, "start"),
        "procedure-end": lambda: _ends(lives.procedures, "start", "end"),
    }
    return {name: _tally(ask()) for name, ask in asked.items()}


def whole(lives: Lives) -> pd.DataFrame:
    """The observations without their components, which have no time of their own."""
    return lives.observations[lives.observations["component"] == 0]


def _tally(asked: _Asked) -> Tally:
    return Tally.of(asked.applies, asked.broken, asked.patient)


def _events(lives: Lives) -> _Events:
    frames = [
        (whole(lives) if name == "observations" else getattr(lives, name), time) for name, time in _BEGINS.items()
    ]
    return _Events(
        np.concatenate([frame["patient"].to_numpy() for frame, _ in frames]),
        np.concatenate([earliest(frame, time) for frame, time in frames]),
        np.concatenate([latest(frame, time) for frame, time in frames]),
    )


def _before_birth(lives: Lives, events: _Events) -> _Asked:
    born = earliest(lives.patients, "birth_date")[events.patient]
    return _Asked(events.patient, np.isfinite(born) & np.isfinite(events.late), events.late < born)


def _after_death(lives: Lives, events: _Events) -> _Asked:
    died = latest(lives.patients, "deceased_at")[events.patient]
    return _Asked(events.patient, np.isfinite(died) & np.isfinite(events.early), events.early > died)


def _ends(frame: pd.DataFrame, begin: str, end: str) -> _Asked:
    begins, ends = earliest(frame, begin), latest(frame, end)
    return _Asked(frame["patient"].to_numpy(), np.isfinite(begins) & np.isfinite(ends), ends < begins)


def _discharge(lives: Lives) -> _Asked:
    frame = lives.encounters[stays(lives)]
    begins, ends = earliest(frame, "start"), latest(frame, "end")
    return _Asked(frame["patient"].to_numpy(), np.isfinite(begins) & np.isfinite(ends), ends <= begins)


def _overlap(lives: Lives) -> _Asked:
    """Each stay against the latest end of the patient's stays before it; a first stay is not asked."""
    frame = lives.encounters[stays(lives)].sort_values(["patient", "start", "end"], kind="stable")
    patient = frame["patient"].to_numpy()
    ended = pd.Series(earliest(frame, "end")).groupby(patient).cummax().groupby(patient).shift().to_numpy()
    begins = latest(frame, "start")
    return _Asked(patient, np.isfinite(ended) & np.isfinite(begins), begins < ended)


def _within(lives: Lives, frame: pd.DataFrame, time: str, *, from_start: bool = True) -> _Asked:
    """Entries against the encounter that they name; one without an end ends never."""
    place = frame["encounter"].to_numpy()
    known = place >= 0
    begins, ends = earliest(lives.encounters, "start"), latest(lives.encounters, "end")
    early, late = earliest(frame, time), latest(frame, time)
    begin, end = np.full(len(frame), np.nan), np.full(len(frame), np.nan)
    begin[known], end[known] = begins[place[known]], ends[place[known]]
    broken = early > end
    if from_start:
        broken |= late < begin
    return _Asked(frame["patient"].to_numpy(), np.isfinite(begin) & np.isfinite(early), broken)


def _medication(lives: Lives) -> _Asked:
    # Of the whole history: in a window of years an order may be from an encounter that lies before it.
    first = lives.patients["first_encounter"].to_numpy()
    patient = lives.medications["patient"].to_numpy()
    authored = latest(lives.medications, "authored")
    return _Asked(patient, np.isfinite(first[patient]) & np.isfinite(authored), authored < first[patient])
