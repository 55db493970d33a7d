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
CATEGORIES: Final = {
    "vital-signs": "Vital Signs",
    "laboratory": "Laboratory",
    "survey": "Survey",
    "social-history": "Social History",
    "exam": "Exam",
    "procedure": "Procedure",
    "imaging": "Imaging",
    "therapy": "Therapy",
    "activity": "Activity",
}
CLINICAL: Final = {
    "active": "Active",
    "recurrence": "Recurrence",
    "relapse": "Relapse",
    "inactive": "Inactive",
    "remission": "Remission",
    "resolved": "Resolved",
}
VERIFICATION: Final = {
    "unconfirmed": "Unconfirmed",
    "provisional": "Provisional",
    "differential": "Differential",
    "confirmed": "Confirmed",
    "refuted": "Refuted",
    "entered-in-error": "Entered in Error",
}
CONDITION_CATEGORIES: Final = {
    "encounter-diagnosis": "Encounter Diagnosis",
    "problem-list-item": "Problem List Item",
}
MARITAL: Final = {
    "A": "Annulled",
    "C": "Common Law",
    "D": "Divorced",
    "I": "Interlocutory",
    "L": "Legally Separated",
    "M": "Married",
    "P": "Polygamous",
    "S": "Never Married",
    "T": "Domestic partner",
    "U": "unmarried",
    "W": "Widowed",
}
DISCHARGES: Final = {
    "home": "Home",
    "alt-home": "Alternative home",
    "other-hcf": "Other healthcare facility",
    "hosp": "Hospice",
    "long": "Long-term care",
    "aadvice": "Left against advice",
    "exp": "Expired",
    "psy": "Psychiatric hospital",
    "rehab": "Rehabilitation",
    "snf": "Skilled nursing facility",
    "oth": "Other",
}
NUBC_DISCHARGE: Final = "https://www.nubc.org/CodeSystem/PatDischargeStatus"
ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
"""Extension in place of an element that must be there and that the table does not have."""
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
_LENGTH: Final = frozenset({"cm", "[in_i]"})
_VITAL: Final = {
    "8867-4": ("us-core-heart-rate", frozenset({"/min"})),
    "9279-1": ("us-core-respiratory-rate", frozenset({"/min"})),
    "2708-6": ("us-core-pulse-oximetry", frozenset({"%"})),
    "59408-5": ("us-core-pulse-oximetry", frozenset({"%"})),
    "8310-5": ("us-core-body-temperature", frozenset({"Cel", "[degF]"})),
    "8302-2": ("us-core-body-height", _LENGTH),
    "9843-4": ("us-core-head-circumference", _LENGTH),
    "29463-7": ("us-core-body-weight", frozenset({"g", "kg", "[lb_av]"})),
    "39156-5": ("us-core-bmi", frozenset({"kg/m2"})),
}
"""Profile of a vital sign by its code, and the units that the profile allows."""
_VITAL_UNITS: Final = frozenset().union(*(units for _, units in _VITAL.values()), {"mm[Hg]", "m2"})
"""Units that any vital sign may have by FHIR's value set ``ucum-vitals-common``."""
SMOKING: Final = "72166-2"
_OF_CATEGORY: Final = {
    "vital-signs": "us-core-vital-signs",
    "laboratory": "us-core-observation-lab",
    "survey": "us-core-observation-survey",
    "social-history": "us-core-observation-social-history",
}


def profile_of(code: str, category: str, unit: str | None = None, kind: str = "quantity") -> str | None:
    """The US Core profile of an Observation, if there is one.

    Parameters
    ----------
    unit
        Of its value; a profile that does not allow it is not claimed. None: not asked about.
    kind
        Of its value, in FHIR's words, as ``quantity`` or ``code``.
    """
    if code == BLOOD_PRESSURE:
        return "us-core-blood-pressure"
    if code in _VITAL and kind == "quantity" and (unit is None or unit in _VITAL[code][1]):
        return _VITAL[code][0]
    if code == SMOKING and category == "social-history" and kind == "code":
        return "us-core-smokingstatus"
    if category == "vital-signs" and unit and unit not in _VITAL_UNITS:
        return None
    return _OF_CATEGORY.get(category)


def coding(system: str, code: str, display: str) -> dict[str, str]:
    """A Coding."""
    return {"system": system, "code": code, "display": display}


def concept(system: str, code: str, display: str) -> dict[str, Any]:
    """A CodeableConcept with one coding and its display as text."""
    return {"coding": [coding(system, code, display)], "text": display}


def meta(run_id: str | None, profile: str | None, origin: str | None = "augmented") -> dict[str, Any]:
    """What every resource says of itself: profile, that it is test data, run and origin; empty where it says nothing.

    Parameters
    ----------
    origin
        ``augmented`` or ``simulated``; None: nobody knows, so it is not called test data either.
    """
    found: dict[str, Any] = {} if profile is None else {"profile": [US_CORE + profile]}
    if origin is not None:
        found["security"] = [coding(*TEST_DATA)]
    said = ((RUN_TAG, run_id), (ORIGIN_TAG, origin))
    tags = [{"system": system, "code": code} for system, code in said if code is not None]
    return {**found, "tag": tags} if tags else found
