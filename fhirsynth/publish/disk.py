"""Bundles on disk, in the shape that a server wants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import orjson

from fhirsynth.assemble.bundle import to_json
from fhirsynth.errors import PublishError, UsageError
from fhirsynth.publish.shape import Format, Shaper, Style, is_shared
from synthea_bridge.bundles import Document, Reader
from synthea_bridge.files import write_json
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
    src: Path,
    form: Format,
    out: Path,
    *,
    style: Style = "urn:uuid",
    base: str | None = None,
    skips: SkipLog | None = None,
    progress: Progress = silent,
) -> ExportResult:
    """Write what ``src`` holds into the existing folder ``out``.

    Bundles become ``NNNNNN.json``, one for one, those of shared resources ``shared.json``, ``shared-2.json``, …; NDJSON
    becomes one ``TYPE.ndjson`` a resource type.

    Parameters
    ----------
    src
        A Bundle, an archive, or a folder of them; for NDJSON also single resources and NDJSON.
    style
        How the resources of a transaction refer to each other: see :meth:`Shaper.bundle`.
    base
        Address of the folder in which the NDJSON will lie; ``import.json`` is then the ``Parameters`` of ``$import``.
    skips
        Takes what cannot be read, or has no place in the format.

    Raises
    ------
    UsageError
        When there is no such path, the style is not for the format, or ``base`` is no HTTP address.
    PublishError
        When there is nothing in it.
    """
    if style != "urn:uuid" and form != "transaction":
        raise UsageError(f"references in a {form} have one style; --style is for transactions only")
    if base is not None:
        base = _checked(base, form)
    result = ExportResult(form, skips if skips is not None else SkipLog())
    shaper = Shaper()
    shaper.learn(Reader(SkipLog()).documents(src))
    with ExitStack() as stack:
        files = _Files(out, stack)
        for document in Reader(result.skips, progress).documents(src):
            _write(document, shaper, files, result, style)
    result.unresolved = shaper.unresolved
    if not result.resources:
        raise PublishError(f"{src}: holds no FHIR resource to export; give a Bundle or a folder of them")
    if base is not None:
        write_json(out / "import.json", import_parameters(base, result.resources))
    return result


def import_parameters(base: str, kinds: Iterable[str]) -> dict[str, Any]:
    """The ``Parameters`` with which a server is asked to fetch NDJSON by ``$import``, shared types first."""
    first = [
        kind for kind in ("Organization", "Location", "Practitioner", "PractitionerRole", "Patient") if kind in kinds
    ]
    order = [*first, *sorted(set(kinds) - set(first))]
    inputs = [
        {
            "name": "input",
            "part": [
                {"name": "type", "valueCode": kind},
                {"name": "url", "valueUri": f"{base}/{kind}.ndjson"},
            ],
        }
        for kind in order
    ]
    return {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "inputFormat", "valueCode": "application/fhir+ndjson"},
            {"name": "inputSource", "valueUri": base},
            {"name": "storageDetail", "part": [{"name": "type", "valueCode": "https"}]},
            *inputs,
        ],
    }


def _checked(base: str, form: Format) -> str:
    if form != "ndjson":
        raise UsageError("--base is for ndjson only: $import reads no Bundles")
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise UsageError("--base: is no address of a folder; give one as https://files.example.org/bulk")
    return base.rstrip("/")


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


def _write(document: Document, shaper: Shaper, files: _Files, result: ExportResult, style: Style) -> None:
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
        body = to_json(shaper.bundle(document, result.form, style))
        (files.folder / name).write_bytes(body)
    result.resources.update(kinds)
