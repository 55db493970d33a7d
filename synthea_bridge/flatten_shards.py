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
from synthea_bridge.bundles import readable
from synthea_bridge.engines import Engine, Mark, Task, Tell, mark_name, shown, unheard
from synthea_bridge.errors import InputError, UsageError
from synthea_bridge.flatten import nothing_found, tables_in
from synthea_bridge.parquet import partition
from synthea_bridge.place import Listed, Place
from synthea_bridge.prevalence import parts_of, weigh
from synthea_bridge.progress import Progress, silent
from synthea_bridge.skips import Skip, SkipLog
from synthea_bridge.streams import BOM, LIMITS, open_streams, suffix_of
from synthea_bridge.tables import TABLES
from synthea_bridge.totals import summed

SHARD_BYTES: Final = 64 << 20
"""Bytes of the source, as they lie there, that make a shard; a file is never divided."""
LINE: Final = 64 << 10
"""Bytes of a line of NDJSON that may be a Medication, which has a few hundred."""
HEAD: Final = 4 * LINE
"""So many bytes of a file, packed or not, hold such a line."""
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
        A folder, and names of files in it with their bytes.
    medications
        Files before them whose Medications theirs may refer to.
    parts
        What a simulation says of sampling weights.
    before
        Keys of rows that earlier shards have, by table: the first one is kept.
    """

    key: str
    source: Place
    files: tuple[Listed, ...]
    medications: tuple[Listed, ...] = ()
    parts: Sequence[Mapping[str, Any]] = ()
    strict: bool = False
    before: Keys = field(default_factory=dict)

    def __call__(self, folder: Path, tell: Tell) -> dict[str, Any]:
        """Says what was made and what was skipped."""
        skips = SkipLog(self.strict)

        def told(done: int, total: int | None = None, note: str = "") -> None:  # noqa: ARG001
            tell(done / (total or done))

        with self.source.here([*self.medications, *self.files]) as here, tables_in(folder, skips, told) as tables:
            tables.know([here / name for name, _ in self.medications], self.before)
            tables.read([here / name for name, _ in self.files], here)
        result, closed = tables.counted(), _closed(folder)
        if self.parts:
            weigh(folder, list(self.parts))
        partition(folder, folder, self.key)
        return {"tables": result.outcome, "skips": [asdict(one) for one in skips.items], "closed": closed}


@dataclass(frozen=True, slots=True)
class TwiceWork:
    """Finds rows that an earlier shard has as well: the keys of these, by shard and table."""

    out: Place
    keys: tuple[str, ...]

    def __call__(self, folder: Path, tell: Tell) -> dict[str, Any]:
        """Memory is eight bytes a row of the largest table; one file is read at a time."""
        found: dict[str, dict[str, list[Any]]] = {}
        for table in TABLES:
            seen = Seen()
            for key in self.keys:
                name = f"{table.name}/shard={key}/{table.name}.parquet"
                with self.out.here([(name, None)]) as here:
                    read = pq.read_table(here / name, columns=list(table.key), partitioning=None)
                keys = list(zip(*read.to_pydict().values(), strict=True))
                first = seen.first(hashes_of(table, keys))
                twice = [one for one, new in zip(keys, first, strict=True) if not new]
                if twice:
                    found.setdefault(key, {})[table.name] = twice
        return {"twice": found}


def flatten_shards(
    source: Path | str,
    out: Path | str,
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
        Places that the engine reads and writes, as folders that all workers see; ``source`` can be a file.

    Raises
    ------
    UsageError
        When there is no ``source``, or ``out`` holds shards of another one.
    InputError
        When nothing in it is FHIR R4, or with ``strict``.
    """
    place, there = engine.place(str(source)), engine.place(str(out))
    ignored = Counter[str]()
    try:
        works = list(_works(place, shard_bytes, ignored, strict=strict))
    except FileNotFoundError:
        what = "there is no such file or folder; give a Bundle, NDJSON, .gz, .zip or a folder"
        raise UsageError(f"{source}: {what}") from None
    where, skips = str(out), SkipLog(strict, on_skip)
    if not works:
        raise InputError(nothing_found(str(place), skips))
    made_from = _fingerprint(works)

    def run(tasks: Sequence[Task], tell: Tell = unheard) -> dict[str, Mark]:
        return dict(engine.run(tasks, where, made_from=made_from, tell=tell))

    files = sum(len(work.files) for work in works)
    marks = run([Task(work.key, work) for work in works], shown(progress, files, len(works)))
    (found,) = run([Task(TWICE, TwiceWork(there, tuple(marks)))]).values()
    twice = found["outcome"]["twice"]
    again = [replace(work, before=twice[work.key]) for work in works if work.key in twice]
    for key, mark in run([Task(f"{work.key}-once", work) for work in again]).items():
        marks[key.removesuffix("-once")] = mark
    _check(there, marks)
    for mark in marks.values():
        for skip in mark["outcome"]["skips"]:
            skips.add(Skip(**skip))
    outcome = summed([mark["outcome"]["tables"] for mark in marks.values()])
    if not any(outcome["rows"].values()) and not outcome["unsupported"]:
        raise InputError(nothing_found(str(place), skips))
    more = {"skipped": skips.counts(), "ignored": dict(sorted((ignored + Counter(outcome["ignored"])).items()))}
    closed = all(mark["outcome"]["closed"] for mark in marks.values())
    return {**outcome, **more, "shards": list(marks), "shards_by_patient": closed}, skips


def _closed(folder: Path) -> bool:
    """Whether all rows are of patients who are there as well."""
    ids = {table.name: pq.read_table(folder / f"{table.name}.parquet", columns=["patient_id"]) for table in TABLES}
    known = set(ids["patients"]["patient_id"].to_pylist())
    return all(known.issuperset(one["patient_id"].unique().to_pylist()) for one in ids.values())


def _works(source: Place, shard_bytes: int, ignored: Counter[str], *, strict: bool) -> Iterator[FilesWork]:
    """The files in order, as many as make a shard."""
    folder, sizes = source.listed()
    parts = parts_of(source)
    files, filled, known, number = list[Listed](), 0, list[Listed](), 0
    medications = list[Listed]()
    for name in readable(sizes, ignored) if folder == source else sizes:
        file = name, sizes[name]
        files.append(file)
        filled += sizes[name]
        known += [file] if _has_medications(folder, name) else []
        if filled >= shard_bytes:
            yield FilesWork(f"files-{number:05d}", folder, tuple(files), tuple(medications), parts, strict)
            medications, number = list(known), number + 1
            files, filled = [], 0
    if files:
        yield FilesWork(f"files-{number:05d}", folder, tuple(files), tuple(medications), parts, strict)


def _check(out: Place, marks: Mapping[str, Mark]) -> None:
    """Check that the files are those of the marks; somebody may have removed one of the two marks of a shard."""
    sizes = out.listed()[1]
    for mark in marks.values():
        for name, said in mark["files"].items():
            if sizes.get(name) != said["bytes"]:
                raise InputError(f"{out / name}: is not what {mark_name(mark['key'])} says; remove that mark too")


def _has_medications(folder: Place, name: str) -> bool:
    """Whether a file is the one of a bulk export that holds Medications: these have one type a file."""
    if suffix_of(name) not in {".ndjson", ".jsonl"}:
        return False
    unreadable = ValueError, AttributeError, OSError, EOFError, zlib.error
    with folder.here([(name, None)], most=HEAD) as here, suppress(*unreadable):
        for stream in open_streams(here / name, name, SkipLog(), LIMITS, Counter()):
            line = stream.handle.readline(LINE).removeprefix(BOM)
            return bool(orjson.loads(line or b"{}").get("resourceType") == "Medication")
    return False


def _fingerprint(works: Iterable[FilesWork]) -> str:
    """Follows from the files, their sizes and in which shard each is."""
    digest = sha256()
    for work in works:
        digest.update(orjson.dumps([work.key, work.files, work.parts]))
    return digest.hexdigest()
