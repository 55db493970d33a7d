"""Rows of a table in batches: as Arrow columns, each key once, and comparable with those of other batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Final

import numpy as np
import pyarrow as pa

from synthea_bridge.dates import days, instants
from synthea_bridge.rows import Row
from synthea_bridge.skips import Skip
from synthea_bridge.tables import INSTANT, Column, Table

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
TYPES: Final[dict[pa.DataType, Any]] = {pa.string(): str, pa.float64(): (int, float), pa.int16(): int, pa.bool_(): bool}
TWICE: Final = ("is there twice; the first one is kept", "remove one of them")
MISSHAPEN: Final = ("holds a value of a type that FHIR R4 does not allow there", "have its source corrected")
ODD: Final = np.uint64(0x9E3779B97F4A7C15)
"""Keeps the hashes of the components of an Observation apart."""


Refuse = Callable[[Skip], None]
"""Called with what is said of a row that is left out."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one table.

    Parameters
    ----------
    table
        Its name.
    data
        The rows.
    hashes
        Of their keys, and behind them of the keys of rows that do not fit.
    sources, numbers
        The place of each row's resource.
    """

    table: str
    data: pa.Table
    hashes: Hashes
    sources: list[str]
    numbers: list[int | None]


class Seen:
    """Hashes of keys that were there, in sorted runs: eight bytes a row, where a set takes a hundred."""

    def __init__(self) -> None:
        self._runs: list[Hashes] = []

    def first(self, hashes: Hashes | Sequence[int]) -> list[bool]:
        """Whether each is met for the first time."""
        new, position = np.unique(np.asarray(hashes, np.uint64), return_index=True)
        known = np.zeros(len(new), dtype=bool)
        for run in self._runs:
            known |= run[np.minimum(np.searchsorted(run, new), len(run) - 1)] == new
        fresh = np.zeros(len(hashes), dtype=bool)
        fresh[position[~known]] = True
        self._take(new[~known])
        return fresh.tolist()

    def _take(self, run: Hashes) -> None:
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        if len(run):
            self._runs.append(run)


def hashes_of(table: Table, rows: Sequence[Sequence[Any]]) -> Hashes:
    """Of the keys that rows begin with; the same in every process."""
    from pandas.util import hash_array  # takes its time, in which other processes can be at work already

    hashes: Hashes = hash_array(np.array([row[0] for row in rows], dtype=object), categorize=False)
    if len(table.key) == 1:
        return hashes
    return hashes + ODD * np.array([row[1] for row in rows], dtype=np.uint64)


class Batcher:
    """Takes the rows of one table.

    Parameters
    ----------
    table
        Its declaration.
    refuse
        Takes rows that are left out.
    """

    def __init__(self, table: Table, refuse: Refuse) -> None:
        self.table = table
        self.rows: list[Row] = []
        self._sources: list[str] = []
        self._numbers: list[int | None] = []
        self._refuse = refuse
        self._stored = [c for c in table.columns if c.dtype not in (INSTANT, pa.date32())]

    def add(self, rows: list[Row], source: str, number: int | None) -> None:
        """Take the rows of one resource."""
        self.rows += rows
        if len(rows) == 1:
            self._sources.append(source)
            self._numbers.append(number)
        else:
            self._sources += [source] * len(rows)
            self._numbers += [number] * len(rows)

    def batch(self) -> Batch | None:
        """What has come together; None when that is nothing."""
        if not self.rows:
            return None
        hashes = hashes_of(self.table, self.rows)
        first = Seen().first(hashes)  # whoever takes the batch knows those before
        if not all(first):
            self._keep(first, *TWICE)
            hashes = hashes[first]
        try:
            data = self._columns()
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            fits = np.array([all(map(_fits, self._stored, row)) for row in self.rows], dtype=bool)
            self._keep(fits, *MISSHAPEN)
            hashes = np.concatenate([hashes[fits], hashes[~fits]])
            data = self._columns()
        made = Batch(self.table.name, data, hashes, self._sources, self._numbers)
        self.rows, self._sources, self._numbers = [], [], []
        return made

    def _keep(self, keep: Sequence[bool] | np.ndarray[Any, np.dtype[np.bool_]], problem: str, advice: str) -> None:
        for row, source, number, wanted in zip(self.rows, self._sources, self._numbers, keep, strict=True):
            if not wanted:
                self._refuse(refusal(self.table, row[0], source, number, problem, advice))
        self.rows = list(compress(self.rows, keep))
        self._sources = list(compress(self._sources, keep))
        self._numbers = list(compress(self._numbers, keep))

    def _columns(self) -> pa.Table:
        values = zip(*self.rows, strict=True) if self.rows else ((),) * len(self._stored)
        made = {c.name: pa.array(v, c.dtype) for c, v in zip(self._stored, values, strict=True)}
        for column in self.table.columns:
            if column.name not in made:
                made[column.name] = (instants if column.dtype == INSTANT else days)(made[f"{column.name}_text"])
        return pa.Table.from_arrays([made[name] for name in self.table.names], schema=self.table.schema)


def refusal(table: Table, name: str, source: str, number: int | None, problem: str, advice: str) -> Skip:
    """What is said of a row that is left out."""
    start = "" if number is None else f"entry[{number}] "
    return Skip(source, f"{start}{table.resource}/{name}", problem, advice)


def _fits(column: Column, value: Any) -> bool:
    if value is None:
        return column.nullable
    wanted = TYPES[column.dtype]
    return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
