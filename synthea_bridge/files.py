"""Writes that are whole or not there at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a scratch path beside ``path``; on success it takes its place.

    An exception (Ctrl-C too) removes the scratch file and leaves the old one as it was. A power cut leaves the old
    file or the new one, and perhaps a scratch file named ``.NAME.part``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.part")
    try:
        yield scratch
        with scratch.open("rb") as handle:
            os.fsync(handle.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path, key: str | None = None) -> Iterator[Path]:
    """Give an empty scratch folder beside ``path``; on success it takes the place of ``path``.

    With a ``key``, a scratch folder that a kill has left is given as it is, if it was made with the same key.

    An exception (Ctrl-C too) removes the scratch folder and leaves the old one as it was. A power cut between the two
    renames leaves the old content under ``.NAME.old``, and the next write to ``path`` puts it back first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.part")
    old = path.with_name(f".{path.name}.old")
    if old.exists() and not path.exists():
        old.replace(path)
    mark = scratch / ".key"
    shutil.rmtree(old, ignore_errors=True)
    if key is None or not mark.exists() or mark.read_text(encoding="utf-8") != key:
        shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(exist_ok=True)
    if key is not None:
        mark.write_text(key, encoding="utf-8")
    try:
        yield scratch
        mark.unlink(missing_ok=True)
        if path.exists():
            path.replace(old)
        scratch.replace(path)
    except BaseException:
        if old.exists() and not path.exists():
            with suppress(OSError):
                old.replace(path)
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Let one process at a time into the block, among all that name the same ``lock``; on Windows all of them."""
    try:
        import fcntl
    except ModuleNotFoundError:
        yield
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically."""
    with atomic_file(path) as scratch:
        scratch.write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")


def read_json(path: Path) -> Any:
    """Read a JSON file that we wrote ourselves.

    Raises
    ------
    OSError, orjson.JSONDecodeError
        When it is not there or not whole.
    """
    return orjson.loads(path.read_bytes())


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
