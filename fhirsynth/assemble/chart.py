"""What is written of one patient: the tables' rows as objects, whether a life was told or read back from tables.

Times are FHIR text (with offset and precision), ids are those of the resources, and one entry refers to another by id.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Code(NamedTuple):
    """A coding; ``display`` alone is the text of a concept without one."""

    system: str | None
    code: str | None
    display: str | None


class Value(NamedTuple):
    """The value of an Observation or of a component, in the columns of the table ``observations``.

    ``kind`` is ``quantity``, ``code``, ``string``, ``boolean``, ``integer``, ``dateTime``, …, as FHIR names it.
    """

    kind: str
    number: float | None = None
    comparator: str | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None
    text: str | None = None


@dataclass(slots=True)
class Person:
    """Who it is about; what is None is not written."""

    id: str
    gender: str | None = None
    birth_date: str | None = None
    deceased: bool = False
    deceased_at: str | None = None
    races: tuple[Code, ...] = ()
    race_text: str | None = None
    ethnicity: Code | None = None
    birth_sex: str | None = None
    marital_status: str | None = None
    given: tuple[str, ...] = ()
    family: str | None = None
    phone: str | None = None
    line: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None
    email: str | None = None
    record_number: str | None = None
    ssn: str | None = None


@dataclass(slots=True)
class Encounter:
    """One encounter; ``practitioner`` is the number of one of the shared ones, ``provider`` a reference as text."""

    id: str
    status: str | None
    class_code: str | None
    type: Code | None
    start: str | None
    end: str | None
    reason: Code | None = None
    discharge_code: str | None = None
    practitioner: int | None = None
    provider: str | None = None


@dataclass(slots=True)
class Condition:
    """One condition, finding or complaint."""

    id: str
    code: Code
    encounter: str | None
    clinical_status: str | None
    verification_status: str | None
    category: str | None
    onset: str | None
    abatement: str | None = None
    recorded: str | None = None


class Component(NamedTuple):
    """A part of an Observation."""

    code: Code
    value: Value | None
    absent_reason: str | None = None


@dataclass(slots=True)
class Observation:
    """One Observation; ``more`` are further codings of the same code."""

    id: str
    code: Code
    encounter: str | None
    status: str | None
    category: str | None
    effective: str | None
    value: Value | None = None
    absent_reason: str | None = None
    components: tuple[Component, ...] = ()
    more: tuple[Code, ...] = ()


@dataclass(slots=True)
class Medication:
    """One MedicationRequest; ``reason`` is the id of a condition of the chart."""

    id: str
    code: Code
    encounter: str | None
    status: str | None
    intent: str | None
    authored: str | None
    reason: str | None = None
    practitioner: int | None = None


@dataclass(slots=True)
class Procedure:
    """One Procedure; ``reason`` is the id of a condition of the chart."""

    id: str
    code: Code
    encounter: str | None
    status: str | None
    start: str | None
    end: str | None = None
    reason: str | None = None


@dataclass(slots=True)
class Chart:
    """Everything that is written of one patient, each list in order of time."""

    person: Person
    encounters: list[Encounter] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    medications: list[Medication] = field(default_factory=list)
    procedures: list[Procedure] = field(default_factory=list)
