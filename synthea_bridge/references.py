"""References inside one document: every form of FHIR R4 §2.3 to the id that our tables use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthea_bridge.shapes import Loose, loose

Entry = tuple[str | None, Any]
"""A resource (a dict, or what ``shapes.py`` makes of it) and the ``fullUrl`` under which its Bundle holds it."""


def id_of(full_url: str | None, resource: Any) -> str | None:
    """``Resource.id``, else what ``fullUrl`` ends with; None when there is neither."""
    own = resource.get("id")
    if isinstance(own, str) and own:
        return own
    if not isinstance(full_url, str):
        return None
    if full_url.startswith("urn:"):
        return full_url.rpartition(":")[2] or None
    return full_url.rpartition("/")[2] or None


def tail_of(reference: str) -> str:
    """The id in ``Type/id``, an absolute URL or a URN, without the version."""
    if reference.startswith("urn:"):
        return reference.rpartition(":")[2]
    return reference.partition("/_history/")[0].rpartition("/")[2]


class Known:
    """What references in a document can point to.

    Parameters
    ----------
    ids
        Ids by ``fullUrl``.
    identifiers
        Ids by ``Type?system|value`` and by ``?system|value``.
    medications
        Codes of Medications by id.
    """

    __slots__ = ("identifiers", "ids", "medications")

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        self.identifiers: dict[str, str] = {}
        self.medications: dict[str, Any] = {}

    def add(self, url: str | None, resource: Any) -> None:
        """Take one resource."""
        name = id_of(url, resource)
        if name is None:
            return
        if url:
            self.ids[url] = name
        self.identify(name, resource)
        if resource["resourceType"] == "Medication":
            self.medications[name] = loose(resource.get("code"))

    def identify(self, name: str, resource: Any) -> None:
        """Take the identifiers of one resource."""
        identifiers = resource.get("identifier")
        for identifier in identifiers if isinstance(identifiers, list) else ():
            key = f"?{identifier.get('system') or ''}|{identifier.get('value')}"
            self.identifiers.setdefault(f"{resource.get('resourceType')}{key}", name)
            self.identifiers.setdefault(key, name)


class Lookup:
    """The resources of one document, found by reference.

    Parameters
    ----------
    entries, names
        Resources of the document, and the id of each.
    medications
        Codes of Medications by id, those of other documents too (a bulk export keeps them in a file of their own).
    known
        All that references can point to, where ``entries`` are only a part of the document.
    """

    __slots__ = (
        "_entries",
        "_identifiers",
        "_ids",
        "_medications",
        "_names",
        "dropped",
        "missed",
        "source",
        "unresolved",
    )

    def __init__(
        self,
        entries: Sequence[Entry],
        names: Sequence[str | None],
        medications: Mapping[str, Any],
        source: str = "",
        known: Known | None = None,
    ) -> None:
        self._entries, self._names = entries, names
        self._medications = medications
        self._identifiers = known.identifiers if known is not None else None
        self._ids = (
            known.ids
            if known is not None
            else {url: name for (url, _), name in zip(entries, names, strict=True) if url and name}
        )
        self.source = source
        self.dropped = 0
        self.unresolved = 0
        self.missed: set[str] = set()
        """Ids of Medications that were asked for and not known."""

    def id(self, reference: Any) -> str | None:
        """The id that a Reference points to; None when there is no reference or it cannot be resolved."""
        if reference is None:
            return None
        text: str | None = reference.reference
        if text is None:
            return self._by_identifier(reference.identifier)
        found = self._ids.get(text)
        if found is not None:
            return found
        if "?" in text:
            return self._conditional(text)
        if text.startswith("#"):
            return None
        if text.startswith("urn:"):
            self.unresolved += 1
        return tail_of(text) or None

    def id_or_text(self, reference: Any) -> str | None:
        """As :meth:`id`, but a reference that cannot be resolved stays as it stands in the source."""
        if reference is None:
            return None
        before = self.unresolved
        found = self.id(reference)
        self.unresolved = before
        return found if found is not None else reference.reference

    def medication(self, request: Any) -> Any:
        """The CodeableConcept of a MedicationRequest; a reference is followed."""
        concept = request.medicationCodeableConcept
        reference = request.medicationReference
        if concept is not None or reference is None:
            return concept
        text = reference.reference or ""
        if text.startswith("#"):
            for inner in () if request.contained is None else request.contained:
                if inner.id == text[1:]:
                    return inner.code
        name = self.id(reference) or ""
        found = self._medications.get(name)
        if found is not None:
            return found
        self.missed.add(name)
        self.unresolved += 1
        return Loose(text=reference.display) if reference.display else None

    def _conditional(self, text: str) -> str | None:
        kind, _, query = text.partition("?")
        name, _, value = query.partition("=")
        found = self._known().get(f"{kind.rpartition('/')[2]}?{value}") if name == "identifier" else None
        if found is None:
            self.unresolved += 1
        return found

    def _by_identifier(self, identifier: Any) -> str | None:
        if not identifier:
            return None
        found = self._known().get(f"?{identifier.system or ''}|{identifier.value}")
        if found is None:
            self.unresolved += 1
        return found

    def _known(self) -> dict[str, str]:
        """Ids by identifier, made when the first conditional reference asks."""
        if self._identifiers is None:
            known = Known()
            for (_, resource), name in zip(self._entries, self._names, strict=True):
                if name is not None:
                    known.identify(name, resource)
            self._identifiers = known.identifiers
        return self._identifiers
