"""FHIR R4 in any shape to the tables of ``tables.py``, in one pass and in bounded memory."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc
import pyarrow.parquet as pq

from synthea_bridge.bundles import Document, Reader
from synthea_bridge.errors import InputError
from synthea_bridge.files import atomic_folder, write_json
from synthea_bridge.parquet import GROUP, TableWriter
from synthea_bridge.prevalence import parts_of, weigh
from synthea_bridge.progress import Progress, silent
from synthea_bridge.references import Lookup, id_of
from synthea_bridge.rows import ROWS, NoPatient, Row
from synthea_bridge.skips import Skip, SkipLog
from synthea_bridge.tables import TABLES

MEDICATIONS: Final = 200_000
"""Medications of other documents that are remembered (some 100 MB); a formulary has a few thousand."""
SHAPE: Final = "is not shaped as FHIR R4"


@dataclass(frozen=True, slots=True)
class FlattenResult:
    """What was made of the source.

    Parameters
    ----------
    rows
        Rows by table.
    unsupported
        Resources that no table holds, by type.
    skipped
        What could not be read, by problem.
    ignored
        Files that hold no FHIR, by suffix.
    dropped_codings
        Codings beside the one that a table keeps.
    unresolved
        References that point at nothing in their document.
    undated
        Texts that should be a date and are none; they stay in the ``_text`` column.
    earliest, latest
        First and last instant at which an encounter ends, as ISO 8601, or None without encounters.
    """

    rows: dict[str, int]
    unsupported: dict[str, int]
    skipped: dict[str, int]
    ignored: dict[str, int]
    dropped_codings: int
    unresolved: int
    undated: int
    earliest: str | None
    latest: str | None

    @property
    def outcome(self) -> dict[str, Any]:
        """The same as JSON values, for a manifest."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class _Tally:
    unsupported: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    unresolved: int = 0


def flatten(
    source: Path,
    out: Path,
    *,
    strict: bool = False,
    on_skip: Callable[[Skip], None] | None = None,
    progress: Progress = silent,
) -> FlattenResult:
    """Write the tables of ``source`` into ``out``, whole or not at all.

    Parameters
    ----------
    source
        A Bundle, a resource, NDJSON, ``.gz``, ``.zip``, or a folder of any mixture.
    out
        Folder for ``NAME.parquet`` of each table, ``manifest.json`` and, where something was skipped,
        ``skipped.ndjson``.
    strict
        Stop at the first thing that cannot be read.
    on_skip
        Called with each thing that cannot be read.
    progress
        Called with files done and files in all.

    Raises
    ------
    UsageError
        When there is no ``source``.
    InputError
        When nothing in it is FHIR R4, or with ``strict``.
    """
    skips = SkipLog(strict, on_skip)
    with atomic_folder(out) as folder:
        result = write_tables(source, folder, skips, progress)
        write_json(folder / "manifest.json", {"stage": "tables", **result.outcome})
    return result


def write_tables(source: Path, folder: Path, skips: SkipLog, progress: Progress = silent) -> FlattenResult:
    """Write the tables into a folder that exists; see :func:`flatten`."""
    with tables_in(folder, skips, progress) as tables:
        tables.read(source)
    result = tables.result(str(source))
    if parts := parts_of(source):
        weigh(folder, parts)
    return result


@contextmanager
def tables_in(folder: Path, skips: SkipLog, progress: Progress = silent) -> Iterator[Tables]:
    """Tables in a folder that exists, to be filled in the block and complete when it is left."""
    tables = Tables(folder, skips, progress)
    try:
        with _no_cycles():
            yield tables
            tables.close()
    except BaseException:
        tables.abandon()
        raise


class Tables:
    """The six tables while they are filled, from a source or Bundle by Bundle."""

    def __init__(self, folder: Path, skips: SkipLog, progress: Progress) -> None:
        self._folder, self._skips = folder, skips
        self._reader = Reader(skips, progress, parts=True)
        self._flattener = Flattener(folder, skips)

    def know(self, source: Path, medications: Sequence[Path], before: Mapping[str, Sequence[Any]]) -> None:
        """Hear of what comes before the source: files that hold Medications, and keys of rows that are there."""
        for document in Reader(SkipLog()).documents(source, medications) if medications else ():
            self._flattener.remember(document)
        for name, keys in before.items():
            self._flattener.writers[name].know(keys)

    def read(self, source: Path, files: Sequence[Path] | None = None) -> None:
        """Take everything under ``source``, or only these ``files`` of it."""
        for document in self._reader.documents(source, files):
            self._flattener.take(document)

    def take(self, name: str, data: bytes) -> None:
        """Take the bytes of one JSON file; ``name`` is what messages call it."""
        for document in self._reader.document(name, data):
            self._flattener.take(document)

    def close(self) -> None:
        """Write what is left."""
        self._flattener.close()

    def abandon(self) -> None:
        """Let go of the files; what is in them is not to be used."""
        self._flattener.abandon()

    def result(self, source: str) -> FlattenResult:
        """What was made of it, once it is closed; what was skipped is listed beside the tables.

        Raises
        ------
        InputError
            When there was no FHIR R4 at all.
        """
        self._skips.write(self._folder / "skipped.ndjson")
        result = self.counted()
        if not any(result.rows.values()) and not result.unsupported:
            raise InputError(nothing_found(source, self._skips))
        return result

    def counted(self) -> FlattenResult:
        """What was made of it, once it is closed, be it nothing."""
        rows = {name: writer.written for name, writer in self._flattener.writers.items()}
        tally = self._flattener.tally
        earliest, latest = _span(self._folder / "encounters.parquet")
        return FlattenResult(
            rows=rows,
            unsupported=dict(sorted(tally.unsupported.items())),
            skipped=self._skips.counts(),
            ignored=dict(sorted(self._reader.ignored.items())),
            dropped_codings=tally.dropped,
            unresolved=tally.unresolved,
            undated=sum(writer.undated for writer in self._flattener.writers.values()),
            earliest=earliest,
            latest=latest,
        )


class Flattener:
    """Takes documents and writes the tables.

    Parameters
    ----------
    folder
        Where the tables are written.
    skips
        Takes resources that cannot become a row.
    """

    def __init__(self, folder: Path, skips: SkipLog) -> None:
        self.writers = {table.name: TableWriter(table, folder, self._refuse) for table in TABLES}
        self.tally = _Tally()
        self._skips = skips
        self._by_type = {table.resource: (ROWS[table.resource], self.writers[table.name]) for table in TABLES}
        self._medications: dict[str, Any] = {}

    def take(self, document: Document) -> None:
        """Make rows of every resource of a document."""
        self.remember(document)
        lookup = Lookup(document.entries, self._medications, document.source, document.known)
        by_type = self._by_type
        for number, (url, resource) in enumerate(document.entries):
            kind = resource["resourceType"]
            made = by_type.get(kind)
            if made is None:
                self.tally.unsupported[kind] += 1
                continue
            name = id_of(url, resource)
            if name is None:
                self._skip(document, number, "has no id", "give it an id, or its Bundle entry a fullUrl")
                continue
            try:
                rows = made[0](resource, name, lookup)
            except NoPatient as error:
                self._skip(document, number, str(error), "add it, or put the patient into the same file")
            except (TypeError, AttributeError, KeyError, IndexError):
                self._skip(document, number, SHAPE, "have its source corrected")
            else:
                made[1].add(rows, (document.source, document.places[number] if document.places else None))
        self.tally.dropped += lookup.dropped
        self.tally.unresolved += lookup.unresolved
        self._flush_full()

    def close(self) -> None:
        """Write what is left."""
        for writer in self.writers.values():
            writer.close()

    def abandon(self) -> None:
        """Let go of the files; what is in them is not to be used."""
        for writer in self.writers.values():
            with suppress(Exception):
                writer.abandon()

    def _flush_full(self) -> None:
        for writer in self.writers.values():
            if len(writer.rows) >= GROUP:
                writer.flush()

    def remember(self, document: Document) -> None:
        """Keep the codes of Medications: a bulk export has them in a file of their own."""
        if document.known is not None and len(self._medications) < MEDICATIONS:
            self._medications |= document.known.medications
        for url, resource in document.entries:
            if resource["resourceType"] == "Medication" and len(self._medications) < MEDICATIONS:
                name = id_of(url, resource)
                if name is not None:
                    self._medications[name] = resource.get("code")

    def _skip(self, document: Document, number: int, problem: str, advice: str) -> None:
        self._skips.add(Skip(document.source, document.place(number), problem, advice))

    def _refuse(self, resource: str, row: Row, place: tuple[str, int | None], problem: str, advice: str) -> None:
        source, number = place
        start = "" if number is None else f"entry[{number}] "
        self._skips.add(Skip(source, f"{start}{resource}/{row[0]}", problem, advice))


@contextmanager
def _no_cycles() -> Iterator[None]:
    """Parsed JSON has no reference cycles: looking for them again and again is a tenth of the time."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _span(path: Path) -> tuple[str | None, str | None]:
    ends = pc.min_max(pq.read_table(path, columns=["end"])["end"]).as_py()
    return tuple(None if ends[side] is None else ends[side].isoformat() for side in ("min", "max"))  # type: ignore[return-value]


def nothing_found(source: str, skips: SkipLog) -> str:
    """What to say of a source that holds no FHIR."""
    first = f"; the first of {len(skips.items)} problems: {skips.items[0]}" if skips.items else ""
    advice = "give FHIR R4 JSON Bundles, resources or NDJSON, as they are, in .gz, in .zip or in a folder"
    return f"{source}: no FHIR resources found; {advice}{first}"
