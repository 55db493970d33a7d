"""Bytes out of plain files, ``.gz``, ``.zst`` and ``.zip``, within limits and never unpacked to disk."""

from __future__ import annotations

import gzip
import io
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple

from synthea_bridge.errors import LimitError
from synthea_bridge.skips import Skip, SkipLog

CHUNK: Final = 1 << 20
BOM: Final = b"\xef\xbb\xbf"
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
"""How packed files begin."""
PACKED: Final = (".gz", ".zst")


@dataclass(frozen=True, slots=True)
class Limits:
    """How large things may be, so that a small file cannot fill the memory.

    Parameters
    ----------
    document
        Unpacked bytes of one file or member; of NDJSON, which is streamed, there may be any number.
    line
        Bytes of one line of NDJSON.
    members
        Files in one ``.zip``.
    unpacked
        Unpacked bytes of all members of one ``.zip``.
    ratio
        Unpacked to packed bytes. Synthea's Bundles reach about 30; deflate cannot exceed 1032, which only
        repetition without end comes near.
    """

    document: int = 4 << 30
    line: int = 512 << 20
    members: int = 1_000_000
    unpacked: int = 1 << 40
    ratio: float = 500


LIMITS: Final = Limits()


def suffix_of(name: str) -> str:
    """The suffix that says what a file holds, below ``.gz`` and ``.zst``."""
    path = PurePosixPath(name.lower())
    return PurePosixPath(path.stem).suffix if path.suffix in PACKED else path.suffix


class Lines(NamedTuple):
    """Whole lines of a file: from which byte, to which, and the number of the first of them."""

    start: int
    stop: int
    first: int


@dataclass(slots=True)
class Stream:
    """Bytes with a name, read once.

    Parameters
    ----------
    name
        For messages; its suffix says whether it is NDJSON.
    handle
        Where they are read from.
    packed
        Packed size, where it is known; the ratio is held against it.
    limits
        How large it may be.
    first, room
        Number of the first line, and bytes from there on that belong to it.
    """

    name: str
    handle: IO[bytes] | gzip.GzipFile | io.BufferedReader
    packed: int | None
    limits: Limits
    taken: int = 0
    first: int = 1
    room: int = sys.maxsize

    def part(self, lines: Lines) -> Stream:
        """The same, from one line to another."""
        self.handle.seek(lines.start)
        return replace(self, first=lines.first, room=lines.stop - lines.start)

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes more; fewer only at the end.

        Raises
        ------
        LimitError
            When they are more than is allowed.
        """
        parts = []
        while size > 0 and (chunk := self.handle.read(size if self.packed is None else min(size, CHUNK))):
            self.taken += len(chunk)
            self._allow(self.taken)
            parts.append(chunk)
            size -= len(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_all(self) -> bytes:
        """All bytes, without a byte order mark; see :meth:`read`."""
        return self.read(self.limits.document + 1).removeprefix(BOM)

    def lines(self) -> Iterator[bytes]:
        """Line by line, without a byte order mark.

        Raises
        ------
        LimitError
            When a line, or the ratio, is more than is allowed.
        """
        size = 0
        while size < self.room and (line := self.handle.readline(self.limits.line + 1)):
            if len(line) > self.limits.line:
                raise LimitError(f"has a line of more than {self.limits.line:,} bytes")
            size += len(line)
            self._allow_ratio(size)
            yield line.removeprefix(BOM) if size == len(line) and self.first == 1 else line

    def _allow(self, size: int) -> None:
        if size > self.limits.document:
            raise LimitError(f"unpacks to more than {self.limits.document:,} bytes")
        self._allow_ratio(size)

    def _allow_ratio(self, size: int) -> None:
        if self.packed is not None and size > CHUNK and size > self.limits.ratio * max(self.packed, 1):
            raise LimitError(f"unpacks to more than {self.limits.ratio:g} times its size")


def open_streams(path: Path, name: str, skips: SkipLog, limits: Limits, ignored: Counter[str]) -> Iterator[Stream]:
    """The streams of one file: itself, or the members of a ``.zip`` in sorted order.

    Parameters
    ----------
    path, name
        The file, and its name in messages.
    skips
        Takes what cannot be opened.
    limits
        How large things may be.
    ignored
        Counts members that hold no FHIR by their suffix.
    """
    if suffix_of(name) == ".zip" or (path.suffix not in {".json", *PACKED} and zipfile.is_zipfile(path)):
        yield from _members(path, name, skips, limits, ignored)
        return
    try:
        handle = path.open("rb")
    except OSError as error:
        skips.add(Skip(name, "", f"cannot be opened ({error.strerror})", "allow it to be read"))
        return
    with handle:
        head = handle.read(len(ZSTD))
        handle.seek(0)
        if head.startswith((GZIP, ZSTD)):
            with closing(_unpacked(handle, zstd=head == ZSTD)) as unpacked:
                yield Stream(name, unpacked, path.stat().st_size, limits)
        else:
            yield Stream(name, handle, None, limits)


def _unpacked(handle: IO[bytes], *, zstd: bool) -> gzip.GzipFile | io.BufferedReader:
    if not zstd:
        return gzip.GzipFile(fileobj=handle)
    import pyarrow as pa

    return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(handle, "r"), "zstd"))


def _members(path: Path, name: str, skips: SkipLog, limits: Limits, ignored: Counter[str]) -> Iterator[Stream]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        skips.add(Skip(name, "", f"is no whole zip archive ({error})", "fetch it again"))
        return
    with archive:
        members = sorted((m for m in archive.infolist() if not m.is_dir()), key=lambda member: member.filename)
        problem = _too_large(members, limits)
        if problem:
            skips.add(Skip(name, "", problem, "unpack it yourself if you trust it, and give the folder"))
            return
        for member in members:
            yield from _member(archive, member, name, skips, limits, ignored)


def _too_large(members: list[zipfile.ZipInfo], limits: Limits) -> str | None:
    if len(members) > limits.members:
        return f"holds more than {limits.members:,} files"
    if sum(member.file_size for member in members) > limits.unpacked:
        return f"unpacks to more than {limits.unpacked:,} bytes"
    return None


def _member(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    name: str,
    skips: SkipLog,
    limits: Limits,
    ignored: Counter[str],
) -> Iterator[Stream]:
    inside = PurePosixPath(member.filename.replace("\\", "/"))
    if inside.is_absolute() or ".." in inside.parts or ":" in inside.parts[0]:
        skips.add(Skip(f"{name}!{member.filename}", "", "has a name that leads out of the archive", "do not trust it"))
        return
    suffix = suffix_of(inside.name)
    if inside.name.startswith(".") or inside.parts[0] == "__MACOSX" or inside.name == "manifest.json":
        return
    if suffix not in {".json", ".ndjson", ".jsonl"}:
        ignored[inside.suffix or "(no suffix)"] += 1
        return
    source = f"{name}!{member.filename}"
    try:
        with archive.open(member) as handle:
            if inside.suffix.lower() in PACKED:
                with closing(_unpacked(handle, zstd=inside.suffix.lower() == ".zst")) as unpacked:
                    yield Stream(source, unpacked, member.compress_size, limits)
            else:
                yield Stream(source, handle, member.compress_size, limits)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        skips.add(Skip(source, "", f"cannot be unpacked ({error})", "fetch the archive again, without a password"))
