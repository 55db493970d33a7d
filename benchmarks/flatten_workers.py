"""Flattening with one process and with more: the same bytes, and how much sooner.

Usage: ``python -m benchmarks.flatten_workers [MEGABYTES [WORKERS]]``; 2,000 and 2 by default, which takes four minutes.

Sixty patients are simulated, and copied with other ids until there are so many megabytes. Wall time of a whole process,
imports included; each number of workers goes first in turn.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from statistics import median

from benchmarks.copies import renamed
from benchmarks.flatten import simulate
from synthea_bridge.files import sha256_of

ROUNDS = 3
FLATTEN = (
    "import sys, pathlib\nfrom synthea_bridge.flatten import write_tables\nfrom synthea_bridge.skips import SkipLog\n"
    "write_tables(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), SkipLog(), workers=int(sys.argv[3]))\n"
)


def main() -> None:
    """Print seconds of both, and the ratio."""
    given = [int(text) for text in sys.argv[1:3]]
    megabytes, workers = given + [2000, 2][len(given) :]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = sum(copied(simulate(folder), folder / "bundles", megabytes * 1_000_000))
        runs = (str(number) for number in count())
        ratios = []
        for number in range(ROUNDS):
            order = (1, workers) if number % 2 else (workers, 1)
            taken = {many: flattened(folder, next(runs), many) for many in order}
            (one, first), (more, second) = taken[1], taken[workers]
            assert first == second, "other bytes with other workers"
            ratios.append(one / more)
            print(
                f"  {made / 1e6:,.0f} MB: one process {one:.1f} s, {workers} {more:.1f} s: {one / more:.2f}", flush=True
            )
        print(f"{workers} processes are {median(ratios):.2f} times as fast as one; the tables are the same bytes")


def copied(source: Path, target: Path, size: int) -> Iterator[int]:
    """Copies of all Bundles with other ids, until there are so many bytes; the bytes of each."""
    target.mkdir()
    for number in count():
        for path in sorted(source.iterdir()):
            data = renamed(path.read_bytes(), str(number))
            (target / f"{number:04d}-{path.name}").write_bytes(data)
            yield len(data)
            size -= len(data)
            if size <= 0:
                return


def flattened(folder: Path, name: str, workers: int) -> tuple[float, list[str]]:
    """Seconds, and what the tables are."""
    out = folder / name
    out.mkdir()
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", FLATTEN, str(folder / "bundles"), str(out), str(workers)], check=True)
    return time.monotonic() - began, [sha256_of(path) for path in sorted(out.glob("*.parquet"))]


if __name__ == "__main__":
    main()
