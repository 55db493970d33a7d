"""The resources of a Bundle in the shape that a server wants: transaction, batch, collection or lines of NDJSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, Literal
from uuid import NAMESPACE_OID, uuid5

import orjson

from fhirsynth.assemble.identity import RECORD
from synthea_bridge.bundles import Document
from synthea_bridge.references import Entry, id_of

Format = Literal["transaction", "batch", "collection", "ndjson"]
Style = Literal["urn:uuid", "literal", "conditional"]
STYLES: Final[tuple[Style, ...]] = ("urn:uuid", "literal", "conditional")
"""How resources of a Bundle refer to each other."""
FORMATS: Final[tuple[Format, ...]] = ("transaction", "batch", "collection", "ndjson")
SHARED: Final = frozenset({"Organization", "Location", "Practitioner", "PractitionerRole", "HealthcareService"})
"""Types that patients share: other Bundles refer to them by identifier, and they are loaded first."""
HELD: Final = 4096
"""URLs that are remembered: those of a large Bundle."""
UUID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
REFERENCE: Final = re.compile(rb'"reference":("(?:[^"\\]|\\.)*")')
"""In a text a quotation mark has a backslash before it, so that only members are found."""
Resource = dict[str, Any]
Target = tuple[str, str]
"""Type and id."""


def is_shared(document: Document) -> bool:
    """Whether a document holds nothing but what patients share."""
    return bool(document.entries) and all(one["resourceType"] in SHARED for _, one in document.entries)


@dataclass(slots=True)
class Shaper:
    """Turns documents into shapes; knows the shared resources that conditional references point to.

    ``unresolved`` counts references that point to nothing that is known; they stay as they are.
    """

    shared: dict[str, Entry] = field(default_factory=dict)
    unresolved: int = 0

    def learn(self, documents: Iterable[Document]) -> None:
        """Remember the shared resources by ``Type?identifier=system|value``."""
        for document in documents:
            for url, resource in document.entries:
                if resource["resourceType"] in SHARED:
                    self.shared |= dict.fromkeys(conditional(resource), (url, resource))

    def bundle(self, document: Document, form: Format, style: Style = "urn:uuid") -> Resource:
        """One Bundle of the given form, with the resources of the document.

        ``transaction``: conditional creates where there is an identifier to go by, else ``PUT Type/id``; references
        inside are ``urn:uuid`` where ids are UUIDs, or as ``style`` has it: ``literal`` goes with ``PUT`` throughout,
        ``conditional`` refers by identifier to what has one. ``batch``: ``PUT Type/id`` with literal references, since
        its entries may not refer to each other. ``collection``: no requests, and the shared resources that are referred
        to come along.
        """
        entries = list(document.entries)
        if form == "collection":
            entries += self._referred(document)
        targets = targets_of(entries)
        literal = form == "batch" or style == "literal"
        urls = {} if literal else {target_of(*entry): _url(*entry, form, style) for entry in entries}
        made = []
        for url, resource in entries:
            target = target_of(url, resource)
            body = self.rewritten(resource, targets, urls, keep=form == "transaction" and not literal)
            made.append(_entry(target, {**body, "id": target[1]}, form, literal=literal))
        return {"resourceType": "Bundle", "type": form, "entry": made}

    def lines(self, document: Document) -> Iterator[tuple[str, Resource]]:
        """Each resource with its type, references as ``Type/id``."""
        targets = targets_of(document.entries)
        for url, resource in document.entries:
            kind, name = target_of(url, resource)
            yield kind, {**self.rewritten(resource, targets, {}, keep=False), "id": name}

    def _referred(self, document: Document) -> list[Entry]:
        """Shared resources that the document refers to, and those that they refer to."""
        found: dict[str, Entry] = {}
        waiting = [resource for _, resource in document.entries]
        while waiting:
            for text in references_of(waiting.pop()):
                entry = self.shared.get(text)
                if entry is not None and str(entry[1].get("id")) not in found:
                    found[str(entry[1].get("id"))] = entry
                    waiting.append(entry[1])
        here = {resource.get("id") for _, resource in document.entries}
        return [entry for name, entry in found.items() if name not in here]

    def rewritten(
        self,
        resource: Resource,
        targets: Mapping[str, Target],
        urls: Mapping[Target, str],
        *,
        keep: bool,
        texts: Iterable[str] | None = None,
    ) -> Resource:
        """``resource`` with its references rewritten.

        Parameters
        ----------
        targets
            What the references point to.
        urls
            How to refer to that; ``Type/id`` to what is not in it.
        keep
            Leave conditional references as they are.
        texts
            All references in it, where they are known.
        """
        found = references_of(resource) if texts is None else texts
        changed = {text: new for text in found if (new := self._refer(text, targets, urls, keep=keep)) != text}
        return _replaced(resource, changed) if changed else resource

    def _refer(self, text: str, targets: Mapping[str, Target], urls: Mapping[Target, str], *, keep: bool) -> str:
        if text.startswith("#") or (keep and "?" in text):
            return text
        target = targets.get(text)
        if target is None and text in self.shared:
            target = target_of(*self.shared[text])
        if target is None:
            self.unresolved += text.startswith("urn:") or "?" in text
            return text
        return urls.get(target) or "/".join(target)


def conditional(resource: Resource) -> list[str]:
    """The conditional references by which a resource can be found."""
    identifiers = resource.get("identifier")
    return [
        f"{resource['resourceType']}?identifier={one.get('system', '')}|{one['value']}"
        for one in (identifiers if isinstance(identifiers, list) else [])
        if isinstance(one, dict) and one.get("value")
    ]


def references_of(resource: Resource) -> list[str]:
    """Every reference in a resource."""
    return references_in(orjson.dumps(resource))


def references_in(line: bytes) -> list[str]:
    """Every reference in the JSON of a resource: looking there is quicker than going through all of its values."""
    found = REFERENCE.findall(line)
    return [orjson.loads(text) if b"\\" in text else text[1:-1].decode() for text in found]


def _replaced(value: Any, texts: Mapping[str, str]) -> Any:
    """A copy with other texts in its references."""
    if isinstance(value, dict):
        copy = {key: _replaced(one, texts) if isinstance(one, dict | list) else one for key, one in value.items()}
        if isinstance(text := value.get("reference"), str):
            copy["reference"] = texts.get(text, text)
        return copy
    return [_replaced(one, texts) if isinstance(one, dict | list) else one for one in value]


def target_of(url: str | None, resource: Resource) -> Target:
    """Type and id of a resource; an id of ours where it has none."""
    return resource["resourceType"], id_of(url, resource) or _made_up(resource)


def _made_up(resource: Resource) -> str:
    """The id of a resource that has none: it follows from what it says."""
    return str(uuid5(NAMESPACE_OID, sha256(orjson.dumps(resource, option=orjson.OPT_SORT_KEYS)).hexdigest()))


def targets_of(entries: Iterable[Entry]) -> dict[str, Target]:
    """Type and id by every text that refers to a resource of the document."""
    found: dict[str, Target] = {}
    for url, resource in entries:
        target = target_of(url, resource)
        found |= dict.fromkeys(conditional(resource), target)
        found["/".join(target)] = target
        if url:
            found[url] = target
    return found


@lru_cache(HELD)
def full_url(kind: str, name: str) -> str:
    """``urn:uuid`` for a UUID; for another id the reference itself serves."""
    return f"urn:uuid:{name.lower()}" if UUID.fullmatch(name) else f"{kind}/{name}"


@lru_cache(HELD)
def urn_of(kind: str, name: str) -> str:
    """A ``urn:uuid`` for any id: where a server gives another one, only that can be referred to."""
    url = full_url(kind, name)
    return url if url.startswith("urn:") else f"urn:uuid:{uuid5(NAMESPACE_OID, url)}"


def _url(url: str | None, resource: Resource, form: Format, style: Style) -> str:
    """How others in the Bundle refer to an entry."""
    target = target_of(url, resource)
    created = form == "transaction" and condition_of(resource) is not None
    texts = conditional(resource) if style == "conditional" else []
    return next(iter(texts), urn_of(*target) if created else full_url(*target))


def _entry(target: Target, resource: Resource, form: Format, *, literal: bool) -> Resource:
    known = None if literal or form == "collection" else condition_of(resource)
    entry: Resource = {"fullUrl": urn_of(*target) if known else full_url(*target), "resource": resource}
    if literal or not entry["fullUrl"].startswith("urn:"):
        del entry["fullUrl"]
    if form == "collection":
        return entry
    if known is None:
        return {**entry, "request": {"method": "PUT", "url": "/".join(target)}}
    return {**entry, "request": {"method": "POST", "url": target[0], "ifNoneExist": known}}


def condition_of(resource: Resource) -> str | None:
    """What tells a server that it has the resource: our own identifier, or that of a shared resource."""
    return condition_among(resource["resourceType"], conditional(resource))


def condition_among(kind: str, texts: Iterable[str]) -> str | None:
    """As :func:`condition_of`, among the conditional references by which a resource of a type can be found."""
    queries = [text.partition("?")[2] for text in texts]
    ours = [query for query in queries if query.startswith(f"identifier={RECORD}|")]
    return next(iter(ours or queries), None) if ours or kind in SHARED else None
