"""Code systems, displays and profiles of what is emitted (US Core 5.0.1 on FHIR R4)."""

from __future__ import annotations

from typing import Any, Final

from synthea_bridge.tags import ORIGIN_TAG, RUN_TAG, TEST_DATA

HL7: Final = "http://terminology.hl7.org/CodeSystem/"
US_CORE: Final = "http://hl7.org/fhir/us/core/StructureDefinition/"
ACT: Final = f"{HL7}v3-ActCode"
CDC_RACE: Final = "urn:oid:2.16.840.1.113883.6.238"
NULL_FLAVOR: Final = f"{HL7}v3-NullFlavor"

CLASSES: Final = {
    "AMB": "ambulatory",
    "EMER": "emergency",
    "FLD": "field",
    "HH": "home health",
    "IMP": "inpatient encounter",
    "ACUTE": "inpatient acute",
    "NONAC": "inpatient non-acute",
    "OBSENC": "observation encounter",
    "PRENC": "pre-admission",
    "SS": "short stay",
    "VR": "virtual",
}
CATEGORIES: Final = {"vital-signs": "Vital Signs", "laboratory": "Laboratory", "survey": "Survey"}
RACES: Final = {
    "white": ("2106-3", "White"),
    "black": ("2054-5", "Black or African American"),
    "asian": ("2028-9", "Asian"),
    "native": ("1002-5", "American Indian or Alaska Native"),
    "pacific": ("2076-8", "Native Hawaiian or Other Pacific Islander"),
    "other": ("2131-1", "Other Race"),
}
BLOOD_PRESSURE: Final = "85354-9"
SYSTOLIC: Final = ("8480-6", "Systolic blood pressure")
DIASTOLIC: Final = ("8462-4", "Diastolic blood pressure")
PULSE_OXIMETRY: Final = (
    ("2708-6", "Oxygen saturation in Arterial blood"),
    ("59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry"),
)
"""US Core wants both codes on an oxygen saturation."""
_OF_CODE: Final = {
    BLOOD_PRESSURE: "us-core-blood-pressure",
    "8867-4": "us-core-heart-rate",
    "2708-6": "us-core-pulse-oximetry",
    "59408-5": "us-core-pulse-oximetry",
}
_OF_CATEGORY: Final = {"vital-signs": "us-core-vital-signs", "laboratory": "us-core-observation-lab"}


def profile_of(code: str, category: str) -> str | None:
    """The US Core profile of an Observation, if there is one."""
    return _OF_CODE.get(code) or _OF_CATEGORY.get(category)


def coding(system: str, code: str, display: str) -> dict[str, str]:
    """A Coding."""
    return {"system": system, "code": code, "display": display}


def concept(system: str, code: str, display: str) -> dict[str, Any]:
    """A CodeableConcept with one coding and its display as text."""
    return {"coding": [coding(system, code, display)], "text": display}


def meta(run_id: str, profile: str | None) -> dict[str, Any]:
    """What every resource says of itself: profile, test data, run, and that a generator made it."""
    system, code, display = TEST_DATA
    found: dict[str, Any] = {
        "security": [coding(system, code, display)],
        "tag": [
            {"system": RUN_TAG, "code": run_id},
            {"system": ORIGIN_TAG, "code": "augmented"},
        ],
    }
    return found if profile is None else {"profile": [US_CORE + profile], **found}
