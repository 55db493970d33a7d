"""Load Bundles into a FHIR server: shared resources first, each Bundle once, everything noted in a journal."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from fhirsynth.errors import PublishError, UsageError
from fhirsynth.publish.journal import Journal
from fhirsynth.publish.retry import Patience, send
from fhirsynth.publish.shape import Shaper, is_shared
from synthea_bridge.bundles import Document, Reader
from synthea_bridge.progress import Progress, silent
from synthea_bridge.skips import Skip, SkipLog

FHIR: Final = "application/fhir+json"
UNAUTHORIZED: Final = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A Bundle, or an entry of a batch, that the server did not take, with the server's own words."""

    source: str
    status: int
    words: str

    def __str__(self) -> str:
        return f"{self.source}: refused with {self.status}: {self.words}"


@dataclass(slots=True)
class LoadResult:
    """What the server took: Bundles, and entries by status (201 created, 200 was there already)."""

    url: str
    loaded: int = 0
    earlier: int = 0
    created: int = 0
    matched: int = 0
    retries: int = 0
    refused: list[Refusal] = field(default_factory=list)
    skips: SkipLog = field(default_factory=SkipLog)

    @property
    def outcome(self) -> dict[str, Any]:
        """Counts, as JSON values."""
        return {
            "url": self.url,
            "loaded": self.loaded,
            "loaded_earlier": self.earlier,
            "created": self.created,
            "already_there": self.matched,
            "retries": self.retries,
            "refused": [{"source": r.source, "status": r.status, "words": r.words} for r in self.refused],
            "skipped": self.skips.counts(),
        }


def load(
    src: Path,
    url: str,
    *,
    auth: httpx.Auth | None = None,
    journal: Path | None = None,
    timeout: float = 120.0,
    patience: Patience | None = None,
    skips: SkipLog | None = None,
    progress: Progress = silent,
    transport: httpx.BaseTransport | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> LoadResult:
    """POST the Bundles under ``src`` as transactions to the FHIR base ``url``.

    Every entry is a conditional create or an update with the client's id, so that nothing is there twice after a
    second call, and a request whose answer was lost can be sent again.

    Parameters
    ----------
    journal
        File that notes each Bundle that the server took; these are not sent again to the same server. By default a
        hidden file in ``src``.
    patience
        How often and how long to wait for a server that is busy.
    transport, pause
        Seams for tests of faults.

    Raises
    ------
    UsageError
        When ``url`` is no HTTP address, or ``src`` is not there.
    PublishError
        When the server cannot be reached, or refuses the credentials (what it took is in the journal), or when there is
        nothing to load.
    """
    base = _base(url)
    result = LoadResult(base, skips=skips if skips is not None else SkipLog())
    headers = {"Content-Type": FHIR, "Accept": FHIR, "Prefer": "return=minimal"}
    client = httpx.Client(auth=auth, timeout=timeout, headers=headers, transport=transport)
    with client, Journal.open(journal or _journal(src, base), base) as notes:
        poster = _Poster(client, base, notes, patience or Patience(), pause, result)
        for document in _in_order(src, result.skips, progress):
            poster.post(document)
    if not result.loaded + result.earlier + len(result.refused):
        raise PublishError(f"{src}: holds no Bundle to load; give a Bundle, or a folder or archive of them")
    return result


@dataclass(slots=True)
class _Poster:
    client: httpx.Client
    base: str
    notes: Journal
    patience: Patience
    pause: Callable[[float], None]
    result: LoadResult
    shaper: Shaper = field(default_factory=Shaper)

    def post(self, document: Document) -> None:
        body = orjson.dumps(self.shaper.bundle(document, "transaction"))
        digest = hashlib.sha256(body).hexdigest()
        if self.notes.has(digest):
            self.result.earlier += 1
            return
        answer, retries = send(self.client, self.base, body, self.patience, self.pause)
        self.result.retries += retries
        if answer.status_code in UNAUTHORIZED:
            raise PublishError(
                f"{self.base}: refuses the credentials ({answer.status_code}: {words(answer)}); set FHIRSYNTH_TOKEN, "
                "or FHIRSYNTH_USER and FHIRSYNTH_PASSWORD"
            )
        if not answer.is_success:
            self.result.refused.append(Refusal(document.source, answer.status_code, words(answer)))
            return
        self._count(document.source, answer)
        self.result.loaded += 1
        self.notes.add(digest, document.source, answer.status_code)

    def _count(self, source: str, answer: httpx.Response) -> None:
        entries = _json(answer).get("entry")
        statuses = Counter(
            str(entry.get("response", {}).get("status", ""))[:3]
            for entry in (entries if isinstance(entries, list) else [])
            if isinstance(entry, dict)
        )
        self.result.created += statuses["201"]
        self.result.matched += statuses["200"]


def _in_order(src: Path, skips: SkipLog, progress: Progress) -> Iterator[Document]:
    """Bundles of shared resources first, organisations and locations before who works there."""
    shared = [document for document in Reader(SkipLog()).documents(src) if is_shared(document)]
    yield from sorted(shared, key=_rank)
    for document in Reader(skips, progress).documents(src):
        if is_shared(document):
            continue
        if document.places:
            yield document
        else:
            advice = "make Bundles of it first"
            skips.add(Skip(document.source, document.place(0), "is a single resource and no Bundle", advice))


def _rank(document: Document) -> tuple[bool, str]:
    kinds = {resource["resourceType"] for _, resource in document.entries}
    return not kinds <= {"Organization", "Location"}, document.source


def _base(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UsageError(
            f"{url}: is no address ({error}); give the FHIR base, as http://127.0.0.1:8080/fhir"
        ) from error
    if parsed.userinfo:
        raise UsageError("the address holds a password; set FHIRSYNTH_USER and FHIRSYNTH_PASSWORD instead")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UsageError(f"{url}: is no HTTP address; give the FHIR base, as http://127.0.0.1:8080/fhir")
    return str(parsed).rstrip("/")


def _journal(src: Path, base: str) -> Path:
    folder = src if src.is_dir() else src.parent
    return folder / f".load-{hashlib.sha256(base.encode()).hexdigest()[:12]}.journal"


def words(answer: httpx.Response) -> str:
    """What an OperationOutcome says, else the first line of the answer."""
    issues = _json(answer).get("issue")
    found = [
        " ".join(part for part in (text, f"at {', '.join(places)}" if places else "") if part)
        for issue in (issues if isinstance(issues, list) else [])
        if isinstance(issue, dict)
        for text, places in [
            (
                issue.get("diagnostics") or (issue.get("details") or {}).get("text") or issue.get("code"),
                issue.get("expression") or issue.get("location") or [],
            )
        ]
        if text
    ]
    text = "; ".join(found) or next(iter(answer.text.strip().splitlines()), "") or answer.reason_phrase
    return " ".join(text.split())[:500]


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        value = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
