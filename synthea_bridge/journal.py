"""What a simulation has already done, noted frame by frame, so that it goes on after a kill where it was."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import orjson

from synthea_bridge.prevalence import bundle_name

NAME: Final = ".journal.ndjson"
SHARED: Final = "shared"
_REFERENCE: Final = re.compile(rb'"reference":"([A-Z][A-Za-z]+\?identifier=[^"]+)"')

Frame = tuple[str, int, IO[bytes], Mapping[str, int]]
"""What the helper ``Simulate`` says of one person: kind, index, Bundle, and what was mended in it."""


@dataclass(frozen=True, slots=True)
class Note:
    """One frame without its Bundle, and of which shard it is."""

    shard: str
    word: str
    index: int
    mends: dict[str, int]


class Journal:
    """The notes of all shards in one folder; they are removed when all is done.

    A note is written after the file that it is about, so what is noted is there. A line that was cut short by a kill
    does not count; its person is simulated again, and is the same.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._first: dict[str, int] = {}
        text = self._path.read_bytes() if self._path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        self._past: dict[str, list[Note]] = defaultdict(list)
        for line in whole.splitlines():
            note = Note(*orjson.loads(line))
            self._past[note.shard].append(note)
        self._path.write_bytes(whole)
        self._handle = self._path.open("ab")

    def past(self, shard: str) -> list[Note]:
        """What was noted of one shard before."""
        return self._past.get(shard, [])

    def frames(self, shard: str, kind: str, before: int) -> Iterator[Frame]:
        """The frames that were noted of one shard, the Bundles of ``kind`` from their files.

        Parameters
        ----------
        before
            How many patients of other shards are in the files before.
        """
        self._first[shard] = number = before + 1
        for note in self.past(shard):
            bundle = b""
            if note.word == kind:
                bundle = (self._folder / bundle_name(number)).read_bytes()  # it is written again while it is read
                number += 1
            elif note.word == SHARED:
                bundle = self._shared(shard).read_bytes()
            yield note.word, note.index, io.BytesIO(bundle), note.mends

    def add(self, shard: str, frame: Frame) -> None:
        """Note a frame that has been dealt with."""
        word, index, bundle, mends = frame
        if word == SHARED:
            bundle.seek(0)
            self._shared(shard).write_bytes(bundle.read())
        self._handle.write(orjson.dumps([shard, word, index, mends]) + b"\n")
        self._handle.flush()

    @contextmanager
    def references(self, shard: str) -> Iterator[Path]:
        """A file with the conditional references in the Bundles that were kept of one shard, a line each."""
        kept = sum(note.word in ("control", "case") for note in self.past(shard))
        numbers = range(self._first[shard], self._first[shard] + kept)
        bundles = ((self._folder / bundle_name(number)).read_bytes() for number in numbers)
        found = sorted({reference for bundle in bundles for reference in _REFERENCE.findall(bundle)})
        file = self._folder / ".references"
        file.write_bytes(b"\n".join(found))
        try:
            yield file
        finally:
            file.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file."""
        self._handle.close()

    def remove(self) -> None:
        """Remove what only a simulation that is not done needs."""
        self.close()
        for path in (self._path, *self._folder.glob(".shared-*.json")):
            path.unlink(missing_ok=True)

    def _shared(self, shard: str) -> Path:
        return self._folder / f".shared-{shard}.json"
