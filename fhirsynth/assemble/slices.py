"""Tables patient by patient: a folder that ``flatten`` has filled, in memory that does not grow with it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fhirsynth.errors import UsageError
from fhirsynth.stored import Pieces, files_of
from synthea_bridge.skips import Skip, SkipLog
from synthea_bridge.tables import INSTANT, TABLES, Table

SLICE: Final = 5
"""Patients that are held at a time; a simulated one has some 2,700 rows, and old people ten times as many."""
BATCH: Final = 8192
"""Rows that are read at a time."""
PART: Final = 200_000
"""Rows that are sorted at a time, where a table is not in the order of patients."""
Slice = dict[str, pa.Table]
"""The rows of a few patients, by table."""
Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of tables: where they are, and the place of each patient in their order.

    Memory is that of the patients' ids.
    """

    path: Path
    position: dict[str, int]
    rows: dict[str, int]

    @classmethod
    def open(cls, path: Path) -> Folder:
        """Look at the tables, without reading them.

        Raises
        ------
        UsageError
            When one is missing, cannot be read, or lacks a column, or ``patients`` has a patient twice.
        """
        files = {table.name: pieces(path, table.name) for table in TABLES}
        position = positions(patients(files["patients"]), path / "patients.parquet")
        return cls(path, position, {name: file.num_rows for name, file in files.items()})

    def slices(self, size: int = SLICE, skips: SkipLog | None = None) -> Generator[Slice, None, None]:
        """The rows of ``size`` patients after the other, in the order of ``patients``.

        Parameters
        ----------
        skips
            Takes patients that a table has rows of and that ``patients`` does not have; by default the first is raised.
        """
        taken = skips if skips is not None else SkipLog(strict=True)
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fhirsynth-")))
            rows = {table.name: _Rows(self._in_order(table, scratch, taken), table, self.position) for table in TABLES}
            for end in range(size, len(self.position) + size, size):
                yield {name: one.until(end) for name, one in rows.items()}

    def _in_order(self, table: Table, scratch: Path, skips: SkipLog) -> Pieces:
        """The table, or a copy of it in the order of patients."""
        file = pieces(self.path, table.name)
        last, ordered, strangers = -1, True, Counter[str]()
        for batch in file.batches(BATCH, ["patient_id"]):
            places = _places(batch["patient_id"], self.position)
            for name in batch["patient_id"].filter(pa.array(places < 0)).to_pylist():
                strangers[name] += 1
            places = places[places >= 0]
            ordered = ordered and bool((np.diff(places, prepend=last) >= 0).all())
            last = int(places[-1]) if len(places) else last
        for name, count in strangers.items():
            problem, advice = "is not in patients.parquet; the rows are left out", "flatten the patient with the rest"
            skips.add(Skip(f"{table.name}.parquet", f"Patient/{name} ({count} rows)", problem, advice))
        return file if ordered else _sorted(file, self.position, scratch / f"{table.name}.parquet")


def pieces(folder: Path, name: str, shard: str | None = None) -> Pieces:
    """The files of a table, once each has been looked at; of one shard only, if it is named.

    Raises
    ------
    UsageError
        When there are none, or one cannot be read or lacks a column.
    """
    paths = files_of(folder, name, shard)
    for path in paths:
        _check(path, next(table for table in TABLES if table.name == name))
    return Pieces(paths)


def patients(table: Pieces) -> list[str]:
    """Who is in ``patients``, in order."""
    return [name for batch in table.batches(BATCH, ["patient_id"]) for name in batch["patient_id"].to_pylist()]


def positions(ids: Sequence[str], where: object) -> dict[str, int]:
    """The place of each patient in their order.

    Raises
    ------
    UsageError
        When one is in ``where`` twice.
    """
    position = {name: number for number, name in enumerate(ids)}
    if len(position) < len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise UsageError(f"{where}: has the patient '{twice}' twice; keep one of the rows")
    return position


def providers(encounters: Pieces) -> set[str]:
    """What encounters say of who provided them."""
    found: set[str] = set()
    for batch in encounters.batches(BATCH, ["provider"]):
        found.update(batch["provider"].unique().drop_null().to_pylist())
    return found


def packed(part: Slice) -> dict[str, bytes]:
    """A slice as bytes, for another process."""
    found = {}
    for name, table in part.items():
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        found[name] = sink.getvalue().to_pybytes()
    return found


def unpacked(part: dict[str, bytes]) -> Slice:
    """What :func:`packed` has packed."""
    return {name: pa.ipc.open_stream(data).read_all() for name, data in part.items()}


def columns_of(table: Table) -> list[str]:
    """The columns that charts are made of: all but instants and days, whose texts say more."""
    return [one.name for one in table.columns if one.dtype not in (INSTANT, pa.date32())]


class _Rows:
    """The rows of a table that is in the order of patients."""

    def __init__(self, file: Pieces, table: Table, position: dict[str, int]) -> None:
        columns = columns_of(table)
        self._batches = file.batches(BATCH, columns)
        self._position = position
        self._left = pa.Table.from_batches([], pa.schema([table.schema.field(name) for name in columns]))
        self._places: Numbers = np.empty(0, np.int64)

    def until(self, end: int) -> pa.Table:
        """The rows, of those that are left, of patients before ``end``."""
        found = [self._left.slice(0, 0)]
        while True:
            cut = int(np.searchsorted(self._places, end))
            found.append(self._left.slice(0, cut))
            self._left, self._places = self._left.slice(cut), self._places[cut:]
            if len(self._places) or not self._next():
                return pa.concat_tables(found)

    def _next(self) -> bool:
        batch = next(self._batches, None)
        if batch is None:
            return False
        places = _places(batch["patient_id"], self._position)
        known = places >= 0
        read = pa.Table.from_batches([batch if known.all() else batch.filter(pa.array(known))])
        self._left = read.select(self._left.column_names).cast(self._left.schema)
        self._places = places[known]
        return True


def _check(path: Path, table: Table) -> None:
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path}: cannot be read as Parquet ({reason}); make it with: fhirsynth flatten") from error
    absent = [name for name in columns_of(table) if name not in schema.names]
    if absent:
        raise UsageError(f"{path}: lacks the columns {', '.join(absent)}; make it with: fhirsynth flatten")


def _places(ids: pa.Array, position: dict[str, int]) -> Numbers:
    """The place of each patient; -1 where there is none."""
    encoded = ids.dictionary_encode()
    known = np.array([position.get(name, -1) for name in encoded.dictionary.to_pylist()], np.int64)
    found: Numbers = known[encoded.indices.to_numpy()]
    return found


def _sorted(file: Pieces, position: dict[str, int], path: Path) -> Pieces:
    """A copy in the order of patients: first into parts by patient, then each part sorted; rows of one keep theirs."""
    count = -(-file.num_rows // PART)
    bounds = [len(position) * number // count for number in range(1, count)]
    with pq.ParquetWriter(path, file.schema, compression="zstd") as writer:
        for part in _parts(file, position, bounds, path.with_suffix(".parts")):
            places = _places(part["patient_id"].combine_chunks(), position)
            writer.write_table(part.take(pa.array(np.argsort(places, kind="stable"))), row_group_size=BATCH)
    return Pieces([path])


def _parts(file: Pieces, position: dict[str, int], bounds: Sequence[int], folder: Path) -> Iterator[pa.Table]:
    folder.mkdir()
    paths = [folder / f"{number}.arrow" for number in range(len(bounds) + 1)]
    with ExitStack() as stack:
        writers = [stack.enter_context(pa.ipc.new_stream(str(path), file.schema)) for path in paths]
        for batch in file.batches(BATCH):
            places = _places(batch["patient_id"], position)
            parts = np.where(places < 0, -1, np.searchsorted(np.asarray(bounds, np.int64), places, side="right"))
            for number in _distinct(parts):
                writers[number].write_batch(batch.filter(pa.array(parts == number)))
    for path in paths:
        with pa.OSFile(str(path)) as source:
            yield pa.ipc.open_stream(source).read_all()
        path.unlink()


def _distinct(parts: Numbers) -> Iterable[int]:
    return (int(number) for number in np.unique(parts) if number >= 0)
