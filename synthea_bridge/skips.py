"""What was passed over: counted, listed, never silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from synthea_bridge.errors import InputError
from synthea_bridge.files import atomic_file


@dataclass(frozen=True, slots=True)
class Skip:
    """One piece of input that was passed over.

    Parameters
    ----------
    source
        The file, with ``!member`` for one inside an archive and ``:line`` for a line of NDJSON.
    entry
        Where in the file, as ``entry[3] Observation/abc``, or empty when it is the whole file.
    problem
        What is wrong, as a short clause; the same wording for the same problem, so that it can be counted.
    advice
        What the user can do about it.
    """

    source: str
    entry: str
    problem: str
    advice: str

    def __str__(self) -> str:
        where = f"{self.source}, {self.entry}" if self.entry else self.source
        return f"{where}: {self.problem}; {self.advice}"


@dataclass(slots=True)
class SkipLog:
    """Collects skips; with ``strict`` the first one is raised instead.

    Parameters
    ----------
    strict
        Raise :class:`~synthea_bridge.errors.InputError` at the first skip.
    on_skip
        Called with each one as it happens (the command line prints it).
    """

    strict: bool = False
    on_skip: Callable[[Skip], None] | None = None
    items: list[Skip] = field(default_factory=list)

    def add(self, skip: Skip) -> None:
        """Take one skip.

        Raises
        ------
        InputError
            With ``strict``.
        """
        if self.strict:
            raise InputError(str(skip))
        self.items.append(skip)
        if self.on_skip is not None:
            self.on_skip(skip)

    def counts(self) -> dict[str, int]:
        """Number of skips by problem, most frequent first."""
        return dict(Counter(item.problem for item in self.items).most_common())

    def write(self, path: Path) -> None:
        """List every skip as one JSON object a line; no file when there was none."""
        if self.items:
            with atomic_file(path) as scratch:
                scratch.write_bytes(b"".join(orjson.dumps(asdict(item)) + b"\n" for item in self.items))
