"""Flattening with one process and with more: the same bytes, and how much sooner.

Usage: ``python -m benchmarks.flatten_workers [MEGABYTES [WORKERS [ROUNDS]]]``; 1,500, 2 and 7 by default, which takes
ten minutes.

Sixty patients are simulated, and copied with other ids until there are so many megabytes. Wall time of whole processes,
imports included; what goes first changes from round to round. Processors that share a memory are not as fast together
as each alone: so many calls side by side, each with its share of the files and tables of its own, have nothing to wait
for, and are as fast as this machine allows.
"""

from __future__ import annotations

import shutil
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

FLATTEN = (
    "import sys, pathlib\nfrom synthea_bridge.flatten import write_tables\nfrom synthea_bridge.skips import SkipLog\n"
    "write_tables(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), SkipLog(), workers=int(sys.argv[3]))\n"
)


def main() -> None:
    """Print seconds of all, and the ratios."""
    given = [int(text) for text in sys.argv[1:4]]
    megabytes, workers, rounds = given + [1500, 2, 7][len(given) :]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = sum(copied(simulate(folder), folder / "bundles", megabytes * 1_000_000))
        shares = shared_out(folder, workers)
        ways = {
            "one process": ([folder / "bundles"], 1),
            f"{workers} processes": ([folder / "bundles"], workers),
            "side by side": (shares, 1),
        }
        one, more, beside = ways
        faster: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds):
            names = list(ways)[number % 3 :] + list(ways)[: number % 3]
            seconds, tables = {}, {}
            for name in names:
                seconds[name], tables[name] = flattened(folder / str(number) / name, *ways[name])
            assert tables[one] == tables[more], "other bytes with other workers"
            for name in ways:
                faster[name].append(seconds[one] / seconds[name])
            told = ", ".join(f"{name} {seconds[name]:.1f} s" for name in ways)
            print(f"  {made / 1e6:,.0f} MB: {told}: {faster[more][-1]:.2f} of {faster[beside][-1]:.2f}", flush=True)
        print(
            f"{workers} processes are {median(faster[more]):.2f} times as fast as one, calls side by side "
            f"{median(faster[beside]):.2f} times; the tables are the same bytes"
        )


def shared_out(folder: Path, among: int) -> list[Path]:
    """The Bundles in so many folders."""
    shares = [folder / f"share-{number}" for number in range(among)]
    for number, share in enumerate(shares):
        share.mkdir()
        for path in sorted((folder / "bundles").iterdir())[number::among]:
            (share / path.name).hardlink_to(path)
    return shares


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


def flattened(out: Path, sources: list[Path], workers: int) -> tuple[float, list[str]]:
    """Seconds that it takes to flatten some folders at the same time, and what the tables are."""
    outs = [out / source.name for source in sources]
    for one in outs:
        one.mkdir(parents=True)
    began = time.monotonic()
    calls = [
        subprocess.Popen([sys.executable, "-c", FLATTEN, str(source), str(one), str(workers)])
        for source, one in zip(sources, outs, strict=True)
    ]
    ended = [call.wait() for call in calls]
    assert not any(ended)
    seconds = time.monotonic() - began
    tables = [sha256_of(path) for path in sorted(out.rglob("*.parquet"))]
    shutil.rmtree(out)
    return seconds, tables


if __name__ == "__main__":
    main()
