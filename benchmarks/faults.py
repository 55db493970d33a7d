"""Faults between the loader and a real server, one after the other: what was sent, repeated, and is there in the end.

Usage: ``python -m benchmarks.faults [KILLS]``; writes the table of docs/faults.md. The proxy that makes the faults is
``tests/faults.py``; ``KILLS`` (25) is how often a loader is ended by ``kill -9`` at a random moment and called again.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhirsynth.hapi import sandbox
from fhirsynth.publish.retry import Patience
from fhirsynth.publish.server import How, LoadResult, load
from fhirsynth.publish.unload import unload
from tests import faults
from tests.faults import LOST, MOMENTS, Above, At, Kill, Share, proxy, status
from tests.loading import call, differences, emit, end, start, tally, wanted

DOCUMENT = Path(__file__).parent.parent / "docs" / "faults.md"
HEAD = """# Faults survived

Each row is a load of its own through a proxy that makes the fault, against a real HAPI server; afterwards each resource
is looked up by its identifier, and each reference by what it joins. Made by `python -m benchmarks.faults`;
`tests/test_faults.py` holds the same.

| fault | faulty requests | resources | retries | each exactly once |
|---|---|---|---|---|
"""
PATIENTS = 5
KILLED = -9


@dataclass(slots=True)
class Table:
    """The rows; each run has a folder and an id of its own."""

    url: str
    folder: Path
    rows: list[str] = field(default_factory=list)

    def run(self, name: str, plan: Any, how: How | None = None, patients: int = PATIENTS, **options: Any) -> None:
        """One load through a faulty line."""
        src, run = self.made(patients)
        given = {"patience": Patience(30, first=0.1, longest=5.0, rng=random.Random(1)), **options}
        with proxy(self.url, plan) as it:
            result: LoadResult = load(src, it.url, how=how, **given)
        self.add(name, plan.injected.total(), src, run, result.retries, result.whole)

    def made(self, patients: int) -> tuple[Path, str]:
        run = f"faults-{len(self.rows)}"
        return emit(self.folder / run, run, patients), run

    def add(self, name: str, faulty: int | str, src: Path, run: str, retries: int | str, whole: bool) -> None:
        once = "yes" if whole and not differences(src, self.url, run) else "**no**"
        self.rows.append(f"| {name} | {faulty} | {wanted(src).records.total():,} | {retries} | {once} |")
        print(self.rows[-1], flush=True)


def main() -> None:
    """Make the table."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    with tempfile.TemporaryDirectory() as scratch, sandbox() as server:
        table = Table(server.url, Path(scratch))
        for fault in LOST:
            table.run(named(fault), At({0, 1, 2, 4}, fault))
        table.run("no answer in time, the server acted", At({1, 2}, faults.unanswered), timeout=3.0)
        table.run("the same, plain POST", At({1, 2}, faults.unanswered), How("post"), timeout=3.0)
        table.run("server away for a while", At({1, 4}, faults.away))
        table.run("413 above 40 kB", Above(40_000), patients=8)
        few = Patience(2, first=0.1, longest=5.0, rng=random.Random(1))
        table.run("hangs up above 40 kB", Above(40_000, faults.cut_before), patience=few)
        waits = [status(429, wait=1), status(503, wait=1, date=True)]
        table.run("429 and 503 with Retry-After", Share(0.8, waits, random.Random(2), most=2))
        for how in (How(), How("update"), How("post"), How(most=10), How("create", "batch")):
            name = f"a fifth of all requests, any of these; {how.mode}, {how.sending}, {how.most or 'all'} entries"
            table.run(name, Share(0.2, LOST, random.Random(11), posts=False), how)
        for mode in ("create", "update", "post"):
            killed(table, mode, kills if mode == "create" else max(kills // 5, 1))
        for journals in (("one", "one"), ("one", "other")):
            together(table, journals)
        undone(table)
        DOCUMENT.write_text(HEAD + "\n".join(table.rows) + "\n", encoding="utf-8")


NAMES = {
    "foreign": "an answer that is somebody else's",
    "cut_on_the_way": "cut while the request is sent",
    "cut_before": "cut before the server acted",
    "cut_after": "cut after the server acted",
    "cut_within": "cut in the middle of the answer",
    "late": "an answer that comes late",
}


def named(fault: Callable[..., Any]) -> str:
    """A fault in words."""
    words = fault.__name__.removeprefix("status ").replace(" after", ", though the server acted")
    return NAMES.get(words, words)


def killed(table: Table, mode: str, kills: int) -> None:
    """``kill -9`` at a random moment, and the same call again; each time with a run of its own."""
    done, count, whole = 0, 0, True
    for number in range(kills):
        run = f"killed-{mode}-{number}"
        src = emit(table.folder / run, run, PATIENTS)
        rng = random.Random(run)
        plan = Kill(rng.randrange(1, 6), rng.choice(MOMENTS), rng)
        with proxy(table.url, plan) as it:
            plan.process = start("load", src, it.url, "--mode", mode)
            done += end(plan.process).code == KILLED
            whole &= call("load", src, it.url, "--mode", mode).code == 0
        whole &= not differences(src, table.url, run)
        count += wanted(src).records.total()
    table.rows.append(
        f"| `kill -9`, called again; {mode} | {done} kills | {count:,} | | {'yes' if whole else '**no**'} |"
    )
    print(table.rows[-1], flush=True)


def together(table: Table, journals: tuple[str, str]) -> None:
    """Two loaders of one run at once, on a faulty line."""
    src, run = table.made(PATIENTS)
    plan = Share(0.2, LOST, random.Random(7), posts=False)
    with proxy(table.url, plan) as it:
        both = [
            start(
                "load", src, it.url, "--journal", table.folder / f"{run}-{name}", "--dead-letters", src / f"{at}.dead"
            )
            for at, name in enumerate(journals)
        ]
        codes = [end(one).code for one in both]
    name = "two loaders at once, one journal" if journals[0] == journals[1] else "two loaders at once, two journals"
    table.add(name, plan.injected.total(), src, run, "", codes == [0, 0])


def undone(table: Table) -> None:
    """Load, load again, unload: the server is as it was."""
    before = tally(table.url)
    src, _ = table.made(PATIENTS)
    plan = Share(0.3, LOST, random.Random(13))
    with proxy(table.url, plan) as it:
        patience = Patience(30, first=0.1, longest=5.0, rng=random.Random(1))
        results = [load(src, it.url, patience=patience) for _ in range(2)]
        gone = unload(f"faults-{len(table.rows)}", it.url, patience=patience)
    same = tally(table.url) == before and gone.whole and all(one.whole for one in results)
    count = wanted(src).records.total()
    retries = sum(one.retries for one in results)
    table.rows.append(
        f"| load, load again, unload | {plan.injected.total()} | {count:,} | {retries} | "
        f"{'as it was before' if same else '**no**'} |"
    )
    print(table.rows[-1], flush=True)


if __name__ == "__main__":
    main()
