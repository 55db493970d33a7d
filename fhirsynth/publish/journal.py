"""Which Bundles a server has taken: a file that is appended to, a line a Bundle, and survives a crash."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from fhirsynth.errors import PublishError, UsageError


@dataclass(slots=True)
class Journal:
    """Hashes of Bundles that were taken; :meth:`add` returns when the line is on disk."""

    handle: BinaryIO
    taken: set[str] = field(default_factory=set)

    @classmethod
    @contextmanager
    def open(cls, path: Path, url: str) -> Iterator[Journal]:
        """Read what was taken before, and append to it.

        Raises
        ------
        UsageError
            When the journal is of another server.
        PublishError
            When it cannot be written.
        """
        taken = _read(path, url)
        try:
            handle = path.open("ab")
        except OSError as error:
            raise PublishError(
                f"{path}: cannot be written ({error.strerror}); say where the journal may be with --journal"
            ) from error
        with handle:
            journal = cls(handle, taken)
            if not handle.tell():
                journal._write({"url": url})
            yield journal

    def has(self, digest: str) -> bool:
        """Whether the server has taken the Bundle with this SHA-256."""
        return digest in self.taken

    def add(self, digest: str, source: str, status: int) -> None:
        """Note a Bundle that was taken."""
        self._write({"sha256": digest, "source": source, "status": status})
        self.taken.add(digest)

    def _write(self, line: dict[str, Any]) -> None:
        self.handle.write(orjson.dumps(line) + b"\n")
        self.handle.flush()
        os.fsync(self.handle.fileno())


def _read(path: Path, url: str) -> set[str]:
    """Hashes in a journal; a last line that a crash has cut is none."""
    if not path.exists():
        return set()
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        data = data[: data.rfind(b"\n") + 1]
        path.write_bytes(data)
    try:
        lines = [orjson.loads(line) for line in data.splitlines()]
    except orjson.JSONDecodeError as error:
        raise PublishError(f"{path}: is no journal of ours ({error}); remove it to load everything again") from error
    if lines and lines[0].get("url") != url:
        raise UsageError(f"{path}: is the journal of {lines[0].get('url')}; give another one with --journal")
    return {line["sha256"] for line in lines[1:]}
