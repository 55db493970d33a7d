"""What the patients of a run share: an organisation, a location and a few practitioners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fhirsynth.assemble.codes import meta
from fhirsynth.assemble.identity import RECORD, resource_id

PRACTITIONERS: Final = 5
_NAME: Final = "Fhirsynth Test Hospital"


@dataclass(frozen=True, slots=True)
class Shared:
    """The shared resources of a run, and references to them.

    Patients' Bundles refer to them conditionally (``Practitioner?identifier=…``): a server has them from the Bundle of
    shared resources, which is loaded first.
    """

    run_id: str

    def practitioner(self, number: int) -> dict[str, str]:
        """A reference to one of them; any number will do."""
        return self._reference("Practitioner", number % PRACTITIONERS)

    @property
    def organization(self) -> dict[str, str]:
        """A reference to the organisation."""
        return self._reference("Organization", 0)

    @property
    def location(self) -> dict[str, str]:
        """A reference to the location."""
        return self._reference("Location", 0)

    def resources(self) -> list[dict[str, Any]]:
        """All of them; the location refers to the organisation by ``urn:uuid``."""
        hospital = self._new("Organization", 0, "us-core-organization", {"active": True, "name": _NAME})
        managed = {"managingOrganization": {"reference": f"urn:uuid:{hospital['id']}"}}
        place = {"status": "active", "name": _NAME, **managed}
        return [
            hospital,
            self._new("Location", 0, "us-core-location", place),
            *(self._practitioner(number) for number in range(PRACTITIONERS)),
        ]

    def _practitioner(self, number: int) -> dict[str, Any]:
        name = [{"family": f"Testclinician{number + 1}", "given": ["Robin"], "prefix": ["Dr."]}]
        return self._new("Practitioner", number, "us-core-practitioner", {"active": True, "name": name})

    def _id(self, kind: str, number: int) -> str:
        return resource_id(self.run_id, "shared", kind, number)

    def _reference(self, kind: str, number: int) -> dict[str, str]:
        return {"reference": f"{kind}?identifier={RECORD}|{self._id(kind, number)}"}

    def _new(self, kind: str, number: int, profile: str, body: dict[str, Any]) -> dict[str, Any]:
        uuid = self._id(kind, number)
        return {
            "resourceType": kind,
            "id": uuid,
            "meta": meta(self.run_id, profile),
            "identifier": [{"system": RECORD, "value": uuid}],
            **body,
        }
