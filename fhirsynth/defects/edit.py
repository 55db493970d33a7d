"""What a planter sees and what it proposes: places in a resource, changes of it, and copies beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final

import numpy as np

from synthea_bridge.dates import instant_of
from synthea_bridge.references import Lookup, id_of
from synthea_bridge.shapes import loose

Resource = dict[str, Any]
Path = tuple[str | int, ...]
"""Keys and indices from a resource down to an element of it."""
Slot = tuple[str, int]
"""A file, and the number of a resource in it (from 0)."""


class _Gone(Enum):
    GONE = "gone"

    def __repr__(self) -> str:
        return "GONE"


GONE: Final = _Gone.GONE
"""The value of an element that is not there; null is another thing."""
_CHOICES: Final = re.compile(
    r"(value|effective|onset|abatement|deceased|performed|medication|multipleBirth|occurrence)([A-Z]\w*)"
)
_CONCEPTS: Final = ("code", "medicationCodeableConcept", "vaccineCode")
_PRIMITIVES: Final = frozenset({"Boolean", "Code", "Date", "DateTime", "Decimal", "Instant", "Integer", "String"})


@dataclass(frozen=True, slots=True)
class Change:
    """Another value for one element.

    Parameters
    ----------
    path
        The element.
    after
        Its new value; :data:`GONE` takes it away.
    witnesses
        Resources by which the defect can be told: they get no defect of their own.
    """

    path: Path
    after: Any
    witnesses: tuple[Slot, ...] = ()


@dataclass(frozen=True, slots=True)
class Copy:
    """More entries: the first is the defect, the others belong to it.

    Parameters
    ----------
    entries
        As in ``Bundle.entry``.
    originals
        What each is a copy of.
    alone
        They make a Bundle of their own, where there are Bundles.
    """

    entries: tuple[dict[str, Any], ...]
    originals: tuple[Slot, ...]
    alone: bool = False

    @property
    def witnesses(self) -> tuple[Slot, ...]:
        """What they were copied from."""
        return self.originals


@dataclass(frozen=True)
class Document:
    """What is about one patient, or in one Bundle.

    Parameters
    ----------
    key
        Tells documents apart, whatever their files are called.
    form
        The type of the Bundle, or ``ndjson``.
    slots, entries
        Where each resource is, and its ``Bundle.entry``.
    """

    key: str
    form: str
    slots: tuple[Slot, ...]
    entries: tuple[dict[str, Any], ...]

    @cached_property
    def lookup(self) -> Lookup:
        """Finds ids by reference."""
        entries = [(entry.get("fullUrl"), entry["resource"]) for entry in self.entries]
        return Lookup(entries, [id_of(*entry) for entry in entries], {})

    @cached_property
    def seen(self) -> Mapping[str, Sequence[int]]:
        """Numbers of the encounters with a start, by patient, earliest first."""
        found: dict[str, list[tuple[float, str, int]]] = {}
        for number, entry in enumerate(self.entries):
            resource = entry["resource"]
            moment = start_of(resource) if resource["resourceType"] == "Encounter" else None
            if moment is not None:
                patient = self.lookup.id(loose(resource.get("subject"))) or ""
                found.setdefault(patient, []).append((moment, str(resource.get("id")), number))
        return {patient: [number for _, _, number in sorted(ones)] for patient, ones in found.items()}

    @cached_property
    def displays(self) -> Mapping[tuple[str, str], set[str]]:
        """What codes are called, by type of the resource and system."""
        found: dict[tuple[str, str], set[str]] = {}
        for entry in self.entries:
            path = concept(entry["resource"])
            coding = look(entry["resource"], (*path, "coding", 0)) if path else None
            if isinstance(coding, dict) and coding.get("display"):
                place = (entry["resource"]["resourceType"], str(coding.get("system")))
                found.setdefault(place, set()).add(str(coding["display"]))
        return found


@dataclass(frozen=True, slots=True)
class Donor:
    """A patient whose identifiers and encounters others may get by mistake."""

    patient: str
    slot: Slot
    identifiers: tuple[tuple[str, str], ...]
    encounters: tuple[tuple[str, str | None], ...]
    """Id and, where there is one, ``system|value``."""


@dataclass(frozen=True, slots=True)
class Site:
    """One resource of a document, and who else there is."""

    document: Document
    number: int
    donors: Sequence[Donor] = ()

    @property
    def entry(self) -> dict[str, Any]:
        """Its ``Bundle.entry``."""
        return self.document.entries[self.number]

    @property
    def resource(self) -> Resource:
        """The resource."""
        resource: Resource = self.entry["resource"]
        return resource

    @property
    def slot(self) -> Slot:
        """Where it is."""
        return self.document.slots[self.number]

    @property
    def id(self) -> str:
        """Its id, or what its ``fullUrl`` ends with."""
        return id_of(self.entry.get("fullUrl"), self.resource) or ""

    @property
    def encounters(self) -> Sequence[int]:
        """Numbers of the encounters of this patient, earliest first."""
        return self.document.seen.get(self.id, ())


Planter = Callable[[Site, np.random.Generator], "Change | Copy | None"]
"""Proposes a defect of one kind for a resource; None where there is no place for it. Changes nothing itself."""


def start_of(encounter: Resource) -> float | None:
    """When an encounter starts, in seconds since 1970."""
    text = look(encounter, ("period", "start"))
    moment = instant_of(text) if isinstance(text, str) else None
    return None if moment is None else moment.timestamp()


def concept(resource: Resource) -> Path | None:
    """The element that says what a resource is about."""
    return next(((key,) for key in _CONCEPTS if isinstance(resource.get(key), dict)), None)


def look(resource: Any, path: Path) -> Any:
    """The value at ``path``; :data:`GONE` where there is none."""
    for step in path:
        known = resource if isinstance(resource, dict) else {}
        if isinstance(step, int) and isinstance(resource, list):
            known = dict(enumerate(resource))
        if step not in known:
            return GONE
        resource = known[step]
    return resource


def put(resource: Resource, path: Path, value: Any, position: int | None = None) -> int | None:
    """Set the value at ``path``, or take it away.

    Parameters
    ----------
    position
        Where among its siblings a key that is not there comes in; None: behind them.

    Returns
    -------
    int or None
        Where a key was that has been taken away.
    """
    parent, key = look(resource, path[:-1]), path[-1]
    if value is GONE:
        where = list(parent).index(key)
        del parent[key]
        return where
    if position is None or key in parent:
        parent[key] = value
        return None
    items = list(parent.items())
    items.insert(position, (str(key), value))
    parent.clear()
    parent.update(items)
    return None


def fhirpath(kind: str, path: Path) -> str:
    """``path`` in a resource of type ``kind``, as FHIRPath: ``Observation.value.ofType(Quantity).unit``."""
    text = kind
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif match := _CHOICES.fullmatch(step):
            name, of = match.groups()
            text += f".{name}.ofType({of[0].lower() + of[1:] if of in _PRIMITIVES else of})"
        else:
            text += f".{step}"
    return text


def path_of(text: str) -> Path:
    """The inverse of :func:`fhirpath`."""
    text = re.sub(r"\.ofType\((\w)(\w*)\)", lambda match: match[1].upper() + match[2], text)
    steps = re.findall(r"\.(\w+)|\[(\d+)\]", text)
    return tuple(name or int(number) for name, number in steps)
