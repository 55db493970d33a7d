"""``fhirsynth flatten``: anybody's FHIR R4 to tables and features."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fhirsynth.cli._progress import bar
from fhirsynth.cli._skips import SHOWN, printer, summarize

if TYPE_CHECKING:
    from fhirsynth.schema import ConditionFeature
    from synthea_bridge.flatten import FlattenResult
    from synthea_bridge.skips import SkipLog


@click.command()
@click.argument("src", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the tables.")
@click.option("--condition", help="Condition that features get a flag for: a name, or a SNOMED CT code.")
@click.option("--index-date", type=click.DateTime(["%Y-%m-%d"]), help="Day at which every patient is described.")
@click.option("--features", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with more features.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: all cores, if the source is large]")
@click.option("--strict", is_flag=True, help="Stop at the first thing that cannot be read.")
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def command(
    src: Path,
    out: Path,
    condition: str | None,
    index_date: datetime | None,
    features: Path | None,
    workers: int | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Turn FHIR R4 Bundles, resources, NDJSON, .gz, .zip or a folder of them into tables and features.

    Ends with 1 when something could not be read; everything else is in the tables all the same.

    \b
    Example:
      fhirsynth flatten bundles/ --out tables --condition cystic-fibrosis
    """
    from fhirsynth.features import write_features
    from fhirsynth.schema import build_schema, declared
    from synthea_bridge.files import atomic_folder, write_json
    from synthea_bridge.flatten import write_tables
    from synthea_bridge.skips import SkipLog

    asked = None if condition is None else _condition(condition)
    extra = declared(features)[len(declared()) :] if features else ()
    skips, unused = SkipLog(strict, printer()), SkipLog()
    with atomic_folder(out) as folder:
        with bar("flatten") as progress:
            result = write_tables(src, folder, skips, progress, workers=workers)
        day = index_date.date() if index_date else _index_date(src, result)
        described = write_features(folder, build_schema(day, asked, extra), unused)
        summary: dict[str, Any] = {
            "stage": "tables",
            **result.outcome,
            "index_date": day.isoformat(),
            "features": len(described),
            "unused": unused.counts(),
            **_years(src),
        }
        write_json(folder / "manifest.json", summary)
    _report(summary, skips, unused, out, as_json)


def _condition(name: str) -> ConditionFeature:
    from fhirsynth.schema import ConditionFeature
    from synthea_bridge.conditions import find
    from synthea_bridge.errors import UsageError

    try:
        found = find(name)
    except UsageError:
        if not name.isdigit():
            raise
        return ConditionFeature(slug=name, name=f"SNOMED CT {name}", snomed=name, display=name)
    return ConditionFeature.of(found)


def _manifests(src: Path) -> Iterator[dict[str, Any]]:
    """The manifests of the source's folder and of the one above, as far as there are any."""
    for folder in (src, src.parent):
        with suppress(OSError, ValueError):
            found = json.loads((folder / "manifest.json").read_bytes())
            if isinstance(found, dict):
                yield found


def _years(src: Path) -> dict[str, float]:
    """How many last years the source tells of, where its manifest says so: who compares histories has to know."""
    said = next((one["years"] for one in _manifests(src) if "years" in one), None)
    return {"years": said} if isinstance(said, int | float) else {}


def _index_date(src: Path, result: FlattenResult) -> date:
    """The day that the source's manifest names, else the last one on which an encounter ends."""
    from fhirsynth.errors import UsageError

    for manifest in _manifests(src):
        with suppress(ValueError, AttributeError, TypeError):
            text = manifest.get("index_date") or manifest.get("spec", {}).get("end_date")
            if text:
                return date.fromisoformat(text)
    if result.latest is None:
        raise UsageError(f"{src}: has no encounters to tell a day from; say at which to describe with --index-date")
    return date.fromisoformat(result.latest[:10])


def _report(summary: dict[str, Any], skips: SkipLog, unused: SkipLog, out: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(summary))
    else:
        for name, rows in summary["rows"].items():
            click.echo(f"{name:<13} {rows:>10,}")
        click.echo(f"{'features':<13} {summary['features']:>10,}  at {summary['index_date']}")
    for name, count in summary["unsupported"].items():
        click.echo(f"not in a table: {count:,} {name}", err=True)
    for item in unused.items[:SHOWN]:
        click.echo(f"unused: {item}", err=True)
    if skips.items:
        summarize(skips, out / "skipped.ndjson")
        sys.exit(1)
