"""Bundles of a run, the command that loads them, and whether each of their resources is on a server exactly once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from fhirsynth.assemble import assemble
from fhirsynth.publish.shape import references_of
from synthea_bridge.tags import RUN_TAG
from tests.frames import example_features, example_schema
from tests.lives import example_timeline

RECORD: Final = "urn:fhirsynth:record"
FRESH: Final = {"Cache-Control": "no-cache"}
Resource = dict[str, Any]


def emit(out: Path, run: str, patients: int = 12, years: float = 1.0) -> Path:
    """Write the Bundles of a run into the new folder ``out``."""
    out.mkdir(parents=True)
    features = example_features(patients)
    assemble(features, example_schema(), example_timeline(), run_id=run, out=out, years=years)
    return out


@dataclass(slots=True)
class Contents:
    """Resources of a run by type and record, and which records they refer to."""

    records: Counter[tuple[str, str]] = field(default_factory=Counter)
    links: set[tuple[str, str]] = field(default_factory=set)

    def add(self, resource: Resource, record: str, targets: Iterator[str]) -> None:
        self.records[resource["resourceType"], record] += 1
        self.links.update((record, target) for target in targets)


def wanted(src: Path) -> Contents:
    """What the Bundles of a folder say."""
    bundles = [orjson.loads(path.read_bytes()) for path in (src / "shared.json", *(src / "transactions").iterdir())]
    entries = [entry for bundle in bundles for entry in bundle["entry"]]
    by_url = {entry["fullUrl"]: record_of(entry["resource"]) for entry in entries}
    found = Contents()
    for entry in entries:
        texts = references_of(entry["resource"])
        targets = (by_url.get(text) or text.rpartition(f"{RECORD}|")[2] for text in texts)
        found.add(entry["resource"], record_of(entry["resource"]), targets)
    return found


def there(url: str, run: str, kinds: Sequence[str]) -> Contents:
    """What a server has of a run."""
    resources = {}
    with httpx.Client(headers=FRESH, timeout=60) as client:
        for kind in kinds:
            for resource in search(client, f"{url}/{kind}?_tag={RUN_TAG}|{run}&_count=200"):
                resources[f"{kind}/{resource['id']}"] = resource
    found = Contents()
    for resource in resources.values():
        targets = (record_of(resources[text]) if text in resources else text for text in references_of(resource))
        found.add(resource, record_of(resource), targets)
    return found


def search(client: httpx.Client, url: str | None) -> Iterator[Resource]:
    """What a search finds, over all its pages."""
    while url is not None:
        bundle = client.get(url).raise_for_status().json()
        yield from (entry["resource"] for entry in bundle.get("entry", []))
        url = next((link["url"] for link in bundle.get("link", []) if link["relation"] == "next"), None)


def record_of(resource: Resource) -> str:
    """The value of the identifier that each resource of ours has."""
    return next(str(one["value"]) for one in resource["identifier"] if one["system"] == RECORD)


def differences(src: Path, url: str, run: str) -> list[str]:
    """How the server differs from what the Bundles say; empty when each resource is there exactly once.

    Each record by type, how often it is there, and each reference by the records that it joins.
    """
    want = wanted(src)
    have = there(url, run, sorted({kind for kind, _ in want.records}))
    found = [
        f"{'/'.join(key)}: {have.records[key]} times"
        for key in want.records | have.records
        if have.records[key] != 1 or key not in want.records
    ]
    return found + [f"{one} -> {other}: a reference that differs" for one, other in sorted(want.links ^ have.links)]


def tally(url: str) -> Counter[str]:
    """Resources on a server by type, of every type."""
    with httpx.Client(headers=FRESH, timeout=60) as client:
        kinds = [one["type"] for one in client.get(f"{url}/metadata").json()["rest"][0]["resource"]]
        counts = {kind: client.get(f"{url}/{kind}", params={"_summary": "count"}) for kind in kinds}
    return +Counter({kind: answer.json().get("total", 0) for kind, answer in counts.items()})


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    summary: dict[str, Any]
    said: str


def start(command: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """A command of the command line in a process of its own, on its way."""
    call = [sys.executable, "-m", "fhirsynth.cli", command, *map(str, arguments), "--json"]
    pipe = subprocess.PIPE
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FHIRSYNTH_")}
    return subprocess.Popen(call, stdout=pipe, stderr=pipe, text=True, env=environment)


def end(process: subprocess.Popen[str]) -> Ended:
    """Wait for its end."""
    out, said = process.communicate()
    return Ended(process.returncode, json.loads(out) if out.strip() else {}, said)


def call(command: str, *arguments: str | Path) -> Ended:
    """A command of the command line, to its end."""
    return end(start(command, *arguments))
