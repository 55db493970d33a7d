"""Work in shards: every engine delivers the same files, marks what is done, and goes on after what stops it."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from synthea_bridge.engines import Task, Tell
from synthea_bridge.engines.local import LocalEngine
from synthea_bridge.errors import InputError, SyntheaError, UsageError, WorkerError
from synthea_bridge.files import alone

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Letters:
    """Writes two files of one letter."""

    letter: str

    def __call__(self, folder: Path, tell: Tell) -> dict[str, Any]:
        (folder / "texts" / f"shard={self.letter}").mkdir(parents=True)
        (folder / "texts" / f"shard={self.letter}" / "text.txt").write_text(self.letter * 10)
        tell(0.25)
        (folder / f"{self.letter}.txt").write_text(self.letter)
        return {"letters": 10, "by": self.letter, "ends": (0, 9)}


@dataclass(frozen=True)
class Fails:
    message: str

    def __call__(self, folder: Path, tell: Tell) -> dict[str, Any]:
        (folder / "half.txt").write_text("half")
        raise SyntheaError(self.message)


@dataclass(frozen=True)
class Killed:
    def __call__(self, folder: Path, tell: Tell) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}


@dataclass(frozen=True)
class Squares:
    """What it makes of numbers; one it cannot take, and with another its process is gone."""

    wrong: int = -1
    deadly: int = -1

    def __call__(self, number: int) -> tuple[int, bytes]:
        if number == self.wrong:
            raise SyntheaError(f"{number} is none")
        if number == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return number, b"*" * number**2


@dataclass(frozen=True)
class Waits:
    """Says how far it is, and waits for somebody to write into a pipe."""

    pipe: Path
    share: float

    def __call__(self, folder: Path, tell: Tell) -> dict[str, Any]:
        tell(self.share)
        return {"heard": self.pipe.read_text()}


@dataclass(frozen=True)
class Blocks:
    """Says which process it is in, and waits for ever."""

    pids: Path

    def __call__(self, folder: Path, tell: Tell) -> dict[str, Any]:
        (self.pids / str(os.getpid())).touch()
        signal.pause()
        return {}


def blocked(out: Path, pids: Path) -> None:
    """Keep two processes busy."""
    run(out, [Task(letter, Blocks(pids)) for letter in "ab"], workers=2)


def tasks(letters: str = "abcde") -> list[Task]:
    return [Task(letter, Letters(letter)) for letter in letters]


def run(out: Path, todo: Sequence[Task], workers: int = 1, made_from: str = "seed 1") -> list[tuple[str, Any]]:
    return list(LocalEngine(workers).run(todo, str(out), made_from=made_from))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("workers", [1, 2])
def test_each_piece_comes_back_in_order(workers: int) -> None:
    told: list[float] = []
    engine = LocalEngine(workers)
    assert engine.each(Squares(), 5, tell=told.append) == [(number, b"*" * number**2) for number in range(5)]
    assert told == [1, 2, 3, 4, 5]
    with pytest.raises(SyntheaError, match=r"^3 is none$"):
        engine.each(Squares(wrong=3), 5)


def test_a_process_that_is_gone_with_a_piece_is_one_line() -> None:
    with pytest.raises(WorkerError, match=r"^a worker process was ended from outside[^\n]*fewer --workers"):
        LocalEngine(2).each(Squares(deadly=1), 3)


def test_files_and_marks_come_in_the_order_of_the_tasks(tmp_path: Path) -> None:
    marks = run(tmp_path, tasks())
    assert [key for key, _ in marks] == list("abcde")
    assert (tmp_path / "texts" / "shard=c" / "text.txt").read_text() == "c" * 10
    for key, mark in marks:
        assert orjson.loads((tmp_path / "_shards" / f"{key}.json").read_bytes()) == mark
        assert mark["files"][f"{key}.txt"] == {"bytes": 1, "sha256": hashlib.sha256(key.encode()).hexdigest()}
        assert mark["outcome"] == {"letters": 10, "by": key, "ends": [0, 9]}
    assert not list((tmp_path / "_shards").glob(".*"))


def test_what_has_a_mark_is_not_done_again(tmp_path: Path) -> None:
    first = run(tmp_path, tasks("ab"))
    (tmp_path / "a.txt").write_text("untouched")
    assert run(tmp_path, [Task("a", Fails("no")), *tasks("bc")])[:2] == first
    assert (tmp_path / "a.txt").read_text() == "untouched"


def test_a_failure_stops_the_run_and_leaves_what_is_done(tmp_path: Path) -> None:
    with pytest.raises(SyntheaError, match=r"^no luck$"):
        run(tmp_path, [*tasks("a"), Task("b", Fails("no luck")), *tasks("c")])
    assert set(files_of(tmp_path)) == {"a.txt", "texts/shard=a/text.txt", "_shards/a.json"}
    run(tmp_path, tasks("abc"))
    run(tmp_path / "other", tasks("abc"))
    other = files_of(tmp_path / "other")
    assert {name: data for name, data in files_of(tmp_path).items() if not name.startswith("other")} == other


def test_what_a_kill_left_without_a_mark_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "_shards" / ".a.part").mkdir(parents=True)
    (tmp_path / "_shards" / ".a.part" / "rest.txt").write_text("rest")
    (tmp_path / "a.txt").write_text("other")
    run(tmp_path, tasks("a"))
    assert set(files_of(tmp_path)) == {"a.txt", "texts/shard=a/text.txt", "_shards/a.json"}
    assert (tmp_path / "a.txt").read_text() == "a"


def test_a_url_is_no_folder_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="hdfs://host/out: is a URL, which needs the engine on Spark"):
        list(LocalEngine().run(tasks("a"), "hdfs://host/out", made_from="x"))
    assert not list(tmp_path.iterdir())


def test_marks_of_other_parameters_are_refused(tmp_path: Path) -> None:
    run(tmp_path, tasks("a"))
    with pytest.raises(UsageError, match=r"_shards/a\.json was made with other parameters; choose another --out"):
        run(tmp_path, tasks("a"), made_from="seed 2")
    (tmp_path / "_shards" / "a.json").write_text("[]")
    with pytest.raises(InputError, match=r"a\.json: is no mark of a shard; remove it"):
        run(tmp_path, tasks("a"))


def test_progress_tells_tasks_that_are_done(tmp_path: Path) -> None:
    told: list[float] = []
    list(LocalEngine().run(tasks("abc"), str(tmp_path), made_from="x", tell=told.append))
    assert told == [0.25, 1, 1.25, 2, 2.25, 3]


@pytest.mark.slow
def test_progress_tells_how_far_processes_are(tmp_path: Path) -> None:
    told: list[float] = []
    todo = {tmp_path / "a": Waits(tmp_path / "a", 0.25), tmp_path / "b": Waits(tmp_path / "b", 0.5)}
    for pipe in todo:
        os.mkfifo(pipe)

    def tell(done: float) -> None:
        told.append(done)
        if done == 0.75:
            for pipe in todo:
                pipe.write_text("go on")

    tasks_ = [Task(pipe.name, work) for pipe, work in todo.items()]
    list(LocalEngine(2).run(tasks_, str(tmp_path / "out"), made_from="x", tell=tell))
    assert told.count(0.75) == 1
    assert told[-1] == 2
    assert told == sorted(told)


@pytest.mark.slow
def test_processes_make_the_same_files_and_tell_what_stops_them(tmp_path: Path) -> None:
    run(tmp_path / "one", tasks("abc"))
    assert [key for key, _ in run(tmp_path / "two", tasks("abc"), workers=2)] == list("abc")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


@pytest.mark.slow
def test_a_failure_in_a_process_comes_through(tmp_path: Path) -> None:
    with pytest.raises(SyntheaError, match=r"^no luck$"):
        run(tmp_path, [*tasks("a"), Task("b", Fails("no luck")), *tasks("c")], workers=2)
    assert (tmp_path / "_shards" / "a.json").exists()


@pytest.mark.slow
def test_a_killed_process_is_one_line_and_what_is_done_stays(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"a worker process was ended from outside .* run the same again"):
        run(tmp_path, [*tasks("a"), Task("b", Killed())], workers=2)
    run(tmp_path, tasks("ab"), workers=2)
    run(tmp_path / "other", tasks("ab"))
    assert (tmp_path / "b.txt").read_bytes() == (tmp_path / "other" / "b.txt").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_their_parent(tmp_path: Path, sign: signal.Signals) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    code = "import sys, pathlib\nfrom tests.test_engines import blocked\nblocked(*map(pathlib.Path, sys.argv[1:]))"
    call = [sys.executable, "-c", code, str(tmp_path / "out"), str(pids)]
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(call, cwd=ROOT, stderr=subprocess.DEVNULL, preexec_fn=heeding) as parent:
        while parent.poll() is None and len(list(pids.iterdir())) < 2:
            with suppress(subprocess.TimeoutExpired):
                parent.wait(0.02)
        workers = [os.pidfd_open(int(path.name)) for path in pids.iterdir()]
        parent.send_signal(sign)
        assert parent.wait(60) != 0
    assert len(workers) == 2
    for worker in workers:
        assert select.select([worker], [], [], 60)[0]
        os.close(worker)


def test_one_process_at_a_time_fills_what_all_share(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    lock = tmp_path / "cache" / "lock"
    with alone(lock), lock.open("rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with lock.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
