"""A session of Spark that brings its own Java and is quiet."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from synthea_bridge.engines.spark.java_home import java_home
from synthea_bridge.errors import UsageError, WorkerError

OURS: Final = {
    "spark.app.name": "fhirsynth",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
"""Settings that the user's take the place of."""
LOGGING: Final = """\
rootLogger.level = error
rootLogger.appenderRef.err.ref = err
appender.err.type = Console
appender.err.name = err
appender.err.target = SYSTEM_ERR
appender.err.layout.type = PatternLayout
appender.err.layout.pattern = spark: %m{nolookups}%n%ex{0}
logger.start.name = org.apache.spark.api.python.PythonGatewayServer
logger.start.level = error
logger.network.name = org.apache.spark.network
logger.network.level = off
logger.rpc.name = org.apache.spark.rpc
logger.rpc.level = off
logger.executor.name = org.apache.spark.executor
logger.executor.level = off
logger.tasks.name = org.apache.spark.scheduler.TaskSetManager
logger.tasks.level = off
"""
"""What goes wrong in a task is told by whoever asked for it."""
LOOK_S: Final = 0.5
"""How often the driver looks how far the executors are."""


def start(master: str | None, settings: Mapping[str, str]) -> tuple[Any, bool]:
    """The session that there is, or a new one; and whether it is new.

    Raises
    ------
    UsageError
        When PySpark is not installed.
    WorkerError
        When Spark does not start.
    """
    try:
        from pyspark.sql import SparkSession
    except ModuleNotFoundError as error:
        raise UsageError(
            "--engine spark needs the extra 'spark'; install it with: pip install 'fhirsynth[spark]'"
        ) from error
    session = SparkSession.getActiveSession()
    if session is not None:
        return session, False
    builder = SparkSession.builder if master is None else SparkSession.builder.master(master)
    for name, value in {**OURS, **settings}.items():
        builder = builder.config(name, value)
    try:
        with tempfile.TemporaryDirectory(prefix="fhirsynth-") as scratch, _environment(_wanted(master, Path(scratch))):
            return builder.getOrCreate(), True
    except Exception as error:  # noqa: BLE001  # Spark's, and those of py4j
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in lines if "Exception:" in line), lines[0] if lines else type(error).__name__)
        raise WorkerError(f"Spark does not start with --master {master}: {reason[:300]}") from None


def _wanted(master: str | None, scratch: Path) -> dict[str, str]:
    """What the environment must say while Spark starts."""
    wanted = {}
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # else spark-submit has started Java
        wanted["JAVA_HOME"] = str(java_home())
        if not Path(os.environ.get("SPARK_CONF_DIR", scratch), "log4j2.properties").exists():
            logging = scratch / "log4j2.properties"
            logging.write_text(LOGGING, encoding="utf-8")
            given = os.environ.get("SPARK_SUBMIT_OPTS", "")
            wanted["SPARK_SUBMIT_OPTS"] = f"{given} -Dlog4j2.configurationFile={logging.as_uri()}".strip()
    if master is not None and master.startswith("local"):
        wanted["PYSPARK_PYTHON"] = os.environ.get("PYSPARK_PYTHON", sys.executable)
    return wanted


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def watched(context: Any, further: Callable[[int], None]) -> Iterator[None]:
    """Tell how many tasks of the job in the block are done, while it runs."""
    over = threading.Event()

    def look() -> None:
        tracker, before = context.statusTracker(), 0
        while not over.wait(LOOK_S):
            with suppress(Exception):  # the session may be ending
                stages = map(tracker.getStageInfo, tracker.getActiveStageIds())
                done = sum(stage.numCompletedTasks for stage in stages if stage is not None)
                if done > before:
                    before = done
                    further(done)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
