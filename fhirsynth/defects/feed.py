"""Folders of Bundles or of NDJSON, as documents in which defects are planted, and the writing of what was planted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import orjson

from fhirsynth.assemble.bundle import to_json
from fhirsynth.defects.copies import new_id
from fhirsynth.defects.edit import Change, Copy, Document, Resource, Slot, put
from synthea_bridge.bundles import OURS
from synthea_bridge.references import id_of, tail_of

Addition = tuple[str, Copy]
"""The id of its defect, and the entries that come in."""
BUNDLE: Final = ".json"
LINES: Final = ".ndjson"


class Feed(Protocol):
    """A folder that :mod:`fhirsynth.publish` or :mod:`fhirsynth.assemble` has written."""

    lined: bool
    """Whether resources stand in lines and not in Bundles."""

    def documents(self) -> Iterator[Document]:
        """Everything that is about patients; resources that patients share are left alone."""

    def files(self) -> Mapping[str, str]:
        """Files with patients, by what tells them apart whatever they are called; known once documents were read."""

    def write(self, changes: Mapping[Slot, Change], additions: Sequence[tuple[Copy, int]]) -> list[tuple[Slot, ...]]:
        """Write all changes; ``additions`` come with a seed for what they need. Returns where each of them is now."""


def open_feed(folder: Path) -> Feed:
    """The feed in a folder: of NDJSON if there is any, else of Bundles."""
    lines = sorted(path for path in folder.glob(f"*{LINES}") if path.name not in OURS)
    if lines:
        return Lines(folder, tuple(path.name for path in lines))
    found = sorted(path for path in folder.rglob(f"*{BUNDLE}") if path.name not in OURS)
    names = (path.relative_to(folder) for path in found)
    return Bundles(folder, tuple(name.as_posix() for name in names if not any(p.startswith(".") for p in name.parts)))


@dataclass(slots=True)
class Bundles:
    """A folder of Bundles, read one at a time."""

    folder: Path
    names: tuple[str, ...]
    lined: bool = False
    _files: dict[str, str] = field(default_factory=dict)

    def documents(self) -> Iterator[Document]:
        for name in self.names:
            bundle = self._read(name)
            entries = tuple(bundle.get("entry", ()))
            people = [entry for entry in entries if entry["resource"]["resourceType"] == "Patient"]
            if people:
                key = id_of(people[0].get("fullUrl"), people[0]["resource"]) or name
                self._files[key] = name
                slots = tuple((name, number) for number in range(len(entries)))
                yield Document(key, str(bundle.get("type")), slots, entries)

    def files(self) -> Mapping[str, str]:
        return self._files

    def write(self, changes: Mapping[Slot, Change], additions: Sequence[tuple[Copy, int]]) -> list[tuple[Slot, ...]]:
        places: list[tuple[Slot, ...]] = []
        more: dict[str, list[dict[str, Any]]] = {}
        sizes: dict[str, int] = {}
        for copy, seed in additions:
            source = copy.originals[0][0]
            if copy.alone:
                places.append(self._new(copy, source, seed))
                continue
            if source not in sizes:
                sizes[source] = len(self._read(source)["entry"])
            first = sizes[source]
            sizes[source] += len(copy.entries)
            more.setdefault(source, []).extend(copy.entries)
            places.append(tuple((source, first + number) for number in range(len(copy.entries))))
        for name, ones in _by_file(changes, more).items():
            bundle = self._read(name)
            for number, change in ones:
                put(bundle["entry"][number]["resource"], change.path, change.after)
            bundle["entry"] += more.get(name, [])
            (self.folder / name).write_bytes(to_json(bundle))
        return places

    def _read(self, name: str) -> dict[str, Any]:
        bundle: dict[str, Any] = orjson.loads((self.folder / name).read_bytes())
        return bundle

    def _new(self, copy: Copy, source: str, seed: int) -> tuple[Slot, ...]:
        """A Bundle of its own, beside the one that it was copied from and numbered behind the last."""
        head = {key: value for key, value in self._read(source).items() if key != "entry"}
        if "id" in head:
            head["id"] = new_id(np.random.default_rng(seed))
        place = (self.folder / source).parent
        numbers = [path.stem for path in place.glob(f"*{BUNDLE}") if path.stem.isdigit()]
        last = max(numbers, key=int, default="000000")
        path = place / f"{int(last) + 1:0{len(last)}d}{BUNDLE}"
        path.write_bytes(to_json({**head, "entry": list(copy.entries)}))
        name = path.relative_to(self.folder).as_posix()
        return tuple((name, number) for number in range(len(copy.entries)))


@dataclass(slots=True)
class Lines:
    """A folder of NDJSON, a file a type. Of each line only its place is kept, by patient."""

    folder: Path
    names: tuple[str, ...]
    lined: bool = True
    _index: dict[str, list[tuple[str, int, int]]] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def documents(self) -> Iterator[Document]:
        index = self._learned()
        handles = {name: (self.folder / name).open("rb") for name in self._counts}
        try:
            for patient, lines in index.items():
                entries = []
                for name, _, offset in lines:
                    handles[name].seek(offset)
                    entries.append({"resource": orjson.loads(handles[name].readline())})
                slots = tuple((name, number) for name, number, _ in lines)
                yield Document(patient, "ndjson", slots, tuple(entries))
        finally:
            for handle in handles.values():
                handle.close()

    def files(self) -> Mapping[str, str]:
        found = {name for lines in self._learned().values() for name, _, _ in lines}
        return {name: name for name in sorted(found)}

    def write(self, changes: Mapping[Slot, Change], additions: Sequence[tuple[Copy, int]]) -> list[tuple[Slot, ...]]:
        places: list[tuple[Slot, ...]] = []
        more: dict[str, list[dict[str, Any]]] = {}
        for copy, _ in additions:
            here = []
            for entry, (name, _) in zip(copy.entries, copy.originals, strict=True):
                here.append((name, self._counts[name] + len(more.setdefault(name, []))))
                more[name].append(entry["resource"])
            places.append(tuple(here))
        for name, ones in _by_file(changes, more).items():
            lines = (self.folder / name).read_bytes().splitlines(keepends=True)
            for number, change in ones:
                resource = orjson.loads(lines[number])
                put(resource, change.path, change.after)
                lines[number] = dump_line(resource)
            (self.folder / name).write_bytes(b"".join([*lines, *map(dump_line, more.get(name, []))]))
        return places

    def _learned(self) -> Mapping[str, list[tuple[str, int, int]]]:
        """File, number and offset of each line, by patient."""
        if self._index:
            return self._index
        found: dict[str, list[tuple[str, int, int]]] = {}
        people: set[str] = set()
        for name in self.names:
            offset = 0
            with (self.folder / name).open("rb") as handle:
                for number, line in enumerate(handle):
                    patient = _patient(orjson.loads(line), people)
                    found.setdefault(patient, []).append((name, number, offset))
                    offset += len(line)
                    self._counts[name] = number + 1
        self._index = {patient: found[patient] for patient in sorted(people)}
        return self._index


def _patient(resource: Resource, people: set[str]) -> str:
    """Whom a resource is about; "" if nobody. Patients are added to ``people``."""
    if resource["resourceType"] == "Patient":
        name = id_of(None, resource) or ""
        people.add(name)
        return name
    reference = resource.get("subject") or resource.get("patient") or {}
    return tail_of(str(reference.get("reference", "")))


def _by_file(changes: Mapping[Slot, Change], more: Iterable[str]) -> dict[str, list[tuple[int, Change]]]:
    """Changes by file, with the files that only get more."""
    found: dict[str, list[tuple[int, Change]]] = {name: [] for name in more}
    for (name, number), change in changes.items():
        found.setdefault(name, []).append((number, change))
    return dict(sorted(found.items()))


def dump_line(resource: Resource) -> bytes:
    """A line of NDJSON as :mod:`fhirsynth.publish` writes it."""
    return orjson.dumps(resource) + b"\n"
