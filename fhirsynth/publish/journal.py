"""What a server has taken: an SQLite file that several loaders may share, and that survives a crash at any moment.

Documents are known by what is sent, entries by their number in it. A commit is on disk before the next request goes
out where that matters (``careful``): with a plain POST, which may not be repeated.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from fhirsynth.errors import PublishError, UsageError

VERSION: Final = 2
PATIENCE: Final = 60.0
"""Seconds to wait for another loader that writes into the same journal."""
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS server (url TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS document (
  number INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, source TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entry (
  document INTEGER NOT NULL, place INTEGER NOT NULL, run TEXT, kind TEXT NOT NULL, name TEXT NOT NULL, record TEXT,
  taken INTEGER NOT NULL, created INTEGER NOT NULL, address TEXT, PRIMARY KEY (document, place)) WITHOUT ROWID;
"""


HERE: Final = "JOIN seen USING (document)"
"""Of entries, those of the documents of this load."""


class Taken(NamedTuple):
    """An entry that the server has, or that was sent and perhaps is there.

    Parameters
    ----------
    place
        Its number in the document.
    run
        The tag of its run, if it has one.
    kind, name
        Its type and the id that it has with us.
    record
        The value of its record identifier, if it has one.
    created
        Whether it was us who created it.
    address
        Type and id that the server gave it.
    """

    place: int
    run: str | None
    kind: str
    name: str
    record: str | None
    created: bool = False
    address: str | None = None


@dataclass(slots=True)
class Journal:
    """The notes of loads to one server; see :meth:`open`."""

    base: sqlite3.Connection

    @classmethod
    @contextmanager
    def open(cls, path: Path, url: str, *, careful: bool = False) -> Iterator[Journal]:
        """Read what was taken before, and add to it.

        Raises
        ------
        UsageError
            When the journal is of another server.
        PublishError
            When it is none, or cannot be written.
        """
        try:
            base = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        except sqlite3.Error as error:
            raise _unusable(path, error) from error
        with closing(base):
            try:
                _prepare(base, url, careful=careful)
                known = base.execute("SELECT url FROM server").fetchone()[0]
            except sqlite3.DatabaseError as error:
                raise _unusable(path, error) from error
            if known != url:
                raise UsageError(f"{path}: is the journal of {known}; give another one with --journal")
            try:
                yield cls(base)
            except sqlite3.Error as error:
                raise _unusable(path, error) from error

    def entries(self, digest: bytes) -> dict[int, tuple[bool, str | None]]:
        """Of a document, by place: whether the entry was taken (else it was sent), and the server's address of it.

        The document is one of this load from now on.
        """
        number = self._number(digest)
        if number is None:
            return {}
        self.base.execute("INSERT OR IGNORE INTO seen VALUES (?)", (number,))
        rows = self.base.execute("SELECT place, taken, address FROM entry WHERE document = ?", (number,))
        return {place: (bool(taken), address) for place, taken, address in rows}

    def sent(self, digest: bytes, source: str, entries: Iterable[Taken]) -> None:
        """Note what is about to be sent and may not be sent twice."""
        self._note(digest, source, entries, taken=False)

    def take(self, digest: bytes, source: str, entries: Iterable[Taken]) -> None:
        """Note what was taken."""
        self._note(digest, source, entries, taken=True)

    def refuse(self, digest: bytes, places: Iterable[int]) -> None:
        """Forget what was sent and refused."""
        number = self._number(digest)
        rows = [(number, place) for place in places]
        self.base.executemany("DELETE FROM entry WHERE document = ? AND place = ? AND NOT taken", rows)

    def counts(self, *, ever: bool = False) -> dict[str, Counter[str]]:
        """Different resources that were taken of the documents of this load, by run and type; ``""`` has no run.

        Parameters
        ----------
        ever
            Of all documents in the journal.
        """
        found: dict[str, Counter[str]] = {}
        rows = self.base.execute(
            f"SELECT coalesce(run, ''), kind, count(DISTINCT name) FROM entry {'' if ever else HERE} "  # noqa: S608
            "WHERE taken GROUP BY 1, 2"
        )
        for run, kind, count in rows:
            found.setdefault(run, Counter())[kind] = count
        return found

    def taken(self, run: str, kind: str) -> Iterator[tuple[int, Taken]]:
        """The entries of this load of a run and type, each with the number of its document."""
        rows = self.base.execute(
            f"SELECT document, place, run, kind, name, record, created, address FROM entry {HERE} "  # noqa: S608
            "WHERE taken AND run = ? AND kind = ?",
            (run, kind),
        )
        for document, place, of, kind_, name, record, created, address in rows:
            yield document, Taken(place, of, kind_, name, record, bool(created), address)

    def addresses(self, document: int) -> list[str]:
        """Where the entries of a document are on the server, as far as it has told."""
        rows = self.base.execute(
            "SELECT coalesce(address, kind || '/' || name) FROM entry WHERE document = ? AND taken", (document,)
        )
        return [address for (address,) in rows]

    def move(self, entries: Sequence[tuple[int, int, str]]) -> None:
        """Entries, each by document and place, are at another address."""
        rows = [(address, document, place) for document, place, address in entries]
        self.base.executemany("UPDATE entry SET address = ? WHERE document = ? AND place = ?", rows)

    def doubt(self, entries: Sequence[tuple[int, int]]) -> None:
        """Of entries, each by document and place, it is open whether the server has them."""
        self.base.executemany("UPDATE entry SET taken = 0 WHERE document = ? AND place = ?", entries)

    def _number(self, digest: bytes) -> int | None:
        row = self.base.execute("SELECT number FROM document WHERE digest = ?", (digest,)).fetchone()
        return int(row[0]) if row else None

    def _note(self, digest: bytes, source: str, entries: Iterable[Taken], *, taken: bool) -> None:
        self.base.execute("BEGIN IMMEDIATE")
        try:
            self.base.execute("INSERT OR IGNORE INTO document (digest, source) VALUES (?, ?)", (digest, source))
            number = self._number(digest)
            self.base.execute("INSERT OR IGNORE INTO seen VALUES (?)", (number,))
            rows = [
                (number, one.place, one.run, one.kind, one.name, one.record, taken, one.created, one.address)
                for one in entries
            ]
            self.base.executemany(
                "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (document, place) DO UPDATE SET "
                "taken = excluded.taken, address = excluded.address, created = max(created, excluded.created)",
                rows,
            )
        except BaseException:
            self.base.execute("ROLLBACK")
            raise
        self.base.execute("COMMIT")


def _prepare(base: sqlite3.Connection, url: str, *, careful: bool) -> None:
    base.execute("PRAGMA journal_mode = WAL")
    base.execute(f"PRAGMA synchronous = {'FULL' if careful else 'NORMAL'}")
    base.execute("BEGIN IMMEDIATE")
    version = base.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, VERSION):
        base.execute("ROLLBACK")
        raise sqlite3.DatabaseError(f"is of version {version}")
    for statement in SCHEMA.split(";"):
        base.execute(statement)
    base.execute("INSERT INTO server SELECT ? WHERE NOT EXISTS (SELECT 1 FROM server)", (url,))
    base.execute(f"PRAGMA user_version = {VERSION}")
    base.execute("COMMIT")
    base.execute("CREATE TEMP TABLE seen (document INTEGER PRIMARY KEY)")


def _unusable(path: Path, error: sqlite3.Error) -> PublishError:
    advice = "say where the journal may be with --journal"
    if isinstance(error, sqlite3.OperationalError):
        return PublishError(f"{path}: cannot be written ({error}); {advice}")
    return PublishError(f"{path}: is no journal of ours ({error}); remove it, or {advice}")
