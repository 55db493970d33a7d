"""Where work in shards is done: processes of this machine or a cluster's executors, with the same files either way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import orjson

from synthea_bridge.errors import UsageError
from synthea_bridge.files import sha256_of
from synthea_bridge.place import MARKS, Place
from synthea_bridge.progress import Progress

Tell = Callable[[float], None]
"""Called with how much is done, while more of it is."""
Work = Callable[[Path, Tell], dict[str, Any]]
"""Writes files into an empty folder of its own, tells now and then which share of that is done, and says at the end (in
JSON values) what they are.

Picklable; the same whenever and wherever it is done.
"""
Made = TypeVar("Made")
Mark = dict[str, Any]
"""What is known of a shard that is done: ``key``, ``made_from``, ``files`` with bytes and sha256, ``outcome``."""


@dataclass(frozen=True, slots=True)
class Task:
    """One shard of work; ``key`` is its file-safe name, as ``control-00003``."""

    key: str
    work: Work


def unheard(_: float) -> None:
    """Nobody listens."""


def shown(progress: Progress, total: int, shards: int) -> Tell:
    """Shows what is done of so many shards as a part of ``total`` patients or files that they have together."""
    return lambda done: progress(int(total * done / shards), total, f"{int(done)} of {shards} shards")


class Engine(Protocol):
    """Does tasks."""

    def place(self, where: str) -> Place:
        """What this process and works can read and write as ``where``.

        Raises
        ------
        UsageError
            When the engine has no such places.
        """
        ...

    def run(
        self, tasks: Iterable[Task], out: str, *, made_from: str, tell: Tell = unheard
    ) -> Iterator[tuple[str, Mark]]:
        """Do every task without a mark, and give keys and marks in the order of the tasks.

        A task's files are delivered below ``out``, each whole or not at all, and its mark after them: what a kill
        leaves without a mark is done again, and is the same.

        Parameters
        ----------
        out
            A folder, or what else the engine can write to.
        made_from
            Says what else decides the result; marks that say something else are refused.
        tell
            Called with the number of tasks that are done; what is done of others counts as a part of one, where it is
            known.

        Raises
        ------
        UsageError
            When a mark was made from something else.
        WorkerError
            When a process that does the work is lost.
        """
        ...


class Mapper(Protocol):
    """Does pieces of work whose results come back to whoever asked; every engine of this package is one."""

    def each(self, work: Callable[[int], Made], number: int, *, tell: Tell = unheard) -> list[Made]:
        """What ``work`` makes of 0, 1, 2, …, in that order; nothing is written, and nothing stays after a kill.

        Parameters
        ----------
        work
            Picklable, as is what it makes; the same whenever and wherever it is done.
        number
            How many pieces there are.
        tell
            Called with the number of pieces that are done.

        Raises
        ------
        WorkerError
            When a process that does the work is lost.
        """
        ...


def mark_name(key: str) -> str:
    """The file of a mark, below ``out``."""
    return f"{MARKS}/{key}.json"


def perform(task: Task, folder: Path, made_from: str, tell: Tell = unheard) -> Mark:
    """Do a task in a folder that exists and is empty; what it has made there is in the mark."""
    outcome = task.work(folder, tell)
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    mark = {"key": task.key, "made_from": made_from, "files": files, "outcome": outcome}
    return orjson.loads(orjson.dumps(mark))  # type: ignore[no-any-return]  # as it is when it is read again


def checked(mark: Mark, made_from: str, out: str) -> Mark:
    """The mark, if it was made from the same.

    Raises
    ------
    UsageError
        When it was not.
    """
    if mark["made_from"] != made_from:
        raise UsageError(f"{out}: {mark_name(mark['key'])} was made with other parameters; choose another --out")
    return mark
