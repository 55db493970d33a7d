"""Shards on the executors of Apache Spark."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from synthea_bridge.engines import MARKS, Mark, Task, checked, mark_name
from synthea_bridge.engines.local import read_mark
from synthea_bridge.engines.spark.delivery import Target, folder_of, helper_classes
from synthea_bridge.engines.spark.executor import Given, do, explained, package_version
from synthea_bridge.engines.spark.session import start, watched
from synthea_bridge.errors import InputError, WorkerError
from synthea_bridge.progress import Progress, silent


@dataclass(slots=True)
class SparkEngine:
    """Does each task on an executor.

    Parameters
    ----------
    master
        As ``spark-submit`` takes it; None: what Spark's own configuration says, or the session that there is.
    settings
        Of Spark, by name.
    """

    master: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    _session: Any = None
    _ours: bool = False

    def run(
        self, tasks: Iterable[Task], out: str, *, made_from: str, progress: Progress = silent
    ) -> Iterator[tuple[str, Mark]]:
        """See :class:`synthea_bridge.engines.Engine`; ``out`` is a folder that all machines see, or a URL of Hadoop's.

        Raises
        ------
        UsageError
            When Spark is not installed, or the executors have another version of this package, or lack it.
        WorkerError
            When Spark gives a task up.
        """
        asked = list(tasks)
        folder = folder_of(out)
        where = out.rstrip("/") if folder is None else str(folder.absolute())
        known = self._known(where, [task.key for task in asked], made_from)
        left = [task for task in asked if task.key not in known]

        def further(done: int) -> None:
            progress(len(known) + done, len(asked))

        further(0)
        made = self._made(left, where, made_from, further) if left else {}
        if folder is not None and any(not (folder / mark_name(key)).exists() for key in made):
            raise WorkerError(
                f"{out}: executors have written it where this machine does not see it; "
                "give a folder that all machines share, or a URL as hdfs:, s3a: or abfss:"
            )
        self._clean(where)
        further(len(left))
        for task in asked:
            yield task.key, known.get(task.key) or made[task.key]

    def close(self) -> None:
        """End the session, if it is ours."""
        if self._session is not None and self._ours:
            self._session.stop()
        self._session = None

    @property
    def session(self) -> Any:
        """The session of Spark, started on first use."""
        if self._session is None:
            self._session, self._ours = start(self.master, self.settings)
        return self._session

    def _known(self, out: str, keys: list[str], made_from: str) -> dict[str, Mark]:
        """The marks that are there."""
        folder = folder_of(out)
        if folder is not None:
            read = {key: read_mark(folder, key, made_from) for key in keys}
            return {key: mark for key, mark in read.items() if mark is not None}
        context = self.session.sparkContext
        marks = f"{out}/{MARKS}/*.json"
        place, files = _hadoop(context, marks)
        if not files.globStatus(place):
            return {}
        texts = {url.rpartition("/")[2]: text for url, text in context.wholeTextFiles(marks).collect()}
        there = ((key, texts.get(f"{key}.json")) for key in keys)
        return {key: _mark(text, key, made_from, out) for key, text in there if text is not None}

    def _made(self, tasks: list[Task], out: str, made_from: str, further: Callable[[int], None]) -> dict[str, Mark]:
        """Have executors do tasks; gives their marks."""
        context = self.session.sparkContext
        given = Given(_target(context, out), made_from, package_version())
        rows = context.parallelize([(task.key, bytearray(pickle.dumps(task.work))) for task in tasks], len(tasks))
        frame = self.session.createDataFrame(rows, "key string, work binary")

        def each(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return do(batches, given)

        with watched(context, further):
            try:
                done = frame.mapInArrow(each, "key string, mark binary").collect()
            except Exception as error:  # noqa: BLE001  # which one it is depends on PySpark's version
                raise explained(str(error), out) from None
        return {row.key: orjson.loads(bytes(row.mark)) for row in done}

    def _clean(self, out: str) -> None:
        """Remove what attempts have left that were killed."""
        folder = folder_of(out)
        if folder is not None:
            for left in (folder / MARKS).glob(".*.part"):
                shutil.rmtree(left, ignore_errors=True)
            return
        place, files = _hadoop(self.session.sparkContext, f"{out}/{MARKS}/.*.part")
        for status in files.globStatus(place) or ():
            files.delete(status.getPath(), True)


def _target(context: Any, out: str) -> Target:
    if folder_of(out) is not None:
        return Target(out)
    text = context._jvm.java.io.StringWriter()  # noqa: SLF001  # PySpark has no other way to Hadoop
    context._jsc.hadoopConfiguration().writeXml(text)  # noqa: SLF001
    return Target(out, text.toString().encode(), helper_classes())


def _hadoop(context: Any, url: str) -> tuple[Any, Any]:
    """A path of Hadoop, and its file system, in the driver's Java."""
    path = context._jvm.org.apache.hadoop.fs.Path(url)  # noqa: SLF001
    return path, path.getFileSystem(context._jsc.hadoopConfiguration())  # noqa: SLF001


def _mark(text: str, key: str, made_from: str, out: str) -> Mark:
    try:
        return checked(orjson.loads(text), made_from, out)
    except (ValueError, LookupError, TypeError):
        problem = "is no mark of a shard; remove it, and the shard is made again"
        raise InputError(f"{out}/{mark_name(key)}: {problem}") from None
