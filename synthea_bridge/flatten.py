"""FHIR R4 in any shape to the tables of ``tables.py``, in one pass and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from synthea_bridge.batches import Batch
from synthea_bridge.bundles import Reader
from synthea_bridge.errors import InputError
from synthea_bridge.files import atomic_folder, write_json
from synthea_bridge.flattener import MEDICATIONS, Flattener, Tally
from synthea_bridge.groups import flatten_group, flatten_groups, grouped, no_cycles, workers_for
from synthea_bridge.parquet import TableWriter
from synthea_bridge.prevalence import parts_of, weigh
from synthea_bridge.progress import Progress, silent
from synthea_bridge.skips import Skip, SkipLog
from synthea_bridge.tables import TABLES


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


def write_tables(
    source: Path | Sequence[Path],
    folder: Path,
    skips: SkipLog,
    progress: Progress = silent,
    *,
    root: Path | None = None,
    workers: int | None = 1,
) -> FlattenResult:
    """Write the tables into a folder that exists; see :func:`flatten`.

    Parameters
    ----------
    source
        As of :func:`flatten`, or files in the order in which they are read.
    folder
        Where the tables are written.
    skips
        Takes what cannot be read.
    progress
        Called with files done and files in all.
    root
        The folder that names of files, in messages and in the column ``source``, begin below; what ``source`` is, or
        what it lies in.
    workers
        Processes that read; None: as many as pay. The tables are the same bytes with any number of them.
    """
    with tables_in(folder, skips, progress) as tables:
        tables.read(source, root, workers)
    one = source if isinstance(source, Path) else None
    result = tables.result(str(one or root or "files"))
    if one is not None and (parts := parts_of(one)):
        weigh(folder, parts)
    return result


@contextmanager
def tables_in(folder: Path, skips: SkipLog, progress: Progress = silent) -> Iterator[Tables]:
    """Tables in a folder that exists, to be filled in the block and complete when it is left."""
    tables = Tables(folder, skips, progress)
    try:
        with no_cycles():
            yield tables
            tables.close()
    except BaseException:
        tables.abandon()
        raise


class Tables:
    """The six tables while they are filled, from a source or Bundle by Bundle."""

    def __init__(self, folder: Path, skips: SkipLog, progress: Progress) -> None:
        self._folder, self._skips, self._progress = folder, skips, progress
        self._tally = Tally()
        self._medications: dict[str, Any] = {}
        self._writers = {table.name: TableWriter(table, folder, skips.add) for table in TABLES}
        self._reader = Reader(skips, parts=True, shaped=True)
        self._give = partial(_give, skips.add, self._writers)  # no reference to self: it goes as soon as it is let go
        self._flattener = Flattener(self._give, skips, self._medications)

    def know(self, medications: Sequence[Path], before: Mapping[str, Sequence[Any]]) -> None:
        """Hear of what comes before the source: files that hold Medications, and keys of rows that are there."""
        files = self._reader.files(medications)
        self._medications |= flatten_group(files, lambda _: None, {}).medications
        for name, keys in before.items():
            self._writers[name].know(keys)

    def read(self, source: Path | Sequence[Path], root: Path | None = None, workers: int | None = 1) -> None:
        """Take everything under ``source``; see :func:`write_tables`."""
        files = self._reader.files(source, root)
        count = workers_for(files) if workers is None else workers
        taken = 0
        groups = grouped(files)
        pieces = sum(map(len, groups))
        for group, done in flatten_groups(groups, self._give, self._medications, count):
            taken += len(group)
            self._progress(taken, pieces, group[-1].name)
            self._tally.add(done.tally)
            if len(self._medications) < MEDICATIONS:
                self._medications |= done.medications

    def take(self, name: str, file: IO[bytes]) -> None:
        """Take one JSON file; ``name`` is what messages call it."""
        for document in self._reader.document(name, file):
            self._flattener.take(document)

    def close(self) -> None:
        """Write what is left."""
        self._flattener.close()
        self._tally.add(self._flattener.tally)
        self._tally.ignored += self._reader.ignored
        for writer in self._writers.values():
            writer.close()

    def abandon(self) -> None:
        """Let go of the files; what is in them is not to be used."""
        for writer in self._writers.values():
            with suppress(Exception):
                writer.abandon()

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
        rows = {name: writer.written for name, writer in self._writers.items()}
        tally = self._tally
        earliest, latest = _span(self._folder / "encounters.parquet")
        return FlattenResult(
            rows=rows,
            unsupported=dict(sorted(tally.unsupported.items())),
            skipped=self._skips.counts(),
            ignored=dict(sorted(tally.ignored.items())),
            dropped_codings=tally.dropped,
            unresolved=tally.unresolved,
            undated=sum(writer.undated for writer in self._writers.values()),
            earliest=earliest,
            latest=latest,
        )


def _give(skip: Callable[[Skip], None], writers: Mapping[str, TableWriter], item: Batch | Skip) -> None:
    """To where it belongs."""
    if isinstance(item, Skip):
        skip(item)
    else:
        writers[item.table].take(item)


def _span(path: Path) -> tuple[str | None, str | None]:
    ends = pc.min_max(pq.read_table(path, columns=["end"])["end"]).as_py()
    return tuple(None if ends[side] is None else ends[side].isoformat() for side in ("min", "max"))  # type: ignore[return-value]


def nothing_found(source: str, skips: SkipLog) -> str:
    """What to say of a source that holds no FHIR."""
    first = f"; the first of {len(skips.items)} problems: {skips.items[0]}" if skips.items else ""
    advice = "give FHIR R4 JSON Bundles, resources or NDJSON, as they are, in .gz, in .zip or in a folder"
    return f"{source}: no FHIR resources found; {advice}{first}"
