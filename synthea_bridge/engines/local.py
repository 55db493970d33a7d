"""Shards in processes of this machine."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from synthea_bridge.engines import Mark, Task, checked, mark_name, perform
from synthea_bridge.errors import InputError, UsageError, WorkerError
from synthea_bridge.files import read_json, write_json
from synthea_bridge.place import MARKS, Place, folder_of, unreached
from synthea_bridge.processes import pool
from synthea_bridge.progress import Progress, silent

AHEAD = 2
"""Tasks for each worker that may be under way while the oldest is not done."""


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
        self, tasks: Iterable[Task], out: str, *, made_from: str, progress: Progress = silent
    ) -> Iterator[tuple[str, Mark]]:
        """See :class:`synthea_bridge.engines.Engine`; ``out`` is a folder."""
        folder = folder_of(out) or Path(out)
        if not (folder / MARKS).is_dir() and folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder}: holds something else, and no shards; choose another --out, or empty it")
        (folder / MARKS).mkdir(parents=True, exist_ok=True)
        marks = ((task, read_mark(folder, task.key, made_from)) for task in tasks)
        done = _here(marks, folder, made_from) if self.workers == 1 else self._elsewhere(marks, folder, made_from)
        for number, (key, mark) in enumerate(done, start=1):
            progress(number)
            yield key, mark

    def _elsewhere(
        self, marks: Iterator[tuple[Task, Mark | None]], folder: Path, made_from: str
    ) -> Iterator[tuple[str, Mark]]:
        waiting: deque[tuple[str, Mark | Future[Mark]]] = deque()
        with pool(self.workers) as processes:
            try:
                for task, mark in marks:
                    waiting.append((task.key, mark or processes.submit(do, task, folder, made_from)))
                    if len(waiting) >= AHEAD * self.workers:
                        yield _next(waiting)
                while waiting:
                    yield _next(waiting)
            except BrokenProcessPool:
                raise WorkerError(
                    f"a worker process was ended from outside (out of memory?); what is done stays in {folder}: "
                    "run the same again, with fewer --workers if memory is short"
                ) from None


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


def do(task: Task, folder: Path, made_from: str) -> Mark:
    """Do a task and deliver what it has made into a folder of this machine."""
    scratch = folder / MARKS / f".{task.key}.part"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        mark = perform(task, scratch, made_from)
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


def _here(marks: Iterator[tuple[Task, Mark | None]], folder: Path, made_from: str) -> Iterator[tuple[str, Mark]]:
    for task, mark in marks:
        yield task.key, mark or do(task, folder, made_from)


def _next(waiting: deque[tuple[str, Mark | Future[Mark]]]) -> tuple[str, Mark]:
    key, mark = waiting.popleft()
    return key, mark.result() if isinstance(mark, Future) else mark
