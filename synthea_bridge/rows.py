"""A FHIR R4 resource to its row (or rows): pure functions, one a table, in the column order of ``tables.py``.

A row holds the columns that stand in the source; instants and days are made from the ``_text`` beside them, a whole
column at a time. A resource in another shape than R4 raises TypeError, AttributeError, KeyError or IndexError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from synthea_bridge.references import Lookup
from synthea_bridge.tables import LOINC, RXNORM, SNOMED

Resource = dict[str, Any]
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
    codings = concept.get("coding")
    if not codings:
        return (None, None, concept.get("text"))
    coding = codings[0]
    if len(codings) > 1:
        lookup.dropped += len(codings) - 1
        coding = next((c for c in codings if c.get("system") == preferred), coding)
    return (coding.get("system"), coding.get("code"), coding.get("display") or concept.get("text"))


def first_code(concept: Any) -> str | None:
    """The code of a CodeableConcept's first coding."""
    codings = concept.get("coding") if concept else None
    return codings[0].get("code") if codings else None


def about(resource: Resource, lookup: Lookup) -> str:
    """The patient's id.

    Raises
    ------
    NoPatient
        When there is no reference, or it cannot be resolved.
    """
    reference = resource.get("subject")
    found = lookup.id(reference)
    if found is None:
        raise NoPatient("has no reference to a patient" if not reference else "refers to a patient that is not here")
    return found


def _extensions(resource: Resource) -> dict[str, Any]:
    return {e["url"]: e for e in resource.get("extension", ())}


def _omb(extension: Resource | None, lookup: Lookup) -> tuple[str | None, str | None]:
    """Code and display of the OMB category; a second category makes the display ``multiple``."""
    found = [
        inner["valueCoding"] for inner in (extension or {}).get("extension", ()) if inner.get("url") == "ombCategory"
    ]
    if not found:
        return None, None
    lookup.dropped += len(found) - 1
    return found[0].get("code"), "multiple" if len(found) > 1 else found[0].get("display")


def _tags(resource: Resource) -> tuple[str | None, str | None]:
    """Origin and run of a resource that we wrote."""
    tags = resource.get("meta", {}).get("tag", ())
    origin = next((t["code"] for t in tags if t.get("code") in ORIGINS), None)
    run = next((t["code"] for t in tags if str(t.get("system", "")).rpartition("/")[2] in ("run", "run-id")), None)
    return origin, run


def patient(resource: Resource, name: str, lookup: Lookup) -> list[Row]:
    """A row of ``patients``."""
    extensions = _extensions(resource)
    address = (resource.get("address") or [{}])[0]
    deceased_at = resource.get("deceasedDateTime")
    return [
        (
            name,
            resource.get("gender"),
            resource.get("birthDate"),
            deceased_at is not None or bool(resource.get("deceasedBoolean", False)),
            deceased_at,
            *_omb(extensions.get(f"{US_CORE}us-core-race"), lookup),
            *_omb(extensions.get(f"{US_CORE}us-core-ethnicity"), lookup),
            extensions.get(f"{US_CORE}us-core-birthsex", {}).get("valueCode"),
            first_code(resource.get("maritalStatus")),
            *(address.get(part) for part in ("city", "state", "postalCode", "country")),
            *_tags(resource),
            lookup.source,
            None,  # the weight is known when all have been simulated
        )
    ]


def encounter(resource: Resource, name: str, lookup: Lookup) -> list[Row]:
    """A row of ``encounters``."""
    get = resource.get
    period = get("period") or {}
    types, reasons = get("type"), get("reasonCode")
    stay = get("hospitalization")
    return [
        (
            name,
            about(resource, lookup),
            get("status"),
            (get("class") or {}).get("code"),
            *(coded(types[0], SNOMED, lookup) if types else NO_CODING),
            *(coded(reasons[0], SNOMED, lookup) if reasons else NO_CODING),
            period.get("start"),
            period.get("end"),
            first_code(stay.get("dischargeDisposition")) if stay else None,
            lookup.id_or_text(get("serviceProvider")),
        )
    ]


def condition(resource: Resource, name: str, lookup: Lookup) -> list[Row]:
    """A row of ``conditions``."""
    get = resource.get
    categories = get("category")
    onset, abatement = get("onsetDateTime"), get("abatementDateTime")
    return [
        (
            name,
            about(resource, lookup),
            lookup.id(get("encounter")),
            first_code(get("clinicalStatus")),
            first_code(get("verificationStatus")),
            first_code(categories[0]) if categories else None,
            *coded(get("code"), SNOMED, lookup),
            onset if onset is not None else (get("onsetPeriod") or {}).get("start"),
            abatement if abatement is not None else (get("abatementPeriod") or {}).get("end"),
            get("recordedDate"),
        )
    ]


Value = tuple[str | None, Any, str | None, str | None, str | None, str | None, str | None]
NO_VALUE: Final[Value] = (None, None, None, None, None, None, None)


def value_of(element: Resource, lookup: Lookup) -> Value:
    """The seven value columns: type, number, comparator, unit, system, code, text."""
    quantity = element.get("valueQuantity")
    if quantity is not None:
        get = quantity.get
        return ("quantity", get("value"), get("comparator"), get("code") or get("unit"), None, None, None)
    concept = element.get("valueCodeableConcept")
    if concept is not None:
        system, code, display = coded(concept, SNOMED, lookup)
        return ("code", None, None, None, system, code, display)
    for key, value in element.items():
        if key.startswith("value"):
            return _plain(key[5:6].lower() + key[6:], value)
    return NO_VALUE


def _plain(kind: str, value: Any) -> Value:
    number = value if kind == "integer" else None
    text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return (kind, number, None, None, None, None, text)


def observation(resource: Resource, name: str, lookup: Lookup) -> list[Row]:
    """A row of ``observations`` for the Observation itself, and one for each component."""
    get = resource.get
    categories = get("category")
    effective = get("effectiveDateTime")
    if effective is None:
        effective = get("effectiveInstant") or (get("effectivePeriod") or {}).get("start")
    code = coded(get("code"), LOINC, lookup)
    who = about(resource, lookup)
    where = lookup.id(get("encounter"))
    status = get("status")
    category = first_code(categories[0]) if categories else None
    value = value_of(resource, lookup)
    absent = first_code(get("dataAbsentReason"))
    rows: list[Row] = [(name, 0, who, where, status, category, None, *code, effective, *value, absent)]
    for number, part in enumerate(get("component", ()), start=1):
        inner = coded(part.get("code"), LOINC, lookup)
        value = value_of(part, lookup)
        absent = first_code(part.get("dataAbsentReason"))
        rows.append((name, number, who, where, status, category, code[1], *inner, effective, *value, absent))
    return rows


def medication(resource: Resource, name: str, lookup: Lookup) -> list[Row]:
    """A row of ``medications``."""
    get = resource.get
    reasons = get("reasonReference")
    return [
        (
            name,
            about(resource, lookup),
            lookup.id(get("encounter")),
            get("status"),
            get("intent"),
            *coded(lookup.medication(resource), RXNORM, lookup),
            get("authoredOn"),
            lookup.id(reasons[0]) if reasons else None,
        )
    ]


def procedure(resource: Resource, name: str, lookup: Lookup) -> list[Row]:
    """A row of ``procedures``."""
    get = resource.get
    reasons = get("reasonReference")
    period = get("performedPeriod") or {}
    moment = get("performedDateTime")
    return [
        (
            name,
            about(resource, lookup),
            lookup.id(get("encounter")),
            get("status"),
            *coded(get("code"), SNOMED, lookup),
            moment if moment is not None else period.get("start"),
            period.get("end"),
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
