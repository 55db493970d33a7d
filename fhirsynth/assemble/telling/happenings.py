"""What happens at visits: sets of batches by kind and age, as far as the patient can have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from fhirsynth.assemble.telling.person import DAY, Subject
from fhirsynth.assemble.telling.visits import Visit
from fhirsynth.assemble.timeline import Content, Item, Kind, Sex, draw, nearest

ON_TIME: Final = 0.9
"""What is due is done at a visit a little earlier rather than at the next one."""


@dataclass(slots=True)
class Happenings:
    """What happens at the visits of one patient; habits are kept: what was done the last time is done again."""

    who: Subject
    _due: dict[tuple[int, int], datetime] = field(default_factory=dict)
    _habits: dict[tuple[int, bool], Sequence[int]] = field(default_factory=dict)

    def at(self, visit: Visit, has: set[str]) -> list[Item]:
        """What happens at a visit to somebody who ``has`` these conditions then."""
        who, kind = self.who, self.who.timeline.kinds[visit.kind]
        age, holds = who.age_at(visit.start), kind.split in has
        content = nearest(kind.given if holds else kind.contents, age)
        if content is None:
            return []
        habit = self._habits.get((visit.kind, holds))
        if habit is None or who.level() >= kind.again:
            habit = self._habits[visit.kind, holds] = _batches(who, content)
        habit = self._in_rhythm(kind, visit, habit)
        items = [who.timeline.items[place] for batch in habit for place in who.timeline.batches[batch]]
        return [item for item in items if _can(item, who.sex, age) and (item.reason is None or item.reason in has)]

    def _in_rhythm(self, kind: Kind, visit: Visit, habit: Sequence[int]) -> Sequence[int]:
        """Without what has a rhythm of its own, and with it where it is due."""
        if not kind.cycles:
            return habit
        due: list[int] = []
        for cycle in kind.cycles:
            gap = draw(cycle.gaps, self.who.level()) * DAY
            key = (visit.kind, cycle.batches[0])
            if visit.start >= self._due.setdefault(key, visit.start + self.who.level() * gap):
                due += cycle.batches
                self._due[key] = visit.start + gap * ON_TIME
        mine = {batch for cycle in kind.cycles for batch in cycle.batches}
        return [*(batch for batch in habit if batch not in mine), *due]


def _can(item: Item, sex: Sex, age: float) -> bool:
    return item.only in (None, sex) and item.ages[0] <= age <= item.ages[1]


def _batches(who: Subject, content: Content) -> Sequence[int]:
    weights = [one.weight for one in content.sets]
    whole = sum(weights) + content.rare
    if not whole:
        return ()
    level = who.level() * whole
    for one in content.sets:
        level -= one.weight
        if level < 0:
            return one.batches
    return [batch for batch, share in content.alone.items() if who.level() < share]
