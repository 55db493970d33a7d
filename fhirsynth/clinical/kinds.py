"""The kinds of rules that a rule file can hold, as what is written in it."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fhirsynth.clinical.fields import (
    DAY,
    GIVEN,
    LINKED,
    TIMES,
    Formulas,
    OneFormula,
    Pattern,
    Severity,
    Sex,
    Source,
    Span,
    TableName,
    Unit,
)
from fhirsynth.clinical.formula import Formula


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)


class Conversion(_Frozen):
    """How values in one more unit become values in the analyte's: ``value * factor + offset``."""

    factor: float
    offset: float = 0.0


class Analyte(_Frozen):
    """What is measured: its LOINC codes, and the unit in which rules speak of it.

    Parameters
    ----------
    molar_mass, valence
        Grams a mole, and charges: with them, mg/dL, mmol/L and meq/L are compared.
    conversions
        Units that stand in another relation to it than by size: HbA1c in mmol/mol.
    """

    title: str
    codes: tuple[str, ...] = Field(min_length=1)
    unit: Unit
    molar_mass: float | None = Field(None, gt=0)
    valence: int | None = Field(None, gt=0)
    conversions: dict[str, Conversion] = {}


class Selector(_Frozen):
    """Rows of a table: those with one of the codes, or whose display has the words; ``unless`` it has these others.

    Encounters are selected by their type and by their reason.
    """

    table: TableName
    codes: tuple[str, ...] = ()
    words: Pattern | None = None
    unless: Pattern | None = None

    @model_validator(mode="after")
    def _selects(self) -> Self:
        if not self.codes and not self.words:
            raise ValueError("a selector has codes, words, or both")
        return self


class Concept(_Frozen):
    """A state, an act or a drug: what any of the selectors finds."""

    title: str
    any: tuple[Selector, ...] = Field(min_length=1)


class _Rule(_Frozen):
    id: str
    title: str
    severity: Severity
    source: Source

    @property
    def analytes(self) -> frozenset[str]:
        """Names of the analytes that it speaks of."""
        return frozenset()

    @property
    def concepts(self) -> frozenset[str]:
        """Names of the concepts that it speaks of."""
        return frozenset()


class _Aged(_Frozen):
    """Who is meant, by age: from the first, to before the second."""

    start: Span = Field(0.0, alias="from")
    end: Span | None = Field(None, alias="to")


class Band(_Aged):
    """Bounds for an age and a sex."""

    sex: Sex | None = None
    minimum: float | None = None
    maximum: float | None = None


Points = Annotated[tuple[tuple[float, float, float], ...], Field(min_length=2)]
"""Months of age, lower and upper bound; between two points they change evenly."""


class Curve(_Frozen):
    """Bounds that change with age."""

    female: Points
    male: Points

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for points in (self.female, self.male):
            if any(one[0] >= other[0] for one, other in pairwise(points)):
                raise ValueError("the points of a curve are in order of age")
        return self


class Range(_Rule):
    """A value lies within bounds: of all, by age and sex (the first band that fits), or along a curve of age."""

    kind: Literal["range"]
    of: str
    minimum: float | None = None
    maximum: float | None = None
    bands: tuple[Band, ...] = ()
    curve: Curve | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        fixed = self.minimum is not None or self.maximum is not None
        if fixed + bool(self.bands) + (self.curve is not None) != 1:
            raise ValueError("a range has exactly one of: minimum and maximum, bands, a curve")
        return self

    @property
    def analytes(self) -> frozenset[str]:
        return frozenset({self.of})


class Relation(_Rule, _Aged):
    """A value agrees with others of the patient: with any of some formulas, or with bounds that are formulas.

    Parameters
    ----------
    equals
        Formulas by name; the rule holds where any of them does.
    tolerance, absolute
        How far from a formula, as a share of its result or in the analyte's unit: the larger counts.
    at_least, at_most
        Bounds.
    take, within
        Which other values: the nearest in time, at most so far away (``0d``: of the same moment), or the mean of
        those in so long a time before (at least ``fewest``).
    limits
        Values of others, by name, outside of which the rule is not meant.
    correlate
        Also measure how far value and first formula go together.
    """

    kind: Literal["relation"]
    of: str
    equals: Formulas = {}
    tolerance: float = Field(0.0, ge=0)
    absolute: float = Field(0.0, ge=0)
    at_least: OneFormula | None = None
    at_most: OneFormula | None = None
    take: Literal["nearest", "mean"] = "nearest"
    within: Span = 0.0
    fewest: int = Field(1, ge=1)
    limits: dict[str, tuple[float, float]] = {}
    correlate: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if bool(self.equals) == (self.at_least is not None or self.at_most is not None):
            raise ValueError("a relation has either formulas in equals, or at_least or at_most")
        if self.correlate and not self.equals:
            raise ValueError("correlate needs a formula in equals")
        if not self.limits.keys() <= set(self.inputs):
            raise ValueError("limits are of analytes that a formula names")
        if not self.inputs:
            raise ValueError("a relation names another analyte, age or female in its formulas")
        return self

    @property
    def formulas(self) -> tuple[Formula, ...]:
        """All of them."""
        return (*self.equals.values(), *(one for one in (self.at_least, self.at_most) if one is not None))

    @property
    def names(self) -> frozenset[str]:
        """What the formulas name."""
        return frozenset().union(*(formula.names for formula in self.formulas))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The other analytes, in the order of the alphabet."""
        return tuple(sorted(self.names - GIVEN - {self.of}))

    @property
    def analytes(self) -> frozenset[str]:
        return frozenset({self.of, *self.inputs})


class Change(_Rule, _Aged):
    """A value changes no more than so much, against the reading before or the median of the patient's readings.

    Parameters
    ----------
    fall, rise
        Limits, in the analyte's unit or as a ``share`` of the earlier value.
    within
        Only readings at most so far apart.
    """

    kind: Literal["change"]
    of: str
    against: Literal["previous", "median"] = "previous"
    fall: float | None = Field(None, ge=0)
    rise: float | None = Field(None, ge=0)
    share: bool = False
    within: Span | None = None

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.fall is None and self.rise is None:
            raise ValueError("a change has a limit: fall, rise, or both")
        return self

    @property
    def analytes(self) -> frozenset[str]:
        return frozenset({self.of})


class Whom(_Rule, _Aged):
    """Something is found only in one sex, only at some ages, or both."""

    kind: Literal["whom"]
    what: str
    sex: Sex | None = None

    @model_validator(mode="after")
    def _someone(self) -> Self:
        if self.sex is None and self.start == 0 and self.end is None:
            raise ValueError("says nobody in whom it may not be: give sex, from or to")
        return self

    @property
    def concepts(self) -> frozenset[str]:
        return frozenset({self.what})


class Level(_Frozen):
    """The last value before, at most so old, below or above which a drug is not given."""

    of: str
    below: float | None = None
    above: float | None = None
    within: Span

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if (self.below is None) == (self.above is None):
            raise ValueError("a level has one of: below, above")
        return self


class Drug(_Rule):
    """A drug has a reason, or is not given where it contradicts.

    Parameters
    ----------
    needs
        Concepts, any of which is a reason, recorded at the latest ``within`` after the drug was ordered.
    avoids
        Concepts with none of which it goes together; a state without an end lasts for ``lasting``.
    excuses
        Concepts with which it may be given all the same.
    level
        A measured value with which it does not go together.
    """

    kind: Literal["drug"]
    drug: str
    needs: tuple[str, ...] = ()
    within: Span = 30 * DAY
    avoids: tuple[str, ...] = ()
    lasting: Span | None = None
    excuses: tuple[str, ...] = ()
    level: Level | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.needs) + bool(self.avoids) + (self.level is not None) != 1:
            raise ValueError("a drug rule has exactly one of: needs, avoids, level")
        return self

    @property
    def analytes(self) -> frozenset[str]:
        return frozenset() if self.level is None else frozenset({self.level.of})

    @property
    def concepts(self) -> frozenset[str]:
        return frozenset({self.drug, *self.needs, *self.avoids, *self.excuses})


class Time(_Rule):
    """One moment is not after another, of a row or of the patient, encounter or reason that it belongs to.

    Parameters
    ----------
    tables
        Whose rows.
    earlier, later
        A moment of the row, or one of: patient.birth, patient.death, encounter.start, encounter.end, reason.onset.
    tolerance
        How much after is still accepted.
    excuses
        Concepts whose rows are left out.
    """

    kind: Literal["time"]
    tables: tuple[TableName, ...] = Field(min_length=1)
    earlier: str
    later: str
    tolerance: Span = 0.0
    excuses: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _there(self) -> Self:
        for table in self.tables:
            for moment in (self.earlier, self.later):
                if moment not in (*TIMES[table], *LINKED, "began"):
                    there = ", ".join((*TIMES[table], *LINKED))
                    raise ValueError(f"{table} have no moment '{moment}'; there are: {there}")
        return self

    @property
    def concepts(self) -> frozenset[str]:
        return frozenset(self.excuses)


Rule = Annotated[Range | Relation | Change | Whom | Drug | Time, Field(discriminator="kind")]
