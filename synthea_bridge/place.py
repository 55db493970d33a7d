"""Where files are: in a folder, or at a URL that an engine reaches."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlparse
from urllib.request import url2pathname

import orjson

from synthea_bridge.errors import InputError, UsageError

MARKS: Final = "_shards"
"""The folder of what is known of shards; readers of data sets leave out names that begin with an underscore."""
MANIFEST: Final = "manifest.json"
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9.+-]+):/")  # one letter is a drive
_PARTS: Final = re.compile(r"([^:]+):(?://([^/]*))?(.*?)/*")

Listed = tuple[str, int | None]
"""The name of a file below a place, and its bytes as they were listed; None: any number, and it may be missing."""


class Reach(Protocol):
    """What reads and writes at URLs."""

    @property
    def scratch(self) -> Path | None:
        """Where copies may lie; None: where Python has such files."""
        ...

    def listed(self, url: str) -> dict[str, tuple[int, int]]:
        """Bytes and time of change of all files below ``url``, by name; of ``url`` itself, if it is a file, by ``""``.

        Raises
        ------
        FileNotFoundError, PermissionError, UsageError, HelperError
            When there is none, it must not be read, there are no such URLs, or something else is in the way.
        """
        ...

    def fetch(self, url: str, path: Path, most: int | None) -> None:
        """Copy a file, or as many bytes of it, to ``path``; raises as :meth:`listed` does."""
        ...

    def put(self, path: Path, url: str, scratch: str) -> None:
        """Copy ``path`` to ``url``, whole or not at all; until it is whole it may lie at ``scratch``.

        Raises
        ------
        UsageError, HelperError
            When there are no such URLs, or it cannot be written.
        """
        ...

    def sweep(self, url: str) -> None:
        """Remove what lies in the folder ``url`` and is named ``.*.part``."""
        ...


_REACH: ContextVar[Reach | None] = ContextVar("_REACH", default=None)


def reach_by(reach: Reach | None) -> None:
    """Have places that are URLs read and written by ``reach`` from now on."""
    _REACH.set(reach)


def unreached(url: str) -> UsageError:
    """What is said of a URL where nothing reaches it."""
    return UsageError(f"{url}: is a URL, which needs the engine on Spark; or copy it into a folder")


def folder_of(where: str) -> Path | None:
    """The folder that ``where`` is, as a path or ``file:`` URL; None where it is another URL."""
    scheme = _SCHEME.match(where)
    if scheme is None:
        return Path(where)
    return Path(url2pathname(urlparse(where).path)) if scheme[1].lower() == "file" else None


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, the URL of one, or a file of either; picklable, and equal where the text is.

    Parameters
    ----------
    where
        A path, or a URL without a slash at the end.
    """

    where: str

    @classmethod
    def of(cls, where: Place | Path | str) -> Place:
        """The same, if it is one."""
        if isinstance(where, Place):
            return where
        folder = folder_of(str(where))
        if folder is not None:
            return cls(str(folder))
        base, path = _parts(str(where))
        return cls(base + path)

    def __str__(self) -> str:
        return self.where

    def __truediv__(self, name: str) -> Place:
        return Place(f"{self.where}/{name}" if self.folder is None else str(self.folder / name))

    def absolute(self) -> Place:
        """The same from wherever it is looked at."""
        return self if self.folder is None else Place(str(self.folder.absolute()))

    @property
    def folder(self) -> Path | None:
        """Its path; None where it is a URL."""
        return folder_of(self.where)

    @property
    def above(self) -> Place:
        """What it lies in; what lies in nothing, itself."""
        if self.folder is not None:
            return Place(str(self.folder.parent))
        base, path = _parts(self.where)
        return Place(base + path.rpartition("/")[0])

    @property
    def name(self) -> str:
        """The last part."""
        return self.where.rpartition("/")[2] if self.folder is None else self.folder.name

    def listed(self) -> tuple[Place, dict[str, int]]:
        """The folder, and bytes of all files below it, sorted; of a file what it lies in, and that alone.

        Raises
        ------
        FileNotFoundError
            When there is none.
        """
        folder = self.folder
        if folder is None:
            found = {name: size for name, (size, _) in self._reach.listed(self.where).items()}
        elif folder.is_dir():
            files = (path for path in folder.rglob("*") if path.is_file())
            found = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
        else:
            found = {"": folder.stat().st_size}
        if "" in found:
            return self.above, {self.name: found[""]}
        return self, {name: found[name] for name in sorted(found, key=lambda name: name.split("/"))}

    def file(self) -> File:
        """What is known of the file that it is; nothing, if there is none."""
        size: int | None = None
        written = 0
        with suppress(FileNotFoundError):
            if self.folder is None:
                size, written = self._reach.listed(self.where).get("", (None, 0))
            else:
                known = self.folder.stat()
                size, written = known.st_size, known.st_mtime_ns
        return File(self.above, self.name, size, written)

    @contextmanager
    def here(self, files: Iterable[Listed], most: int | None = None) -> Iterator[Path]:
        """A folder that has these files below it: itself, or one with copies that goes when the block is left.

        What is raised in the block says where the files are, and not their copies.

        Parameters
        ----------
        files
            What is wanted.
        most
            So many bytes of each are enough.

        Raises
        ------
        InputError
            When one is gone, or has not the bytes that it had.
        """
        folder = self.folder
        if folder is not None:
            for name, size in files:
                _check(folder / name, size, self / name)
            yield folder
            return
        with tempfile.TemporaryDirectory(prefix="fhirsynth-", dir=self._reach.scratch) as scratch:
            copies = Path(scratch) / "files"  # what lies beside them is ours as well
            copies.mkdir()
            for name, size in files:
                path = copies / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):
                    self._reach.fetch(f"{self.where}/{name}", path, most)
                _check(path, None if most is not None else size, self / name)
            try:
                yield copies
            except Exception as error:
                _rename(error, str(copies), self.where)
                raise

    def read(self, name: str) -> bytes:
        """All of a small file.

        Raises
        ------
        OSError
            When there is none, or it must not be read.
        """
        with self.here([(name, None)]) as folder:
            return (folder / name).read_bytes()

    def manifests(self) -> Iterator[dict[str, Any]]:
        """The manifests of the folder and of the one above, as far as there are any."""
        for place in (self, self.above):
            found = None
            with suppress(OSError, ValueError):
                found = orjson.loads(place.read(MANIFEST))
            if isinstance(found, dict):
                yield found

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """A folder; what is written there is below this one when the block has been left without an error.

        At a URL each file is whole or not there; in a folder it is as whole as it is written.
        """
        folder = self.folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
            return
        with tempfile.TemporaryDirectory(prefix="fhirsynth-", dir=self._reach.scratch) as scratch:
            made = Path(scratch)
            yield made
            names = sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
            self.deliver(made, names, f"written-{os.getpid()}")
            self.sweep()

    def deliver(self, made: Path, names: Iterable[str], attempt: str) -> None:
        """Put the files ``names`` of ``made`` below it, one after the other, each whole or not at all.

        Parameters
        ----------
        attempt
            Nobody else delivers the same files under this name at the same time.

        Raises
        ------
        OSError, UsageError, HelperError
            When one cannot be written.
        """
        part = f"{MARKS}/.{attempt}.part"
        folder = self.folder
        if folder is None:
            for name in names:
                self._reach.put(made / name, f"{self.where}/{name}", f"{self.where}/{part}/{name}")
            return
        for name in names:
            scratch, target = folder / part / name, folder / name
            for path in (scratch, target):
                path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made / name, scratch)
            with scratch.open("rb") as handle:
                os.fsync(handle.fileno())
            scratch.replace(target)
        shutil.rmtree(folder / part, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what deliveries have left that were killed."""
        folder = self.folder
        if folder is None:
            self._reach.sweep(f"{self.where}/{MARKS}")
            return
        for left in (folder / MARKS).glob(".*.part"):
            shutil.rmtree(left, ignore_errors=True)

    @property
    def _reach(self) -> Reach:
        reach = _REACH.get()
        if reach is None:
            raise unreached(self.where)
        return reach


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was when it was looked at.

    Parameters
    ----------
    place
        What it lies in.
    size, written
        Bytes, and when it was changed; None and 0 where there was none.
    """

    place: Place
    name: str
    size: int | None
    written: int

    def __str__(self) -> str:
        return str(self.place / self.name)

    @contextmanager
    def here(self) -> Iterator[Path]:
        """The file, or a copy; see :meth:`Place.here`."""
        with self.place.here([(self.name, self.size)]) as folder:
            yield folder / self.name


def _parts(url: str) -> tuple[str, str]:
    """Scheme and authority, and the path without a slash at the end."""
    found = _PARTS.fullmatch(url)
    assert found is not None
    return f"{found[1]}://{found[2] or ''}", found[3]


def _check(path: Path, size: int | None, place: Place) -> None:
    """Check that a file, which is ``place`` for the user, has as many bytes as it had."""
    there = path.stat().st_size if size is not None and path.exists() else None
    if there != size:
        now = "is gone" if there is None else f"has {there:,} bytes"
        advice = "see who writes there, and run it again with another --out"
        raise InputError(f"{place}: {now}, and had {size:,} when files were listed; {advice}")


def _rename(error: Exception, here: str, there: str) -> None:
    """Have an error that names files below ``here`` name them below ``there``."""
    error.args = tuple(one.replace(here, there) if isinstance(one, str) else one for one in error.args)
    if isinstance(error, OSError):
        for name in ("strerror", "filename"):
            text = getattr(error, name)
            if isinstance(text, str):
                setattr(error, name, text.replace(here, there))
