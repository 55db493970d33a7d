"""A person to a Patient: extensions of US Core, name, numbers, address."""

from __future__ import annotations

from typing import Any

from fhirsynth.assemble import codes
from fhirsynth.assemble.chart import Code, Person
from fhirsynth.assemble.codes import HL7, US_CORE, coding
from fhirsynth.assemble.identity import MRN
from fhirsynth.assemble.values import known

_UNKNOWN = Code(codes.NULL_FLAVOR, "UNK", "unknown")
_SSN = "http://hl7.org/fhir/sid/us-ssn"


def patient(person: Person, profiled: bool) -> dict[str, Any]:
    """The elements of the Patient, some of them None.

    Parameters
    ----------
    profiled
        Add what US Core wants of everybody: gender, race and birth sex, unknown where they are; leave out the state of
        an address outside the US.
    """
    races = person.races or ((_UNKNOWN,) if profiled else ())
    sex = person.birth_sex or ("UNK" if profiled else None)
    extensions = [
        *_omb("race", races, person.race_text),
        *_omb("ethnicity", (person.ethnicity,) if person.ethnicity else ()),
        *([{"url": f"{US_CORE}us-core-birthsex", "valueCode": sex}] if sex else []),
    ]
    return {
        "extension": extensions or None,
        "identifier": _identifiers(person),
        "active": True if profiled else None,
        "name": _name(person),
        "telecom": _telecom(person) or None,
        "gender": person.gender or ("unknown" if profiled else None),
        "birthDate": person.birth_date,
        "deceasedBoolean": True if person.deceased and not person.deceased_at else None,
        "deceasedDateTime": person.deceased_at,
        "address": _address(person, profiled),
        "maritalStatus": _marital(person.marital_status),
    }


def _omb(name: str, found: tuple[Code, ...], text: str | None = None) -> list[dict[str, Any]]:
    """The extension for race or ethnicity, with a coding for each category and a text."""
    if not found:
        return []
    inner: list[dict[str, Any]] = [{"url": "ombCategory", "valueCoding": _coding(one)} for one in found]
    words = text or ", ".join(one.display or one.code or "unknown" for one in found)
    return [{"url": f"{US_CORE}us-core-{name}", "extension": [*inner, {"url": "text", "valueString": words}]}]


def _coding(one: Code) -> dict[str, str]:
    return {name: part for name, part in one._asdict().items() if part is not None}


def _name(person: Person) -> list[dict[str, Any]] | None:
    parts: dict[str, Any] = {"family": person.family, "given": list(person.given)}
    kept = {name: part for name, part in parts.items() if part}
    return [{"use": "official", **kept}] if kept else None


def _telecom(person: Person) -> list[dict[str, str]]:
    found = [{"system": "phone", "value": person.phone, "use": "home"}] if person.phone else []
    return found + ([{"system": "email", "value": person.email, "use": "home"}] if person.email else [])


def _identifiers(person: Person) -> list[dict[str, Any]]:
    numbers = (
        ("MR", "Medical record number", MRN, person.record_number),
        ("SB", "Social Beneficiary Identifier", _SSN, person.ssn),
    )
    return [
        {"type": {"coding": [coding(f"{HL7}v2-0203", code, display)]}, "system": system, "value": text}
        for code, display, system, text in numbers
        if text is not None
    ]


def _address(person: Person, profiled: bool) -> list[dict[str, Any]] | None:
    abroad = profiled and person.country not in (None, "US", "USA")  # to US Core, a state is one of the USPS
    parts = {
        "line": [person.line] if person.line else None,
        "city": person.city,
        "state": None if abroad else person.state,
        "postalCode": person.postal_code,
        "country": person.country,
    }
    kept = {name: part for name, part in parts.items() if part is not None}
    return [kept] if kept else None


def _marital(code: str | None) -> dict[str, Any] | None:
    if code == "UNK":
        return {"coding": [coding(codes.NULL_FLAVOR, "UNK", "unknown")]}
    found = known(code, codes.MARITAL, f"{HL7}v3-MaritalStatus")
    return found and {"coding": [found]}
