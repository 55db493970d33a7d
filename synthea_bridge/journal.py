"""What a simulation has already done, noted frame by frame, so that it goes on after a kill where it was."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from synthea_bridge.prevalence import bundle_name

NAME: Final = ".journal.ndjson"
SHARED: Final = "shared"
_REFERENCE: Final = re.compile(rb'"reference":"([A-Z][A-Za-z]+\?identifier=[^"]+)"')

Frame = tuple[str, int, bytes, Mapping[str, int]]
"""What the helper ``Simulate`` says of one person: kind, index, Bundle, and what was mended in it."""


@dataclass(frozen=True, slots=True)
class Note:
    """One frame without its Bundle, and of which simulation it is."""

    plan: int
    word: str
    index: int
    mends: dict[str, int]


class Journal:
    """The notes of all simulations in one folder; they are removed when all is done.

    A note is written after the file that it is about, so what is noted is there. A line that was cut short by a kill
    does not count; its person is simulated again, and is the same.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._first: dict[int, int] = {}
        text = self._path.read_bytes() if self._path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        self._past = [Note(*orjson.loads(line)) for line in whole.splitlines()]
        self._path.write_bytes(whole)
        self._handle = self._path.open("ab")

    def past(self, plan: int) -> list[Note]:
        """What was noted of one simulation before."""
        return [note for note in self._past if note.plan == plan]

    def frames(self, plan: int, kind: str, before: int) -> Iterator[Frame]:
        """The frames that were noted of one simulation, the Bundles of ``kind`` from their files.

        Parameters
        ----------
        before
            How many patients of other simulations are in the files before.
        """
        self._first[plan] = number = before + 1
        for note in self.past(plan):
            bundle = b""
            if note.word == kind:
                bundle = (self._folder / bundle_name(number)).read_bytes()
                number += 1
            elif note.word == SHARED:
                bundle = self._shared(plan).read_bytes()
            yield note.word, note.index, bundle, note.mends

    def add(self, plan: int, frame: Frame) -> None:
        """Note a frame that has been dealt with."""
        word, index, bundle, mends = frame
        if word == SHARED:
            self._shared(plan).write_bytes(bundle)
        self._handle.write(orjson.dumps([plan, word, index, mends]) + b"\n")
        self._handle.flush()

    @contextmanager
    def references(self, plan: int) -> Iterator[Path]:
        """A file with the conditional references in the Bundles that were kept of one simulation, a line each."""
        kept = sum(note.word in ("control", "case") for note in self.past(plan))
        numbers = range(self._first[plan], self._first[plan] + kept)
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

    def _shared(self, plan: int) -> Path:
        return self._folder / f".shared-{plan}.json"
