"""What a shard has made, delivered from an executor: into a folder that it sees, or wherever Hadoop can write to."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from synthea_bridge.engines import MARKS
from synthea_bridge.errors import HelperError
from synthea_bridge.jvm import Child, compiled, launch

HELPER = "Deliver"


@dataclass(frozen=True, slots=True)
class Target:
    """Where files are delivered to, as it is told to executors.

    Parameters
    ----------
    out
        A folder that all of them see, or the URL of any file system of Hadoop.
    configuration
        Hadoop's, as XML; empty where ``out`` is a folder.
    classes
        The compiled helper, by file name.
    """

    out: str
    configuration: bytes = b""
    classes: Mapping[str, bytes] | None = None

    def deliver(self, folder: Path, names: list[str], attempt: str) -> None:
        """Put the files ``names`` of ``folder`` below ``out``, one after the other, each whole or not at all.

        Parameters
        ----------
        attempt
            Nobody else delivers the same files under this name at the same time.

        Raises
        ------
        OSError, HelperError
            When one cannot be written.
        """
        part = f"{MARKS}/.{attempt}.part"
        here = folder_of(self.out)
        if here is None:
            with self._helper() as child:
                child.stdin.write(struct.pack(">I", len(self.configuration)) + self.configuration)
                for name in names:
                    _put(child, str(folder / name), f"{self.out}/{name}", f"{self.out}/{part}/{name}")
            return
        for name in names:
            scratch, target = here / part / name, here / name
            for path in (scratch, target):
                path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, scratch)
            with scratch.open("rb") as handle:
                os.fsync(handle.fileno())
            scratch.replace(target)
        shutil.rmtree(here / part, ignore_errors=True)

    @contextmanager
    def _helper(self) -> Iterator[Child]:
        with tempfile.TemporaryDirectory(prefix="fhirsynth-") as scratch:
            for name, data in (self.classes or {}).items():
                (Path(scratch) / name).write_bytes(data)
            with launch(HELPER, [Path(scratch), *hadoop_class_path()], [], "512m") as child:
                yield child


def folder_of(out: str) -> Path | None:
    """The folder that ``out`` is, as a path or ``file:`` URL; None where it is another URL."""
    url = urlparse(out)
    if url.scheme == "file":
        return Path(url2pathname(url.path))
    return None if len(url.scheme) > 1 else Path(out)  # one letter is a drive


def hadoop_class_path() -> list[Path]:
    """Where Hadoop's classes are on an executor, and those of file systems that were given to Spark with it."""
    from pyspark import SparkFiles

    given = [_spark_home() / "jars" / "*", Path(SparkFiles.getRootDirectory()) / "*"]
    configured = [os.environ.get("HADOOP_CONF_DIR", ""), *os.environ.get("CLASSPATH", "").split(os.pathsep)]
    return given + [Path(name) for name in configured if name]


def helper_classes() -> dict[str, bytes]:
    """The compiled helper, by file name; compiled on first use."""
    folder = compiled(HELPER, sorted((_spark_home() / "jars").glob("hadoop-*.jar")))
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.class"))}


def _spark_home() -> Path:
    from pyspark.find_spark_home import _find_spark_home

    return Path(_find_spark_home())


def _put(child: Child, *texts: str) -> None:
    try:
        child.stdin.write(b"".join(struct.pack(">H", len(data)) + data for data in map(str.encode, texts)))
        child.stdin.flush()
        answer = child.stdout.readline().decode()
    except BrokenPipeError:
        answer = ""
    if not answer:
        raise HelperError(child.obituary("delivery through Hadoop"))
    if answer.strip():
        raise HelperError(f"{texts[1]}: cannot be written ({answer.strip()})")
