"""Conditions: those of the row, others that last, and episodes that begin at visits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from fhirsynth.assemble.telling.person import DAY, YEAR, Subject
from fhirsynth.assemble.telling.visits import Diary, Visit
from fhirsynth.assemble.timeline import Concept, Item, Onsets, Quantiles, band_of, draw, nearest

EVER: Final[Quantiles] = tuple(float(one) for one in np.linspace(1, 70, 11))
"""Ages at onset where nothing is known of them."""
NEAR: Final = 400 * DAY
"""How far from its onset a condition is found at a visit that is made anyhow."""


@dataclass(slots=True)
class Case:
    """One condition of the patient; ``visit`` is where it was found, if that is told."""

    concept: Concept
    onset: datetime
    category: str | None = None
    ends: datetime | None = None
    visit: Visit | None = None
    flag: str | None = None
    lasting: bool = True

    def holds(self, at: datetime) -> bool:
        """Whether the patient has it then."""
        return self.onset <= at and (self.ends is None or at <= self.ends)


def lasting_cases(who: Subject) -> list[Case]:
    """What lasts: the conditions that the row speaks of, and others at the rates of age, sex and flags."""
    found = [one for feature in who.schema.features if (one := _flagged(who, feature.name)) is not None]
    for known in who.timeline.lasting:
        pair = known.share[who.sex][band_of(who.lived)]
        share = pair[bool(known.given is not None and who.row.get(known.given))]
        if who.level() >= share or (nearest(known.onset, who.lived) or EVER)[0] >= who.lived:
            continue
        onset = _onset(who, known.onset)
        ends = None
        if known.span and who.level() < known.ends:
            ends = onset + draw(known.span, who.level()) * DAY
        if ends is None or ends >= who.since:
            found.append(Case(known.concept, onset, known.category, ends if ends and ends < who.today else None))
    return found


def _flagged(who: Subject, flag: str) -> Case | None:
    feature = who.schema[flag]
    if feature.source.rule != "present" or not who.row.get(flag):
        return None
    known = who.timeline.flagged.get(flag)
    codes = known.codes if known is not None else ()
    concept = Concept(system="http://snomed.info/sct", code=feature.source.codes[0], display=feature.source.display)
    if codes:
        weights = np.array([weight for _, weight in codes])
        concept = codes[int(who.random.choice(len(codes), p=weights / weights.sum()))][0]
    onset = _onset(who, known.onset if known is not None else {})
    return Case(concept, onset, "encounter-diagnosis", flag=flag)


def _onset(who: Subject, onsets: Onsets) -> datetime:
    """When it begins: at a usual age of those who are now of the patient's age."""
    level = who.level()
    ages = nearest(onsets, who.lived) or EVER
    age = draw(ages, level)
    if age >= who.lived:
        reached = float(np.interp(who.lived, ages, np.linspace(0, 1, len(ages))))
        age = min(draw(ages, level * reached), who.lived * level)
    at = who.birth + timedelta(days=age * YEAR)
    return min(max(at, who.birth), who.end - timedelta(hours=1)).replace(microsecond=0)


def find(diary: Diary, cases: list[Case]) -> None:
    """Give every lasting condition that begins in what is told the visit at which it was found, at a usual kind.

    No visit that needs it comes before.
    """
    who = diary.who
    at_kinds: dict[str, Mapping[int, float]] = {one.concept.code: one.kinds for one in who.timeline.lasting}
    flags = who.timeline.flagged
    for case in cases:
        if case.onset < who.before:
            continue
        kinds = flags[case.flag].kinds if case.flag in flags else at_kinds.get(case.concept.code, {})
        has = {other.concept.code for other in cases if other.holds(case.onset)}
        known = {kind: share for kind, share in kinds.items() if who.timeline.kinds[kind].needs in {None, *has}}
        near = next((one for one in diary.visits if one.covers(case.onset)), None) or _found(diary, case.onset, known)
        if near is None:
            later = [one for one in diary.visits if one.start >= case.onset and one.group != "emergency"]
            near = min(later, key=lambda one: one.start, default=None)
        needing = [one for one in diary.visits if who.timeline.kinds[one.kind].needs == case.concept.code]
        near = min([near, *needing] if near is not None else needing, key=lambda one: one.start, default=None)
        if near is not None:
            case.visit = near
            case.onset = near.start


def _found(diary: Diary, onset: datetime, kinds: Mapping[int, float]) -> Visit | None:
    """The visit of a usual kind about that time; one is made where none is near."""
    who, age = diary.who, diary.who.age_at(onset)
    known = who.timeline.kinds
    able = [number for number in sorted(kinds) if known[number].ages[0] <= age <= known[number].ages[1]]
    if not able:
        return None
    weights = np.array([kinds[number] for number in able])
    kind = able[int(who.random.choice(len(able), p=weights / weights.sum()))]
    mine = [one for one in diary.visits if one.kind == kind and abs(one.start - onset) <= NEAR]
    if mine:
        return min(mine, key=lambda one: abs(one.start - onset))
    if known[kind].group == "routine":
        return diary.routine(kind, onset)
    return diary.unplanned(kind, onset) if onset < who.opening - timedelta(days=60) else None


def begin_episode(who: Subject, item: Item, visit: Visit) -> Case:
    """An episode that begins at a visit."""
    ends = None
    if item.span and who.level() < item.ends:
        ends = visit.start + draw(item.span, who.level()) * DAY
        ends = ends.replace(microsecond=0)
    visit.episodes.append(item.concept.code)
    kept = ends if ends is not None and ends < who.today else None
    return Case(item.concept, visit.start, item.category, kept, visit, lasting=False)


def follow(diary: Diary, case: Case) -> None:
    """The visits that follow an episode."""
    who = diary.who
    for one in who.timeline.follows.get(case.concept.code, ()):
        kind = who.timeline.kinds[one.kind]
        for _ in range(int(who.random.poisson(one.count))):
            at = case.onset + draw(one.delays, who.level()) * DAY
            if at >= who.today or (case.ends is not None and at > case.ends + 30 * DAY):
                continue
            late = None
            if kind.group == "routine":
                late = diary.routine(one.kind, at)
            elif at < who.opening - timedelta(days=60):
                late = diary.unplanned(one.kind, at)
            if late is not None:
                late.follows = case.concept.code
