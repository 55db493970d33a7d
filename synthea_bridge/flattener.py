"""Documents to batches of rows."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from synthea_bridge.batches import Batch, Batcher
from synthea_bridge.bundles import Document
from synthea_bridge.references import Lookup, id_of
from synthea_bridge.rows import ROWS, NoPatient
from synthea_bridge.skips import Skip, SkipLog
from synthea_bridge.tables import TABLES

MEDICATIONS: Final = 200_000
"""Medications of other documents that are remembered (some 100 MB); a formulary has a few thousand."""
ROWS_AT_A_TIME: Final = 1000
"""Rows of a batch: some 1.5 MB of observations as Python objects, a fifth of that as columns."""
SHAPE: Final = "is not shaped as FHIR R4"


@dataclass(slots=True)
class Tally:
    """What is counted beside the rows.

    Parameters
    ----------
    unsupported
        Resources that no table holds, by type.
    ignored
        Files that hold no FHIR, by suffix.
    dropped, unresolved
        Codings beside the one that is kept; references that point at nothing.
    """

    unsupported: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    unresolved: int = 0

    def add(self, other: Tally) -> None:
        """Take what was counted elsewhere."""
        self.unsupported += other.unsupported
        self.ignored += other.ignored
        self.dropped += other.dropped
        self.unresolved += other.unresolved


class Flattener:
    """Takes documents and gives batches.

    Parameters
    ----------
    give
        Takes the batches.
    skips
        Takes resources that cannot become a row.
    elsewhere
        Codes of Medications that documents before have brought, by id.
    """

    def __init__(self, give: Callable[[Batch], None], skips: SkipLog, elsewhere: dict[str, Any]) -> None:
        self.tally = Tally()
        self.medications: dict[str, Any] = {}
        self.missed: set[str] = set()
        self._give, self._skips = give, skips
        self._batchers = [Batcher(table, skips.add) for table in TABLES]
        self._by_type = {one.table.resource: (ROWS[one.table.resource], one.add) for one in self._batchers}
        self._known = ChainMap(self.medications, elsewhere)

    def take(self, document: Document) -> None:
        """Make rows of every resource of a document."""
        entries, places, source = document.entries, document.places, document.source
        names = [id_of(url, resource) for url, resource in entries]
        self._remember(document, names)
        lookup = Lookup(entries, names, self._known, source, document.known)
        by_type = self._by_type
        for number, ((_, resource), name) in enumerate(zip(entries, names, strict=True)):
            kind = resource.resourceType
            made = by_type.get(kind)
            if made is None:
                self.tally.unsupported[kind] += 1
                continue
            if name is None:
                self._skip(document, number, "has no id", "give it an id, or its Bundle entry a fullUrl")
                continue
            try:
                rows = made[0](resource, name, lookup)
            except NoPatient as error:
                self._skip(document, number, str(error), "add it, or put the patient into the same file")
            except (TypeError, AttributeError, KeyError, IndexError):
                self._skip(document, number, SHAPE, "have its source corrected")
            else:
                made[1](rows, source, places[number] if places else None)
        self.tally.dropped += lookup.dropped
        self.tally.unresolved += lookup.unresolved
        self.missed |= lookup.missed
        self._flush(ROWS_AT_A_TIME)

    def close(self) -> None:
        """Give what is left."""
        self._flush(1)

    def _flush(self, least: int) -> None:
        for batcher in self._batchers:
            if len(batcher.rows) >= least and (batch := batcher.batch()) is not None:
                self._give(batch)

    def _remember(self, document: Document, names: list[str | None]) -> None:
        """Keep the codes of Medications: a bulk export has them in a file of their own."""
        known = self.medications
        if document.known is not None and len(known) < MEDICATIONS:
            known |= document.known.medications
        for (_, resource), name in zip(document.entries, names, strict=True):
            if resource.resourceType == "Medication" and name is not None and len(known) < MEDICATIONS:
                known[name] = resource.code

    def _skip(self, document: Document, number: int, problem: str, advice: str) -> None:
        self._skips.add(Skip(document.source, document.place(number), problem, advice))
