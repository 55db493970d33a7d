"""Files in groups that are flattened each for itself, in this process or in several."""

from __future__ import annotations

import gc
import pickle
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

from synthea_bridge.batches import Batch
from synthea_bridge.bundles import File, Reader
from synthea_bridge.cores import cores
from synthea_bridge.errors import BridgeError
from synthea_bridge.flattener import Flattener, Tally
from synthea_bridge.processes import pool
from synthea_bridge.skips import Skip, SkipLog
from synthea_bridge.streams import GZIP, LIMITS, ZSTD, Lines

SIZE: Final = 16 << 20
"""Bytes of a group, if files are not larger: a third of a second's work."""
PACKED: Final = 8
"""How many bytes one byte of an archive counts for."""
PAYS: Final = 128 << 20
"""Bytes from which on several processes are faster than one: each other one needs a second to begin."""
AHEAD: Final = 2
"""Groups that each other process has before it, the one that it works on included."""
WAITING: Final = 4
"""Groups for each process that may be done before their turn; their batches lie on disk."""

Group = Sequence[File]
Give = Callable[[Batch | Skip], None]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a group, beside its batches.

    Parameters
    ----------
    tally
        What was counted.
    medications
        Codes of its Medications by id.
    missed
        Ids of Medications that it does not have and asked for.
    """

    tally: Tally
    medications: Mapping[str, Any]
    missed: frozenset[str]


def grouped(files: Sequence[File]) -> Sequence[Group]:
    """``files`` in groups that depend on their sizes only; a large NDJSON file is in several, by lines."""
    groups: list[list[File]] = []
    room = 0
    for file in chain.from_iterable(map(_parts, files)):
        if room <= 0:
            groups.append([])
            room = SIZE
        groups[-1].append(file)
        room -= _weight(file)
    return groups


def _parts(file: File) -> list[File]:
    """A file in parts of :data:`SIZE`, where it is large and can be read from any line on."""
    if file.path.suffix not in {".ndjson", ".jsonl"} or _weight(file) <= SIZE:
        return [file]
    try:
        return _divided(file)
    except OSError:
        return [file]  # whoever reads it tells why it cannot be


def _divided(file: File) -> list[File]:
    parts, start, first = [], 0, 1
    with file.path.open("rb") as handle:
        while chunk := handle.read(SIZE):
            rest = handle.readline(LIMITS.line + 1)
            stop = start + len(chunk) + len(rest)
            parts.append(replace(file, lines=Lines(start, stop, first)))
            if len(rest) > LIMITS.line or (start == 0 and not _divisible(file, chunk)):
                return [file]
            first += chunk.count(b"\n") + rest.endswith(b"\n")
            start = stop
    return parts


def _divisible(file: File, head: bytes) -> bool:
    """Whether it is not packed, and nothing is wrong with its first line: what is wrong with all is told once."""
    skips = SkipLog()
    first = Reader(skips, shaped=True).read(replace(file, lines=Lines(0, 1, 1)))
    return not head.startswith((GZIP, ZSTD)) and all(True for _ in first) and not skips.items


def workers_for(files: Sequence[File]) -> int:
    """So many processes as pay for these files."""
    return cores() if sum(map(_weight, files)) > PAYS else 1


def flatten_group(group: Group, give: Give, elsewhere: dict[str, Any]) -> Done:
    """Give batches and skips of a group in their order; ``elsewhere`` are Medications of groups before."""
    skips = SkipLog(on_skip=give)
    reader = Reader(skips, parts=True, shaped=True)
    flattener = Flattener(give, skips, elsewhere)
    with no_cycles():
        for file in group:
            for document in reader.read(file):
                flattener.take(document)
        flattener.close()
    flattener.tally.ignored += reader.ignored
    return Done(flattener.tally, flattener.medications, frozenset(flattener.missed))


def flatten_groups(
    groups: Sequence[Group], give: Give, known: dict[str, Any], workers: int
) -> Iterator[tuple[Group, Done]]:
    """What became of each group, in order, once all of it has been given.

    Parameters
    ----------
    groups
        See :func:`grouped`.
    give
        Takes batches and skips, as they come from the groups one after the other.
    known
        Medications of the groups before, to be filled by the caller; groups that asked for them are done again.
    workers
        Processes, this one included: it takes what the others have made, and makes some itself while it waits for them.

    Raises
    ------
    BridgeError
        When a process was ended from outside.
    """
    if min(workers, len(groups)) < 2:
        for group in groups:
            yield group, flatten_group(group, give, known)
        return
    others = min(workers, len(groups)) - 1
    with tempfile.TemporaryDirectory() as scratch, pool(others) as processes:
        try:
            yield from _in_order(groups, give, known, processes, Path(scratch), others)
        except BrokenProcessPool as error:
            advice = "see whether the memory was full, and give fewer --workers"
            raise BridgeError(f"a process that read files was ended from outside; {advice}") from error


def _in_order(
    groups: Sequence[Group],
    give: Give,
    known: dict[str, Any],
    processes: ProcessPoolExecutor,
    scratch: Path,
    others: int,
) -> Iterator[tuple[Group, Done]]:
    waiting: deque[tuple[Group, Path, Future[Done]]] = deque()
    rest = ((group, scratch / str(number)) for number, group in enumerate(groups))
    while True:
        busy = sum(not future.done() for *_, future in waiting)
        for group, spill in islice(rest, AHEAD * others - busy):
            waiting.append((group, spill, processes.submit(_spilled, group, spill, {})))
        if not waiting:
            return
        group, spill, future = waiting[0]
        if not future.done() and len(waiting) < WAITING * (others + 1) and (own := next(rest, None)) is not None:
            waiting.append((*own, _done(_spilled(*own, {}))))
            continue
        done = future.result()
        if elsewhere := {name: known[name] for name in done.missed if name in known}:
            done = _spilled(group, spill, elsewhere)
        with spill.open("rb") as handle:
            while handle.peek(1):
                give(pickle.load(handle))  # noqa: S301 - written by _spilled
        spill.unlink()
        waiting.popleft()
        yield group, done


def _done(result: Done) -> Future[Done]:
    future: Future[Done] = Future()
    future.set_result(result)
    return future


def _spilled(group: Group, spill: Path, elsewhere: dict[str, Any]) -> Done:
    """In whatever process: batches and skips go into a file."""
    with spill.open("wb") as handle:
        return flatten_group(group, lambda item: pickle.dump(item, handle, pickle.HIGHEST_PROTOCOL), elsewhere)


def _weight(file: File) -> int:
    if file.lines is not None:
        return file.lines.stop - file.lines.start
    try:
        return file.path.stat().st_size * (PACKED if file.path.suffix in {".gz", ".zip"} else 1)
    except OSError:
        return 0


@contextmanager
def no_cycles() -> Iterator[None]:
    """Parsed JSON has no reference cycles: looking for them again and again is a tenth of the time."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()
