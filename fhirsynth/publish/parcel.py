"""What of a document goes to the server in one request: in an order and a size in which references can be resolved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from hashlib import sha256
from typing import Any, Final, Literal

import orjson

from fhirsynth.assemble.identity import RECORD
from fhirsynth.errors import UsageError
from fhirsynth.publish.shape import (
    Resource,
    Shaper,
    Style,
    Target,
    condition_among,
    conditional,
    full_url,
    references_in,
    target_of,
    targets_of,
    urn_of,
)
from synthea_bridge.bundles import Document
from synthea_bridge.tags import RUN_TAG, is_run

Mode = Literal["create", "update", "post"]
MODES: Final[tuple[Mode, ...]] = ("create", "update", "post")
Sending = Literal["transaction", "batch", "single"]
"""How entries go: all or none of a Bundle, each for itself in a Bundle, or a request each."""
ENVELOPE: Final = 256
"""Bytes of an entry beside its resource, at most."""


@dataclass(frozen=True, slots=True)
class How:
    """How a load is done.

    Parameters
    ----------
    mode
        ``create``: each entry unless the server has it (conditional create; what has no identifier, with its own id);
        ``update``: with our ids (``PUT``), which replaces what is there; ``post``: plainly, each call anew.
    sending
        ``transaction``, ``batch`` or ``single``.
    style
        How entries of a transaction refer to each other: ``urn:uuid``, ``literal`` (needs ``update``), ``conditional``.
    most, size
        Entries and bytes of one request, at most; None: what the server takes.
    tag
        The run that resources without the tag of one get, so that they can be counted and unloaded; None: none.
    asking
        Look on the server for every entry before it is created, as the server takes no conditional creates.
    """

    mode: Mode = "create"
    sending: Sending = "transaction"
    style: Style = "urn:uuid"
    most: int | None = None
    size: int | None = None
    tag: str | None = None
    asking: bool = False

    def __post_init__(self) -> None:
        if self.style == "literal" and self.mode != "update":
            raise UsageError("literal references need our ids on the server; add --mode update")
        if self.style == "conditional" and self.sending != "transaction":
            raise UsageError("conditional references are for transactions only; use --format transaction")
        if self.style == "conditional" and self.mode != "create":
            raise UsageError("conditional references find what is created conditionally; use --mode create")
        if self.tag is not None and not is_run(self.tag):
            raise UsageError(f"--tag {self.tag!r}: can be no run; leave blanks at its ends and the signs | , $ \\ away")


@dataclass(frozen=True, slots=True)
class Item:
    """A resource of a document on its way to a server.

    Parameters
    ----------
    place
        Its number in the document.
    target
        Its type, and the id that it has with us.
    condition
        The search that finds it, for a conditional create; None: it is sent with its own id (``PUT``), or plainly.
    asked
        A search that finds it, of whatever identifier it has; None: there is none.
    line
        The resource as JSON: most go as they are, and making it takes longer than all else that is done to them.
    needs
        Places of the items that it refers to.
    texts
        Its references as they stand in it.
    """

    place: int
    target: Target
    resource: Resource
    line: bytes
    condition: str | None
    asked: str | None
    needs: frozenset[int]
    mode: Mode = "create"
    texts: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Its ``fullUrl`` in a transaction: of a UUID that follows from its id where the server will give another."""
        url = full_url(*self.target)
        return url if self.condition is None and self.mode != "post" else urn_of(*self.target)

    @property
    def kind(self) -> str:
        """Its type."""
        return self.target[0]

    @property
    def record(self) -> str | None:
        """The value of the identifier that every resource of ours carries."""
        return _value(self.resource.get("identifier"), RECORD, "value")

    @property
    def run(self) -> str | None:
        """The run that made it, by its tag."""
        meta = self.resource.get("meta")
        return _value(meta.get("tag") if isinstance(meta, dict) else None, RUN_TAG, "code")


@dataclass(frozen=True, slots=True)
class Packet:
    """A document, ready to be cut into requests."""

    source: str
    digest: bytes
    items: list[Item]
    targets: dict[str, Target]
    shaper: Shaper

    @classmethod
    def of(cls, document: Document, shaper: Shaper, mode: Mode, tag: str | None = None) -> Packet:
        """The items of a document, with the ``tag`` of a run; what stands in it twice is one."""
        entries = [(url, resource) for url, resource in document.entries]
        targets = targets_of(entries)
        first: dict[Target, int] = {}
        for place, (url, resource) in enumerate(entries):
            first.setdefault(target_of(url, resource), place)
        items = []
        for target, place in first.items():
            resource = entries[place][1]
            own = _own(resource, target[1], tag)
            line = orjson.dumps(own)
            texts = tuple(dict.fromkeys(references_in(line)))
            found = map(targets.get, texts)
            needs = frozenset(first[one] for one in found if one is not None) - {place}
            given = _given(document, place)
            found_by = conditional(resource)
            known = condition_among(target[0], found_by)
            condition = (known or given) if mode == "create" else None
            asked = known or next((text.partition("?")[2] for text in found_by), None)
            items.append(Item(place, target, own, line, condition, asked, needs, mode, texts))
        digest = sha256(orjson.dumps([mode, [[item.place, orjson.Fragment(item.line)] for item in items]])).digest()
        return cls(document.source, digest, items, targets, shaper)

    def without(self, dropped: AbstractSet[int]) -> tuple[Packet, list[Item]]:
        """The packet without some places and all that refers to them; and those items."""
        gone = set(dropped)
        while more := {item.place for item in self.items if item.place not in gone and item.needs & gone}:
            gone |= more
        kept = [item for item in self.items if item.place not in gone]
        out = [item for item in self.items if item.place in gone]
        return Packet(self.source, self.digest, kept, self.targets, self.shaper), out

    def written(self, items: Sequence[Item], addresses: Mapping[Target, str], how: How) -> list[orjson.Fragment]:
        """The resources of a request, as JSON, with their references as they can be resolved.

        Parameters
        ----------
        addresses
            Type and id that the server gave what it has.
        """
        inside = how.sending == "transaction"
        urls = dict(addresses)
        if how.style == "conditional":
            urls |= {item.target: f"{item.kind}?{item.asked}" for item in items if item.asked}
        elif how.style == "urn:uuid" and inside:
            urls |= {item.target: item.url for item in items}
        made = []
        for item in items:
            resource = self.shaper.rewritten(item.resource, self.targets, urls, keep=inside, texts=item.texts)
            made.append(orjson.Fragment(item.line if resource is item.resource else orjson.dumps(resource)))
        return made


def bundle(items: Sequence[Item], resources: Sequence[orjson.Fragment], how: How) -> dict[str, Any]:
    """The Bundle of a request."""
    entries = []
    for item, resource in zip(items, resources, strict=True):
        entry: dict[str, Any] = {"resource": resource, "request": request_of(item, how)}
        if how.sending == "transaction" and how.style != "literal" and item.url.startswith("urn:"):
            entry = {"fullUrl": item.url, **entry}
        entries.append(entry)
    return {"resourceType": "Bundle", "type": how.sending, "entry": entries}


def request_of(item: Item, how: How) -> Resource:
    """``Bundle.entry.request`` of an item."""
    if how.mode == "post" or (how.asking and item.condition is not None):
        return {"method": "POST", "url": item.kind}
    if item.condition is None:
        return {"method": "PUT", "url": "/".join(item.target)}
    return {"method": "POST", "url": item.kind, "ifNoneExist": item.condition}


def levels(items: Sequence[Item]) -> list[list[list[Item]]]:
    """Items in the order in which they can be sent: level by level, and what refers in a circle together."""
    here = {item.place: item for item in items}
    needs = {place: {one for one in item.needs if one in here} for place, item in here.items()}
    group = {place: [place] for place in needs}
    try:
        sorter = TopologicalSorter(needs)
        sorter.prepare()
    except CycleError:
        group = _circles(needs)
        head = {place: first for first, places in group.items() for place in places}
        condensed = {
            first: {head[one] for place in places for one in needs[place]} - {first} for first, places in group.items()
        }
        sorter = TopologicalSorter(condensed)
        sorter.prepare()
    found = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        sorter.done(*ready)
        found.append([[here[place] for place in group[first]] for first in ready])
    return found


def cut(items: Sequence[Item], how: How) -> Iterator[list[Item]]:
    """Pieces of at most so many entries and bytes, each referring to itself and to those before only.

    What refers in a circle is not cut, however large it is.
    """
    sending, most, size = how.sending, how.most, how.size
    whole = most is None or len(items) <= most
    if sending == "transaction" and whole and (size is None or sum(map(weigh, items)) <= size):
        yield list(items)
        return
    piece: list[Item] = []
    weight = 0
    for level in levels(items):
        for group in level:
            added = sum(weigh(item) for item in group) if size is not None else 0
            full = most is not None and len(piece) + len(group) > most
            if piece and (sending == "single" or full or (size is not None and weight + added > size)):
                yield piece
                piece, weight = [], 0
            piece += group
            weight += added
        if sending != "transaction" and piece:
            yield piece
            piece, weight = [], 0
    if piece:
        yield piece


def weigh(item: Item) -> int:
    """Bytes of an entry, at most."""
    return len(item.line) + ENVELOPE


def _circles(needs: Mapping[int, Iterable[int]]) -> dict[int, list[int]]:
    """Strongly connected components, by their first place."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    places = list(needs)
    number = {place: index for index, place in enumerate(places)}
    pairs = [(number[place], number[one]) for place, others in needs.items() for one in others]
    rows, columns = zip(*pairs, strict=True)
    graph = coo_array(([1] * len(pairs), (rows, columns)), shape=(len(places), len(places)))
    _, labels = connected_components(graph, connection="strong")
    by_label: dict[int, list[int]] = {}
    for place, label in zip(places, labels, strict=True):
        by_label.setdefault(int(label), []).append(place)
    return {min(group): sorted(group) for group in by_label.values()}


def _own(resource: Resource, name: str, tag: str | None) -> Resource:
    """A resource with its id, and with the tag of a run where it has none."""
    meta = resource.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    if tag is None or _value(meta.get("tag"), RUN_TAG, "code") is not None:
        return {**resource, "id": name}
    tags = meta["tag"] if isinstance(meta.get("tag"), list) else []
    return {**resource, "id": name, "meta": {**meta, "tag": [*tags, {"system": RUN_TAG, "code": tag}]}}


def _given(document: Document, place: int) -> str | None:
    """``ifNoneExist`` of the entry, as its Bundle has it."""
    if document.value is None or not document.places:
        return None
    entry = document.value["entry"][document.places[place]]
    request = entry.get("request") if isinstance(entry, dict) else None
    given = request.get("ifNoneExist") if isinstance(request, dict) else None
    return given.partition("?")[2] or given if isinstance(given, str) and given else None


def _value(listed: Any, system: str, key: str) -> str | None:
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and one.get("system") == system and isinstance(one.get(key), str):
            value: str = one[key]
            return value
    return None
