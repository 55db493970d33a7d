"""Defects in the JSON itself: what FHIR forbids whatever it means."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fhirsynth.defects.edit import GONE, Change, Site
from fhirsynth.defects.texts import texts

_NULLABLE: Final = ("gender", "birthDate", "status", "effectiveDateTime", "onsetDateTime", "authoredOn")
_REPEATING: Final = (
    "telecom",
    "address",
    "category",
    "participant",
    "location",
    "type",
    "reasonCode",
    "reasonReference",
    "identifier",
)
OWN: Final = "sourceSystem"
"""An element that no version of FHIR has."""


def empty_string(site: Site, random: np.random.Generator) -> Change | None:
    """A text that is empty."""
    options = [path for path, _ in texts(site)]
    return Change(options[int(random.integers(len(options)))], "") if options else None


def null_value(site: Site, random: np.random.Generator) -> Change | None:
    """A null where a value was."""
    return _one_of(site, _NULLABLE, None, random)


def empty_array(site: Site, random: np.random.Generator) -> Change | None:
    """An array without anything in it."""
    options = tuple(key for key in _REPEATING if isinstance(site.resource.get(key), list))
    return _one_of(site, options, [], random)


def _one_of(site: Site, keys: tuple[str, ...], after: Any, random: np.random.Generator) -> Change | None:
    options = [key for key in keys if site.resource.get(key)]
    return Change((options[int(random.integers(len(options)))],), after) if options else None


def missing_status(site: Site, _random: np.random.Generator) -> Change | None:
    """No status."""
    return Change(("status",), GONE) if "status" in site.resource else None


def unknown_element(site: Site, random: np.random.Generator) -> Change | None:
    """The number of a system that sent it, as an element."""
    return Change((OWN,), f"KIS-{random.integers(100, 1000)}") if OWN not in site.resource else None
