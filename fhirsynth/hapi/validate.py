"""Judge FHIR R4 by the HL7 validator: Bundles, resources, NDJSON, archives and folders of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from fhirsynth.errors import UsageError
from fhirsynth.hapi.engine import HEAP, engine
from fhirsynth.hapi.problems import Report
from synthea_bridge.bundles import Document, Reader
from synthea_bridge.progress import Progress, silent
from synthea_bridge.skips import SkipLog

BRIEF: Final = 16 * 2**20
"""Bytes of JSON (some ten thousand resources) up to which a JVM that starts fast is done first."""


def validate(
    src: Path,
    packages: Sequence[str] = (),
    terminology: Sequence[Path] = (),
    *,
    threads: int | None = None,
    heap: str = HEAP,
    skips: SkipLog | None = None,
    progress: Progress = silent,
) -> Report:
    """Check everything under ``src`` against base R4, the profiles that it claims, and what is given.

    Parameters
    ----------
    packages
        Implementation guides: paths of ``.tgz``, or ``name#version`` from ``FHIRSYNTH_FHIR_PACKAGES`` or
        ``~/.fhir/packages``.
    terminology
        Folders with CodeSystems and ValueSets that packages refer to and do not bring.
    threads, heap
        How, and not what: they do not change the result.
    skips
        Takes what cannot be read.
    progress
        Called with the files that were read.

    Raises
    ------
    UsageError
        When there is no such path, nothing to check in it, or a package is none.
    ArtifactError, HelperError
        When the engine cannot be had, does not start, or ends early.
    """
    report = Report(skips if skips is not None else SkipLog())
    if not src.exists():
        raise UsageError(f"{src}: there is no such file or folder; give a Bundle, NDJSON, .gz, .zip or a folder")
    under_way: deque[tuple[Document, int | None]] = deque()
    with engine(packages, terminology, threads=threads, heap=heap, brief=_is_brief(src)) as running:

        def requests() -> Iterator[Any]:
            for document in Reader(report.skips, progress, parts=True).documents(src):
                report.documents += document.value is not None or document.source not in report.in_parts
                report.resources += len(document.entries)
                if document.value is not None:
                    under_way.append((document, None))
                    yield document.value
                else:
                    report.in_parts.add(document.source)
                    for number, (_, resource) in enumerate(document.entries):
                        under_way.append((document, number))
                        yield resource

        for messages in running.check(requests()):
            document, number = under_way.popleft()
            report.add(document.source, document, number, messages)
    if not report.documents and not report.skips.items:
        raise UsageError(f"{src}: holds no FHIR to validate; give a Bundle, NDJSON, .gz, .zip or a folder")
    return report


def _is_brief(src: Path) -> bool:
    files = [src] if src.is_file() else [path for path in src.rglob("*") if path.is_file()]
    packed = any(path.suffix in (".gz", ".zip", ".zst") for path in files)
    return not packed and sum(path.stat().st_size for path in files) <= BRIEF
