"""Stream FHIR resources out of Bundles, single resources, NDJSON, ``.gz``, ``.zip`` and folders of any mixture."""

from __future__ import annotations

import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

import orjson

from synthea_bridge.errors import LimitError, UsageError
from synthea_bridge.large import NotAnObject, Scanner, batched, chain_reads
from synthea_bridge.place import MARKS
from synthea_bridge.progress import Progress, silent
from synthea_bridge.quick import parsed, parsed_resource
from synthea_bridge.references import Entry, Known
from synthea_bridge.shapes import loose
from synthea_bridge.skips import Skip, SkipLog
from synthea_bridge.streams import BOM, LIMITS, Limits, Lines, Stream, open_streams, suffix_of
from synthea_bridge.unreadable import JSON, is_object, kind_of, not_json, words_of
from synthea_bridge.versions import declared_version, other_version

OURS: Final = frozenset(
    {
        "import.json",
        "manifest.json",
        "skipped.ndjson",
        "defects.jsonl",
        "schema.json",
        "timeline.json",
        "report.json",
        "model-card.json",
        "croissant.json",
    }
)
"""Files of ours that lie beside Bundles and hold no FHIR."""
READABLE: Final = frozenset({".json", ".ndjson", ".jsonl", ".zip"})
LARGE: Final = 4 << 20
"""Bytes from which on a Bundle is read in parts: parsed, it takes ten times as many."""
PART: Final = 300
"""Entries of a part."""
CONVERT: Final = "export it again as FHIR R4 (4.0.1), or convert it"


@dataclass(frozen=True, slots=True)
class Document:
    """What is parsed at once: a Bundle, or one line of NDJSON.

    Parameters
    ----------
    source
        The file, with ``!member`` and ``:line``.
    entries
        Its resources, each with its ``fullUrl``.
    places
        The number of each in ``Bundle.entry``; empty for a single resource.
    known
        What references can point to, where this is a part of a Bundle that is too large to be held.
    value
        The Bundle or resource itself; None where this is a part.
    """

    source: str
    entries: list[Entry]
    places: Sequence[int] = ()
    known: Known | None = None
    value: dict[str, Any] | None = None

    def place(self, number: int) -> str:
        """Where the resource with this number stands, for a message."""
        resource = self.entries[number][1]
        name = "/".join(str(part) for part in (resource.get("resourceType"), resource.get("id")) if part)
        return f"entry[{self.places[number]}] {name}" if self.places else name


@dataclass(frozen=True, slots=True)
class File:
    """A file that is read, or some ``lines`` of it, and what messages call it."""

    path: Path
    name: str
    lines: Lines | None = None


@dataclass(slots=True)
class Reader:
    """Reads documents; what cannot be read goes to ``skips``.

    Parameters
    ----------
    skips
        Takes what cannot be read.
    progress
        Called with the number of files done, and how many there are.
    limits
        How large an archive, a member or a line may be.
    parts
        Give a large Bundle in parts of :data:`PART` entries, in bounded memory, and not as one document.
    shaped
        Give resources as what rows need of them, see ``shapes.py``, and not as dicts.
    """

    skips: SkipLog
    progress: Progress = silent
    limits: Limits = LIMITS
    parts: bool = False
    shaped: bool = False
    ignored: Counter[str] = field(default_factory=Counter)

    def documents(self, source: Path) -> Iterator[Document]:
        """Every document under ``source``, files in sorted order.

        Raises
        ------
        UsageError
            When there is no such path.
        InputError
            With a strict ``skips``, at the first thing that cannot be read.
        """
        files = self.files(source)
        for number, file in enumerate(files):
            self.progress(number, len(files), file.name)
            yield from self.read(file)
        self.progress(len(files), len(files))

    def files(self, source: Path | Sequence[Path], root: Path | None = None) -> list[File]:
        """What there is to read, in order: a file or all of a folder, or the files of a list.

        Parameters
        ----------
        source
            See above.
        root
            The folder that names begin below: ``source``, or what it lies in.

        Raises
        ------
        UsageError
            When there is no such path.
        """
        given = [source] if isinstance(source, Path) else source
        for path in given:
            if not path.exists():
                what = "give a Bundle, NDJSON, .gz, .zip or a folder"
                raise UsageError(f"{path}: there is no such file or folder; {what}")
        found = [(one, path) for one in given for path in (self._found(one) if one.is_dir() else [one])]
        return [File(path, path.relative_to(root or _root(one)).as_posix()) for one, path in found]

    def read(self, file: File) -> Iterator[Document]:
        """The documents of one file."""
        for stream in open_streams(file.path, file.name, self.skips, self.limits, self.ignored):
            yield from self._read(stream if file.lines is None else stream.part(file.lines))

    def document(self, name: str, file: IO[bytes]) -> Iterator[Document]:
        """The document in one JSON file, or its parts."""
        yield from self._read(Stream(name, file, None, self.limits))

    def _found(self, folder: Path) -> list[Path]:
        files = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file())
        return [folder / name for name in readable(files, self.ignored)]

    def _read(self, stream: Stream) -> Iterator[Document]:
        try:
            if suffix_of(stream.name) in {".ndjson", ".jsonl"}:
                yield from self._lines(stream)
            else:
                yield from self._whole(stream)
        except LimitError as error:
            self._skip(stream.name, "", str(error), "split it into smaller files")
        except (EOFError, zlib.error, OSError) as error:
            cut = isinstance(error, EOFError)
            problem = "is cut short" if cut else f"cannot be read ({words_of(error)})"
            self._skip(stream.name, "", problem, "fetch or export it again")

    def _whole(self, stream: Stream) -> Iterator[Document]:
        data = stream.read(LARGE + 1 if self.parts else stream.limits.document + 1)
        if len(data) > LARGE and self.parts:
            yield from self._large(stream, data)
            return
        data = data.removeprefix(BOM)
        if (found := self._parsed(stream.name, data)) is not None:
            del data
            yield found
            return
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            lines = data.splitlines()
            if len(lines) > 1 and is_object(lines[0]) and is_object(lines[1]):
                for number, line in enumerate(lines, start=1):
                    yield from self._line(stream.name, number, line)
            else:
                self._skip(stream.name, "", *not_json(data, error))
            return
        del data
        yield from self._document(stream.name, value)

    def _large(self, stream: Stream, head: bytes) -> Iterator[Document]:
        """A Bundle in parts: its entries wait on disk until everything that references can point to is known."""
        if kind_of(head):
            self._skip(stream.name, "", *not_json(head, None))
            return
        known = Known()
        with tempfile.TemporaryFile() as waiting:
            scanner = Scanner(chain_reads(head, stream.read))
            try:
                for number, entry in enumerate(scanner.entries()):
                    part = self._bundle(stream.name, [entry], number)
                    if part.entries:
                        if self._version(part) is not None:
                            return
                        known.add(*part.entries[0])
                        for what in (number, *part.entries[0]):
                            waiting.write(orjson.dumps(what) + b"\n")
            except NotAnObject as error:
                self._skip(stream.name, "", str(error), "fetch or export it again as FHIR JSON")
                return
            if scanner.top.get("resourceType") != "Bundle":
                yield from self._document(stream.name, scanner.top)
            elif declared_version(scanner.top) is None:
                waiting.seek(0)
                for lines in batched(waiting, 3 * PART):
                    yield Document(stream.name, *self._waited(lines), known)

    def _waited(self, lines: list[bytes]) -> tuple[list[Entry], list[int]]:
        """The entries in lines that hold a number, a ``fullUrl`` and a resource, one after the other."""
        parse = parsed_resource if self.shaped else orjson.loads
        urls = map(orjson.loads, lines[1::3])
        return list(zip(urls, map(parse, lines[2::3]), strict=True)), [int(number) for number in lines[::3]]

    def _lines(self, stream: Stream) -> Iterator[Document]:
        for number, line in enumerate(stream.lines(), start=stream.first):
            if number == 1 and kind_of(line):
                self._skip(stream.name, "", *not_json(line, None))
                return
            before = len(self.skips.items)
            yield from self._line(stream.name, number, line)
            if len(self.skips.items) > before and "is FHIR" in self.skips.items[-1].problem:
                self._skip(stream.name, f"lines after {number}", "are not read, being of another FHIR version", CONVERT)
                return

    def _line(self, name: str, number: int, line: bytes) -> Iterator[Document]:
        if not line.strip():
            return
        source = f"{name}:{number}"
        if (found := self._parsed(source, line)) is not None:
            yield found
            return
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            self._skip(source, "", *not_json(line, error))
            return
        yield from self._document(source, value)

    def _parsed(self, source: str, data: bytes) -> Document | None:
        found = parsed(data) if self.shaped else None
        return None if found is None else Document(source, *found)

    def _document(self, source: str, value: Any) -> Iterator[Document]:
        document = self._opened(source, value)
        if document is None or not document.entries:
            return
        version = self._version(document) or (declared_version(value) if value is not None else None)
        if version is None and self.shaped:
            yield Document(source, [(url, loose(resource)) for url, resource in document.entries], document.places)
        elif version is None:
            yield document

    def _opened(self, source: str, value: Any) -> Document | None:
        """The resources in a parsed value; None when it holds none."""
        advice = "remove it, or give a FHIR R4 resource or Bundle"
        if not isinstance(value, dict):
            self._skip(source, "", f"is a JSON {JSON.get(type(value), 'value')}, not an object", advice)
            return None
        kind = value.get("resourceType")
        if not isinstance(kind, str):
            self._skip(source, "", "has no resourceType", advice)
            return None
        if kind != "Bundle":
            return Document(source, [(None, value)], value=value)
        found = value.get("entry", [])
        if not isinstance(found, list):
            self._skip(source, "entry", "is not a list", "give a whole Bundle")
            return None
        return self._bundle(source, found, value=value)

    def _bundle(self, source: str, found: list[Any], first: int = 0, value: dict[str, Any] | None = None) -> Document:
        entries: list[Entry] = []
        places: list[int] = []
        for number, entry in enumerate(found, first):
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(resource, dict) and isinstance(resource.get("resourceType"), str):
                url = entry.get("fullUrl")
                entries.append((url if isinstance(url, str) else None, resource))
                places.append(number)
            elif not isinstance(entry, dict) or "resource" in entry or "request" not in entry:
                self._skip(source, f"entry[{number}]", "holds no resource", "look at how the Bundle was made")
        return Document(source, entries, places, value=value)

    def _version(self, document: Document) -> str | None:
        """The other FHIR version of a document, which is then skipped as a whole."""
        for number, (_, resource) in enumerate(document.entries):
            kind = resource["resourceType"]
            version = other_version(resource, kind) or (declared_version(resource) if kind == "Patient" else None)
            if version is not None:
                problem = f"is FHIR {version}, not R4"
                self._skip(document.source, document.place(number), problem, CONVERT)
                return version
        return None

    def _skip(self, source: str, entry: str, problem: str, advice: str) -> None:
        self.skips.add(Skip(source, entry, problem, advice))


def readable(names: Iterable[str], ignored: Counter[str]) -> list[str]:
    """Of files below a folder those that may hold FHIR; others, but for hidden ones and ours, are counted by suffix."""
    found = []
    for name in names:
        path = PurePosixPath(name)
        if any(part.startswith((".", MARKS)) for part in path.parts) or path.name in OURS:
            continue
        if suffix_of(path.name) in READABLE:
            found.append(name)
        else:
            ignored[path.suffix or "(no suffix)"] += 1
    return found


def _root(path: Path) -> Path:
    return path if path.is_dir() else path.parent
