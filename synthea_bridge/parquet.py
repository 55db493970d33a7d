"""Batches of rows to Parquet: row groups of one size, each key once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from synthea_bridge.batches import TWICE, Batch, Refuse, Seen, hashes_of, refusal
from synthea_bridge.tables import Table

GROUP: Final = 20_000
"""Rows of a row group: some 30 MB of observations while they are made, and enough for Parquet to compress."""


class TableWriter:
    """Writes one table; its bytes depend on the rows only, and not on the batches that they come in.

    Parameters
    ----------
    table
        Its declaration.
    folder
        Where ``NAME.parquet`` is written.
    refuse
        Takes rows that another batch has brought already.
    """

    def __init__(self, table: Table, folder: Path, refuse: Refuse) -> None:
        self.table = table
        self.written = 0
        self.undated = 0
        self._refuse = refuse
        self._seen = Seen()
        self._waiting = pa.Table.from_batches([], table.schema)
        self._dates = [name for name in table.names if f"{name}_text" in table.names]
        repeated = [c.name for c in table.columns if c.name not in table.key and not c.name.endswith("_text")]
        self._writer = pq.ParquetWriter(
            folder / f"{table.name}.parquet", table.schema, compression="zstd", use_dictionary=repeated
        )

    def know(self, keys: Sequence[Any]) -> None:
        """Hear of keys that are written elsewhere, and are not to be written again."""
        self._seen.first(hashes_of(self.table, keys))

    def take(self, batch: Batch) -> None:
        """Write whole row groups; the rest waits."""
        self._waiting = pa.concat_tables([self._waiting, self._fresh(batch)])
        while len(self._waiting) >= GROUP:
            self._write(self._waiting.slice(0, GROUP))
            self._waiting = self._waiting.slice(GROUP)

    def close(self) -> None:
        """Write the rest and finish the file."""
        if len(self._waiting):
            self._write(self._waiting)
        self._writer.close()
        self._waiting, self._seen = self._waiting.slice(0, 0), Seen()

    def abandon(self) -> None:
        """Finish the file without what is held."""
        self._writer.close()

    def _fresh(self, batch: Batch) -> pa.Table:
        first = self._seen.first(batch.hashes)[: len(batch.data)]
        if all(first):
            return batch.data
        again = [not new for new in first]
        ids = batch.data.column(0).filter(pa.array(again)).to_pylist()
        sources, numbers = compress(batch.sources, again), compress(batch.numbers, again)
        for name, source, number in zip(ids, sources, numbers, strict=True):
            self._refuse(refusal(self.table, name, source, number, *TWICE))
        return batch.data.filter(pa.array(first))

    def _write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows.combine_chunks())
        pa.default_memory_pool().release_unused()  # what was taken to pack them
        self.written += len(rows)
        self.undated += sum(rows[name].null_count - rows[f"{name}_text"].null_count for name in self._dates)


def partition(folder: Path, target: Path, key: str) -> None:
    """Move the tables in ``folder`` below ``target``, to where readers look for one partition of each."""
    for file in sorted(folder.glob("*.parquet")):
        place = target / file.stem / f"shard={key}" / file.name
        place.parent.mkdir(parents=True)
        file.replace(place)
