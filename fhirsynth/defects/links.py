"""Defects in what refers to what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from fhirsynth.defects.copies import copied, new_id
from fhirsynth.defects.edit import GONE, Change, Copy, Path, Site, look
from synthea_bridge.shapes import loose

LINKS: Final[tuple[Path, ...]] = (
    ("encounter", "reference"),
    ("requester", "reference"),
    ("location", "reference"),
    ("serviceProvider", "reference"),
    ("participant", 0, "individual", "reference"),
    ("location", 0, "location", "reference"),
    ("reasonReference", 0, "reference"),
)


def _links(site: Site) -> Iterator[tuple[Path, str]]:
    for path in LINKS:
        text = look(site.resource, path)
        if isinstance(text, str) and not text.startswith("#"):
            yield path, text


def dangling_reference(site: Site, random: np.random.Generator) -> Change | None:
    """Another id in a reference; its form stays."""
    options = list(_links(site))
    if not options:
        return None
    path, text = options[int(random.integers(len(options)))]
    return Change(path, re.sub(r"[^/:|]+$", new_id(random), text))


def missing_subject(site: Site, _random: np.random.Generator) -> Change | None:
    """No reference to the patient."""
    return Change(("subject",), GONE) if "subject" in site.resource else None


def encounter_of_another(site: Site, random: np.random.Generator) -> Change | None:
    """A reference to an encounter of another patient: by identifier from a transaction, else by id."""
    patient = site.document.lookup.id(loose(site.resource.get("subject")))
    donors = [donor for donor in site.donors if donor.encounters and donor.patient != patient]
    path: Path = ("encounter", "reference")
    if patient is None or not donors or look(site.resource, path) is GONE:
        return None
    donor = donors[int(random.integers(len(donors)))]
    name, identifier = donor.encounters[int(random.integers(len(donor.encounters)))]
    if site.document.form == "transaction" and identifier:
        return Change(path, f"Encounter?identifier={identifier}")
    return Change(path, f"Encounter/{name}")


def duplicate_observation(site: Site, random: np.random.Generator) -> Copy | None:
    """The same observation with another id, sent again."""
    dated = any(key.startswith("effective") for key in site.resource)
    return copied(site.document, (site.number,), random) if dated else None
