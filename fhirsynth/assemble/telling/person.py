"""What is fixed of a patient before anything is told: birth, the row, and random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd

from fhirsynth.assemble.stays import INFANT, needed
from fhirsynth.assemble.timeline import SEXES, Sex, Timeline
from fhirsynth.errors import AssembleError
from fhirsynth.schema import FeatureSchema

DAY: Final = timedelta(days=1)
MINUTE: Final = timedelta(minutes=1)
SLOT: Final = timedelta(hours=4)
"""Emergencies begin in slots of their own."""
YEAR: Final = 365.25
BEFORE: Final = 5
"""Years before what is told in which visits are thought of, but not told."""


@dataclass(slots=True)
class Subject:
    """Whom a life is told of.

    Parameters
    ----------
    row
        What the synthetic row says, None where it is missing.
    years
        How far back visits are told, in years; None: the whole life.
    sex
        Whose rates hold; drawn where the row says neither.
    birth, today, end
        The hour of birth, the beginning of the index day and its last minute.
    opening
        Where the twelve months begin that the row counts visits of.
    since, before
        Where what is told begins, and where what is thought of begins: what ends in between began before.
    """

    row: Mapping[str, Any]
    schema: FeatureSchema
    timeline: Timeline
    random: np.random.Generator
    years: float | None = None
    sex: Sex = field(init=False)
    birth_date: date = field(init=False)
    birth: datetime = field(init=False)
    today: datetime = field(init=False)
    end: datetime = field(init=False)
    opening: datetime = field(init=False)
    since: datetime = field(init=False)
    before: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.row = {name: None if pd.isna(value) else value for name, value in self.row.items()}
        day = self.schema.index_date
        self.today = datetime(day.year, day.month, day.day, tzinfo=UTC)
        self.end = self.today + DAY - MINUTE
        said = self.row.get("sex")
        self.sex = next((one for one in SEXES if one == said), SEXES[int(self.random.integers(2))])
        self.birth_date = self._birth_date()
        born = self.birth_date
        self.birth = datetime(born.year, born.month, born.day, 6, tzinfo=UTC)
        self.opening = max(self.today - 365 * DAY + MINUTE, self.birth)
        wanted = self.birth if self.years is None else self.today - timedelta(days=self.years * YEAR)
        self.since = min(max(wanted, self.birth), self.opening)
        self.before = max(self.since - timedelta(days=BEFORE * YEAR), self.birth)

    @property
    def lived(self) -> float:
        """Years at the index date."""
        return self.age_at(self.today)

    def age_at(self, moment: datetime) -> float:
        """Years at a moment."""
        return max((moment - self.birth) / DAY / YEAR, 0.0)

    def count(self, name: str) -> int:
        """A count of the row; 0 where it has none."""
        return int(self.row.get(name) or 0)

    def level(self) -> float:
        """A random number between 0 and 1."""
        return float(self.random.random())

    def needed(self) -> float:
        """The fewest days that hold the stays of the row."""
        return needed(self.count("prior_admissions_12m"), self.stay_days, bool(self.row.get("readmitted_30d") or False))

    @property
    def stay_days(self) -> float | None:
        """Days of the latest stay."""
        return None if self.row.get("length_of_stay") is None else float(self.row["length_of_stay"])

    def _birth_date(self) -> date:
        """A day on which somebody was born who is of the row's age at the index date."""
        age = self.count("age")
        if age == 0:
            least = max(14, *(int(need) + 2 for need in (self.needed(), self.count("ed_visits_12m") / 6)))
            if least > INFANT + 1:
                raise AssembleError(f"{least} days of stays and emergencies do not fit into a life of less than a year")
            return self.schema.index_date - timedelta(days=int(self.random.integers(least, int(INFANT) + 2)))
        latest = years_before(self.schema.index_date, age)
        earliest = years_before(self.schema.index_date, age + 1) + DAY
        return earliest + timedelta(days=int(self.random.integers((latest - earliest).days + 1)))


def years_before(day: date, years: int) -> date:
    """The day so many years before; the 28th for a 29 February that is none."""
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return day.replace(year=day.year - years, day=28)
