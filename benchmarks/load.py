"""Loading a real server, beside a bare client that sends the same Bundles as fast as it can.

Usage: ``python -m benchmarks.load [PATIENTS]``

Each round makes two runs of the same patients, which differ in their ids alone, and sends one by ``fhirsynth load``'s
own function (journal, preflight, conditional creates, count at the end) and the other by a loop that POSTs them with
1, 2, 4 and 8 requests at a time; the best of these is what the loader is held against, in resources a second from the
first request to the last answer. The loader's processor time is a part of its own wall time.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import httpx

from fhirsynth.hapi import sandbox
from fhirsynth.publish.server import load
from tests.loading import emit, wanted

ROUNDS = 3
AT_A_TIME = (1, 2, 4, 8)
FHIR = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json", "Prefer": "return=minimal"}


def main() -> None:
    """Print resources a second of both, their ratio, and the loader's share of a core."""
    patients = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory() as scratch, sandbox() as server:
        folder = Path(scratch)
        load(emit(folder / "warm", "warm", patients), server.url)
        ratios, shares = [], []
        for number in range(ROUNDS):
            bare = max(
                bare_rate(emit(folder / f"bare-{number}-{many}", f"bare-{number}-{many}", patients), server.url, many)
                for many in AT_A_TIME
            )
            src = emit(folder / f"ours-{number}", f"ours-{number}", patients)
            resources = wanted(src).records.total()
            began, used = time.monotonic(), time.process_time()
            result = load(src, server.url)
            seconds, used = time.monotonic() - began, time.process_time() - used
            assert result.whole
            ratios.append(resources / seconds / bare)
            shares.append(used / seconds)
            print(f"  {resources:,} resources: ours {resources / seconds:,.0f}/s, bare {bare:,.0f}/s", flush=True)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        share = f"{median(shares):.0%} of a core"
        print(f"ratio {median(ratios):.2f}, {spread} (goal: >= 0.95); the loader takes {share} (goal: < 25 %)")


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
