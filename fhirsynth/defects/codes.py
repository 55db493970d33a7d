"""Defects in codes: the system, the code, what it is called."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fhirsynth.defects.edit import Change, Path, Site, concept, look
from synthea_bridge.tables import LOINC, RXNORM, SNOMED

LOCAL: Final = "http://lab.example.org/codes"
"""A system of the sender's own."""
OIDS: Final = {
    LOINC: "urn:oid:2.16.840.1.113883.6.1",
    SNOMED: "urn:oid:2.16.840.1.113883.6.96",
    RXNORM: "urn:oid:2.16.840.1.113883.6.88",
}
MISTAKEN: Final = {LOINC: SNOMED, SNOMED: LOINC, RXNORM: "http://hl7.org/fhir/sid/ndc"}
"""The system that a code is said to be of instead of its own."""


def _coding(site: Site) -> tuple[Path, dict[str, Any]] | None:
    """The first coding, where it is of a standard system."""
    path = concept(site.resource)
    coding = look(site.resource, (*path, "coding", 0)) if path else None
    if path is None or not isinstance(coding, dict) or coding.get("system") not in OIDS or not coding.get("code"):
        return None
    return (*path, "coding", 0), coding


def local_code(site: Site, random: np.random.Generator) -> Change | None:
    """A code of the sender's own, alone."""
    found = _coding(site)
    if found is None:
        return None
    path, coding = found
    own = {"system": LOCAL, "code": f"L{random.integers(1000, 10000)}"}
    return Change(path[:-1], [own | {key: coding[key] for key in ("display",) if key in coding}])


def wrong_system(site: Site, _random: np.random.Generator) -> Change | None:
    """The URL of another system."""
    found = _coding(site)
    return None if found is None else Change((*found[0], "system"), MISTAKEN[found[1]["system"]])


def oid_system(site: Site, _random: np.random.Generator) -> Change | None:
    """The OID of the system."""
    found = _coding(site)
    return None if found is None else Change((*found[0], "system"), OIDS[found[1]["system"]])


def padded_code(site: Site, _random: np.random.Generator) -> Change | None:
    """A space behind the code."""
    found = _coding(site)
    return None if found is None else Change((*found[0], "code"), f"{found[1]['code']} ")


def mistyped_code(site: Site, random: np.random.Generator) -> Change | None:
    """Two neighbouring digits swapped."""
    found = _coding(site)
    if found is None or found[1]["system"] == RXNORM:
        return None
    code = str(found[1]["code"])
    body = code.partition("-")[0]
    # The two check digits do not notice 0 and 9 swapped (Luhn), and a leading zero would give it away.
    places = [
        at
        for at in range(1, len(body) - 1)
        if body[at] != body[at + 1] and {body[at], body[at + 1]} != {"0", "9"} and body.isdigit()
    ]
    if not places:
        return None
    at = places[int(random.integers(len(places)))]
    return Change((*found[0], "code"), f"{code[:at]}{code[at + 1]}{code[at]}{code[at + 2 :]}")


def text_only(site: Site, _random: np.random.Generator) -> Change | None:
    """The text without its code."""
    path = concept(site.resource)
    body = look(site.resource, path) if path else {}
    text = body.get("text") or look(body, ("coding", 0, "display"))
    if path is None or not body.get("coding") or not isinstance(text, str):
        return None
    return Change(path, {"text": text})


def display_of_another(site: Site, random: np.random.Generator) -> Change | None:
    """What another code of the system is called in the same document."""
    path = concept(site.resource)
    found = _coding(site)
    if path is None or found is None or not found[1].get("display"):
        return None
    there = site.document.displays.get((site.resource["resourceType"], found[1]["system"]), set())
    others = sorted(there - {found[1]["display"]})
    if not others:
        return None
    display = others[int(random.integers(len(others)))]
    body = look(site.resource, path)
    named = {**body, "coding": [{**found[1], "display": display}, *body["coding"][1:]]}
    return Change(path, named | ({"text": display} if "text" in body else {}))
