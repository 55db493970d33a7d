"""Loading a real server, beside a bare client that sends the same Bundles as fast as it can.

Usage: ``python -m benchmarks.load [PATIENTS [ROUNDS]]``

All runs hold the same patients and differ in their ids alone. The bare client is a loop that POSTs them, with as many
requests at a time as served it best in a trial of 8, 16 and 24 (2 and 4 are slower). A server becomes faster for a long
time while it warms up, so both send a few runs before anything counts. Machines that are shared are slower and faster
by a third from one minute to the next; so runs are short, and each round has two of each, in the order that a steady
drift does not favour either: bare, ours, ours, bare, and the other way round in the next. Resources a second: the bare
client's from the first request to the last answer; the loader's likewise, and of the whole call (with preflight and
counts at the end). The loader's processor time is a part of its own wall time. Where the machine is shared, single
rounds say little: go by the median and its interval.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from math import comb
from pathlib import Path
from statistics import harmonic_mean, median

import httpx

from benchmarks.copies import renamed
from fhirsynth.hapi import sandbox
from fhirsynth.publish.server import load
from tests.loading import emit, wanted

AT_A_TIME = (8, 16, 24)
WARM_UP = 8
"""Runs of each before anything counts."""
TRIALS = 3
HEAP = "10g"
"""An in-memory database keeps all that was sent; with a smaller heap its garbage collector is what is measured."""
FHIR = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json", "Prefer": "return=minimal"}


def main() -> None:
    """Print resources a second of both, their ratio, and the loader's share of a core."""
    given = [int(text) for text in sys.argv[1:3]]
    patients, rounds = given + [100, 24][len(given) :]
    with tempfile.TemporaryDirectory() as scratch, sandbox(heap=HEAP) as server:
        runs = Runs(Path(scratch), patients)
        for _ in range(WARM_UP):
            bare_rate(runs.fresh(), server.url, AT_A_TIME[-1])
            ours_rate(runs.fresh(), server.url)
        tried = {many: [bare_rate(runs.fresh(), server.url, many) for _ in range(TRIALS)] for many in AT_A_TIME}
        best = max(AT_A_TIME, key=lambda many: median(tried[many]))
        print(f"the bare client is fastest with {best} requests at a time", flush=True)
        ratios, shares = [], []
        for number in range(rounds):
            rates: dict[str, list[float]] = {"bare": [], "ours": []}
            for who in ("ours", "bare", "bare", "ours") if number % 2 else ("bare", "ours", "ours", "bare"):
                src = runs.fresh()
                if who == "bare":
                    rate = bare_rate(src, server.url, best)
                else:
                    rate, share, told = ours_rate(src, server.url)
                    shares.append(share)
                rates[who].append(rate)
            ratios.append(harmonic_mean(rates["ours"]) / harmonic_mean(rates["bare"]))
            print(f"  {told}; bare {harmonic_mean(rates['bare']):,.0f}/s; ratio {ratios[-1]:.2f}", flush=True)
        low, high = interval(ratios)
        share = f"{median(shares):.0%} of a core"
        print(f"ratio {median(ratios):.3f}, 95 % interval {low:.2f} to {high:.2f} (goal: >= 0.95)")
        print(f"the loader takes {share} (goal: < 25 %)")


class Runs:
    """The same patients again and again, with other ids each time."""

    def __init__(self, folder: Path, patients: int) -> None:
        self._folder, self._names = folder, (f"run-{number}" for number in count(100))
        self._first = emit(folder / "first", next(self._names), patients)

    def fresh(self) -> Path:
        """A run that the server does not have."""
        name = next(self._names)
        out = self._folder / name
        (out / "transactions").mkdir(parents=True)
        for file in _bundles(self._first):
            text = renamed(file.read_bytes(), name)
            (out / file.relative_to(self._first)).write_bytes(text.replace(b'"run-100"', f'"{name}"'.encode()))
        return out


def interval(ratios: list[float]) -> tuple[float, float]:
    """The order statistics that hold the median in 95 % of samples, or the range of fewer than six."""
    ordered, number = sorted(ratios), len(ratios)
    beyond, cut = 0.0, 0
    while (beyond := beyond + comb(number, cut) / 2**number) <= 0.025:
        cut += 1
    at = max(cut - 1, 0)
    return ordered[at], ordered[number - 1 - at]


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
    shared, *bodies = [path.read_bytes() for path in _bundles(src)]
    places = asyncio.Semaphore(many)
    async with httpx.AsyncClient(headers=FHIR, timeout=120) as client:

        async def send(body: bytes) -> None:
            async with places:
                (await client.post(url, content=body)).raise_for_status()

        began = time.monotonic()
        await send(shared)
        await asyncio.gather(*map(send, bodies))
        return resources / (time.monotonic() - began)


def _bundles(src: Path) -> Iterator[Path]:
    yield src / "shared.json"
    yield from sorted((src / "transactions").iterdir())


if __name__ == "__main__":
    main()
