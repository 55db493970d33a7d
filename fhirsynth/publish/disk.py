"""Bundles on disk, in the shape that a server wants."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from fhirsynth.assemble.bundle import to_json
from fhirsynth.errors import PublishError
from fhirsynth.publish.shape import Format, Shaper, is_shared
from synthea_bridge.bundles import Document, Reader
from synthea_bridge.progress import Progress, silent
from synthea_bridge.skips import Skip, SkipLog


@dataclass(slots=True)
class ExportResult:
    """What was written: ``outcome`` is what a manifest should say."""

    form: Format
    skips: SkipLog
    bundles: int = 0
    resources: Counter[str] = field(default_factory=Counter)
    unresolved: int = 0

    @property
    def outcome(self) -> dict[str, Any]:
        """Counts, as JSON values."""
        return {
            "format": self.form,
            "bundles": self.bundles,
            "resources": dict(sorted(self.resources.items())),
            "unresolved": self.unresolved,
            "skipped": self.skips.counts(),
        }


def export(
    src: Path, form: Format, out: Path, *, skips: SkipLog | None = None, progress: Progress = silent
) -> ExportResult:
    """Write what ``src`` holds into the existing folder ``out``.

    Bundles become ``NNNNNN.json``, one for one, those of shared resources ``shared.json``, ``shared-2.json``, …; NDJSON
    becomes one ``TYPE.ndjson`` a resource type.

    Parameters
    ----------
    src
        A Bundle, an archive, or a folder of them; for NDJSON also single resources and NDJSON.
    skips
        Takes what cannot be read, or has no place in the format.

    Raises
    ------
    UsageError
        When there is no such path.
    PublishError
        When there is nothing in it.
    """
    result = ExportResult(form, skips if skips is not None else SkipLog())
    shaper = Shaper()
    shaper.learn(Reader(SkipLog()).documents(src))
    with ExitStack() as stack:
        files = _Files(out, stack)
        for document in Reader(result.skips, progress).documents(src):
            _write(document, shaper, files, result)
    result.unresolved = shaper.unresolved
    if not result.resources:
        raise PublishError(f"{src}: holds no FHIR resource to export; give a Bundle or a folder of them")
    return result


class _Files:
    """One open NDJSON file a type."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self._open: dict[str, BinaryIO] = {}
        self.shared = 0

    def line(self, kind: str, resource: dict[str, Any]) -> None:
        if kind not in self._open:
            self._open[kind] = self._stack.enter_context((self.folder / f"{kind}.ndjson").open("wb"))
        self._open[kind].write(orjson.dumps(resource) + b"\n")


def _write(document: Document, shaper: Shaper, files: _Files, result: ExportResult) -> None:
    kinds = Counter(resource["resourceType"] for _, resource in document.entries)
    if result.form == "ndjson":
        for kind, resource in shaper.lines(document):
            files.line(kind, resource)
    elif not document.places:
        advice = "give a Bundle, or export to ndjson"
        result.skips.add(Skip(document.source, document.place(0), "is a single resource and no Bundle", advice))
        return
    else:
        if is_shared(document):
            files.shared += 1
            name = "shared.json" if files.shared == 1 else f"shared-{files.shared}.json"
        else:
            result.bundles += 1
            name = f"{result.bundles:06d}.json"
        body = to_json(shaper.bundle(document, result.form))
        (files.folder / name).write_bytes(body)
    result.resources.update(kinds)
