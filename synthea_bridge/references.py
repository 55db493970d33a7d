"""References inside one document: every form of FHIR R4 §2.3 to the id that our tables use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Entry = tuple[str | None, dict[str, Any]]
"""A resource and the ``fullUrl`` under which its Bundle holds it."""


def id_of(full_url: str | None, resource: dict[str, Any]) -> str | None:
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

    def add(self, url: str | None, resource: dict[str, Any]) -> None:
        """Take one resource."""
        name = id_of(url, resource)
        if name is None:
            return
        if url:
            self.ids[url] = name
        self.identify(name, resource)
        if resource["resourceType"] == "Medication":
            self.medications[name] = resource.get("code")

    def identify(self, name: str, resource: dict[str, Any]) -> None:
        """Take the identifiers of one resource."""
        identifiers = resource.get("identifier")
        for identifier in identifiers if isinstance(identifiers, list) else ():
            key = f"?{identifier.get('system', '')}|{identifier.get('value')}"
            self.identifiers.setdefault(f"{resource.get('resourceType')}{key}", name)
            self.identifiers.setdefault(key, name)


class Lookup:
    """The resources of one document, found by reference.

    Parameters
    ----------
    entries
        Resources of the document.
    elsewhere
        Codes of Medications that other documents brought, by id (a bulk export keeps them in a file of their own).
    known
        All that references can point to, where ``entries`` are only a part of the document.
    """

    __slots__ = ("_entries", "_identifiers", "_ids", "_medications", "dropped", "source", "unresolved")

    def __init__(
        self, entries: Sequence[Entry], elsewhere: dict[str, Any], source: str = "", known: Known | None = None
    ) -> None:
        self._entries = entries
        self._medications = elsewhere
        self._identifiers = known.identifiers if known is not None else None
        self._ids = (
            known.ids
            if known is not None
            else {url: name for url, resource in entries if url and (name := id_of(url, resource))}
        )
        self.source = source
        self.dropped = 0
        self.unresolved = 0

    def id(self, reference: Any) -> str | None:
        """The id that a Reference points to; None when there is no reference or it cannot be resolved."""
        if reference is None:
            return None
        text: str | None = reference.get("reference")
        if text is None:
            return self._by_identifier(reference.get("identifier"))
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
        return found if found is not None else reference.get("reference")

    def medication(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """The CodeableConcept of a MedicationRequest; a reference is followed."""
        concept: dict[str, Any] | None = request.get("medicationCodeableConcept")
        reference = request.get("medicationReference")
        if concept is not None or reference is None:
            return concept
        text = reference.get("reference") or ""
        if text.startswith("#"):
            for inner in request.get("contained", ()):
                if inner.get("id") == text[1:]:
                    return inner.get("code")  # type: ignore[no-any-return]
        found = self._medications.get(self.id(reference) or "")
        if found is not None:
            return found  # type: ignore[no-any-return]
        self.unresolved += 1
        display = reference.get("display")
        return {"text": display} if display else None

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
        found = self._known().get(f"?{identifier.get('system', '')}|{identifier.get('value')}")
        if found is None:
            self.unresolved += 1
        return found

    def _known(self) -> dict[str, str]:
        """Ids by identifier, made when the first conditional reference asks."""
        if self._identifiers is None:
            known = Known()
            for url, resource in self._entries:
                if "identifier" in resource and (name := id_of(url, resource)) is not None:
                    known.identify(name, resource)
            self._identifiers = known.identifiers
        return self._identifiers
