"""A synthetic row to a life: when the patient was born, went to see whom, was diagnosed, measured and treated.

Pure: the same row, timeline and seed give the same life. Everything that the row says holds in it exactly; what the row
does not say is drawn from the timeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd

from fhirsynth.assemble.stays import INFANT, needed, place
from fhirsynth.assemble.timeline import Group, Order, Timeline, draw
from fhirsynth.errors import AssembleError
from fhirsynth.schema import Feature, FeatureSchema

MOST_VISITS: Final = 12
"""Routine visits that are written, the latest ones."""
SLOT: Final = timedelta(hours=4)
"""Emergencies begin in slots of their own."""
DAY: Final = timedelta(days=1)
MINUTE: Final = timedelta(minutes=1)


@dataclass(slots=True)
class Visit:
    """One encounter; ``reason`` is the flag of the condition that was found at it."""

    group: Group
    start: datetime
    end: datetime
    class_code: str
    code: str
    display: str
    reason: Feature | None = None
    practitioner: int = 0

    def covers(self, other: datetime) -> bool:
        """Whether ``other`` lies within it."""
        return self.start <= other <= self.end


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A condition that began at ``visit``."""

    feature: Feature
    visit: Visit


@dataclass(frozen=True, slots=True)
class Measurement:
    """Values by feature, taken at ``visit`` at ``at``."""

    at: datetime
    visit: Visit
    values: Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class Prescription:
    """A medication that is on order since ``visit``."""

    order: Order
    visit: Visit


@dataclass(slots=True)
class Life:
    """Everything that happens to one patient, each list in order of time."""

    patient_id: str
    row: Mapping[str, Any]
    birth_date: date
    hispanic: bool
    visits: list[Visit] = field(default_factory=list)
    diagnoses: list[Diagnosis] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    prescriptions: list[Prescription] = field(default_factory=list)


def live(
    patient_id: str, row: Mapping[str, Any], schema: FeatureSchema, timeline: Timeline, random: np.random.Generator
) -> Life:
    """The life of one row.

    Raises
    ------
    AssembleError
        When the row contradicts itself, or asks for more than the timeline knows.
    """
    return _Teller(patient_id, row, schema, timeline, random).tell()


class _Teller:
    def __init__(
        self,
        patient_id: str,
        row: Mapping[str, Any],
        schema: FeatureSchema,
        timeline: Timeline,
        random: np.random.Generator,
    ) -> None:
        self.row: dict[str, Any] = {name: None if pd.isna(value) else value for name, value in row.items()}
        self.name, self.schema, self.timeline, self.random = patient_id, schema, timeline, random
        day = schema.index_date
        self.today = datetime(day.year, day.month, day.day, tzinfo=UTC)
        self.end = self.today + DAY - MINUTE
        self.age = self._count("age")
        self.stay_days = None if self.row.get("length_of_stay") is None else float(self.row["length_of_stay"])
        self.stays = self._count("prior_admissions_12m")
        self.emergencies = self._count("ed_visits_12m")
        self.again = bool(self.row.get("readmitted_30d") or False)

    def tell(self) -> Life:
        birth_date = self._birth_date()
        self.birth = datetime(birth_date.year, birth_date.month, birth_date.day, 6, tzinfo=UTC)
        self.opening = max(self.today - 365 * DAY + MINUTE, self.birth)
        life = Life(self.name, self.row, birth_date, bool(self.random.random() < self.timeline.hispanic))
        life.visits = self._stays()
        life.visits += self._emergencies(life.visits)
        life.visits += self._routine(life.visits)
        life.diagnoses = self._diagnoses(life.visits)
        life.visits.sort(key=lambda visit: (visit.start, visit.end))
        life.diagnoses.sort(key=lambda found: found.visit.start)
        life.measurements = self._measurements(life.visits)
        life.prescriptions = self._prescriptions(life.visits)
        return life

    def _count(self, name: str) -> int:
        return int(self.row.get(name) or 0)

    def _level(self) -> float:
        return float(self.random.random())

    def _birth_date(self) -> date:
        """A day on which somebody was born who is ``age`` years old at the index date."""
        if self.age == 0:
            least = max(14, *(int(need) + 2 for need in (self._needed(), self.emergencies / 6)))
            if least > INFANT + 1:
                raise AssembleError(f"{least} days of stays and emergencies do not fit into a life of less than a year")
            return self.schema.index_date - timedelta(days=int(self.random.integers(least, int(INFANT) + 2)))
        latest = _years_before(self.schema.index_date, self.age)
        earliest = _years_before(self.schema.index_date, self.age + 1) + DAY
        return earliest + timedelta(days=int(self.random.integers((latest - earliest).days + 1)))

    def _needed(self) -> float:
        return needed(self.stays, self.stay_days, self.again)

    def _visit(self, group: Group, start: datetime, length: timedelta | None = None) -> Visit:
        kinds = self.timeline.visits[group].kinds
        weights = np.array([kind.weight for kind in kinds])
        kind = kinds[int(self.random.choice(len(kinds), p=weights / weights.sum()))]
        if length is None:
            length = draw(self.timeline.visits[group].minutes, self._level()) * MINUTE
            longest = 3 * timedelta(hours=1) if group == "emergency" else 2 * timedelta(hours=1)
            length = min(max(length, 10 * MINUTE), longest)
        start = start.replace(microsecond=0)
        end = min(start + timedelta(seconds=round(length.total_seconds())), self.end)
        practitioner = int(self.random.integers(1 << 16))
        return Visit(group, start, end, kind.class_code, kind.code, kind.display, practitioner=practitioner)

    def _stays(self) -> list[Visit]:
        if (self.stays == 0) != (self.stay_days is None) or (self.again and self.stays < 2):
            raise AssembleError(
                f"{self.stays} admissions, a latest stay of {self.stay_days} days and "
                f"readmission {self.again} contradict each other"
            )
        minutes = self.timeline.visits["stay"].minutes
        lengths = [draw(minutes, self._level()) / 1440 for _ in range(self.stays - 1)]
        least = self._needed()
        room = (self.today - self.opening) / DAY
        if least > room:  # only the whole of the index day makes it fit
            room = (self.end - self.opening) / DAY
        placed = place(self.stays, self.stay_days, self.again, room, lengths, self.random)
        return [self._visit("stay", self.opening + one.begin * DAY, one.days * DAY) for one in placed]

    def _emergencies(self, stays: list[Visit]) -> list[Visit]:
        """Emergencies outside of the stays, as long as there is time outside of them."""
        count = int((self.today - self.opening) / SLOT)
        if self.emergencies > count:
            raise AssembleError(f"{self.emergencies} emergency visits do not fit into {count * SLOT}")
        slots = [self.opening + number * SLOT for number in range(count)]
        busy = np.array([any(v.start < slot + SLOT and slot <= v.end for v in stays) for slot in slots], dtype=bool)
        order = self.random.permutation(count)
        ranked = [*(n for n in order if not busy[n]), *(n for n in order if busy[n])][: self.emergencies]
        minutes = self.random.integers(0, 55, len(ranked))
        return [
            self._visit("emergency", slots[slot] + int(minute) * MINUTE)
            for slot, minute in zip(sorted(ranked), minutes, strict=True)
        ]

    def _routine(self, others: list[Visit]) -> list[Visit]:
        """The latest routine visits, back from the last one by the gaps of the patient's age; at least one."""
        level = self._level()
        found: list[Visit] = []
        at = self.today - max(draw(self.timeline.since, self._level()), 1) * DAY
        while at > self.birth and len(found) < MOST_VISITS:
            at = self._office_hour(at)
            if at > self.birth and not _busy(at, others):
                found.append(self._visit("routine", at))
            age = (at - self.birth) / DAY / 365.25
            gap = self.timeline.gap(age, float(np.clip(level + self.random.normal(0, 0.15), 0, 1)))
            at -= max(gap, 1) * DAY
        return found or [self._visit("routine", self._free_time(others))]

    def _office_hour(self, day: datetime) -> datetime:
        minutes = 15 * int(self.random.integers(8 * 4, 16 * 4))
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + minutes * MINUTE

    def _free_time(self, others: list[Visit]) -> datetime:
        """The latest office hour that is free; where there is none, one that is not."""
        days = int((self.today - self.birth) / DAY)
        for back in range(1, days):
            at = self.today - back * DAY + timedelta(hours=10)
            if not _busy(at, others):
                return at
        return self.birth + timedelta(hours=3)

    def _diagnoses(self, visits: list[Visit]) -> list[Diagnosis]:
        """A visit for each condition that the row says is present; visits that were missing are added to ``visits``."""
        found = []
        lived = (self.today - self.birth) / DAY / 365.25
        for feature in self.schema.features:
            if feature.source.rule != "present" or not self.row.get(feature.name):
                continue
            level = self._level()
            age = draw(self.timeline.onset[feature.name], level)
            at = self.birth + (age if age < lived else lived * level) * 365.25 * DAY
            visit = next((one for one in visits if one.covers(at)), None)
            if visit is None:
                visit = self._visit("routine", max(self._office_hour(at), self.birth))
                visits.append(visit)
            visit.reason = visit.reason or feature
            found.append(Diagnosis(feature, visit))
        return found

    def _measurements(self, visits: list[Visit]) -> list[Measurement]:
        latest = {feature.name: feature for feature in self.schema.features if feature.source.rule == "latest"}
        known = {name for name in latest if self.row.get(name) is not None}
        taken: list[tuple[Visit, list[str]]] = [(visit, self._panel(visit.group, known)) for visit in visits]
        missing = known - {name for _, names in taken for name in names}
        last = max((pair for pair in taken if pair[0].group == "routine"), key=lambda pair: pair[0].start)
        last[1].extend(sorted(missing))
        when = [_moment(visit) for visit, _ in taken]
        final: dict[str, datetime] = {}
        for at, (_, names) in zip(when, taken, strict=True):
            final.update({name: max(at, final.get(name, at)) for name in names})
        found: dict[datetime, Measurement] = {}
        for at, (visit, names) in zip(when, taken, strict=True):
            values = {name: self._value(latest[name], exact=at == final[name]) for name in names}
            if values:
                earlier = found[at].values if at in found else {}
                found[at] = Measurement(at, visit, {**values, **earlier})
        return [found[at] for at in sorted(found)]

    def _panel(self, group: Group, known: set[str]) -> list[str]:
        panels = self.timeline.panels[group]
        weights = np.array([panel.weight for panel in panels])
        if not weights.sum():
            return []
        panel = panels[int(self.random.choice(len(panels), p=weights / weights.sum()))]
        return [name for name in panel.features if name in known]

    def _value(self, feature: Feature, *, exact: bool) -> float | str:
        """The row's value, or an earlier one around it."""
        value = self.row[feature.name]
        if exact or feature.kind == "category":
            return str(value) if feature.kind == "category" else float(value)
        low = feature.minimum if feature.minimum is not None else -np.inf
        high = feature.maximum if feature.maximum is not None else np.inf
        spread = self.timeline.within.get(feature.name, 0.0)
        return round(float(np.clip(float(value) + self.random.normal(0, spread), low, high)), feature.decimals)

    def _prescriptions(self, visits: list[Visit]) -> list[Prescription]:
        wanted, orders = self._count("num_medications"), self.timeline.orders
        if wanted > len(orders):
            raise AssembleError(
                f"{wanted} active medications, and the training patients have only {len(orders)} to choose from"
            )
        weights = np.array([order.weight for order in orders])
        chosen = self.random.choice(len(orders), wanted, replace=False, p=weights / weights.sum()) if wanted else ()
        places = [visit for visit in visits if visit.group != "emergency"]
        recent = [visit for visit in places if visit.start >= self.opening] or places
        found = [Prescription(orders[one], recent[int(self.random.integers(len(recent)))]) for one in chosen]
        return sorted(found, key=lambda one: (one.visit.start, one.order.code))


def _busy(at: datetime, others: list[Visit]) -> bool:
    return any(visit.start - timedelta(hours=2) <= at <= visit.end for visit in others)


def _moment(visit: Visit) -> datetime:
    """When values are taken: a tenth into the encounter, at most ten minutes."""
    return visit.start + timedelta(seconds=int(min((visit.end - visit.start).total_seconds() / 10, 600)))


def _years_before(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year - years)
    except ValueError:  # 29 February
        return day.replace(year=day.year - years, day=28)
