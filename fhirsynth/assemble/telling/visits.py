"""Visits: the stays and emergencies of the row exactly, all others at the pace of their kind."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from fhirsynth.assemble.stays import place
from fhirsynth.assemble.telling.person import DAY, MINUTE, SLOT, YEAR, Subject
from fhirsynth.assemble.timeline import ALWAYS, BANDS, Group, Kind, Quantiles, band_of, draw
from fhirsynth.errors import AssembleError

LONGEST: Final = {"routine": timedelta(hours=2), "emergency": timedelta(hours=3)}
TRIES: Final = 4
MONTHS: Final = np.cumsum([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) / 365
"""Where the months begin and end, as parts of the year."""
HITS: Final = 8
SOONEST: Final = 0.5
"""Days between two visits of one kind, at least."""
OLDEST: Final = 200
BESIDE: Final = timedelta(hours=2)
"""Between the beginning of a visit and that of the stay after it."""
IRREGULAR: Final[Quantiles] = tuple(float(-np.log1p(-level)) for level in np.linspace(0, 0.975, 11))
"""Gaps of visits that know nothing of each other, as parts of their mean."""


@dataclass(slots=True)
class Visit:
    """One encounter; ``kind`` is the number of its kind, ``follows`` the code of the episode that it is about."""

    kind: int
    start: datetime
    end: datetime
    group: Group
    practitioner: int
    episodes: list[str] = field(default_factory=list)
    follows: str | None = None

    def covers(self, other: datetime) -> bool:
        """Whether ``other`` lies within it."""
        return self.start <= other <= self.end


class Diary:
    """The visits of one life: what is put into it does not lie within a stay, or begin when another visit does."""

    def __init__(self, who: Subject) -> None:
        self.who, self.visits = who, list[Visit]()
        self._stays: list[Visit] = []
        self._starts: list[datetime] = []

    def add(self, kind: int, start: datetime, length: timedelta | None = None) -> Visit:
        """Put a visit in."""
        who, known = self.who, self.who.timeline.kinds[kind]
        if length is None:
            length = draw(known.minutes, who.level()) * MINUTE
            if known.group in LONGEST:
                length = min(max(length, 10 * MINUTE), LONGEST[known.group])
        start = start.replace(microsecond=0)
        end = min(start + timedelta(seconds=round(length.total_seconds())), who.end)
        visit = Visit(kind, start, end, known.group, int(who.random.integers(1 << 16)))
        self.visits.append(visit)
        insort(self._starts, start)
        if known.group == "stay":
            self._stays.append(visit)
        return visit

    def is_free(self, at: datetime) -> bool:
        """Whether a visit can begin then."""
        return not self._is_taken(at, at) and not any(one.start - BESIDE <= at <= one.end for one in self._stays)

    def _is_taken(self, first: datetime, last: datetime) -> bool:
        """Whether a visit begins between."""
        place = bisect_left(self._starts, first)
        return place < len(self._starts) and self._starts[place] <= last

    def office_hour(self, day: datetime) -> datetime:
        """A quarter of an hour of that day on which somebody is there."""
        minutes = 15 * int(self.who.random.integers(8 * 4, 16 * 4))
        return datetime(day.year, day.month, day.day, tzinfo=self.who.today.tzinfo) + minutes * MINUTE

    def routine(self, kind: int, at: datetime) -> Visit | None:
        """A visit on about that day; None where none can be."""
        for _ in range(TRIES):
            start = self.office_hour(at)
            if self.who.birth <= start < self.who.today and self.is_free(start):
                return self.add(kind, start)
            at -= DAY
        return None

    def unplanned(self, kind: int, at: datetime) -> Visit | None:
        """An emergency, or a stay that no other visit lies within, at that moment; None where none can be."""
        known = self.who.timeline.kinds[kind]
        if not self.is_free(at):
            return None
        if known.group != "stay":
            return self.add(kind, at)
        length = draw(known.minutes, self.who.level()) * MINUTE
        return None if self._is_taken(at - BESIDE, at + length) else self.add(kind, at, length)


def exact_visits(diary: Diary, has: Collection[str]) -> None:
    """The stays and emergencies of the twelve months, as the row counts them.

    Raises
    ------
    AssembleError
        When the row contradicts itself, or they do not fit.
    """
    _stays(diary, has)
    _emergencies(diary, has)


def paced_visits(diary: Diary, has: set[str], since: dict[str, datetime]) -> None:
    """All other visits at the pace of their kind: those that need a condition from its onset on.

    Parameters
    ----------
    has
        Codes of the lasting conditions of the patient.
    since
        When each of them begins.
    """
    who = diary.who
    # Stays first: all others are beside them.
    for number, kind in sorted(enumerate(who.timeline.kinds), key=lambda one: one[1].group != "stay"):
        if kind.needs is not None and kind.needs not in has:
            continue
        begin = max(who.before, since.get(kind.needs, who.before)) if kind.needs is not None else who.before
        for at in _moments(who, kind, begin):
            if kind.group == "routine":
                diary.routine(number, at)
            elif at < who.opening:
                diary.unplanned(number, at)


def last_resort(diary: Diary) -> Visit:
    """The latest routine visit that is told; one is made where there is none."""
    who = diary.who
    known = [visit for visit in diary.visits if visit.group == "routine" and visit.start >= who.since]
    if known:
        return max(known, key=lambda visit: visit.start)
    kind = _some_kind(who, "routine", frozenset())
    for back in range(1, max(int((who.today - who.birth) / DAY), 2)):
        at = who.today - back * DAY + timedelta(hours=10)
        if at > who.birth and diary.is_free(at):
            return diary.add(kind, at)
    return diary.add(kind, who.birth + timedelta(hours=3))


def _moments(who: Subject, kind: Kind, begin: datetime) -> Iterator[datetime]:
    """When visits of a kind are made, back from the index day; who makes many at one age makes many at another."""
    own, rhythm = who.level(), kind.rhythm or IRREGULAR
    for low, pace in sorted(kind.paces.items(), reverse=True):
        first = max(begin, _birthday(who, max(low, kind.ages[0])))
        last = min(who.today, _birthday(who, kind.ages[1]))
        at = min(last, _birthday(who, _end_of(low)))
        makes = pace.makes[who.sex]
        if at <= first or own >= makes:
            continue
        usual = YEAR / max(draw(pace.rates, own / makes), 1e-6)
        at -= _waited(who, rhythm) * usual * DAY
        while at > first:
            moved = _in_season(kind, at)
            yield moved if first < moved < last else at
            at -= max(draw(rhythm, who.level()) * usual, SOONEST) * DAY


def _waited(who: Subject, rhythm: Quantiles) -> float:
    """Part of the mean gap that has gone by since the last visit: long gaps are likelier to be hit."""
    gaps = np.array([draw(rhythm, who.level()) for _ in range(HITS)])
    hit = gaps[int(np.searchsorted(np.cumsum(gaps), who.level() * gaps.sum()))] if gaps.sum() else 0.0
    return float(hit) * who.level()


def _birthday(who: Subject, age: float) -> datetime:
    return who.birth + timedelta(days=min(age, OLDEST) * YEAR)


def _end_of(low: int) -> float:
    return float(min((bound for bound in BANDS if bound > low), default=OLDEST))


def _in_season(kind: Kind, at: datetime) -> datetime:
    """The moment, moved within its year so that each month has its share; the rate stays as it is."""
    begin = datetime(at.year, 1, 1, tzinfo=at.tzinfo)
    year = datetime(at.year + 1, 1, 1, tzinfo=at.tzinfo) - begin
    shares = np.cumsum([0.0, *kind.months])
    return begin + float(np.interp((at - begin) / year, shares / shares[-1], MONTHS)) * year


def _some_kind(who: Subject, group: Group, has: Collection[str]) -> int:
    """A kind of a group, as often as it is made at the patient's age by those who have these conditions."""
    kinds = who.timeline.kinds
    mine = [
        (number, kind) for number, kind in enumerate(kinds) if kind.group == group and (kind.needs or "") in {"", *has}
    ]
    for worth in (_worth, _ever):
        weights = np.array([worth(kind, who) for _, kind in mine])
        if weights.sum() > 0:
            return mine[int(who.random.choice(len(mine), p=weights / weights.sum()))][0]
    raise AssembleError(f"the training patients have no {group} visits that this one could make")


def _worth(kind: Kind, who: Subject) -> float:
    pace = kind.paces.get(band_of(who.lived))
    return pace.worth(who.sex) if pace is not None and kind.ages[0] <= who.lived <= kind.ages[1] else 0.0


def _ever(kind: Kind, who: Subject) -> float:
    """Where nobody of this age made any: those that are made at another, and best one that nothing is known of."""
    if kind.ages == ALWAYS and kind.reason is None:
        return 1.0
    return 1e-6 * sum(pace.worth(who.sex) for pace in kind.paces.values())


def _stays(diary: Diary, has: Collection[str]) -> None:
    who = diary.who
    count, again = who.count("prior_admissions_12m"), bool(who.row.get("readmitted_30d") or False)
    if (count == 0) != (who.stay_days is None) or (again and count < 2):
        raise AssembleError(
            f"{count} admissions, a latest stay of {who.stay_days} days and readmission {again} contradict each other"
        )
    kinds = [_some_kind(who, "stay", has) for _ in range(count)]
    lengths = [draw(who.timeline.kinds[kind].minutes, who.level()) / 1440 for kind in kinds[: count - 1]]
    room = (who.today - who.opening) / DAY
    if who.needed() > room:  # only the whole of the index day makes it fit
        room = (who.end - who.opening) / DAY
    placed = place(count, who.stay_days, again, room, lengths, who.random)
    for kind, one in zip(kinds, placed, strict=True):
        diary.add(kind, who.opening + one.begin * DAY, one.days * DAY)


def _emergencies(diary: Diary, has: Collection[str]) -> None:
    """Emergencies outside of the stays, as long as there is time outside of them."""
    who, wanted = diary.who, diary.who.count("ed_visits_12m")
    if not wanted:
        return
    count = int((who.today - who.opening) / SLOT)
    if wanted > count:
        raise AssembleError(f"{wanted} emergency visits do not fit into {count * SLOT}")
    slots = [who.opening + number * SLOT for number in range(count)]
    stays = list(diary.visits)
    busy = np.array([any(v.start < slot + SLOT and slot <= v.end for v in stays) for slot in slots], dtype=bool)
    order = who.random.permutation(count)
    ranked = [*(n for n in order if not busy[n]), *(n for n in order if busy[n])][:wanted]
    minutes = who.random.integers(0, 55, len(ranked))
    for slot, minute in zip(sorted(ranked), minutes, strict=True):
        diary.add(_some_kind(who, "emergency", has), slots[slot] + int(minute) * MINUTE)
