"""Telling FHIR R4 from its siblings by elements that only they have.

JSON says nowhere which version it is, so each resource of ours is held against what R4 does not have. See
https://hl7.org/fhir/R4/diff.html and https://hl7.org/fhir/R5/diff.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

OLD_TYPES: Final[Mapping[str, str]] = {
    "MedicationOrder": "DSTU2",
    "DiagnosticOrder": "DSTU2",
    "DeviceUseRequest": "DSTU2",
    "ReferralRequest": "STU3 or DSTU2",
    "ProcedureRequest": "STU3 or DSTU2",
    "Sequence": "STU3",
    "DeviceUsage": "R5",
    "Transport": "R5",
    "GenomicStudy": "R5",
    "EncounterHistory": "R5",
}
"""Resource types that R4 does not have."""

ELEMENTS: Final[Mapping[str, Mapping[str, str]]] = {
    "Patient": {"animal": "STU3 or DSTU2", "careProvider": "DSTU2"},
    "Encounter": {
        "patient": "DSTU2",
        "indication": "DSTU2",
        "incomingReferral": "STU3 or DSTU2",
        "actualPeriod": "R5",
        "admission": "R5",
        "subjectStatus": "R5",
        "plannedStartDate": "R5",
        "reason": "R5, STU3 or DSTU2",
    },
    "Condition": {
        "patient": "DSTU2",
        "dateRecorded": "DSTU2",
        "assertedDate": "STU3",
        "context": "STU3",
        "participant": "R5",
    },
    "Observation": {
        "comments": "DSTU2",
        "comment": "STU3",
        "context": "STU3",
        "related": "STU3 or DSTU2",
        "triggeredBy": "R5",
        "bodyStructure": "R5",
    },
    "MedicationRequest": {"context": "STU3", "patient": "DSTU2", "medication": "R5", "reason": "R5"},
    "Procedure": {
        "notPerformed": "DSTU2",
        "notDone": "STU3",
        "context": "STU3",
        "occurrenceDateTime": "R5",
        "occurrencePeriod": "R5",
    },
}
"""Elements that R4 does not have, by resource type."""

SHAPES: Final[Mapping[str, tuple[str, Mapping[type, str]]]] = {
    "Encounter": ("class", {list: "R5", str: "DSTU2"}),
    "Condition": ("clinicalStatus", {str: "STU3 or DSTU2"}),
    "Observation": ("category", {dict: "DSTU2"}),
}
"""An element that exists in R4 too, but in another shape."""

_KEYS: Final = {kind: frozenset(elements) for kind, elements in ELEMENTS.items()}
_PROFILES: Final = {
    "/STU3/": "STU3",
    "/DSTU2/": "DSTU2",
    "/R5/": "R5",
    "/5.0/": "R5",
    "/3.0/": "STU3",
    "/1.0/": "DSTU2",
}


def other_version(resource: Mapping[str, Any], kind: str) -> str | None:
    """The version whose mark ``resource`` bears; None when nothing speaks against R4."""
    keys = _KEYS.get(kind)
    if keys is None:
        return OLD_TYPES.get(kind)
    if not keys.isdisjoint(resource):
        return next(version for name, version in ELEMENTS[kind].items() if name in resource)
    shape = SHAPES.get(kind)
    if shape is not None:
        return shape[1].get(type(resource.get(shape[0])))
    return None


def declared_version(resource: Mapping[str, Any]) -> str | None:
    """The version that the profiles in ``meta`` name, if any does and it is not R4."""
    meta = resource.get("meta")
    return version_in(meta.get("profile") if isinstance(meta, dict) else None)


def version_in(profiles: Any) -> str | None:
    """The version that one of the profiles names, if it is not R4."""
    for profile in profiles if isinstance(profiles, list) else ():
        for mark, version in _PROFILES.items():
            if mark in str(profile):
                return version
    return None
