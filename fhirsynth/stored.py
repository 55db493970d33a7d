"""Tables where they are stored: ``NAME.parquet`` in a folder, or ``NAME/shard=KEY/NAME.parquet``, a file a shard."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from fhirsynth.errors import UsageError
from synthea_bridge.place import MANIFEST, Listed, Place

PARTITION: Final = "shard="
_PART: Final = re.compile(f"([^/]+)/{PARTITION}([^/]+)/[^/]+\\.parquet")
WEIGHED: Final = frozenset({"weight", "source"})
"""The column that is filled in when a simulation in shards is read, and the one that it takes."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Tables at a place, as they were listed.

    Parameters
    ----------
    files
        Their bytes, by name.
    parts
        Those of tables in shards, by table and shard.
    shards
        Those in which a patient has all rows in one, as simulated ones have; none elsewhere.
    """

    place: Place
    files: Mapping[str, int]
    parts: Mapping[str, Mapping[str, Sequence[Listed]]]
    shards: tuple[str, ...]

    @classmethod
    def at(cls, tables: Place | Path) -> Stored:
        """Those in a folder, or at a URL that an engine reaches."""
        place = Place.of(tables)
        files: Mapping[str, int] = {}
        with suppress(FileNotFoundError):
            folder, found = place.listed()
            files = found if folder == place else {}
        parts: dict[str, dict[str, list[Listed]]] = {}
        for name, size in files.items():
            if (split := _PART.fullmatch(name)) is not None:
                parts.setdefault(split[1], {}).setdefault(split[2], []).append((name, size))
        return cls(place, files, parts, tuple(parts.get("patients", ())) if _closed(place) else ())

    def of(self, names: Iterable[str], shard: str | None = None) -> list[Listed]:
        """The files of tables, with their bytes; of one shard only, if it is named."""
        found: list[Listed] = []
        for table in names:
            single = f"{table}.parquet"
            if shard is None and single in self.files:
                found.append((single, self.files[single]))
                continue
            parts = self.parts.get(table, {})
            for key in parts if shard is None else (shard,):
                found += parts.get(key, ())
        return found

    @contextmanager
    def here(self, names: Iterable[str], shard: str | None = None) -> Iterator[Path]:
        """A folder with these tables, or one shard of them, as they lie there; see :meth:`Place.here`."""
        beside: list[Listed] = [(MANIFEST, self.files[MANIFEST])] if MANIFEST in self.files else []
        with self.place.here([*self.of(names, shard), *beside]) as folder:
            yield folder


def stored(tables: Path, name: str) -> bool:
    """Whether a folder has a table."""
    return bool(_files(tables, name))


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


def _closed(tables: Place) -> bool:
    """Whether a manifest says that a patient has all rows in one shard."""
    try:
        manifest = orjson.loads(tables.read(MANIFEST))
        return "generated" in manifest or bool(manifest.get("shards_by_patient", False))
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def _files(tables: Path, name: str, shard: str | None = None) -> list[Path]:
    single = tables / f"{name}.parquet"
    if shard is None and single.exists():
        return [single]
    return sorted((tables / name).glob(f"{PARTITION}{shard or '*'}/*.parquet"))
