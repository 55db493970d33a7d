"""Defects in who somebody is: names, birth and death, identifiers, one person as two patients."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from fhirsynth.defects.copies import copied
from fhirsynth.defects.edit import GONE, Change, Copy, Donor, Path, Site, look, start_of
from synthea_bridge.dates import day_of

CENTURY_FROM: Final = 1950
"""Born from then on, somebody whose birth is written a century later is not yet born for many years."""
PLACEHOLDER: Final = "1900-01-01"
_DAY: Final = 86400.0
_V2: Final = {"female": "F", "male": "M", "other": "O", "unknown": "U"}
_BIRTH: Final[Path] = ("birthDate",)


def missing_birth_date(site: Site, _random: np.random.Generator) -> Change | None:
    """No birth date."""
    return Change(_BIRTH, GONE) if "birthDate" in site.resource else None


def placeholder_birth_date(site: Site, _random: np.random.Generator) -> Change | None:
    """A date that stands for "not known"."""
    return Change(_BIRTH, PLACEHOLDER) if site.resource.get("birthDate") not in (None, PLACEHOLDER) else None


def future_birth_date(site: Site, _random: np.random.Generator) -> Change | None:
    """A century later, as a year of two digits becomes one of four."""
    day = day_of(str(site.resource.get("birthDate")))
    if day is None or day.year < CENTURY_FROM:
        return None
    rest = str(site.resource["birthDate"])[4:]
    return Change(_BIRTH, f"{day.year + 100}{'-02-28' if rest == '-02-29' else rest}")


def birth_after_encounter(site: Site, random: np.random.Generator) -> Change | None:
    """Born one to six months after the first encounter."""
    if "birthDate" not in site.resource or not site.encounters:
        return None
    first = site.encounters[0]
    start = start_of(site.document.entries[first]["resource"]) or 0.0
    born = datetime.fromtimestamp(start, UTC) + timedelta(days=int(random.integers(30, 180)))
    return Change(_BIRTH, born.date().isoformat(), (site.document.slots[first],))


def deceased_then_seen(site: Site, _random: np.random.Generator) -> Change | None:
    """Dead a day after an encounter in the second half of those that there are, and seen again later."""
    starts = [start_of(site.document.entries[one]["resource"]) or 0.0 for one in site.encounters]
    late = [one for one in starts[len(starts) // 2 : -1] if one + 2 * _DAY < starts[-1]]
    if not late or "deceasedBoolean" in site.resource:
        return None
    death = datetime.fromtimestamp(late[0] + _DAY, UTC).isoformat(timespec="seconds")
    return Change(("deceasedDateTime",), death, (site.document.slots[site.encounters[-1]],))


def swapped_names(site: Site, _random: np.random.Generator) -> Change | None:
    """First given and family name in each other's place."""
    name = look(site.resource, ("name", 0))
    given, family = look(name, ("given",)), look(name, ("family",))
    if not isinstance(family, str) or not isinstance(given, list) or not given or given[0] == family:
        return None
    return Change(("name", 0), {**name, "family": given[0], "given": [family, *given[1:]]})


def v2_gender(site: Site, _random: np.random.Generator) -> Change | None:
    """The letter of HL7 version 2."""
    letter = _V2.get(str(site.resource.get("gender")))
    return None if letter is None else Change(("gender",), letter)


def identifier_of_another(site: Site, random: np.random.Generator) -> Change | None:
    """The value of an identifier that another patient has in the same system."""
    options = [
        (number, value, donor)
        for number, system, mine in _identifiers(site.resource)
        for donor in _some(site, random)
        for own, value in donor.identifiers
        if own == system and value != mine
    ]
    if not options:
        return None
    number, value, donor = options[int(random.integers(len(options)))]
    return Change(("identifier", number, "value"), value, (donor.slot,))


def duplicate_patient(site: Site, random: np.random.Generator) -> Copy | None:
    """Another record of the same person, with a typo in the family name and half of the encounters."""
    family = look(site.resource, ("name", 0, "family"))
    typed = _typo(family, random) if isinstance(family, str) else None
    if typed is None or "birthDate" not in site.resource:
        return None
    count = len(site.encounters)
    some = sorted(random.choice(count, -(-count // 2), replace=False)) if count else []
    made = copied(site.document, (site.number, *(site.encounters[one] for one in some)), random, alone=True)
    person = made.entries[0]["resource"]
    person["name"][0]["family"] = typed
    for number, _, old in _identifiers(site.resource):
        if person["identifier"][number]["value"] == old:
            person["identifier"][number]["value"] = _other(old, random)
    return made


def _some(site: Site, random: np.random.Generator) -> list[Donor]:
    """A few others."""
    others = [donor for donor in site.donors if donor.patient != site.id]
    return [others[int(one)] for one in random.integers(len(others), size=3)] if others else []


def _identifiers(resource: dict[str, Any]) -> Iterator[tuple[int, str, str]]:
    """Number, system and value of those that have both."""
    found = resource.get("identifier")
    for number, one in enumerate(found if isinstance(found, list) else ()):
        if isinstance(one, dict) and one.get("system") and isinstance(one.get("value"), str):
            yield number, one["system"], one["value"]


def _other(text: str, random: np.random.Generator) -> str:
    """Another number of the same form."""
    found = "".join(str(random.integers(10)) if sign.isdigit() else sign for sign in text)
    return found if found != text else f"{text}-{random.integers(10, 100)}"


def _typo(text: str, random: np.random.Generator) -> str | None:
    """Two neighbouring small letters swapped; None where no two differ."""
    places = [
        at for at in range(1, len(text) - 1) if text[at : at + 2].isalpha() and text[at].lower() != text[at + 1].lower()
    ]
    if not places:
        return None
    at = places[int(random.integers(len(places)))]
    return f"{text[:at]}{text[at + 1]}{text[at]}{text[at + 2 :]}"
