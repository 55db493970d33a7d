"""Tables where they are stored: ``NAME.parquet`` in a folder, or ``NAME/shard=KEY/NAME.parquet``, a file a shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.dataset as ds
import pyarrow.parquet as pq

from fhirsynth.errors import UsageError
from synthea_bridge.files import read_json

PARTITION: Final = "shard="
WEIGHED: Final = frozenset({"weight", "source"})
"""The column that is filled in when a simulation in shards is read, and the one that it takes."""


def stored(tables: Path, name: str) -> bool:
    """Whether a folder has a table."""
    return bool(_files(tables, name))


def shards_of(tables: Path) -> list[str]:
    """The shards of tables in which a patient has all rows in one, as simulated ones have; none elsewhere."""
    try:
        manifest = read_json(tables / "manifest.json")
        closed = "generated" in manifest or manifest.get("shards_by_patient", False)
    except (OSError, ValueError, TypeError, AttributeError):
        closed = False
    patients = sorted((tables / "patients").glob(f"{PARTITION}*")) if closed else []
    return [folder.name.removeprefix(PARTITION) for folder in patients]


def files_of(tables: Path, name: str, shard: str | None = None) -> list[Path]:
    """The files of a table, in order; of one shard only, if it is named.

    Raises
    ------
    UsageError
        When there is no such table.
    """
    found = _files(tables, name, shard)
    if not found:
        path = tables / f"{name}.parquet"
        raise UsageError(f"{path}: there is no such table; make it with: fhirsynth flatten SRC --out {tables}")
    return found


def dataset(files: Iterable[Path]) -> ds.Dataset:
    """Files of one table as one data set; the shard is no column of it."""
    return ds.dataset([str(path) for path in files], format="parquet", partitioning=None)


def read(
    tables: Path,
    name: str,
    columns: Sequence[str] | None = None,
    filters: Any = None,
    shard: str | None = None,
) -> Any:
    """The rows of a table as an Arrow table; simulated ``patients`` have their sampling weights.

    Parameters
    ----------
    columns
        Which of them, by default all.
    filters
        As ``pyarrow.parquet.read_table`` takes them.
    shard
        Only the rows of this one.

    Raises
    ------
    UsageError
        When there is no such table.
    """
    files = files_of(tables, name, shard)
    sharded = files[0].parent != tables
    table = pq.read_table([str(path) for path in files], columns=columns, filters=filters, partitioning=None)
    return _weighed(tables, table) if sharded and set(table.column_names) >= WEIGHED else table


@dataclass(frozen=True, slots=True)
class Pieces:
    """The files of one table as if they were one Parquet file, of which one is open at a time."""

    paths: Sequence[Path]

    @property
    def schema(self) -> Any:
        """Its Arrow schema."""
        return pq.read_schema(self.paths[0])

    @property
    def num_rows(self) -> int:
        """Rows of all files."""
        return sum(pq.read_metadata(path).num_rows for path in self.paths)

    def batches(self, size: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Record batches of at most ``size`` rows, file after file."""
        for path in self.paths:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                yield from file.iter_batches(size, columns=columns)


def _weighed(tables: Path, patients: Any) -> Any:
    from synthea_bridge.prevalence import parts_of, weigh_rows

    parts: Sequence[Mapping[str, Any]] = parts_of(tables)
    return weigh_rows(patients, parts) if parts else patients


def _files(tables: Path, name: str, shard: str | None = None) -> list[Path]:
    single = tables / f"{name}.parquet"
    if shard is None and single.exists():
        return [single]
    return sorted((tables / name).glob(f"{PARTITION}{shard or '*'}/*.parquet"))
