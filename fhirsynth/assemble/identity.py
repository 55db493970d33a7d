"""Who synthetic people are: ids that follow from run and ordinal, and names that nobody takes for real."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from fhirsynth.assemble.names import NAMES
from fhirsynth.assemble.places import Place, places
from fhirsynth.errors import UsageError

RECORD: Final = "urn:fhirsynth:record"
"""System of the identifier that every resource of ours carries: its value is the resource's UUID."""
MRN: Final = "urn:fhirsynth:mrn"
"""System of the medical record numbers of synthetic people."""
_ROOT: Final = uuid5(NAMESPACE_URL, "urn:fhirsynth")


def resource_id(run_id: str, *parts: str | int) -> str:
    """The UUIDv5 of a resource of a run; ``parts`` say which one (patient, type, ordinal)."""
    return str(uuid5(_ROOT, "/".join([run_id, *map(str, parts)])))


def patient_uuid(run_id: str, patient_id: str) -> str:
    """The id of the Patient that a synthetic row becomes."""
    return resource_id(run_id, "Patient", patient_id)


LOCALES: Final = ("en-US", "es-US", "de-DE", "fr-FR")
_LINES: Final = {
    "en": "{number} Synthetic Patient Lane",
    "es": "{number} Calle del Paciente Sintético",
    "de": "Straße der Kunstpatienten {number}",
    "fr": "{number} rue du Patient Synthétique",
}


class Identity(NamedTuple):
    """Who somebody is said to be, in the fields of :class:`fhirsynth.assemble.chart.Person` of the same names."""

    given: tuple[str, ...]
    family: str
    phone: str
    email: str
    line: str
    city: str
    state: str
    postal_code: str
    country: str
    record_number: str
    ssn: str | None = None


def identity(
    uuid: str,
    gender: str | None = None,
    hispanic: bool = False,
    locale: str = "en-US",
    *,
    state: str | None = None,
    ssn: bool = False,
) -> Identity:
    """Name, address, telephone, e-mail and numbers of a synthetic person; the same id gives the same person.

    Nobody can be meant: six digits end the family name, streets have names that no street has, telephones are of the
    ranges that are kept free for fiction, e-mail goes to ``example.org`` (RFC 2606), and record numbers are of a system
    of our own. Cities are the capitals of states and regions, with their postal codes.

    Parameters
    ----------
    uuid
        The Patient's id; any text will do.
    hispanic
        In the US, gives the name in Spanish.
    locale
        One of :data:`LOCALES`.
    state
        State or region as ISO 3166-2 has it, without the country; None: any of the country, by the id.
    ssn
        In the US, add a social security number that is never issued: 9xx, with a group below 50, as no ITIN has.

    Raises
    ------
    UsageError
        When there is no such locale, or no such state in it.
    """
    if locale not in LOCALES:
        raise UsageError(f"locale '{locale}': is not known; give one of {', '.join(LOCALES)}")
    language, _, country = locale.partition("-")
    digits = _Digits(uuid)
    place = _place(country, state, digits)
    language = "es" if language == "en" and hispanic else language
    listed = NAMES[language]
    given = digits.pick({"female": listed.female, "male": listed.male}.get(gender or "", listed.either))
    family = f"{digits.pick(listed.family)}{digits.below(1_000_000):06d}"
    return Identity(
        given=(given,),
        family=family,
        phone="".join(str(digits.below(10)) if sign == "#" else sign for sign in place.phone),
        email=f"{_plain(given)}.{_plain(family)}@example.org",
        line=_LINES[language].format(number=100 + digits.below(9900)),
        city=place.city,
        state=place.state,
        postal_code=place.postal_code,
        country=country,
        record_number=f"{digits.below(10**10):010d}",
        ssn=f"9{digits.below(100):02d}{1 + digits.below(49):02d}{1 + digits.below(9999):04d}"
        if ssn and country == "US"
        else None,
    )


class _Digits:
    """Numbers that follow from a text, one after the other."""

    def __init__(self, text: str) -> None:
        self._number = int.from_bytes(hashlib.sha256(text.encode()).digest())

    def below(self, bound: int) -> int:
        self._number, found = divmod(self._number, bound)
        return found

    def pick(self, words: Sequence[str]) -> str:
        return words[self.below(len(words))]


def _place(country: str, state: str | None, digits: _Digits) -> Place:
    known = places(country)
    name = digits.pick(list(known)) if state is None else state
    if name not in known:
        raise UsageError(f"state '{name}': there is none in {country}; give one of {', '.join(known)}")
    return known[name]


def _plain(name: str) -> str:
    """A name as the local part of an address has it."""
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
