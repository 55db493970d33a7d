"""File systems of Hadoop, read and written by a small Java program that runs beside a driver or an executor."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self

from synthea_bridge.errors import HelperError, UsageError
from synthea_bridge.jvm import Child, compiled, launch
from synthea_bridge.place import folder_of

HELPER: Final = "Carry"
QUICK: Final = ("-XX:TieredStopAtLevel=1",)
"""It waits for disks and networks; compiling it well takes longer than it saves."""
_LENGTH: Final = struct.Struct(">i")
_ENTRY: Final = struct.Struct(">qq")
_MISSING: Final = frozenset({"FileNotFoundException", "NotInMountpointException", "ParentNotDirectoryException"})
_FORBIDDEN: Final = frozenset({"AccessControlException", "AccessDeniedException"})
_UNKNOWN: Final = frozenset({"UnsupportedFileSystemException", "ClassNotFoundException", "NoClassDefFoundError"})
"""What Hadoop's errors are called."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What makes Hadoop's file systems known elsewhere; it holds secrets, and is not to be shown.

    Parameters
    ----------
    configuration
        Hadoop's, as XML.
    classes
        The compiled helper, by file name.
    """

    configuration: bytes = field(repr=False)
    classes: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, context: Any) -> Settings:
        """Those of a context of Spark."""
        text = context._jvm.java.io.StringWriter()  # noqa: SLF001  # PySpark has no other way to Hadoop
        context._jsc.hadoopConfiguration().writeXml(text)  # noqa: SLF001
        return cls(text.toString().encode(), helper_classes())


@dataclass(slots=True)
class Hadoop:
    """See :class:`synthea_bridge.place.Reach`; the helper starts when it is first needed, and ends with the block.

    Parameters
    ----------
    class_path
        See :func:`class_path`.
    """

    settings: Settings
    class_path: Sequence[Path]
    scratch: Path | None = None
    _child: Child | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the helper."""
        self._stack.close()
        self._child = None

    def listed(self, url: str) -> dict[str, tuple[int, int]]:
        found = {}
        for piece in self._reading(url, "list", f"{url}/"):  # without a path there is no root
            size, written = _ENTRY.unpack_from(piece)
            found[piece[_ENTRY.size :].decode()] = (size, written)
        return found

    def fetch(self, url: str, path: Path, most: int | None) -> None:
        self._reading(url, "get", url, str(path), "" if most is None else str(most))

    def put(self, path: Path, url: str, scratch: str) -> None:
        self._writing(url, "put", str(path), url, scratch)

    def sweep(self, url: str) -> None:
        self._writing(url, "sweep", url)

    def _reading(self, url: str, *words: str) -> list[bytes]:
        pieces, problem = self._ask(words)
        kind = _kind(problem, url)
        if kind in _MISSING:
            raise FileNotFoundError(f"{url}: there is no such file or folder")
        if kind in _FORBIDDEN:
            raise PermissionError(f"{url}: must not be read ({problem})")
        if problem:
            raise HelperError(f"{url}: cannot be read ({problem})")
        return pieces

    def _writing(self, url: str, *words: str) -> None:
        _, problem = self._ask(words)
        if _kind(problem, url):
            raise HelperError(f"{url}: cannot be written ({problem})")

    def _ask(self, words: Sequence[str]) -> tuple[list[bytes], str]:
        """The pieces that answer a request, and what went wrong, if anything did."""
        child = self._started()
        with suppress(BrokenPipeError):
            child.stdin.write(_LENGTH.pack(len(words)) + b"".join(map(_framed, map(str.encode, words))))
            child.stdin.flush()
        pieces = []
        while (piece := _piece(child)) is not None:
            pieces.append(piece)
        return pieces, (_piece(child) or b"").decode().strip()

    def _started(self) -> Child:
        if self._child is not None and self._child.process.poll() is not None:
            self.close()
        if self._child is None:
            self._child = self._stack.enter_context(self._launched())
        return self._child

    @contextmanager
    def _launched(self) -> Iterator[Child]:
        with tempfile.TemporaryDirectory(prefix="fhirsynth-", dir=self.scratch) as scratch:
            for name, data in self.settings.classes.items():
                (Path(scratch) / name).write_bytes(data)
            with launch(HELPER, [Path(scratch), *self.class_path], [], "512m", flags=QUICK) as child:
                with suppress(BrokenPipeError):
                    child.stdin.write(_framed(self.settings.configuration))
                yield child


def helper_classes() -> dict[str, bytes]:
    """The compiled helper, by file name; compiled on first use."""
    folder = compiled(HELPER, sorted((spark_home() / "jars").glob("hadoop-*.jar")))
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.class"))}


def class_path(jars: str = "") -> list[Path]:
    """Where Hadoop's classes are on a driver or an executor, and those of file systems that Spark was given with it.

    Parameters
    ----------
    jars
        Of a driver: what ``spark.jars`` says.
    """
    from pyspark import SparkFiles

    given = [spark_home() / "jars" / "*", Path(SparkFiles.getRootDirectory()) / "*"]
    given += [folder for jar in jars.split(",") if jar and (folder := folder_of(jar)) is not None]
    configured = [os.environ.get("HADOOP_CONF_DIR", ""), *os.environ.get("CLASSPATH", "").split(os.pathsep)]
    return given + [Path(name) for name in configured if name]


def spark_home() -> Path:
    """The folder of Spark."""
    from pyspark.find_spark_home import _find_spark_home

    return Path(_find_spark_home())


def _kind(problem: str, url: str) -> str:
    """What an error is called.

    Raises
    ------
    UsageError
        When there are no such URLs.
    """
    kind = problem.partition(":")[0]
    if kind in _UNKNOWN:
        what = "this Spark knows no such URLs; correct it, or give Spark the classes for it with --conf spark.jars"
        raise UsageError(f"{url}: {what} ({problem})")
    return kind


def _framed(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def _piece(child: Child) -> bytes | None:
    """A piece of data; None after the last one.

    Raises
    ------
    HelperError
        When the helper has ended.
    """
    length = _LENGTH.unpack(_exactly(child, _LENGTH.size))[0]
    return None if length < 0 else _exactly(child, length)


def _exactly(child: Child, size: int) -> bytes:
    stream: IO[bytes] = child.stdout
    data = stream.read(size)
    if len(data) < size:
        raise HelperError(child.obituary("what reads and writes through Hadoop"))
    return data
