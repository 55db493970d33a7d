"""A progress bar on stderr with an estimate; nothing when stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from synthea_bridge.progress import Progress, silent


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """Show ``title`` with a bar while the block runs; yields what long work calls with its progress."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task(title, total=None, note="")

        def report(done: int, total: int | None = None, note: str = "") -> None:
            display.update(task, completed=done, total=total, note=note)

        yield report
