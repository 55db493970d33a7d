"""Shards on the executors of Apache Spark."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from synthea_bridge.engines import Made, Mark, Task, Tell, checked, mark_name, unheard
from synthea_bridge.engines.local import read_mark
from synthea_bridge.engines.spark.executor import Given, do, explained, make, package_version
from synthea_bridge.engines.spark.hadoop import Hadoop, Settings, class_path
from synthea_bridge.engines.spark.session import start, watched
from synthea_bridge.errors import InputError, WorkerError
from synthea_bridge.place import MARKS, Place, reach_by


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
    _hadoop: Hadoop | None = None

    def place(self, where: str) -> Place:
        """See :class:`synthea_bridge.engines.Engine`; a folder that all machines see, or a URL of Hadoop's."""
        place = Place.of(where).absolute()
        if place.folder is None and self._hadoop is None:
            context = self.session.sparkContext
            self._hadoop = Hadoop(Settings.of(context), class_path(context.getConf().get("spark.jars", "")))
        reach_by(self._hadoop)
        return place

    def run(
        self, tasks: Iterable[Task], out: str, *, made_from: str, tell: Tell = unheard
    ) -> Iterator[tuple[str, Mark]]:
        """See :class:`synthea_bridge.engines.Engine`; ``out`` is as of :meth:`place`.

        Raises
        ------
        UsageError
            When Spark is not installed, or the executors have another version of this package, or lack it.
        WorkerError
            When Spark gives a task up.
        """
        asked = list(tasks)
        place = self.place(out)
        known = self._known(place, [task.key for task in asked], made_from)
        left = [task for task in asked if task.key not in known]

        def further(done: int) -> None:
            tell(len(known) + done)

        further(0)
        made = self._made(left, place, made_from, further) if left else {}
        folder = place.folder
        if folder is not None and any(not (folder / mark_name(key)).exists() for key in made):
            raise WorkerError(
                f"{out}: executors have written it where this machine does not see it; "
                "give a folder that all machines share, or a URL as hdfs:, s3a: or abfss:"
            )
        place.sweep()
        further(len(left))
        for task in asked:
            yield task.key, known.get(task.key) or made[task.key]

    def each(self, work: Callable[[int], Made], number: int, *, tell: Tell = unheard) -> list[Made]:
        """See :class:`synthea_bridge.engines.Mapper`; the work goes once to each executor.

        Raises
        ------
        UsageError
            When Spark is not installed, or the executors have another version of this package, or lack it.
        WorkerError
            When Spark gives a piece up.
        """
        context, version = self.session.sparkContext, package_version()
        given = context.broadcast(pickle.dumps(work))

        def some(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return make(batches, given.value, version)

        with watched(context, tell):
            try:
                rows = self.session.range(0, number, 1, number).mapInArrow(some, "id long, made binary").collect()
            except Exception as error:  # noqa: BLE001  # which one it is depends on PySpark's version
                raise explained(str(error)) from None
            finally:
                given.destroy()
        tell(number)
        made = {row.id: row.made for row in rows}
        return [pickle.loads(bytes(made[place])) for place in range(number)]  # noqa: S301  # our own executors'

    def close(self) -> None:
        """End the session, if it is ours."""
        if self._hadoop is not None:
            reach_by(None)
            self._hadoop.close()
            self._hadoop = None
        if self._session is not None and self._ours:
            self._session.stop()
        self._session = None

    @property
    def session(self) -> Any:
        """The session of Spark, started on first use."""
        if self._session is None:
            self._session, self._ours = start(self.master, self.settings)
        return self._session

    def _known(self, out: Place, keys: list[str], made_from: str) -> dict[str, Mark]:
        """The marks that are there."""
        folder = out.folder
        if folder is not None:
            read = {key: read_mark(folder, key, made_from) for key in keys}
            return {key: mark for key, mark in read.items() if mark is not None}
        try:
            there = set((out / MARKS).listed()[1]).intersection(f"{key}.json" for key in keys)
        except FileNotFoundError:
            return {}
        if not there:
            return {}
        found = self.session.sparkContext.wholeTextFiles(f"{out}/{MARKS}/*.json").collect()
        texts = {url.rpartition("/")[2]: text for url, text in found}
        return {key: _mark(texts[f"{key}.json"], key, made_from, out) for key in keys if f"{key}.json" in there}

    def _made(self, tasks: list[Task], out: Place, made_from: str, further: Callable[[int], None]) -> dict[str, Mark]:
        """Have executors do tasks; gives their marks."""
        context = self.session.sparkContext
        settings = None if self._hadoop is None else self._hadoop.settings
        given = Given(out, made_from, package_version(), settings)
        rows = context.parallelize([(task.key, bytearray(pickle.dumps(task.work))) for task in tasks], len(tasks))
        frame = self.session.createDataFrame(rows, "key string, work binary")

        def each(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return do(batches, given)

        with watched(context, further):
            try:
                done = frame.mapInArrow(each, "key string, mark binary").collect()
            except Exception as error:  # noqa: BLE001  # which one it is depends on PySpark's version
                raise explained(str(error), str(out)) from None
        return {row.key: orjson.loads(bytes(row.mark)) for row in done}


def _mark(text: str, key: str, made_from: str, out: Place) -> Mark:
    try:
        return checked(orjson.loads(text), made_from, str(out))
    except (ValueError, LookupError, TypeError):
        problem = "is no mark of a shard; remove it, and the shard is made again"
        raise InputError(f"{out}/{mark_name(key)}: {problem}") from None
