"""``fhirsynth flatten``: anybody's FHIR R4 to tables and features."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fhirsynth.cli._engine import Where, check_reached, engine_of, engine_options, path_of, wants_shards
from fhirsynth.cli._progress import bar
from fhirsynth.cli._skips import SHOWN, printer, summarize
from synthea_bridge.cores import cores

if TYPE_CHECKING:
    from fhirsynth.schema import ConditionFeature
    from synthea_bridge.place import Place
    from synthea_bridge.skips import SkipLog


@click.command()
@click.argument("src")
@click.option("--out", type=Where(), required=True, help="Folder for the tables; with Spark this and SRC can be URLs.")
@click.option("--condition", help="Condition that features get a flag for: a name, or a SNOMED CT code.")
@click.option("--index-date", type=click.DateTime(["%Y-%m-%d"]), help="Day at which every patient is described.")
@click.option("--features", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with more features.")
@click.option("--strict", is_flag=True, help="Stop at the first thing that cannot be read.")
@click.option("--shard-size", type=click.IntRange(1), metavar="MB", help="A file of each table for so many MB of SRC.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: all cores, if the source is large]")
@engine_options()
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def command(
    src: str,
    out: str,
    condition: str | None,
    index_date: datetime | None,
    features: Path | None,
    strict: bool,
    workers: int | None,
    as_json: bool,
    **sharding: Any,
) -> None:
    """Turn FHIR R4 Bundles, resources, NDJSON, .gz, .zip or a folder of them into tables and features.

    Ends with 1 when something could not be read; everything else is in the tables all the same. With --shard-size, or
    on Spark, the tables are in shards, the rows are the same, and the same call goes on after a kill.

    \b
    Example:
      fhirsynth flatten bundles/ --out tables --condition cystic-fibrosis
      fhirsynth flatten export/ --out tables --shard-size 256 --workers 8
      fhirsynth flatten hdfs:///export --engine spark --master yarn --out hdfs:///tables
    """
    from fhirsynth.features import write_features
    from fhirsynth.schema import build_schema, declared
    from synthea_bridge.files import atomic_folder, write_json
    from synthea_bridge.flatten import write_tables
    from synthea_bridge.flatten_shards import SHARD_BYTES, flatten_shards
    from synthea_bridge.place import Place
    from synthea_bridge.skips import SkipLog

    asked = None if condition is None else _condition(condition)
    extra = declared(features)[len(declared()) :] if features else ()
    unused = SkipLog()

    def described(source: Place, tables: Place, outcome: dict[str, Any]) -> dict[str, Any]:
        """Write features and the manifest beside the tables."""
        day = index_date.date() if index_date else _index_date(source, outcome["latest"])
        rows = write_features(tables, build_schema(day, asked, extra), unused)
        more = {"index_date": day.isoformat(), "features": len(rows), "unused": unused.counts(), **_years(source)}
        summary = {"stage": "tables", **outcome, **more}
        with tables.writing() as folder:
            write_json(folder / "manifest.json", summary)
        return summary

    check_reached(sharding["engine"], {"SRC": src, "--out": out})
    if not wants_shards(sharding["shard_size"], sharding):
        skips = SkipLog(strict, printer())
        with atomic_folder(path_of(out)) as folder:
            with bar("flatten") as progress:
                result = write_tables(path_of(src), folder, skips, progress, workers=workers)
            summary = described(Place.of(src), Place.of(folder), result.outcome)
    else:
        asked_size, number = sharding.pop("shard_size"), workers or cores()
        size = asked_size << 20 if asked_size else SHARD_BYTES
        with engine_of(**sharding, workers=number) as chosen:
            with bar("flatten") as progress:
                outcome, skips = flatten_shards(
                    src, out, chosen, shard_bytes=size, strict=strict, on_skip=printer(), progress=progress
                )
            source, tables = chosen.place(src), chosen.place(out)
            with tables.writing() as folder:
                skips.write(folder / "skipped.ndjson")
                write_json(folder / "manifest.json", {"stage": "tables", **outcome})  # says how features can be made
            summary = described(source, tables, outcome)
    _report(summary, skips, unused, Place.of(out), as_json)


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


def _years(src: Place) -> dict[str, float]:
    """How many last years the source tells of, where its manifest says so: who compares histories has to know."""
    said = next((one["years"] for one in src.manifests() if "years" in one), None)
    return {"years": said} if isinstance(said, int | float) else {}


def _index_date(src: Place, latest: str | None) -> date:
    """The day that the source's manifest names, else the last one on which an encounter ends."""
    from fhirsynth.errors import UsageError

    for manifest in src.manifests():
        with suppress(ValueError, AttributeError, TypeError):
            text = manifest.get("index_date") or manifest.get("spec", {}).get("end_date")
            if text:
                return date.fromisoformat(text)
    if latest is None:
        raise UsageError(f"{src}: has no encounters to tell a day from; say at which to describe with --index-date")
    return date.fromisoformat(latest[:10])


def _report(summary: dict[str, Any], skips: SkipLog, unused: SkipLog, out: Place, as_json: bool) -> None:
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
