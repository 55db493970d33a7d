"""FHIR R4 to tables in shards: each takes some of the files, and the rows are those that one pass would give."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow.parquet as pq

from synthea_bridge.batches import Seen, hashes_of
from synthea_bridge.bundles import Reader
from synthea_bridge.engines import Engine, Mark, Task, mark_name
from synthea_bridge.errors import InputError, LimitError, UsageError
from synthea_bridge.flatten import nothing_found, tables_in
from synthea_bridge.prevalence import parts_of, weigh
from synthea_bridge.progress import Progress, silent
from synthea_bridge.skips import Skip, SkipLog
from synthea_bridge.streams import LIMITS, open_streams, suffix_of
from synthea_bridge.tables import TABLES
from synthea_bridge.totals import summed

SHARD_BYTES: Final = 64 << 20
"""Bytes of the source, as they lie there, that make a shard; a file is never divided."""
TWICE: Final = "twice"
Keys = Mapping[str, Sequence[Any]]
"""Keys of rows by table, as a row begins with them."""


@dataclass(frozen=True, slots=True)
class FilesWork:
    """Makes tables of some files of a source.

    Parameters
    ----------
    key
        Of the shard.
    source, files
        A folder and the names of files in it, or a file alone.
    medications
        Files before them whose Medications theirs may refer to.
    parts
        What a simulation says of sampling weights.
    before
        Keys of rows that earlier shards have, by table: the first one is kept.
    """

    key: str
    source: Path
    files: tuple[str, ...]
    medications: tuple[str, ...] = ()
    parts: Sequence[Mapping[str, Any]] = ()
    strict: bool = False
    before: Keys = field(default_factory=dict)

    def __call__(self, folder: Path) -> dict[str, Any]:
        """Says what was made and what was skipped."""
        skips = SkipLog(self.strict)
        with tables_in(folder, skips) as tables:
            tables.know(self._paths(self.medications), self.before)
            tables.read(self._paths(self.files), self.source if self.source.is_dir() else self.source.parent)
        result, closed = tables.counted(), _closed(folder)
        if self.parts:
            weigh(folder, list(self.parts))
        partition(folder, self.key)
        return {"tables": result.outcome, "skips": [asdict(one) for one in skips.items], "closed": closed}

    def _paths(self, names: Sequence[str]) -> list[Path]:
        return [self.source / name if name else self.source for name in names]


@dataclass(frozen=True, slots=True)
class TwiceWork:
    """Finds rows that an earlier shard has as well: the keys of these, by shard and table."""

    out: Path
    keys: tuple[str, ...]

    def __call__(self, folder: Path) -> dict[str, Any]:
        """Memory is eight bytes a row of the largest table."""
        found: dict[str, dict[str, list[Any]]] = {}
        for table in TABLES:
            seen = Seen()
            for key in self.keys:
                path = self.out / table.name / f"shard={key}" / f"{table.name}.parquet"
                columns = pq.read_table(path, columns=list(table.key), partitioning=None).to_pydict().values()
                keys = list(zip(*columns, strict=True))
                first = seen.first(hashes_of(table, keys))
                twice = [one for one, new in zip(keys, first, strict=True) if not new]
                if twice:
                    found.setdefault(key, {})[table.name] = twice
        return {"twice": found}


def flatten_shards(
    source: Path,
    out: Path,
    engine: Engine,
    *,
    shard_bytes: int = SHARD_BYTES,
    strict: bool = False,
    on_skip: Callable[[Skip], None] | None = None,
    progress: Progress = silent,
) -> tuple[dict[str, Any], SkipLog]:
    """Write the tables of ``source`` into ``out`` as ``NAME/shard=KEY/NAME.parquet``; gives what was made.

    Which file is in which shard depends on the files and ``shard_bytes`` alone. After a kill the same call goes on.

    Parameters
    ----------
    source, out
        Folders that all workers see; ``source`` can be a file.

    Raises
    ------
    UsageError
        When there is no ``source``, or ``out`` holds shards of another one.
    InputError
        When nothing in it is FHIR R4, or with ``strict``.
    """
    if not source.exists():
        raise UsageError(f"{source}: there is no such file or folder; give a Bundle, NDJSON, .gz, .zip or a folder")
    source, ignored = source.absolute(), Counter[str]()
    works = list(_works(source, shard_bytes, ignored, strict=strict))
    made_from = _fingerprint(works)
    where, skips = str(out), SkipLog(strict, on_skip)

    def run(tasks: Sequence[Task], told: Progress = silent) -> dict[str, Mark]:
        return dict(engine.run(tasks, where, made_from=made_from, progress=_among(told, len(tasks))))

    marks = run([Task(work.key, work) for work in works], progress)
    (found,) = run([Task(TWICE, TwiceWork(out.absolute(), tuple(marks)))]).values()
    twice = found["outcome"]["twice"]
    again = [replace(work, before=twice[work.key]) for work in works if work.key in twice]
    for key, mark in run([Task(f"{work.key}-once", work) for work in again]).items():
        marks[key.removesuffix("-once")] = mark
    _check(out, marks)
    for mark in marks.values():
        for skip in mark["outcome"]["skips"]:
            skips.add(Skip(**skip))
    outcome = summed([mark["outcome"]["tables"] for mark in marks.values()])
    if not any(outcome["rows"].values()) and not outcome["unsupported"]:
        raise InputError(nothing_found(str(source), skips))
    more = {"skipped": skips.counts(), "ignored": dict(sorted((ignored + Counter(outcome["ignored"])).items()))}
    closed = all(mark["outcome"]["closed"] for mark in marks.values())
    return {**outcome, **more, "shards": list(marks), "shards_by_patient": closed}, skips


def _closed(folder: Path) -> bool:
    """Whether all rows are of patients who are there as well."""
    ids = {table.name: pq.read_table(folder / f"{table.name}.parquet", columns=["patient_id"]) for table in TABLES}
    known = set(ids["patients"]["patient_id"].to_pylist())
    return all(known.issuperset(one["patient_id"].unique().to_pylist()) for one in ids.values())


def partition(folder: Path, key: str) -> None:
    """Move the tables that were written into ``folder`` to where readers look for one partition of each."""
    for file in sorted(folder.glob("*.parquet")):
        target = folder / file.stem / f"shard={key}" / file.name
        target.parent.mkdir(parents=True)
        file.replace(target)


def _works(source: Path, shard_bytes: int, ignored: Counter[str], *, strict: bool) -> Iterator[FilesWork]:
    """The files in order, as many as make a shard."""
    reader = Reader(SkipLog())
    files = reader.files(source)
    ignored.update(reader.ignored)
    parts = parts_of(source)
    names, size, known, number = list[str](), 0, list[str](), 0
    medications = list[str]()
    for path in (file.path for file in files):
        name = "" if path == source else path.relative_to(source).as_posix()
        names.append(name)
        size += path.stat().st_size
        known += [name] if _has_medications(path) else []
        if size >= shard_bytes:
            yield FilesWork(f"files-{number:05d}", source, tuple(names), tuple(medications), parts, strict)
            medications, number = list(known), number + 1
            names, size = [], 0
    if names or not number:
        yield FilesWork(f"files-{number:05d}", source, tuple(names), tuple(medications), parts, strict)


def _check(out: Path, marks: Mapping[str, Mark]) -> None:
    """Check that the files are those of the marks; somebody may have removed one of the two marks of a shard."""
    for mark in marks.values():
        for name, said in mark["files"].items():
            if (out / name).stat().st_size != said["bytes"]:
                raise InputError(f"{out / name}: is not what {mark_name(mark['key'])} says; remove that mark too")


def _has_medications(path: Path) -> bool:
    """Whether a file is the one of a bulk export that holds Medications: these have one type a file."""
    if suffix_of(path.name) not in {".ndjson", ".jsonl"}:
        return False
    with suppress(ValueError, AttributeError, OSError, EOFError, zlib.error, LimitError):
        for stream in open_streams(path, path.name, SkipLog(), LIMITS, Counter()):
            return bool(orjson.loads(next(stream.lines(), b"{}")).get("resourceType") == "Medication")
    return False


def _fingerprint(works: Iterable[FilesWork]) -> str:
    """Follows from the files, their sizes and in which shard each is."""
    digest = sha256()
    for work in works:
        said = [work.key, [[name, (work.source / name).stat().st_size] for name in work.files], work.parts]
        digest.update(orjson.dumps(said))
    return digest.hexdigest()


def _among(progress: Progress, among: int) -> Progress:
    def told(done: int, total: int | None = None, note: str = "") -> None:
        progress(done, total or among, note)

    return told
