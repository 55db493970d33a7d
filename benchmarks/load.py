"""Loading a real server, beside a bare client that sends the same Bundles as fast as it can.

Usage: ``python -m benchmarks.load [PATIENTS [PAIRS]]``

All runs hold the same patients and differ in their ids alone. The bare client is a loop that POSTs them, with as many
requests at a time as served it best in a trial of 2, 4, 8 and 16. Then each pair sends one run by it and one by
``fhirsynth load``'s own function, each first in turn, since a server becomes faster while it warms up. Resources a
second: the bare client's from the first request to the last answer; the loader's likewise, and of the whole call (with
preflight and counts at the end). The loader's processor time is a part of its own wall time.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from statistics import median

import httpx

from fhirsynth.hapi import sandbox
from fhirsynth.publish.server import load
from tests.loading import emit, wanted

AT_A_TIME = (2, 4, 8, 16)
TRIAL = 150
"""Patients of a trial."""
HEAP = "7g"
"""An in-memory database keeps all that was sent; with a smaller heap its garbage collector is what is measured."""
FHIR = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json", "Prefer": "return=minimal"}


def main() -> None:
    """Print resources a second of both, their ratio, and the loader's share of a core."""
    given = [int(text) for text in sys.argv[1:3]]
    patients, pairs = given + [800, 4][len(given) :]
    with tempfile.TemporaryDirectory() as scratch, sandbox(heap=HEAP) as server:
        names = (f"run-{number}" for number in count())
        folder = Path(scratch)
        bare_rate(fresh(folder, names, patients), server.url, 4)
        ours_rate(fresh(folder, names, TRIAL), server.url)
        best = max(AT_A_TIME, key=lambda many: trial(folder, names, server.url, many))
        print(f"the bare client is fastest with {best} requests at a time", flush=True)
        ratios, shares = [], []
        for number in range(pairs):
            for who in ("ours", "bare") if number % 2 else ("bare", "ours"):
                src = fresh(folder, names, patients)
                if who == "bare":
                    bare = bare_rate(src, server.url, best)
                else:
                    ours, share, told = ours_rate(src, server.url)
            ratios.append(ours / bare)
            shares.append(share)
            print(f"  {told}; bare {bare:,.0f}/s; ratio {ours / bare:.2f}", flush=True)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        share = f"{median(shares):.0%} of a core"
        print(f"ratio {median(ratios):.2f}, {spread} (goal: >= 0.95); the loader takes {share} (goal: < 25 %)")


def fresh(folder: Path, names: Iterator[str], patients: int) -> Path:
    """A run that the server does not have."""
    name = next(names)
    return emit(folder / name, name, patients)


def trial(folder: Path, names: Iterator[str], url: str, many: int) -> float:
    """Resources a second of the bare client, the better of two."""
    return max(bare_rate(fresh(folder, names, TRIAL), url, many) for _ in range(2))


def ours_rate(src: Path, url: str) -> tuple[float, float, str]:
    """Resources a second of the loader, its share of a core, and both in words."""
    resources = wanted(src).records.total()
    began, used = time.monotonic(), time.process_time()
    result = load(src, url)
    seconds, used = time.monotonic() - began, time.process_time() - used
    assert result.whole
    rate = resources / result.traffic.sending
    whole = f"the whole call {resources / seconds:,.0f}/s"
    told = f"{resources:,} resources: ours {rate:,.0f}/s ({whole}), up to {result.concurrency} at a time"
    return rate, used / seconds, told


def bare_rate(src: Path, url: str, many: int) -> float:
    """Resources a second of a client that only sends, ``many`` requests at a time."""
    return asyncio.run(_bare(src, url, many))


async def _bare(src: Path, url: str, many: int) -> float:
    resources = wanted(src).records.total()
    bodies = [path.read_bytes() for path in sorted((src / "transactions").iterdir())]
    places = asyncio.Semaphore(many)
    async with httpx.AsyncClient(headers=FHIR, timeout=120) as client:

        async def send(body: bytes) -> None:
            async with places:
                (await client.post(url, content=body)).raise_for_status()

        began = time.monotonic()
        await send((src / "shared.json").read_bytes())
        await asyncio.gather(*map(send, bodies))
        return resources / (time.monotonic() - began)


if __name__ == "__main__":
    main()
