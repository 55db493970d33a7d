"""Medications: ordered at visits; at the index date just so many are active as the row says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from fhirsynth.assemble.telling.conditions import Case
from fhirsynth.assemble.telling.person import DAY, Subject
from fhirsynth.assemble.telling.visits import Diary, Visit
from fhirsynth.assemble.timeline import Concept, Item, Order, draw
from fhirsynth.errors import AssembleError

LIKELY: Final = 20.0
"""By how much the odds of being on order are higher for what was ordered at a visit."""
LATE: Final = (0.0, *(36.5 * step for step in range(1, 11)))
"""Days since an order where nothing is known of them."""
UNFIT: Final = 1e-9
"""Odds of what the patient should not have."""


@dataclass(slots=True)
class Prescription:
    """One order; ``visit`` is where it was written, if that is thought of."""

    concept: Concept
    at: datetime
    visit: Visit | None
    turn: float = 0.0
    active: bool = False
    reason: Case | None = None

    @classmethod
    def of(cls, what: Item | Order, visit: Visit) -> Prescription:
        """One that is written at a visit."""
        return cls(what.concept, visit.start, visit, what.turn)


def prescribe(diary: Diary, ordered: list[tuple[Visit, Item]], cases: list[Case]) -> list[Prescription]:
    """What was ordered at visits, what is taken again and again, and what is on order now.

    Parameters
    ----------
    ordered
        What happened to be ordered.

    Raises
    ------
    AssembleError
        When the row asks for more medications than are known.
    """
    who = diary.who
    found = [Prescription.of(item, visit) for visit, item in ordered]
    active = _active(who, cases, {one.concept.code for one in found})
    for order in who.timeline.orders:
        now = order.concept.code in active
        if order.at and (now or who.level() < order.stopped * _can(order, who, cases)):
            found += _taken(diary, order, cases, now=now)
    by_code: dict[str, list[Prescription]] = {}
    for one in found:
        by_code.setdefault(one.concept.code, []).append(one)
    for code, order in active.items():
        last = max(by_code.get(code, ()), key=lambda one: one.at, default=None)
        if last is None:
            last = _since(diary, order, _reason(who, order.concept, cases))
            found.append(last)
        last.active = True
    for one in found:
        one.reason = _reason(who, one.concept, cases, one.at)
    return sorted(found, key=lambda one: (one.at, one.concept.code))


def _active(who: Subject, cases: list[Case], ordered: set[str]) -> dict[str, Order]:
    """What is on order now, by code: rather what was ordered at a visit."""
    wanted, orders = who.count("num_medications"), who.timeline.orders
    if wanted > len(orders):
        raise AssembleError(
            f"{wanted} active medications, and the training patients have only {len(orders)} to choose from"
        )
    has = {case.concept.code for case in cases if case.ends is None}
    odds = np.array([_odds(one, who, has) for one in orders]) * [
        LIKELY if one.concept.code in ordered else 1.0 for one in orders
    ]
    # Each by itself would be on order where this is above none; just so many are as the row says.
    drawn = np.log(odds) + who.random.logistic(size=len(orders))
    return {orders[place].concept.code: orders[place] for place in np.argsort(-drawn, kind="stable")[:wanted]}


def _odds(one: Order, who: Subject, has: set[str]) -> float:
    if not _fits(one, who):
        return UNFIT
    share = one.weight if one.reason is None or one.reason in has else one.without
    return max(share / (1 - share), UNFIT)


def _fits(one: Order, who: Subject) -> bool:
    return one.only in (None, who.sex) and _usual(one, who.lived)


def _usual(one: Order, age: float) -> bool:
    return one.ages[0] <= age <= one.ages[1]


def _can(one: Order, who: Subject, cases: list[Case]) -> bool:
    """Whether the patient can have taken it before."""
    return _fits(one, who) and (one.reason is None or any(case.concept.code == one.reason for case in cases))


def _taken(diary: Diary, order: Order, cases: list[Case], *, now: bool) -> list[Prescription]:
    """Orders of what is taken again and again: until now, or until some day."""
    who = diary.who
    begin = min((case.onset for case in cases if case.concept.code == order.reason), default=who.before)
    until = who.end if now else who.before + who.level() * (who.today - who.before)
    visits = [one for one in diary.visits if begin <= one.start <= until and _usual(order, who.age_at(one.start))]
    visits.sort(key=lambda one: (one.start, one.kind))
    return [Prescription.of(order, one) for one in visits if who.level() < order.at.get(one.kind, 0.0)]


def _reason(who: Subject, concept: Concept, cases: list[Case], at: datetime | None = None) -> Case | None:
    code = who.timeline.reason_of(concept.code)
    mine = [case for case in cases if case.concept.code == code]
    return next((case for case in mine if at is None or case.onset <= at), None)


def _since(diary: Diary, order: Order, reason: Case | None) -> Prescription:
    """Since when it is on order, where no visit brought it: at a visit about that time, if that is thought of."""
    who = diary.who
    began = reason.onset if reason is not None else who.birth
    at = max(who.today - draw(order.last or LATE, who.level()) * DAY, began)
    if at < who.before:
        return Prescription(order.concept, at.replace(microsecond=0), None)
    visits = [one for one in diary.visits if one.group != "emergency"]
    visits = [one for one in visits if one.start >= began] or visits
    return Prescription.of(order, min(visits, key=lambda one: abs(one.start - at)))
