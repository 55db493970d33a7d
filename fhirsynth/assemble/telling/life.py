"""A synthetic row to a chart: when the patient was born, went to see whom, was diagnosed, measured and treated.

Pure: the same row, timeline and random numbers give the same chart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final

import numpy as np

from fhirsynth.assemble.chart import (
    Chart,
    Code,
    Component,
    Condition,
    Encounter,
    Medication,
    Observation,
    Person,
    Procedure,
)
from fhirsynth.assemble.codes import CDC_RACE, RACES
from fhirsynth.assemble.identity import LOCALES, identity, resource_id
from fhirsynth.assemble.telling.conditions import Case, begin_episode, find, follow, lasting_cases
from fhirsynth.assemble.telling.happenings import Happenings
from fhirsynth.assemble.telling.orders import Prescription, prescribe
from fhirsynth.assemble.telling.person import Subject
from fhirsynth.assemble.telling.values import Values
from fhirsynth.assemble.telling.visits import Diary, Visit, exact_visits, last_resort, paced_visits
from fhirsynth.assemble.timeline import Concept, Item, Timeline, draw
from fhirsynth.schema import FeatureSchema
from synthea_bridge.tables import LOINC

HISPANIC: Final = Code(CDC_RACE, "2135-2", "Hispanic or Latino")
NOT_HISPANIC: Final = Code(CDC_RACE, "2186-5", "Not Hispanic or Latino")
BIRTH_SEX: Final = {"female": "F", "male": "M"}


def tell(
    run_id: str,
    patient_id: str,
    row: Mapping[str, Any],
    schema: FeatureSchema,
    timeline: Timeline,
    random: np.random.Generator,
    *,
    years: float | None = None,
    locale: str = LOCALES[0],
    ssn: bool = False,
) -> Chart:
    """The chart of one row.

    Parameters
    ----------
    years
        How far back visits are told; None: the whole life. Conditions that last are told whenever they began.
    locale, ssn
        Of the identity, see :func:`~fhirsynth.assemble.identity.identity`.

    Raises
    ------
    AssembleError
        When the row contradicts itself, or asks for more than the timeline knows.
    """
    teller = _Teller(run_id, patient_id, Subject(row, schema, timeline, random, years))
    chart = teller.tell()
    person = chart.person
    hispanic = person.ethnicity == HISPANIC
    chart.person = replace(person, **identity(person.id, person.gender, hispanic, locale, ssn=ssn)._asdict())
    return chart


class _Teller:
    def __init__(self, run_id: str, patient_id: str, who: Subject) -> None:
        self.run_id, self.patient_id, self.who = run_id, patient_id, who
        self.diary = Diary(who)
        self.values = Values(who)
        self.happenings = Happenings(who)
        self.cases: list[Case] = []
        self.ends: dict[int, list[tuple[float, datetime]]] = {}
        self.numbers: dict[str, count[int]] = {}

    def tell(self) -> Chart:
        who, diary = self.who, self.diary
        self.cases = lasting_cases(who)
        exact_visits(diary, {case.concept.code for case in self.cases})
        since = {case.concept.code: case.onset for case in self.cases}
        paced_visits(diary, set(since), since)
        last_resort(diary)
        find(diary, self.cases)
        done = self._happen()
        ordered = [(visit, item) for visit, items in done for item in items if item.table == "medications"]
        orders = prescribe(diary, ordered, self.cases)
        done = self._cut(done)
        self.ids = {id(visit): self._id("Encounter") for visit in diary.visits}
        self.cases.sort(key=lambda case: (case.onset, case.concept.code))
        self.case_ids = {id(case): self._id("Condition") for case in self.cases}
        chart = Chart(self._person())
        chart.encounters = [self._encounter(visit) for visit in diary.visits]
        chart.conditions = [self._condition(case) for case in self.cases]
        chart.observations = self._observations(done)
        chart.procedures = [one for visit, items in done for one in self._procedures(visit, items)]
        written = [self._written(one) for one in orders if one.active or one.at >= who.since]
        chart.medications = sorted(written, key=lambda one: (one.authored or "", one.id))
        return chart

    def _has(self, item: Item, visit: Visit) -> bool:
        """Whether the patient has that very condition already."""
        return any(case.concept.code == item.concept.code and case.holds(visit.start) for case in self.cases)

    def _cut(self, done: list[tuple[Visit, list[Item]]]) -> list[tuple[Visit, list[Item]]]:
        """What is told of what happened; conditions stay that have not ended before."""
        since = self.who.since
        visits = [one for one in self.diary.visits if one.start >= since]
        self.diary.visits = sorted(visits, key=lambda one: (one.start, one.end, one.kind))
        self.cases = [case for case in self.cases if case.ends is None or case.ends >= since]
        return [(visit, items) for visit, items in done if visit.start >= since]

    def _id(self, kind: str) -> str:
        number = next(self.numbers.setdefault(kind, count(1)))
        return resource_id(self.run_id, kind, self.patient_id, str(number))

    def _happen(self) -> list[tuple[Visit, list[Item]]]:
        """What happens at each visit, in order of time; episodes bring visits of their own, at which things happen."""
        who, diary = self.who, self.diary
        done: list[tuple[Visit, list[Item]]] = []
        seen: set[int] = set()
        while left := [visit for visit in diary.visits if id(visit) not in seen]:
            for visit in sorted(left, key=lambda one: (one.start, one.kind)):
                seen.add(id(visit))
                has = {case.concept.code for case in self.cases if case.lasting and case.holds(visit.start)}
                items = [item for item in self.happenings.at(visit, has) if not _again(item, visit)]
                for item in items:
                    if item.table == "conditions" and not self._has(item, visit):
                        case = begin_episode(who, item, visit)
                        self.cases.append(case)
                        follow(diary, case)
                done.append((visit, [item for item in items if item.table != "conditions"]))
        return sorted(done, key=lambda pair: (pair[0].start, pair[0].end, pair[0].kind))

    def _person(self) -> Person:
        who = self.who
        uuid = resource_id(self.run_id, "Patient", self.patient_id)
        gender = str(who.row.get("sex") or "unknown")
        races, text = self._races(str(who.row.get("race") or "unknown"))
        dead = bool(who.row.get("deceased"))
        return Person(
            id=uuid,
            gender=gender,
            birth_date=who.birth_date.isoformat(),
            deceased=dead,
            deceased_at=who.schema.index_date.isoformat() if dead else None,
            races=races,
            race_text=text,
            ethnicity=HISPANIC if who.level() < who.timeline.hispanic else NOT_HISPANIC,
            birth_sex=BIRTH_SEX.get(gender, "UNK"),
        )

    def _races(self, race: str) -> tuple[tuple[Code, ...], str]:
        if race == "multiple":
            chosen = self.who.random.choice(len(RACES) - 1, 2, replace=False)
            return tuple(Code(CDC_RACE, *list(RACES.values())[one]) for one in sorted(chosen)), "multiple"
        if race in RACES:
            return (Code(CDC_RACE, *RACES[race]),), RACES[race][1]
        return (), "unknown"

    def _encounter(self, visit: Visit) -> Encounter:
        kind = self.who.timeline.kinds[visit.kind]
        return Encounter(
            self.ids[id(visit)],
            "finished",
            kind.class_code,
            _code(kind.concept),
            _text(visit.start),
            _text(visit.end),
            reason=_code(kind.reason) if kind.reason is not None else None,
            practitioner=visit.practitioner,
        )

    def _condition(self, case: Case) -> Condition:
        ended = case.ends is not None
        return Condition(
            self.case_ids[id(case)],
            _code(case.concept),
            self.ids.get(id(case.visit)) if case.visit is not None else None,
            "resolved" if ended else "active",
            "confirmed",
            case.category or "encounter-diagnosis",
            _text(case.onset),
            _text(case.ends) if case.ends is not None else None,
            _text(case.onset),
        )

    def _observations(self, done: list[tuple[Visit, list[Item]]]) -> list[Observation]:
        """Observations of all visits; what the row says is known is measured at least once."""
        taken: list[tuple[Visit, list[Item]]] = [
            (visit, [item for item in items if item.table == "observations"]) for visit, items in done
        ]
        plans = [(visit, _moment(visit), items, self._codes(items)) for visit, items in taken]
        self._complete(plans)
        final: dict[str, datetime] = {}
        for _, at, _, codes in plans:
            for code in codes:
                if code in self.values.known:
                    name = self.values.known[code].name
                    final[name] = max(at, final.get(name, at))
        found = []
        # Backwards: values lead to what the row says.
        for visit, at, items, codes in reversed(plans):
            values = self.values.at(codes, at, final)
            found += [one for item in items if (one := self._observation(visit, at, item, values)) is not None]
        return sorted(found, key=lambda one: (str(one.effective), one.id))

    def _codes(self, items: list[Item]) -> list[str]:
        """Codes that get a value: of observations without parts, and of the parts of the others."""
        found: dict[str, None] = {}
        for item in items:
            measure = self.who.timeline.measures.get(item.concept.code)
            parts = measure.parts if measure is not None and measure.parts else (item.concept.code,)
            # A panel of which the row says that a part was never measured was never measured.
            if not any(self.values.absent(code) for code in parts):
                found |= dict.fromkeys(code for code in parts if self.values.can_measure(code))
        return list(found)

    def _complete(self, plans: list[tuple[Visit, datetime, list[Item], list[str]]]) -> None:
        """Measure at the last routine visit what the row knows and no visit did."""
        measured = {self.values.known[code].name for *_, codes in plans for code in codes if code in self.values.known}
        latest = self.who.schema.of_rule("latest")
        missing = [one for one in latest if self.who.row.get(one.name) is not None and one.name not in measured]
        if not missing:
            return
        _, _, items, codes = max((plan for plan in plans if plan[0].group == "routine"), key=lambda plan: plan[1])
        for feature in missing:
            source = feature.source
            pair = source.panel if source.panel is not None else (source.codes[0], source.display)
            concept = Concept(system=LOINC, code=pair[0], display=pair[1])
            whole = Item(table="observations", concept=concept, category=source.category)
            if not any(item.concept.code == pair[0] for item in items):
                items.append(whole)
            codes += [code for code in (source.codes[0], *self._codes([whole])) if code not in codes]

    def _observation(self, visit: Visit, at: datetime, item: Item, values: Mapping[str, Any]) -> Observation | None:
        code = item.concept.code
        measures = self.who.timeline.measures
        measure = measures.get(code)
        parts = measure.parts if measure is not None else ()
        own = {feature.source.codes[0]: feature for feature in self.who.schema.of_rule("latest")}
        inside = [one for one, feature in own.items() if feature.source.panel and feature.source.panel[0] == code]
        inside = list(dict.fromkeys([*parts, *inside]))
        components = tuple(
            Component(_code(measures[one].concept) if one in measures else self._own_code(one), values[one])
            for one in inside
            if one in values
        )
        value = values.get(code)
        if value is None and not components:
            return None
        return Observation(
            self._id("Observation"),
            _code(item.concept),
            self.ids[id(visit)],
            "final",
            item.category or "laboratory",
            _text(at),
            value,
            components=components,
        )

    def _own_code(self, code: str) -> Code:
        feature = self.values.known[code]
        return Code(LOINC, code, feature.source.display)

    def _written(self, one: Prescription) -> Medication:
        visit = one.visit if one.visit is not None and id(one.visit) in self.ids else None
        return Medication(
            self._id("MedicationRequest"),
            _code(one.concept),
            self.ids[id(visit)] if visit is not None else None,
            "active" if one.active else "stopped",
            "order",
            _text(one.at if visit is None else self._turn(visit, one.turn)),
            self.case_ids.get(id(one.reason)) if one.reason is not None else None,
            visit.practitioner if visit is not None else None,
        )

    def _turn(self, visit: Visit, turn: float) -> datetime:
        """When an order is written in the course of a visit: after the procedures that come before."""
        return max((end for other, end in self.ends.get(id(visit), ()) if other < turn), default=visit.start)

    def _procedures(self, visit: Visit, items: list[Item]) -> list[Procedure]:
        """Procedures of a visit, one after the other."""
        mine = sorted((item for item in items if item.table == "procedures"), key=lambda item: item.turn)
        minutes = [draw(item.span, self.who.level()) if item.span else 0.0 for item in mine]
        room = (visit.end - visit.start) / timedelta(minutes=1)
        slower = min(room / max(sum(minutes), 1e-9), 1.0)
        found, start = [], visit.start
        for item, lasts in zip(mine, minutes, strict=True):
            end = min(start + timedelta(seconds=int(60 * lasts * slower)), visit.end)
            reason = next((one for one in self.cases if one.concept.code == item.reason and one.holds(start)), None)
            found.append(
                Procedure(
                    self._id("Procedure"),
                    _code(item.concept),
                    self.ids[id(visit)],
                    "completed",
                    _text(start),
                    _text(end),
                    self.case_ids[id(reason)] if reason is not None else None,
                )
            )
            start = end
            self.ends.setdefault(id(visit), []).append((item.turn, end))
        return found


def _again(item: Item, visit: Visit) -> bool:
    """Whether it is the beginning of the very episode that the visit follows."""
    return item.table == "conditions" and item.concept.code == visit.follows


def _code(concept: Concept) -> Code:
    return Code(concept.system, concept.code, concept.display)


def _text(moment: datetime) -> str:
    return moment.replace(microsecond=0).isoformat()


def _moment(visit: Visit) -> datetime:
    """When values are taken: a tenth into the encounter, at most ten minutes."""
    return visit.start + timedelta(seconds=int(min((visit.end - visit.start).total_seconds() / 10, 600)))
