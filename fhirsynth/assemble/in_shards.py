"""Rows and tables to Bundles in shards: each is a pure function of its rows, done by an engine wherever that may be."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson
import pandas as pd

from fhirsynth.assemble import rewrite, stage
from fhirsynth.assemble.inputs import look_over, read_rows
from fhirsynth.assemble.rewrite import RewriteResult
from fhirsynth.assemble.slices import Folder, patients, pieces, positions, providers
from fhirsynth.assemble.stage import AssembleResult, Telling
from fhirsynth.assemble.timeline import Timeline
from fhirsynth.schema import FeatureSchema
from fhirsynth.stored import Stored, files_of
from synthea_bridge.engines import Engine, Task, Tell, shown
from synthea_bridge.place import File, Listed, Place
from synthea_bridge.progress import Progress, silent
from synthea_bridge.sinks import Compression, lines_name, writing
from synthea_bridge.skips import Skip, SkipLog
from synthea_bridge.tables import TABLES

SHARD: Final = 1000
"""Rows of a shard by default."""
BUNDLES: Final = "bundles"
SHARED: Final = "shared"
NAMES: Final = tuple(table.name for table in TABLES)


@dataclass(frozen=True, slots=True)
class Manner:
    """How rows become lives.

    Parameters
    ----------
    rows, schema, timeline
        Where they are, as all workers see it.
    """

    rows: File
    schema: File
    timeline: File
    run_id: str
    seed: int
    years: float | None
    locale: str
    ssn: bool

    def telling(self) -> Telling:
        """The same, read."""
        with self.schema.here() as path:
            schema = FeatureSchema.load(path)
        with self.timeline.here() as path:
            lives = Timeline.load(path)
        return Telling(schema, lives, self.run_id, self.seed, self.years, self.locale, self.ssn)

    def opened(self) -> tuple[Telling, pd.DataFrame]:
        """The same and the rows, read once for all shards that a process makes."""
        return _opened(self)


@lru_cache(maxsize=1)
def _opened(manner: Manner) -> tuple[Telling, pd.DataFrame]:
    told = manner.telling()
    with manner.rows.here() as path:
        return told, read_rows(path, told.schema)


@dataclass(frozen=True, slots=True)
class RowsWork:
    """Makes Bundles of the rows from ``start`` to ``stop``, reads them back and looks them over."""

    key: str
    manner: Manner
    start: int
    stop: int
    compression: Compression
    strict: bool

    def __call__(self, folder: Path, tell: Tell) -> dict[str, Any]:
        """Says what was made."""
        told, whole = self.manner.opened()
        rows = whole.iloc[self.start : self.stop].reset_index(drop=True)
        result = AssembleResult(told.run_id, skips=SkipLog(self.strict), years=told.years)
        _write(folder, self.key, self.compression, _told(stage.bundles_of(rows, told, result), len(rows), tell))
        without = {skip.entry for skip in result.skips.items}
        clinical = look_over(folder / BUNDLES, rows, told.schema, told.run_id, without) if result.patients else {}
        return {**_counted(result), "clinical": clinical}


@dataclass(frozen=True, slots=True)
class TablesWork:
    """Makes Bundles of the patients in one shard of tables."""

    key: str
    tables: Place
    files: tuple[Listed, ...]
    root: str
    run_id: str | None
    compression: Compression
    strict: bool

    def __call__(self, folder: Path, tell: Tell) -> dict[str, Any]:
        """Says what was made."""
        result = RewriteResult(self.root, skips=SkipLog(self.strict))
        with self.tables.here(self.files) as tables, tempfile.TemporaryDirectory(prefix="fhirsynth-") as scratch:
            for table in TABLES:
                (file,) = files_of(tables, table.name, self.key)
                (Path(scratch) / f"{table.name}.parquet").symlink_to(file.absolute())
            opened = Folder.open(Path(scratch))
            bundles = rewrite.bundles_of(opened, self.run_id, result)
            _write(folder, self.key, self.compression, _told(bundles, len(opened.position), tell))
        return {**_counted(result), "left_out": dict(result.left_out)}


@dataclass(frozen=True, slots=True)
class LinesWork:
    """Writes Bundles that are known already."""

    key: str
    bundles: tuple[bytes, ...]
    compression: Compression

    def __call__(self, folder: Path, tell: Tell) -> dict[str, Any]:
        """Says nothing more."""
        _write(folder, self.key, self.compression, self.bundles)
        return {}


@dataclass(slots=True)
class Shards:
    """Where and how Bundles in shards are written.

    Parameters
    ----------
    out
        A folder, or what else the engine can write to.
    made_from
        All that decides what is in them.
    """

    engine: Engine
    out: str
    made_from: str
    compression: Compression = "gzip"
    progress: Progress = silent

    def rows(self, manner: Manner, count: int, size: int, skips: SkipLog) -> AssembleResult:
        """Bundles of synthetic rows, ``bundles/rows-NNNNN.ndjson``, and ``bundles/shared.ndjson``."""
        result = AssembleResult(manner.run_id, skips=skips, years=manner.years)
        works = [
            RowsWork(f"rows-{number:05d}", manner, start, start + size, self.compression, skips.strict)
            for number, start in enumerate(range(0, count, size))
        ]
        self._shared(stage.shared_bundle(result))
        found = [self._take(outcome, result)["clinical"] for outcome in self._run(works, count)]
        result.clinical = _clinical([one for one in found if one])
        return result

    def tables(self, tables: Stored, run_id: str | None, skips: SkipLog) -> RewriteResult:
        """Bundles of tables in shards, ``bundles/KEY.ndjson``, and ``bundles/shared.ndjson``."""
        ids, named = _overview(tables)
        root = run_id or rewrite.root_of(ids)
        result = RewriteResult(root, skips=skips)
        works = [
            TablesWork(key, tables.place, tuple(tables.of(NAMES, key)), root, run_id, self.compression, skips.strict)
            for key in tables.shards
        ]
        shared = rewrite.shared_bundle(named, result)
        if shared is not None:
            self._shared(shared)
        for outcome in self._run(works, len(ids)):
            self._take(outcome, result)
            result.left_out.update(outcome["left_out"])
        return result

    def _run(self, works: Sequence[RowsWork | TablesWork], patients: int) -> Iterator[dict[str, Any]]:
        tell = shown(self.progress, patients, len(works))
        tasks = [Task(work.key, work) for work in works]
        for _, mark in self.engine.run(tasks, self.out, made_from=self.made_from, tell=tell):
            yield mark["outcome"]

    def _shared(self, bundle: bytes) -> None:
        task = Task(SHARED, LinesWork(SHARED, (bundle,), self.compression))
        list(self.engine.run([task], self.out, made_from=self.made_from))

    @staticmethod
    def _take(outcome: dict[str, Any], result: AssembleResult) -> dict[str, Any]:
        result.patients += outcome["patients"]
        result.resources.update(outcome["resources"])
        for skip in outcome["skips"]:
            result.skips.add(Skip(**skip))
        return outcome


def _overview(tables: Stored) -> tuple[Sequence[str], set[str]]:
    """Who the patients are, and what encounters say of who provided them; two files are read at a time."""
    ids, named = list[str](), set[str]()
    for key in tables.shards:
        with tables.here(["patients", "encounters"], key) as folder:
            ids += patients(pieces(folder, "patients", key))
            named |= providers(pieces(folder, "encounters", key))
    return list(positions(ids, tables.place / "patients")), named


def _write(folder: Path, key: str, compression: Compression, bundles: Iterable[bytes | None]) -> None:
    with writing(folder / BUNDLES / lines_name(key, compression), compression) as lines:
        for bundle in bundles:
            if bundle is not None:
                lines.write(orjson.dumps(orjson.loads(bundle)) + b"\n")


def _told(bundles: Iterable[bytes | None], number: int, tell: Tell) -> Iterator[bytes | None]:
    """Bundles of so many patients, told as they go."""
    for done, bundle in enumerate(bundles, start=1):
        yield bundle
        tell(done / number)


def _counted(result: AssembleResult) -> dict[str, Any]:
    skips = [asdict(one) for one in result.skips.items]
    return {"patients": result.patients, "resources": dict(result.resources), "skips": skips}


def _clinical(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the clinical rules say of all shards."""
    if not found:
        return {}
    broken: Counter[str] = Counter()
    for one in found:
        broken.update(one["broken"])
    sums = {name: sum(one[name] for one in found) for name in ("errors", "warnings")}
    return {"rules": found[0]["rules"], **sums, "broken": dict(broken)}
