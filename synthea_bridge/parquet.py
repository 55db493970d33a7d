"""Rows to Parquet, a row group at a time, each key once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synthea_bridge.dates import days, instants
from synthea_bridge.rows import Row
from synthea_bridge.tables import INSTANT, Column, Table

GROUP: Final = 20_000
"""Rows that are held before they are written: some 30 MB of observations, and enough for Parquet to compress."""
Refuse = Callable[[str, Row, Any, str, str], None]
"""Called with the resource type, a row that is not written, its place, what is wrong and what to do."""
TYPES: Final[dict[pa.DataType, Any]] = {pa.string(): str, pa.float64(): (int, float), pa.int16(): int, pa.bool_(): bool}


class Seen:
    """Hashes of keys that have been written, in sorted runs: eight bytes a row, where a set takes a hundred."""

    def __init__(self) -> None:
        self._runs: list[np.ndarray[Any, np.dtype[np.int64]]] = []

    def first(self, keys: Sequence[Any]) -> list[bool]:
        """Whether each key is met for the first time."""
        hashes = np.fromiter(map(hash, keys), np.int64, len(keys))
        new, position = np.unique(hashes, return_index=True)
        known = np.zeros(len(new), dtype=bool)
        for run in self._runs:
            known |= run[np.minimum(np.searchsorted(run, new), len(run) - 1)] == new
        fresh = np.zeros(len(keys), dtype=bool)
        fresh[position[~known]] = True
        self._take(new[~known])
        return fresh.tolist()

    def _take(self, run: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        if len(run):
            self._runs.append(run)


class TableWriter:
    """Writes one table.

    Parameters
    ----------
    table
        Its declaration.
    folder
        Where ``NAME.parquet`` is written.
    refuse
        Takes rows that cannot be written.
    """

    def __init__(self, table: Table, folder: Path, refuse: Refuse) -> None:
        self.table = table
        self.rows: list[Row] = []
        self.places: list[Any] = []
        self.written = 0
        self.undated = 0
        self._refuse = refuse
        self._seen = Seen()
        self._key = len(table.key)
        self._stored = [c for c in table.columns if c.dtype not in (INSTANT, pa.date32())]
        repeated = [c.name for c in table.columns if c.name not in table.key and not c.name.endswith("_text")]
        self._writer = pq.ParquetWriter(
            folder / f"{table.name}.parquet", table.schema, compression="zstd", use_dictionary=repeated
        )

    def know(self, keys: Sequence[Any]) -> None:
        """Hear of keys that are written elsewhere, and are not to be written again."""
        self._seen.first(keys)

    def add(self, rows: list[Row], place: Any) -> None:
        """Take the rows of one resource."""
        self.rows += rows
        self.places += [place] * len(rows)

    def flush(self) -> None:
        """Write what is held."""
        if not self.rows:
            return
        self._drop_repeated()
        try:
            columns = self._columns()
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            self._drop_misshapen()
            columns = self._columns()
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self.table.schema))
        self.written += len(self.rows)
        self.rows, self.places = [], []

    def close(self) -> None:
        """Write the rest and finish the file."""
        self.flush()
        self._writer.close()

    def abandon(self) -> None:
        """Finish the file without what is held."""
        self._writer.close()

    def _drop_repeated(self) -> None:
        width = self._key
        keys = [row[0] for row in self.rows] if width == 1 else [row[:width] for row in self.rows]
        first = self._seen.first(keys)
        if all(first):
            return
        self._keep(first, "is there twice; the first one is kept", "remove one of them")

    def _keep(self, keep: Sequence[bool], problem: str, advice: str) -> None:
        for row, place, wanted in zip(self.rows, self.places, keep, strict=True):
            if not wanted:
                self._refuse(self.table.resource, row, place, problem, advice)
        self.places = [place for place, wanted in zip(self.places, keep, strict=True) if wanted]
        self.rows = [row for row, wanted in zip(self.rows, keep, strict=True) if wanted]

    def _drop_misshapen(self) -> None:
        fits = [all(map(_fits, self._stored, row)) for row in self.rows]
        self._keep(fits, "holds a value of a type that FHIR R4 does not allow there", "have its source corrected")

    def _columns(self) -> list[pa.Array]:
        values = zip(*self.rows, strict=True) if self.rows else ((),) * len(self._stored)
        made = {c.name: pa.array(v, c.dtype) for c, v in zip(self._stored, values, strict=True)}
        for column in self.table.columns:
            if column.name not in made:
                texts = made[f"{column.name}_text"]
                made[column.name] = (instants if column.dtype == INSTANT else days)(texts)
                self.undated += made[column.name].null_count - texts.null_count
        return [made[name] for name in self.table.names]


def _fits(column: Column, value: Any) -> bool:
    if value is None:
        return column.nullable
    wanted = TYPES[column.dtype]
    return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
