"""Who synthetic people are: ids that follow from run and ordinal, and names that nobody takes for real."""

from __future__ import annotations

from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

RECORD: Final = "urn:fhirsynth:record"
"""System of the identifier that every resource of ours carries: its value is the resource's UUID."""
_ROOT: Final = uuid5(NAMESPACE_URL, "urn:fhirsynth")
_GIVEN: Final = {
    "female": ("Ada", "Beatrix", "Clara", "Doris", "Edith", "Flora", "Greta", "Hedda", "Ines", "Judith"),
    "male": ("Albert", "Bruno", "Casper", "Dorian", "Edgar", "Felix", "Gustav", "Hugo", "Igor", "Jasper"),
    "other": ("Alex", "Billie", "Charlie", "Dana", "Eden", "Finley", "Glenn", "Harper", "Indigo", "Jessie"),
}
_FAMILY: Final = "Testpatient"


def resource_id(run_id: str, *parts: str | int) -> str:
    """The UUIDv5 of a resource of a run; ``parts`` say which one (patient, type, ordinal)."""
    return str(uuid5(_ROOT, "/".join([run_id, *map(str, parts)])))


def patient_uuid(run_id: str, patient_id: str) -> str:
    """The id of the Patient that a synthetic row becomes."""
    return resource_id(run_id, "Patient", patient_id)


def names(uuid: str, gender: str) -> tuple[str, str]:
    """Given and family name: a first name, and ``Testpatient`` with six digits of the id's own."""
    number = UUID(uuid).int
    given = _GIVEN.get(gender, _GIVEN["other"])
    return given[number % len(given)], f"{_FAMILY}{number // 1009 % 1_000_000:06d}"


def phone(uuid: str) -> str:
    """A number out of the range that is reserved for fiction, 555-0100 to 555-0199."""
    return f"555-01{UUID(uuid).int // 7 % 100:02d}"
