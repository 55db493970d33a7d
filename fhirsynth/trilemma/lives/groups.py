"""Real, synthetic and other real patients side by side: their codes in one numbering, and their events in one order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from fhirsynth.trilemma.intervals import Bools, Floats, Ints
from fhirsynth.trilemma.lives.histories import Histories
from fhirsynth.trilemma.lives.properties import View

FEWEST: Final = 5
"""Real patients that a word or a figure must be of to be shown."""

REAL, MADE = 0, 1
"""Places of the real holdout and of the synthetic patients."""

TIMES: Final = {"encounters": "start", "conditions": "onset", "medications": "authored", "procedures": "start"}
"""The tables that make up a sequence of events, in the order of events at the same moment; and their times."""

_WORDS: Final = {"encounters": "type_display"}


@dataclass(frozen=True, slots=True)
class Groups:
    """Patients in groups: the real holdout, the synthetic ones, and other real ones.

    Parameters
    ----------
    views
        The histories of each group up to the index date.
    fresh
        The place of a fresh draw of real patients; None: there is none.
    """

    views: tuple[View, ...]
    fresh: int | None

    @classmethod
    def of(cls, histories: Histories, until: float) -> Groups:
        """Look at all of them up to ``until``, in days since 1970."""
        others = [one for one in (histories.train, histories.fresh) if one is not None]
        views = [View.of(lives, until) for lives in (histories.real, histories.synthetic, *others)]
        both = [frozenset(map(str, one.lives.conditions["code"].dropna())) for one in views[:2]]
        shared = frozenset.intersection(*both)
        fresh = len(views) - 1 if histories.fresh is not None else None
        return cls(tuple(View(one.lives, one.end, shared) for one in views), fresh)

    @property
    def sizes(self) -> list[int]:
        """Patients of each group."""
        return [len(one.lives) for one in self.views]

    @property
    def pool(self) -> list[int]:
        """Places of the groups of real patients."""
        return [index for index in range(len(self.views)) if index != MADE]

    def frames(self, table: str) -> list[pd.DataFrame]:
        """One table of each group."""
        return [getattr(one.lives, table) for one in self.views]


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of codes of one table in all groups.

    Parameters
    ----------
    codes
        For each group the number of each row's code, -1 where it has none.
    levels
        The codes by their number, in alphabetical order.
    """

    codes: tuple[Ints, ...]
    levels: tuple[str, ...]

    @classmethod
    def of(cls, frames: list[pd.DataFrame], column: str) -> Coded:
        """Number the codes of ``column``."""
        parts = [frame[column].cat.remove_unused_categories() for frame in frames]
        both = union_categoricals([part.cat.rename_categories(_text) for part in parts], sort_categories=True)
        ends = np.cumsum([len(part) for part in parts])[:-1]
        codes = np.split(both.codes.astype(np.int64), ends)
        return cls(tuple(codes), tuple(both.categories))


def showable(holdout: Ints, everybody: Ints) -> Bools:
    """Of what so many real patients have, what may be shown: nothing that only one to four of them have.

    Parameters
    ----------
    holdout, everybody
        How many of the holdout, and of all real patients, have it, each of shape (things,).
    """
    found: Bools = ((holdout == 0) | (holdout >= FEWEST)) & ((everybody == 0) | (everybody >= FEWEST))
    return found


def _text(value: object) -> str:
    return str(value)


def word(groups: Groups, table: str, coded: Coded, level: int) -> str:
    """What a code is called: the commonest words for it among synthetic patients, or among enough real ones.

    Words that fewer than :data:`FEWEST` real patients have might be about one of them; then the code itself is shown.
    """
    column = _WORDS.get(table, "display")
    found: dict[str, int] = {}
    for place, frame in enumerate(groups.frames(table)):
        rows = frame.loc[coded.codes[place] == level, ["patient", column]].drop_duplicates()
        counts = rows[column].astype(object).value_counts()
        for name, count in counts.items():
            if place == MADE or count >= FEWEST:
                found[str(name)] = max(found.get(str(name), 0), int(count))
    best = min(found, key=lambda name: (-found[name], name), default="")
    return best or coded.levels[level]


@dataclass(frozen=True, slots=True)
class Events:
    """The coded events of one group, by patient and in order of time.

    Parameters
    ----------
    patient, time, symbol
        Whose each is, when (days since 1970), and what, each of shape (events,).
    """

    patient: Ints
    time: Floats
    symbol: Ints


@dataclass(frozen=True, slots=True)
class Sequences:
    """The events of all groups: encounters by class and type, conditions, medications and procedures.

    Parameters
    ----------
    events
        For each group.
    symbols
        How many different symbols there may be.
    title
        What a symbol is called.
    """

    events: tuple[Events, ...]
    symbols: int
    title: Callable[[int], str]

    @classmethod
    def of(cls, groups: Groups) -> Sequences:
        """Put the events of every patient in order; those at the same moment in order of table and code."""
        coded = {name: Coded.of(groups.frames(name), "code") for name in TIMES if name != "encounters"}
        kinds = Coded.of(groups.frames("encounters"), "type_code")
        classes = Coded.of(groups.frames("encounters"), "class_code")
        width = len(kinds.levels) + 1
        sizes = [width * (len(classes.levels) + 1), *(len(one.levels) for one in coded.values())]
        starts = np.cumsum([0, *sizes])

        def symbols(place: int) -> list[Ints]:
            meeting = (classes.codes[place] + 1) * width + kinds.codes[place] + 1
            others = [
                np.where(one.codes[place] >= 0, one.codes[place] + start, -1)
                for one, start in zip(coded.values(), starts[1:], strict=False)
            ]
            return [meeting, *others]

        def title(symbol: int) -> str:
            place = int(np.searchsorted(starts, symbol, side="right")) - 1
            name = list(TIMES)[place]
            if name != "encounters":
                return word(groups, name, coded[name], symbol - int(starts[place]))
            kind, class_ = symbol % width - 1, symbol // width - 1
            what = word(groups, "encounters", kinds, kind) if kind >= 0 else "encounter"
            return f"{what} [{classes.levels[class_]}]" if class_ >= 0 else what

        events = tuple(_ordered(view, symbols(place)) for place, view in enumerate(groups.views))
        return cls(events, int(starts[-1]), title)


def _ordered(view: View, symbols: list[Ints]) -> Events:
    parts = []
    for (name, time), symbol in zip(TIMES.items(), symbols, strict=True):
        frame = getattr(view.lives, name)
        kept: Bools = view.rows(frame, time) & frame[time].notna().to_numpy() & (symbol >= 0)
        parts.append((frame["patient"].to_numpy()[kept], frame[time].to_numpy()[kept], symbol[kept]))
    patient, when, symbol = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((symbol, when, patient))
    return Events(patient[order], when[order], symbol[order])
