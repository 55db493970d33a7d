"""``fhirsynth registry``: the runs and reports below a folder."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fhirsynth.registry import Entry, Registry

COLUMNS = ("path", "run", "condition", "generator", "synthetic", "share", "utility", "privacy", "fidelity", "valid")
"""Heads of the table; everything else is in --json and --csv."""

FORMULA = ("=", "+", "-", "@")
"""A cell that begins like this is a formula to a spreadsheet."""


@click.command("registry")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As JSON, with all hashes and versions.")
@click.option("--csv", "table", metavar="FILE", help="Write everything as CSV; - for the standard output.")
def command(folder: Path, *, as_json: bool, table: str | None) -> None:
    """List the runs in FOLDER and below it, and reports on their own, with verdicts and hashes.

    Condition, generator, number and share of synthetic patients, verdicts on utility, privacy and fidelity, and whether
    the report's self-test held are as the runs' own manifests have them; --json and --csv add versions, hashes, and the
    index date, which is the only date that a run records. Links are not followed. Ends with 1 when something could not
    be read.

    \b
    Example:
      fhirsynth registry . --csv runs.csv
    """
    from fhirsynth.errors import UsageError, WorkspaceError
    from fhirsynth.registry import registry

    if as_json and table is not None:
        raise UsageError("give --json or --csv, and not both")
    found = registry(folder)
    for problem in found.problems:
        click.echo(f"{plain(problem.path)}: {plain(problem.reason)}", err=True)
    if not found.entries:
        raise WorkspaceError(
            f"{plain(str(folder))}: holds no run and no report; make one with: fhirsynth run, or fhirsynth evaluate"
        )
    if as_json:
        click.echo(json.dumps(_json(found), indent=2))
    elif table is not None:
        _csv(found.entries, table)
    else:
        _table(found.entries)
    if found.problems:
        click.echo(f"{len(found.problems):,} could not be read", err=True)
        sys.exit(1)


def plain(text: str) -> str:
    """Text that a terminal shows and does not obey: what cannot be printed is spelled out."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _json(found: Registry) -> dict[str, Any]:
    return {
        "runs": [asdict(entry) for entry in found.entries],
        "problems": [asdict(problem) for problem in found.problems],
    }


def _csv(entries: Sequence[Entry], place: str) -> None:
    """One line an entry, a column each field; cells are text to a spreadsheet, never formulas."""
    from synthea_bridge.files import atomic_file

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in fields(entries[0])]
    writer.writerow(names)
    writer.writerows([_cell(getattr(entry, name)) for name in names] for entry in entries)
    if place == "-":
        click.echo(text.getvalue(), nl=False)
        return
    with atomic_file(Path(place)) as scratch:
        scratch.write_text(text.getvalue(), encoding="utf-8")
    click.echo(f"{place}: {len(entries):,} runs and reports", err=True)


def _cell(value: Any) -> str:
    text = " ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
    shown = plain(text)
    return f"'{shown}" if shown.startswith(FORMULA) else shown


def _table(entries: Sequence[Entry]) -> None:
    """Drawn by rich on a terminal; elsewhere aligned with spaces, never cut and never coloured."""
    rows = [_row(entry) for entry in entries]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        drawn = Table(*COLUMNS)
        for row in rows:
            drawn.add_row(*(Text(cell, overflow="fold") for cell in row))
        Console().print(drawn)
        return
    widths = [max(len(row[index]) for row in (COLUMNS, *rows)) for index in range(len(COLUMNS))]
    for row in (COLUMNS, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(entry: Entry) -> tuple[str, ...]:
    made = " ".join(word for word in (entry.generator, entry.version) if word)
    cells = (
        entry.path,
        entry.run_id,
        entry.condition,
        made,
        None if entry.synthetic is None else f"{entry.synthetic:,}",
        None if entry.share is None else f"{entry.share:.0%}",
        entry.utility,
        entry.privacy,
        entry.fidelity,
        None if entry.valid is None else "yes" if entry.valid else "NO",
    )
    return tuple(plain(cell) if cell else "–" for cell in cells)
