"""Class-conditional distributions over levels, estimated from noisy counts, and rows drawn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from fhirsynth.augment.encode import FOLLOWS
from fhirsynth.augment.levels import Floats, Ints, Levels, within
from fhirsynth.augment.tilt import share_out, smooth, tilted, totals, without_gaps
from fhirsynth.errors import UsageError

FEWEST_OF_A_CLASS: Final = 30
"""Simulated patients of a class from which on it is that class's own prior."""
BORROWED: Final = 10.0
"""Patients without regard to class that a class's prior is mixed with."""


def labels_of(features: pd.DataFrame, condition: str | None) -> Any:
    """Who has the condition, as booleans; nobody where there is none, and not who is missing."""
    if condition is None:
        return np.zeros(len(features), dtype=bool)
    return features[condition].fillna(value=False).to_numpy(dtype=bool)


class Classwise:
    """Distributions that were estimated from what was released, and rows drawn from them.

    Parameters
    ----------
    levels
        Of every column.
    tables
        Noisy counts of every column, ``(classes, levels.size)``.
    variance
        Of the noise on each count.
    condition
        The flag that parts the classes, False before True; None: there is one class.
    prior
        Simulated patients, if any.
    """

    def __init__(
        self,
        levels: Sequence[Levels],
        tables: list[Floats],
        variance: float,
        condition: str | None,
        prior: pd.DataFrame | None,
    ) -> None:
        self._levels = tuple(levels)
        self._condition = condition
        self._totals = totals(tables)
        self._ranked = None if prior is None else _Ranked(prior, self._levels, condition)
        self._chances = [self._estimate(place, table, variance) for place, table in enumerate(tables)]

    def _estimate(self, place: int, table: Floats, variance: float) -> list[Floats]:
        """The distribution of one column, by class."""
        levels, rows = self._levels[place], self._totals
        bases = self._bases(place, table)
        missing, deviation = float(table[:, -1].sum()), float(np.sqrt(len(table) * variance))
        bases = [without_gaps(base, missing, deviation, levels) for base in bases]
        large = int(np.argmax(rows))
        found = [tilted(table[large], rows[large], bases[large], levels, variance)] * len(table)
        for value in set(range(len(table))) - {large}:
            # A class that no simulated patients show is learned as a difference from the better known one.
            own = self._ranked is None or self._ranked.shows(value)
            found[value] = tilted(table[value], rows[value], bases[value] if own else found[large], levels, variance)
        return found

    def _bases(self, place: int, table: Floats) -> list[Floats]:
        """What is assumed of every class before its own counts are looked at."""
        if self._ranked is not None:
            return [self._ranked.chances(place, value) for value in range(len(table))]
        pooled = share_out(table.sum(axis=0), float(self._totals.sum()))
        return [smooth(pooled, self._levels[place])] * len(table)

    def draw(self, size: int, where: Mapping[str, Any], random: np.random.Generator) -> pd.DataFrame:
        """Rows, of which some may not be what ``where`` asks for."""
        fixed = self._fixed(where) if self._ranked is None else {}
        labels = self._drawn_labels(size, where, fixed, random)
        ranks = random.random((size, len(self._levels)))
        if self._ranked is not None:
            ranks = self._ranked.ranks(labels, random)
        frame: dict[str, Any] = {} if self._condition is None else {self._condition: labels.astype(bool)}
        codes = {
            one.feature.name: self._codes(place, labels, ranks[:, place]) for place, one in enumerate(self._levels)
        }
        for name, code in fixed.items():
            codes[name] = np.full(size, code, dtype=np.int64)
        self._follow(codes, labels, random)
        for place, one in enumerate(self._levels):
            frame[one.feature.name] = self._values(place, codes[one.feature.name], labels, random)
        return pd.DataFrame(frame, index=range(size))

    def _fixed(self, where: Mapping[str, Any]) -> dict[str, int]:
        """The level that ``where`` asks for, of categories and flags."""
        asked = {one.feature.name: one for one in self._levels if one.words and one.feature.name in where}
        return {name: one.words.index(where[name]) for name, one in asked.items() if where[name] in one.words}

    def _drawn_labels(
        self, size: int, where: Mapping[str, Any], fixed: Mapping[str, int], random: np.random.Generator
    ) -> Ints:
        if self._condition is not None and self._condition in where:
            return np.full(size, int(bool(where[self._condition])), dtype=np.int64)
        shares = self._totals.copy()
        for place, one in enumerate(self._levels):
            if one.feature.name in fixed:
                shares *= [chances[fixed[one.feature.name]] for chances in self._chances[place]]
        return random.choice(len(shares), size, p=shares / shares.sum()).astype(np.int64)

    def _codes(self, place: int, labels: Ints, ranks: Floats) -> Ints:
        """Levels from ranks, by the distribution of each row's class."""
        codes = np.zeros(len(labels), dtype=np.int64)
        for value, chances in enumerate(self._chances[place]):
            rows = labels == value
            steps = np.cumsum(chances)[:-1]
            # A sum that rounding leaves below 1 must not lead to a level that is impossible.
            steps[int(np.flatnonzero(chances)[-1]) :] = np.inf
            codes[rows] = np.searchsorted(steps, ranks[rows], side="right")
        return codes

    def _follow(self, codes: dict[str, Ints], labels: Ints, random: np.random.Generator) -> None:
        """Make columns missing exactly where, by definition, their count is 0; alters ``codes``."""
        places = {one.feature.name: place for place, one in enumerate(self._levels)}
        for name, counted in FOLLOWS.items():
            if not {name, counted} <= set(codes) or not self._starts_at_zero(places[counted]):
                continue
            place, none = places[name], self._levels[places[name]].valued
            again = (codes[name] == none) & (codes[counted] > 0)
            known = np.array([1 - self._gap(chances, none) for chances in self._chances[place]])
            redrawn = self._codes(place, labels, random.random(len(labels)) * known[labels])
            codes[name] = np.where(again, redrawn, codes[name])
            if self._levels[place].feature.nullable:
                codes[name] = np.where(codes[counted] == 0, none, codes[name])

    def _starts_at_zero(self, place: int) -> bool:
        return self._levels[place].edges[:2] == (0.0, 1.0)

    @staticmethod
    def _gap(chances: Floats, none: int) -> float:
        return float(chances[none]) if len(chances) > none else 0.0

    def _values(self, place: int, codes: Ints, labels: Ints, random: np.random.Generator) -> Any:
        levels = self._levels[place]
        if levels.words:
            return np.array([*levels.words, None], dtype=object)[codes]
        prior = np.empty(0) if self._ranked is None else self._ranked.values(place)
        drawn = np.full(len(codes), np.nan)
        for value, chances in enumerate(self._chances[place]):
            rows = labels == value
            drawn[rows] = within(levels, codes[rows], chances, prior, random)
        return drawn


class _Ranked:
    """Simulated patients: their distributions, and their ranks within these."""

    def __init__(self, prior: pd.DataFrame, levels: tuple[Levels, ...], condition: str | None) -> None:
        self._levels = levels
        self._prior = prior
        labels = labels_of(prior, condition).astype(np.int64)
        codes = np.column_stack([one.codes(prior[one.feature.name]) for one in levels])
        whole = codes[(codes >= 0).all(axis=1)]
        if not len(whole):
            raise UsageError("no simulated patient has a permitted value in every column; simulate with this schema")
        own = [codes[(labels == value) & (codes >= 0).all(axis=1)] for value in range(1 if condition is None else 2)]
        self._shown = [len(rows) >= FEWEST_OF_A_CLASS for rows in own]
        self._codes = [rows if shown else whole for rows, shown in zip(own, self._shown, strict=True)]
        self._whole = whole

    def shows(self, value: int) -> bool:
        """Whether enough of a class were simulated."""
        return self._shown[value]

    def values(self, place: int) -> Floats:
        """Sorted values of a column of numbers."""
        column = self._prior[self._levels[place].feature.name].dropna().to_numpy(dtype=np.float64)
        return np.sort(column[np.isfinite(column)])

    def chances(self, place: int, value: int) -> Floats:
        """The distribution of a column in a class, nowhere 0."""
        size = self._levels[place].size
        pooled = np.bincount(self._whole[:, place], minlength=size) + 0.5
        own = np.bincount(self._codes[value][:, place], minlength=size)
        mixed: Floats = (own + BORROWED * pooled / pooled.sum()) / (len(self._codes[value]) + BORROWED)
        return mixed

    def ranks(self, labels: Ints, random: np.random.Generator) -> Floats:
        """Ranks in (0, 1) of all columns of patients drawn from the class of each label."""
        ranks = np.empty((len(labels), len(self._levels)))
        for value, codes in enumerate(self._codes):
            rows = np.flatnonzero(labels == value)
            drawn = codes[random.integers(0, len(codes), len(rows))]
            for place, one in enumerate(self._levels):
                steps = np.concatenate(
                    [[0.0], np.cumsum(np.bincount(codes[:, place], minlength=one.size) / len(codes))]
                )
                low, high = steps[drawn[:, place]], steps[drawn[:, place] + 1]
                ranks[rows, place] = low + random.random(len(rows)) * (high - low)
        return ranks
