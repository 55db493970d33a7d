"""What an executor does with tasks, and how what went wrong there is told to whoever asked."""

from __future__ import annotations

import base64
import os
import pickle
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import orjson
import pyarrow as pa

from synthea_bridge.engines import Task, mark_name, perform
from synthea_bridge.engines.spark.hadoop import Hadoop, Settings, class_path
from synthea_bridge.errors import UsageError, WorkerError
from synthea_bridge.files import write_json
from synthea_bridge.place import Place, reach_by

_HELD: Final[list[Hadoop]] = []
_ERROR: Final = re.compile(r"fhirsynth-error:([A-Za-z0-9+/=]+):")


@dataclass(frozen=True, slots=True)
class Given:
    """What executors are told beside the tasks.

    Parameters
    ----------
    out
        Where files are delivered to.
    settings
        Hadoop's, where that or what is read is a URL.
    """

    out: Place
    made_from: str
    version: str
    settings: Settings | None = None


def package_version() -> str:
    """Of this package, which must be the same everywhere."""
    try:
        return version("fhirsynth")
    except PackageNotFoundError:
        return "of an unknown version"


def do(batches: Iterable[pa.RecordBatch], given: Given) -> Iterator[pa.RecordBatch]:
    """Do tasks; gives their marks once everything of them is delivered."""
    os.environ.pop("JAVA_HOME", None)  # the cluster's own; patients are simulated on the one that we bring
    for batch in batches:
        for row in batch.to_pylist():
            mark = _done(row["key"], row["work"], given)
            yield pa.RecordBatch.from_pydict({"key": [row["key"]], "mark": [mark]})


def _done(key: str, work: bytes, given: Given) -> bytes:
    from pyspark import TaskContext

    context = TaskContext.get()
    attempt = f"{key}-{context.taskAttemptId() if context is not None else 0}-{os.getpid()}"
    local = os.environ.get("SPARK_LOCAL_DIRS", "").partition(",")[0] or None
    with _told(key):
        _same(given.version)
        reach_by(_reach(given.settings, local))
        with tempfile.TemporaryDirectory(prefix="fhirsynth-", dir=local) as scratch:
            folder = Path(scratch)
            task = Task(key, pickle.loads(work))  # noqa: S301  # our own driver's
            mark = perform(task, folder, given.made_from)
            write_json(folder / mark_name(key), mark)
            given.out.deliver(folder, [*mark["files"], mark_name(key)], attempt)
    return orjson.dumps(mark)


def make(batches: Iterable[pa.RecordBatch], work: bytes, version_there: str) -> Iterator[pa.RecordBatch]:
    """What a pickled work makes of the numbers in a column ``id``, pickled as well."""
    for batch in batches:
        for place in batch.column("id").to_pylist():
            with _told(f"piece {place}"):
                _same(version_there)
                made = pickle.dumps(pickle.loads(work)(place))  # noqa: S301  # our own driver's
            yield pa.RecordBatch.from_pydict({"id": [place], "made": [made]})


@contextmanager
def _told(key: str) -> Iterator[None]:
    """What goes wrong, as :func:`explained` understands it."""
    try:
        yield
    except Exception as error:
        raise RuntimeError(f"fhirsynth-error:{_packed(error, key)}:") from error


def _reach(settings: Settings | None, local: str | None) -> Hadoop | None:
    """What reaches URLs; it stays from task to task, as Spark keeps its processes of Python."""
    if settings is None:
        return None
    if not _HELD or _HELD[0].settings != settings:
        for other in _HELD:
            other.close()
        _HELD[:] = [Hadoop(settings, class_path(), None if local is None else Path(local))]
    return _HELD[0]


def _same(version_there: str) -> None:
    here = package_version()
    if here != version_there:
        raise UsageError(f"executors have fhirsynth {here}, not {version_there}; give them the same")


def _packed(error: Exception, key: str) -> str:
    """An error as text that survives Spark's stack traces; one that is nobody's in words."""
    expected = isinstance(error, OSError) or type(error).__module__.endswith(".errors")
    told = error if expected else WorkerError(f"{key}: {type(error).__name__}: {error}")
    return base64.b64encode(pickle.dumps(told)).decode()


def explained(told: str, out: str = "") -> Exception:
    """What Spark says of a job that has failed, as an error in one line; ``out`` is where what is done stays."""
    found = _ERROR.search(told)
    if found:
        error: Exception = pickle.loads(base64.b64decode(found[1]))  # noqa: S301  # our own executors'

        return error
    lacking = re.search(r"No module named '([^']+)'", told)
    if lacking:
        return UsageError(f"executors lack the Python package {lacking[1]}; docs/scale.md says how they get it")
    lost = re.search(r"most recent failure: Lost task .*?\(TID \d+\) (.*)", told)
    reason = lost[1] if lost else next(iter(told.strip().splitlines()), "no reason is given")
    stays = f"what is done stays in {out}: " if out else ""
    return WorkerError(
        f"Spark has given up: {reason[:200].rstrip()}; {stays}run the same again, "
        "with more spark.executor.memoryOverhead if executors were ended from outside"
    )
