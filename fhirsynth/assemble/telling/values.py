"""Values: each patient keeps levels of their own, which go together, drift, and end at what the row says."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from fhirsynth.assemble.chart import Value
from fhirsynth.assemble.learning.values import score_of
from fhirsynth.assemble.telling.formulas import FORMULAS, GROWING, GROWN
from fhirsynth.assemble.telling.person import DAY, YEAR, Subject
from fhirsynth.assemble.timeline import LEAST, Answer, Curve, Measure, draw, nearest
from fhirsynth.schema import Feature

Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class Values:
    """The values of one patient.

    Parameters
    ----------
    known
        Code → the feature of the row whose values it holds.
    levels
        Code → the patient's own level, in standard normal scores.
    """

    who: Subject
    known: dict[str, Feature] = field(init=False)
    levels: dict[str, float] = field(init=False)
    _slopes: dict[str, float] = field(init=False, default_factory=dict)
    _steady: dict[str, bool] = field(init=False, default_factory=dict)
    _noise: dict[str, tuple[float, float]] = field(init=False, default_factory=dict)
    _latest: dict[str, float] = field(init=False, default_factory=dict)
    _said: dict[str, Answer] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        features = self.who.schema.of_rule("latest")
        self.known = {code: feature for feature in features for code in feature.source.codes}
        self.levels = self._own_levels()

    def absent(self, code: str) -> bool:
        """Whether it must not be measured: the row says that it never was."""
        return code in self.known and self.who.row.get(self.known[code].name) is None

    def can_measure(self, code: str) -> bool:
        """Whether there is anything to say of it."""
        return code in self.who.timeline.measures or code in self.known

    def at(self, codes: list[str], when: datetime, final: Mapping[str, datetime]) -> dict[str, Value]:
        """Values of codes that are measured together; what was measured later has been asked for before.

        Parameters
        ----------
        final
            Feature → when it is measured for the last time, and its value is that of the row.
        """
        numbers: dict[str, float] = {}
        found: dict[str, Value] = {}
        same: dict[str, float] = {}
        fixed = {code for code in codes if code in self.known and when == final.get(self.known[code].name)}
        for code in codes:
            feature, measure = self.known.get(code), self.who.timeline.measures.get(code)
            if feature is None and measure is not None and measure.answers:
                found[code] = self._answer(code, measure, when)
            elif feature is not None and feature.kind == "category":
                found[code] = Value("string", text=str(self.who.row[feature.name]))
            elif feature is not None and (code in fixed or measure is None or not measure.curves):
                numbers[code] = float(self.who.row[feature.name])
                self._end(code, measure, when)
            elif measure is not None and measure.curves:
                # Several codes of one feature say the same.
                name = code if feature is None else feature.name
                numbers[code] = same[name] if name in same else self._number(code, measure, feature, when)
                same[name] = numbers[code]
        self._cohere(numbers, fixed, when)
        self._latest.update({code: numbers[code] for code in GROWING if code in numbers})
        for code, number in numbers.items():
            found[code] = self._quantity(code, number)
        return found

    def _quantity(self, code: str, number: float) -> Value:
        feature, measure = self.known.get(code), self.who.timeline.measures.get(code)
        unit = feature.unit if feature is not None else (measure.unit if measure else "")
        decimals = feature.decimals if feature is not None else (measure.decimals if measure else 1)
        rounded = round(number, decimals)
        return Value("quantity", number=rounded if decimals else float(int(rounded)), unit=unit or "1")

    def _number(self, code: str, measure: Measure, feature: Feature | None, when: datetime) -> float:
        who = self.who
        age = who.age_at(when)
        score = self._usual(code, measure, when) + np.sqrt(1 - measure.own) * self._beside(code, measure, age)
        value = quantile(measure.curves[who.sex], age, float(ndtr(np.clip(score, -2.5, 2.5))))
        if feature is not None:
            row = float(who.row[feature.name])
            value += self._beyond(measure, row)
            low = feature.minimum if feature.minimum is not None else -np.inf
            high = feature.maximum if feature.maximum is not None else np.inf
            value = float(np.clip(value, low, high))
        return self._grown(code, value, age) if code in GROWING else value

    def _end(self, code: str, measure: Measure | None, when: datetime) -> None:
        """The row's value is where what lies beside the patient's level ends."""
        if measure is None or not measure.curves or measure.own >= 1:
            return
        age = self.who.age_at(when)
        score = self._score(measure, float(self.who.row[self.known[code].name]))
        beside = (score - self._usual(code, measure, when)) / np.sqrt(1 - measure.own)
        self._noise[code] = (age, float(np.clip(beside, -3, 3)))

    def _usual(self, code: str, measure: Measure, when: datetime) -> float:
        """The patient's own level at that time, as part of the score."""
        if code not in self._slopes:
            moves = bool(measure.drift) and not self._is_steady(code, measure)
            self._slopes[code] = float(self.who.random.normal(0, measure.drift)) if moves else 0.0
        past = (self.who.today - when) / DAY / YEAR
        return float(np.sqrt(measure.own) * self._level(code, measure) - self._slopes[code] * past)

    def _level(self, code: str, measure: Measure) -> float:
        if code not in self.levels:
            level = float(self.who.random.standard_normal())
            if code in self.known:
                score, own = self._score(measure, float(self.who.row[self.known[code].name])), max(measure.own, LEAST)
                level = float(np.sqrt(own) * score + np.sqrt(1 - own) * level)
            self.levels[code] = level
        return self.levels[code]

    def _beside(self, code: str, measure: Measure, age: float) -> float:
        """How far the value lies beside the patient's own level: the nearer in time, the more alike."""
        at, before = self._noise.get(code, (age, 0.0))
        kept = self._kept(code, measure, abs(age - at)) if code in self._noise else 0.0
        now = kept * before + np.sqrt(1 - kept**2) * float(self.who.random.standard_normal())
        self._noise[code] = (age, now)
        return float(now)

    def _kept(self, code: str, measure: Measure, years: float) -> float:
        """Correlation of what lies beside the level, over so many years; 1 in whom the value does not change."""
        if self._is_steady(code, measure):
            return 1.0
        return float(np.exp(-years / measure.memory)) if measure.memory else 0.0

    def _is_steady(self, code: str, measure: Measure) -> bool:
        if code not in self._steady:
            self._steady[code] = self.who.level() < measure.steady
        return self._steady[code]

    def _grown(self, code: str, value: float, age: float) -> float:
        """What grows does not fall, and stays as it is in adults."""
        later = self._latest.get(code)
        if later is None and code in self.known:
            later = float(self.who.row[self.known[code].name])
        if later is None:
            return value
        return later if age >= GROWN else min(value, later)

    def _beyond(self, measure: Measure, row: float) -> float:
        """How far the row's value lies outside of what was ever seen at that age."""
        curve, age = measure.curves[self.who.sex], self.who.lived
        low, high = quantile(curve, age, 0.0), quantile(curve, age, 1.0)
        return min(row - low, 0.0) + max(row - high, 0.0)

    def _answer(self, code: str, measure: Measure, when: datetime) -> Value:
        before, answers = self._said.get(code), nearest(measure.answers, self.who.age_at(when)) or ()
        if before is None or before not in answers or self.who.level() >= measure.repeats:
            weights = np.array([one.weight for one in answers])
            before = answers[int(self.who.random.choice(len(weights), p=weights / weights.sum()))]
            self._said[code] = before
        number = float(before.text) if before.kind == "integer" and before.text is not None else None
        return Value(before.kind, number, None, None, before.system, before.code, before.text)

    def _cohere(self, numbers: dict[str, float], fixed: set[str], when: datetime) -> None:
        """Replace what follows from others by what follows, unless the row says it."""
        age = self.who.age_at(when)
        for formula in FORMULAS:
            if formula.code in numbers and formula.code not in fixed:
                given = [self._given(codes, numbers, when, behind=formula.behind) for codes in formula.of]
                if all(one is not None for one in given):
                    noise = float(self.who.random.standard_normal())
                    value = formula.value([one for one in given if one is not None], age, self.who.sex, noise)
                    if value is not None and np.isfinite(value):
                        numbers[formula.code] = value

    def _given(
        self, codes: tuple[str, ...], numbers: dict[str, float], when: datetime, *, behind: bool
    ) -> float | None:
        """A value by one of its codes: as measured now, or later, or what it would be if it had been."""
        found = next((numbers[code] for code in codes if code in numbers), None)
        if found is None:
            found = next((self._latest[code] for code in codes if code in self._latest), None)
        measures = self.who.timeline.measures
        known = [code for code in codes if code in measures and measures[code].curves and not self.absent(code)]
        if found is None and behind and known:
            found = self._number(known[0], measures[known[0]], self.known.get(known[0]), when)
        return found

    def _own_levels(self) -> dict[str, float]:
        """Levels of all codes at once, given what the row says of some."""
        who, related = self.who, self.who.timeline.related
        measures = who.timeline.measures
        said = tuple(
            code
            for code in related.codes
            if code in self.known and who.row.get(self.known[code].name) is not None and measures[code].curves
        )
        gain, root = who.timeline.given(said)
        seen = np.array([self._score(measures[code], float(who.row[self.known[code].name])) for code in said])
        drawn = gain @ seen + root @ who.random.standard_normal(len(related.codes))
        return dict(zip(related.codes, map(float, drawn), strict=True))

    def _score(self, measure: Measure, value: float) -> float:
        curve = measure.curves[self.who.sex]
        return float(score_of(curve, np.array([self.who.lived]), np.array([value]))[0])


def quantile(curve: Curve, age: float, level: float) -> float:
    """The value at a level, of somebody of that age."""
    rows = curve.quantiles
    ages = curve.ages
    right = bisect_left(ages, age)
    if right in (0, len(ages)):
        return draw(rows[min(right, len(ages) - 1)], level)
    share = (age - ages[right - 1]) / (ages[right] - ages[right - 1])
    before, after = draw(rows[right - 1], level), draw(rows[right], level)
    return before + share * (after - before)
