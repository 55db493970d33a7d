"""A FHIR R4 resource to its row (or rows): pure functions, one a table, in the column order of ``tables.py``.

A row holds the columns that stand in the source; instants and days are made from the ``_text`` beside them, a whole
column at a time. A resource is a :class:`~synthea_bridge.shapes.Node`, or a :class:`~synthea_bridge.shapes.Loose`,
which in another shape than R4 raises TypeError, AttributeError, KeyError or IndexError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from synthea_bridge.references import Lookup
from synthea_bridge.shapes import NOTHING, other_value
from synthea_bridge.tables import LOINC, RXNORM, SNOMED

Resource = Any
Row = tuple[Any, ...]
Coding = tuple[str | None, str | None, str | None]
NO_CODING: Final[Coding] = (None, None, None)
US_CORE: Final = "http://hl7.org/fhir/us/core/StructureDefinition/"
ORIGINS: Final = frozenset({"simulated", "augmented"})


class NoPatient(ValueError):
    """The resource says of no patient that it is about them, or of one that cannot be found."""


def coded(concept: Any, preferred: str, lookup: Lookup) -> Coding:
    """System, code and display of a CodeableConcept; other codings than the preferred one are counted as dropped."""
    if not concept:
        return NO_CODING
    codings = concept.coding
    if not codings:
        return (None, None, concept.text)
    coding = codings[0]
    if len(codings) > 1:
        lookup.dropped += len(codings) - 1
        coding = next((c for c in codings if c.system == preferred), coding)
    return (coding.system, coding.code, coding.display or concept.text)


def first_code(concept: Any) -> str | None:
    """The code of a CodeableConcept's first coding."""
    codings = concept.coding if concept else None
    return codings[0].code if codings else None


def about(resource: Resource, lookup: Lookup) -> str:
    """The patient's id.

    Raises
    ------
    NoPatient
        When there is no reference, or it cannot be resolved.
    """
    reference = resource.subject
    found = lookup.id(reference)
    if found is None:
        parts = (reference.reference, reference.identifier, reference.display) if reference else ()
        said = any(part is not None for part in parts)
        raise NoPatient("refers to a patient that is not here" if said else "has no reference to a patient")
    return found


def _extensions(resource: Resource) -> dict[str, Any]:
    return {e["url"]: e for e in _each(resource.extension)}


def _each(elements: Any) -> Any:
    return () if elements is None else elements


def _omb(extension: Resource, lookup: Lookup) -> tuple[str | None, str | None]:
    """Code and display of the OMB category; a second category makes the display ``multiple``."""
    found = [inner["valueCoding"] for inner in _each(extension.extension) if inner.url == "ombCategory"]
    if not found:
        return None, None
    lookup.dropped += len(found) - 1
    return found[0].code, "multiple" if len(found) > 1 else found[0].display


def _tags(resource: Resource) -> tuple[str | None, str | None]:
    """Origin and run of a resource that we wrote."""
    tags = _each(NOTHING.tag if resource.meta is None else resource.meta.tag)
    origin = next((t.code for t in tags if t.code in ORIGINS), None)
    run = next((t["code"] for t in tags if str(t.system).rpartition("/")[2] in ("run", "run-id")), None)
    return origin, run


def patient(resource: Resource, name: str, lookup: Lookup) -> list[Row]:
    """A row of ``patients``."""
    extensions = _extensions(resource)
    address = (resource.address or [NOTHING])[0]
    deceased_at = resource.deceasedDateTime
    return [
        (
            name,
            resource.gender,
            resource.birthDate,
            deceased_at is not None or bool(resource.deceasedBoolean),
            deceased_at,
            *_omb(extensions.get(f"{US_CORE}us-core-race", NOTHING), lookup),
            *_omb(extensions.get(f"{US_CORE}us-core-ethnicity", NOTHING), lookup),
            extensions.get(f"{US_CORE}us-core-birthsex", NOTHING).valueCode,
            first_code(resource.maritalStatus),
            address.city,
            address.state,
            address.postalCode,
            address.country,
            *_tags(resource),
            lookup.source,
            None,  # the weight is known when all have been simulated
        )
    ]


def encounter(resource: Resource, name: str, lookup: Lookup) -> list[Row]:
    """A row of ``encounters``."""
    period = resource.period or NOTHING
    types, reasons = resource.type, resource.reasonCode
    stay = resource.hospitalization
    return [
        (
            name,
            about(resource, lookup),
            resource.status,
            (resource.class_ or NOTHING).code,
            *(coded(types[0], SNOMED, lookup) if types else NO_CODING),
            *(coded(reasons[0], SNOMED, lookup) if reasons else NO_CODING),
            period.start,
            period.end,
            first_code(stay.dischargeDisposition) if stay else None,
            lookup.id_or_text(resource.serviceProvider),
        )
    ]


def condition(resource: Resource, name: str, lookup: Lookup) -> list[Row]:
    """A row of ``conditions``."""
    categories = resource.category
    onset, abatement = resource.onsetDateTime, resource.abatementDateTime
    return [
        (
            name,
            about(resource, lookup),
            lookup.id(resource.encounter),
            first_code(resource.clinicalStatus),
            first_code(resource.verificationStatus),
            first_code(categories[0]) if categories else None,
            *coded(resource.code, SNOMED, lookup),
            onset if onset is not None else (resource.onsetPeriod or NOTHING).start,
            abatement if abatement is not None else (resource.abatementPeriod or NOTHING).end,
            resource.recordedDate,
        )
    ]


Value = tuple[str | None, Any, str | None, str | None, str | None, str | None, str | None]
NO_VALUE: Final[Value] = (None, None, None, None, None, None, None)


def value_of(element: Resource, lookup: Lookup) -> Value:
    """The seven value columns: type, number, comparator, unit, system, code, text."""
    quantity = element.valueQuantity
    if quantity is not None:
        return (
            "quantity",
            _double(quantity.value),
            quantity.comparator,
            quantity.code or quantity.unit,
            None,
            None,
            None,
        )
    concept = element.valueCodeableConcept
    if concept is not None:
        system, code, display = coded(concept, SNOMED, lookup)
        return ("code", None, None, None, system, code, display)
    other = other_value(element)
    return NO_VALUE if other is None else _plain(other[0][5:6].lower() + other[0][6:], other[1])


def _double(value: Any) -> Any:
    """A whole number as a double, which Arrow does not make of one beyond 2⁵³."""
    return float(value) if type(value) is int else value


def _plain(kind: str, value: Any) -> Value:
    number = _double(value) if kind == "integer" else None
    text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return (kind, number, None, None, None, None, text)


def observation(resource: Resource, name: str, lookup: Lookup) -> list[Row]:
    """A row of ``observations`` for the Observation itself, and one for each component."""
    categories = resource.category
    effective = resource.effectiveDateTime
    if effective is None:
        effective = resource.effectiveInstant or (resource.effectivePeriod or NOTHING).start
    code = coded(resource.code, LOINC, lookup)
    who = about(resource, lookup)
    where = lookup.id(resource.encounter)
    status = resource.status
    category = first_code(categories[0]) if categories else None
    value = value_of(resource, lookup)
    absent = first_code(resource.dataAbsentReason)
    rows: list[Row] = [(name, 0, who, where, status, category, None, *code, effective, *value, absent)]
    for number, part in enumerate(_each(resource.component), start=1):
        inner = coded(part.code, LOINC, lookup)
        value = value_of(part, lookup)
        absent = first_code(part.dataAbsentReason)
        rows.append((name, number, who, where, status, category, code[1], *inner, effective, *value, absent))
    return rows


def medication(resource: Resource, name: str, lookup: Lookup) -> list[Row]:
    """A row of ``medications``."""
    reasons = resource.reasonReference
    return [
        (
            name,
            about(resource, lookup),
            lookup.id(resource.encounter),
            resource.status,
            resource.intent,
            *coded(lookup.medication(resource), RXNORM, lookup),
            resource.authoredOn,
            lookup.id(reasons[0]) if reasons else None,
        )
    ]


def procedure(resource: Resource, name: str, lookup: Lookup) -> list[Row]:
    """A row of ``procedures``."""
    reasons = resource.reasonReference
    period = resource.performedPeriod or NOTHING
    moment = resource.performedDateTime
    return [
        (
            name,
            about(resource, lookup),
            lookup.id(resource.encounter),
            resource.status,
            *coded(resource.code, SNOMED, lookup),
            moment if moment is not None else period.start,
            period.end,
            lookup.id(reasons[0]) if reasons else None,
        )
    ]


ROWS: Final[Mapping[str, Callable[[Resource, str, Lookup], list[Row]]]] = {
    "Patient": patient,
    "Encounter": encounter,
    "Condition": condition,
    "Observation": observation,
    "MedicationRequest": medication,
    "Procedure": procedure,
}
"""What makes the rows, by resource type."""
