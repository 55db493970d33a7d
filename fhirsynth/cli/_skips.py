"""What was passed over, as the user sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from synthea_bridge.place import Place
    from synthea_bridge.skips import Skip, SkipLog

SHOWN: Final = 20
"""Skips that are printed; all of them are in skipped.ndjson."""


def printer() -> Callable[[Skip], None]:
    """Prints the first skips as they happen."""
    shown = 0

    def show(skip: Skip) -> None:
        nonlocal shown
        shown += 1
        if shown <= SHOWN:
            click.echo(f"skipped: {skip}", err=True)

    return show


def summarize(skips: SkipLog, where: Path | Place | None = None) -> None:
    """Print how many there were of what."""
    problems = "; ".join(f"{count:,} × {problem}" for problem, count in skips.counts().items())
    click.echo(f"{len(skips.items):,} skipped ({problems})" + (f"; all in {where}" if where else ""), err=True)
