"""What lives look like: visits and what happens at them, conditions, values and orders, as counts and quantiles alone.

Nothing in it describes one patient: a code, a kind of visit or a set of things that are done together enters when at
least :data:`FEWEST` patients have it, and times and values are kept as quantiles of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fhirsynth.assemble.stays import possible
from fhirsynth.errors import UsageError
from synthea_bridge.files import atomic_file

T = TypeVar("T")
FEWEST: Final = 3
"""What fewer training patients have does not enter the timeline."""
LEVELS: Final = np.linspace(0, 1, 11)
"""Levels of the quantiles that are kept; the outermost are the 2.5 % and 97.5 % points, no single patient's value."""

Group = Literal["routine", "emergency", "stay"]
Sex = Literal["female", "male"]
SEXES: Final[tuple[Sex, ...]] = ("female", "male")
BANDS: Final = (0, 2, 6, 18, 40, 65)
"""Lower bounds of the age bands, in years, between which the pace of visits and what is done at them differ."""
Floats = npt.NDArray[np.float64]
Quantiles = tuple[float, ...]
BySex = dict[Sex, float]
Onsets = dict[int, Quantiles]
Span = tuple[float, float]
"""Ages in years, from and to."""
ALWAYS: Final[Span] = (0.0, 200.0)


LEAST: Final = 0.05
"""Share of the variance that is between patients, at least, where levels follow from values."""


def band_of(age: float) -> int:
    """The lower bound of the age band of ``age``, in years."""
    return max(bound for bound in BANDS if bound <= max(age, 0))


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Concept(_Frozen):
    """A coding."""

    system: str
    code: str
    display: str


class Item(_Frozen):
    """Something that happens at visits: an observation (or a panel), a procedure, an order, or an episode that begins.

    Parameters
    ----------
    table
        The table that its entries are in.
    category
        Of observations and conditions.
    reason
        Code of the lasting condition that most of its entries name as reason, and without which it does not happen.
    span
        Minutes that a procedure takes; days that an episode lasts.
    ends
        Of an episode: the share that ends.
    only, ages
        The sex whose patients alone have it, and ages between which it happens.
    turn
        Of procedures and orders: when in the course of a visit, from 0 to 1.
    """

    table: Literal["observations", "procedures", "medications", "conditions"]
    concept: Concept
    category: str | None = None
    reason: str | None = None
    span: Quantiles = ()
    ends: float = 1.0
    only: Sex | None = None
    ages: Span = ALWAYS
    turn: float = 0.0


class Together(_Frozen):
    """Batches (by number) that happen at one visit, and how often just these do."""

    batches: tuple[int, ...]
    weight: float


class Content(_Frozen):
    """What happens at visits of a kind.

    Parameters
    ----------
    sets
        Batches that at least :data:`FEWEST` patients had together.
    rare
        The weight of all other visits.
    alone
        Of these: how often each batch happens.
    """

    sets: tuple[Together, ...] = ()
    rare: float = 0.0
    alone: dict[int, float] = {}


class Cycle(_Frozen):
    """Batches that happen in a rhythm of their own: days from one time to the next."""

    batches: tuple[int, ...]
    gaps: Quantiles


class Pace(_Frozen):
    """How often visits of a kind are made in an age band.

    Parameters
    ----------
    makes
        Share of those who can make them who do, by sex.
    rates
        Visits in a year of those who do.
    """

    makes: BySex
    rates: Quantiles

    def worth(self, sex: Sex) -> float:
        """Visits in a year of all who can make them."""
        return self.makes[sex] * float(np.trapezoid(self.rates, LEVELS))


class Kind(_Frozen):
    """A kind of encounter.

    Parameters
    ----------
    class_code
        Of v3-ActCode.
    reason
        Why it is made, if most of its kind say so.
    needs
        Code of the lasting condition without which nobody makes it.
    minutes
        How long it lasts.
    months
        Weights of the months, 1 on average.
    rhythm
        Gaps between two of them, as parts of the patient's mean one.
    ages
        Between which it is made.
    paces, contents
        By lower bound of the age band. A kind without a pace happens only where a condition begins or is followed.
    split, given
        Code of the lasting condition that changes most what happens, and the contents for those who have it.
    again
        How often the same happens as at the visit before, beyond chance.
    cycles
        What happens in a rhythm of its own.
    """

    group: Group
    class_code: str
    concept: Concept
    reason: Concept | None = None
    needs: str | None = None
    minutes: Quantiles
    months: tuple[float, ...] = (1.0,) * 12
    rhythm: Quantiles = ()
    ages: Span = ALWAYS
    paces: dict[int, Pace] = {}
    contents: dict[int, Content] = {}
    split: str | None = None
    given: dict[int, Content] = {}
    again: float = 0.0
    cycles: tuple[Cycle, ...] = ()


class Follow(_Frozen):
    """Visits that follow an episode: how many there are on average, and days after its onset."""

    kind: int
    count: float
    delays: Quantiles


class Lasting(_Frozen):
    """A condition that stays once it has begun, as a rule.

    Parameters
    ----------
    share
        Of the patients of a sex whose age is in a band: how many have it; where ``given`` names a flag of the rows, of
        those without and of those with it.
    onset
        Age at onset in years, by lower bound of the age band that patients are in now.
    ends, span
        The share that ends, and after how many days.
    kinds
        Kinds of visits at which it is found, with weights.
    """

    concept: Concept
    category: str | None = None
    given: str | None = None
    share: dict[Sex, dict[int, tuple[float, float]]]
    onset: Onsets
    ends: float = 0.0
    span: Quantiles = ()
    kinds: dict[int, float] = {}


class Flagged(_Frozen):
    """A condition that a flag of the rows says to be present: codes, ages at onset, and visits at which it is found."""

    codes: tuple[tuple[Concept, float], ...] = ()
    onset: Onsets
    kinds: dict[int, float] = {}


class Curve(_Frozen):
    """Quantiles of a value by age: ``ages`` in years, and as many rows of quantiles."""

    ages: tuple[float, ...]
    quantiles: tuple[Quantiles, ...]


class Answer(_Frozen):
    """A value that is a code or text, and how often it is given."""

    kind: str
    system: str | None = None
    code: str | None = None
    text: str | None = None
    weight: float


class Measure(_Frozen):
    """The values of one code.

    Parameters
    ----------
    concept
        Its code.
    unit, decimals, curves
        Of numbers: UCUM unit, digits that are kept, and what is usual by sex and age.
    own
        Share of the variance that is between patients: how far a patient keeps a level of their own.
    drift
        Standard deviation of what changes in a year within a patient, in standard normal scores.
    steady
        Share of the patients in whom it does not change; ``own``, ``drift`` and ``memory`` are those of the others.
    memory
        Years in which what lies beside the patient's own level falls to a third.
    answers, repeats
        Of codes and texts: what is said, by lower bound of the age band, and how often the same as the time before.
    parts
        Codes of the components of a panel.
    """

    concept: Concept
    unit: str = ""
    decimals: int = 0
    curves: dict[Sex, Curve] = {}
    own: float = 0.0
    steady: float = 0.0
    drift: float = 0.0
    memory: float = 0.0
    answers: dict[int, tuple[Answer, ...]] = {}
    repeats: float = 0.0
    parts: tuple[str, ...] = ()


class Order(_Frozen):
    """A medication that can be on order.

    Parameters
    ----------
    reason
        Code of the condition that most orders name as reason.
    weight, without
        Share of those who have (or had) the reason that have it on order, and of the others.
    stopped
        Share of those who have the reason that took it in the last years and take it no more.
    at
        Of what is taken again and again: at which share of the visits of each kind it is ordered.
    last
        Days since it was ordered, of those who have it on order.
    turn
        When in the course of a visit, from 0 to 1.
    only, ages
        The sex whose patients alone have it, and ages between which it is on order.
    """

    concept: Concept
    reason: str | None = None
    weight: float
    without: float = 0.0
    stopped: float = 0.0
    at: dict[int, float] = {}
    last: Quantiles = ()
    turn: float = 0.0
    only: Sex | None = None
    ages: Span = ALWAYS


class Related(_Frozen):
    """Correlation of patients' own levels between codes, in standard normal scores."""

    codes: tuple[str, ...] = ()
    rows: tuple[tuple[float, ...], ...] = ()


class Timeline(_Frozen):
    """Everything that re-assembly knows of lives.

    Parameters
    ----------
    patients
        Number of training patients it was learned from.
    kinds, batches, items
        Kinds of visits; what happens at them comes in batches of items (by number) that happen together.
    follows
        Visits that follow an episode, by its code.
    flagged
        Conditions that rows speak of, by the name of the flag.
    lasting
        Other conditions that last.
    measures
        What is measured, by code.
    related
        How levels of different codes go together.
    orders
        Medications that are on order.
    hispanic
        Share of Hispanic or Latino patients.
    """

    schema_version: Literal[2] = 2
    patients: int
    kinds: tuple[Kind, ...]
    items: tuple[Item, ...] = ()
    batches: tuple[tuple[int, ...], ...] = ()
    follows: dict[str, tuple[Follow, ...]] = {}
    flagged: dict[str, Flagged] = {}
    lasting: tuple[Lasting, ...] = ()
    measures: dict[str, Measure] = {}
    related: Related = Related()
    orders: tuple[Order, ...]
    hispanic: float = Field(ge=0, le=1)

    def livable(self, rows: pd.DataFrame) -> pd.Series[bool]:
        """Which rows can become a life: their stays fit into the year, and there are enough medications to order."""
        absent = {
            "age": 40,
            "prior_admissions_12m": 0,
            "length_of_stay": None,
            "readmitted_30d": 0,
            "num_medications": 0,
        }
        given = [rows[name] if name in rows else [value] * len(rows) for name, value in absent.items()]
        good = [
            int(orders) <= len(self.orders)
            and possible(int(stays), None if pd.isna(days) else float(days), bool(again), int(age))
            for age, stays, days, again, orders in zip(*given, strict=True)
        ]
        return pd.Series(good, index=rows.index, dtype=bool)

    @cached_property
    def _reasons(self) -> dict[str, str | None]:
        items = {one.concept.code: one.reason for one in self.items if one.table == "medications"}
        return items | {one.concept.code: one.reason for one in self.orders}

    @cached_property
    def _given(self) -> dict[tuple[str, ...], tuple[Floats, Floats]]:
        return {}

    def given(self, said: tuple[str, ...]) -> tuple[Floats, Floats]:
        """How levels follow from values of the codes ``said``.

        Returns
        -------
        Weights of these values' scores, shape (codes, said), and what turns independent standard normal numbers into
        what else varies, shape (codes, codes).
        """
        if said not in self._given:
            codes = self.related.codes
            matrix = np.array(self.related.rows).reshape(len(codes), len(codes))
            places = [codes.index(code) for code in said]
            own = np.sqrt([max(self.measures[code].own, LEAST) for code in said])
            across = matrix[:, places] * own
            inner = matrix[np.ix_(places, places)] * np.outer(own, own) + np.diag(1 - own**2 + 1e-6)
            gain = np.linalg.solve(inner, across.T).T
            values, vectors = np.linalg.eigh(matrix - gain @ across.T)
            self._given[said] = gain, vectors * np.sqrt(np.maximum(values, 0))
        return self._given[said]

    def reason_of(self, medication: str) -> str | None:
        """Code of the condition that a medication is for, if it is for one alone."""
        return self._reasons.get(medication)

    def save(self, path: Path) -> None:
        """Write it as JSON, without what is as it is by default."""
        with atomic_file(path) as scratch:
            scratch.write_text(self.model_dump_json(exclude_defaults=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Timeline:
        """Read what :meth:`save` wrote.

        Raises
        ------
        UsageError
            When there is no such file, or it is not ours.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise UsageError(
                f"{path}: cannot be read ({error.strerror}); fhirsynth augment makes it from a folder of flatten (a "
                "table alone has no encounters to learn it from), or give another with --timeline"
            ) from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise UsageError(
                f"{path}: is not a timeline of this version ({place}: {first['msg']}); make it with: fhirsynth augment"
            ) from error


def nearest(by_band: Mapping[int, T], age: float) -> T | None:
    """What is known of the age's band, or of the nearest band below it, or else of the lowest; None of nothing."""
    if not by_band:
        return None
    below = [low for low in by_band if low <= band_of(age)]
    return by_band[max(below) if below else min(by_band)]


def draw(quantiles: Quantiles, level: float) -> float:
    """The value at a level between 0 and 1, linear between the quantiles, which are evenly spaced."""
    steps = len(quantiles) - 1
    place = min(max(level, 0.0), 1.0) * steps
    left = min(int(place), steps - 1)
    return quantiles[left] + (place - left) * (quantiles[left + 1] - quantiles[left])
