"""Shards in processes of this machine."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from concurrent.futures import Future, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any, Final

from synthea_bridge.engines import Made, Mark, Task, Tell, checked, mark_name, perform, unheard
from synthea_bridge.errors import InputError, UsageError, WorkerError
from synthea_bridge.files import read_json, write_json
from synthea_bridge.place import MARKS, Place, folder_of, unreached
from synthea_bridge.processes import pool

AHEAD: Final = 2
"""Tasks for each worker that may be under way while the oldest is not done."""
LOOK_S: Final = 1.0
"""Seconds after which it is told how far the tasks are."""
_SHARES: Final[list[MutableSequence[float]]] = []
"""In a process of a pool: where it says which share of each task that is under way is done."""
_WORK: Final[list[Callable[[int], Any]]] = []
"""In a process of a pool: what it makes of numbers."""


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """So many processes; one worker is this process itself."""

    workers: int = 1

    def place(self, where: str) -> Place:
        """See :class:`synthea_bridge.engines.Engine`; any folder."""
        if folder_of(where) is None:
            raise unreached(where)
        return Place.of(where).absolute()

    def run(
        self, tasks: Iterable[Task], out: str, *, made_from: str, tell: Tell = unheard
    ) -> Iterator[tuple[str, Mark]]:
        """See :class:`synthea_bridge.engines.Engine`; ``out`` is a folder."""
        folder = folder_of(out)
        if folder is None:
            raise unreached(out)
        if not (folder / MARKS).is_dir() and folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder}: holds something else, and no shards; choose another --out, or empty it")
        (folder / MARKS).mkdir(parents=True, exist_ok=True)
        marks = ((task, read_mark(folder, task.key, made_from)) for task in tasks)
        way = _here if self.workers == 1 else self._elsewhere
        yield from way(marks, folder, made_from, tell)

    def each(self, work: Callable[[int], Made], number: int, *, tell: Tell = unheard) -> list[Made]:
        """See :class:`synthea_bridge.engines.Mapper`."""
        if self.workers == 1 or number == 1:
            made = []
            for place in range(number):
                made.append(work(place))
                tell(place + 1)
            return made
        with pool(min(self.workers, number), _hold, work) as processes:
            pieces = [processes.submit(_piece, place) for place in range(number)]
            try:
                for done, piece in enumerate(as_completed(pieces), 1):
                    piece.result()
                    tell(done)
            except BrokenProcessPool:
                raise _ended() from None
            return [piece.result() for piece in pieces]

    def _elsewhere(
        self, marks: Iterator[tuple[Task, Mark | None]], folder: Path, made_from: str, tell: Tell
    ) -> Iterator[tuple[str, Mark]]:
        waiting: deque[tuple[str, Mark | Future[Mark]]] = deque()
        most = AHEAD * self.workers
        shares = RawArray("d", most)
        with pool(self.workers, _share, shares) as processes:
            try:
                for number, (task, mark) in enumerate(marks):
                    waiting.append((task.key, mark or processes.submit(_do, task, folder, made_from, number % most)))
                    if len(waiting) == most:
                        yield _next(waiting, number + 1 - most, shares, tell)
                while waiting:
                    yield _next(waiting, number + 1 - len(waiting), shares, tell)
            except BrokenProcessPool:
                raise _ended(f"what is done stays in {folder}: ") from None


def _ended(stays: str = "") -> WorkerError:
    return WorkerError(
        f"a worker process was ended from outside (out of memory?); {stays}run the same again, with fewer --workers if "
        "memory is short"
    )


def read_mark(folder: Path, key: str, made_from: str) -> Mark | None:
    """The mark of a task that is done, None where there is none.

    Raises
    ------
    UsageError
        When it was made from something else.
    InputError
        When it is no mark.
    """
    path = folder / mark_name(key)
    try:
        return checked(read_json(path), made_from, str(folder))
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError):
        raise InputError(f"{path}: is no mark of a shard; remove it, and the shard is made again") from None


def do(task: Task, folder: Path, made_from: str, tell: Tell) -> Mark:
    """Do a task and deliver what it has made into a folder of this machine."""
    scratch = folder / MARKS / f".{task.key}.part"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        mark = perform(task, scratch, made_from, tell)
        for name in mark["files"]:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with (scratch / name).open("rb") as handle:
                os.fsync(handle.fileno())
            (scratch / name).replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    write_json(folder / mark_name(task.key), mark)
    return mark


def _share(shares: MutableSequence[float]) -> None:
    _SHARES.append(shares)


def _hold(work: Callable[[int], Any]) -> None:
    _WORK.append(work)


def _piece(place: int) -> Any:
    return _WORK[0](place)


def _do(task: Task, folder: Path, made_from: str, place: int) -> Mark:
    """In a process of a pool: do a task, and say in one place of the shares how far it is."""

    def tell(share: float) -> None:
        _SHARES[0][place] = share

    mark = do(task, folder, made_from, tell)
    tell(1)
    return mark


def _here(
    marks: Iterator[tuple[Task, Mark | None]], folder: Path, made_from: str, tell: Tell
) -> Iterator[tuple[str, Mark]]:
    for number, (task, mark) in enumerate(marks):
        mark = mark or do(task, folder, made_from, _after(number, tell))
        tell(number + 1)
        yield task.key, mark


def _after(before: int, tell: Tell) -> Tell:
    """Tells of a task that comes after so many others."""
    return lambda share: tell(before + share)


def _next(
    waiting: deque[tuple[str, Mark | Future[Mark]]], before: int, shares: MutableSequence[float], tell: Tell
) -> tuple[str, Mark]:
    """The oldest that is waited for, of which ``before`` were done earlier."""
    key, mark = waiting.popleft()
    if isinstance(mark, Future):
        while not wait([mark], LOOK_S).done:
            tell(before + sum(shares))
        mark = mark.result()
    shares[before % len(shares)] = 0
    tell(before + 1 + sum(shares))
    return key, mark
