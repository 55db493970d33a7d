"""``fhirsynth assemble``: synthetic rows, or anybody's tables → transaction Bundles."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fhirsynth.cli._defects import defects_option, plant_into, say
from fhirsynth.cli._engine import Where, check_reached, engine_of, engine_options, path_of, wants_shards
from fhirsynth.cli._feed import NO_SERVER, feed, feed_options, tell, with_loaded
from fhirsynth.cli._progress import bar
from fhirsynth.cli._skips import printer, summarize
from fhirsynth.cli._years import years_option
from synthea_bridge.cores import cores

if TYPE_CHECKING:
    from fhirsynth.assemble import AssembleResult
    from fhirsynth.defects import Profile
    from fhirsynth.publish.access import Access
    from fhirsynth.publish.feed import Feed
    from fhirsynth.stored import Stored
    from synthea_bridge.place import Place
    from synthea_bridge.sinks import Compression
    from synthea_bridge.skips import SkipLog

ROWS: Final = "synthetic.parquet"
SCHEMA: Final = "schema.json"
TIMELINE: Final = "timeline.json"


@click.command()
@click.argument("folder", metavar="DIR", type=Where())
@click.option("--timeline", type=Where(file=True), help="[default: DIR/timeline.json]")
@click.option("--run-id", help="Tag of every resource, and root of all ids that are made.  [default: follows from DIR]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything that rows do not say.")
@click.option("--workers", type=click.IntRange(1), default=cores, help="Processes.  [default: all cores]")
@years_option()
@click.option("--locale", default="en-US", show_default=True, help="Of names and addresses: also es-US, de-DE, fr-FR.")
@click.option("--ssn", is_flag=True, help="Give US patients social security numbers that are never issued.")
@defects_option()
@click.option("--shard-size", type=click.IntRange(1), help="Write a file of Bundles for so many rows.  [Spark: 1000]")
@click.option("--compress", type=click.Choice(["gzip", "zstd", "none"]), help="Files of shards.  [default: gzip]")
@feed_options
@engine_options()
@click.option("--strict", is_flag=True, help="Stop at the first row that cannot become a patient, or a resource.")
@click.option("--out", type=Where(), required=True, help="Folder to write; with Spark this and DIR can be URLs.")
def command(
    folder: str,
    timeline: str | None,
    run_id: str | None,
    seed: int,
    workers: int,
    years: float | None,
    locale: str,
    ssn: bool,
    profile: Profile | None,
    strict: bool,
    out: str,
    **sharding: Any,
) -> None:
    """Turn DIR into valid FHIR R4: a transaction Bundle a patient, and one for what they share.

    DIR was made by augment, and its synthetic rows become patients with a life; what the Bundles say is read back and
    compared with the rows. Or DIR was made by flatten, and its tables become the Bundles that they were read from.

    With --shard-size, or on Spark, Bundles are lines of a file a shard (a shard of DIR, where that holds tables), and
    the same call goes on after a kill. With --load each shard goes to a FHIR server while the next one is made.

    \b
    Example:
      fhirsynth assemble synthetic --out bundles
      fhirsynth assemble tables --out bundles
      fhirsynth assemble synthetic --shard-size 1000 --workers 8 --out bundles
      fhirsynth assemble synthetic --load http://127.0.0.1:8080/fhir --max-disk 2G --out bundles
      fhirsynth assemble hdfs:///tables --engine spark --master yarn --out hdfs:///bundles
    """
    from fhirsynth.errors import UsageError
    from fhirsynth.stored import Stored
    from synthea_bridge.files import atomic_folder, write_json
    from synthea_bridge.place import Place
    from synthea_bridge.skips import SkipLog

    check_reached(sharding["engine"], {"DIR": folder, "--timeline": timeline, "--out": out})
    skips, failed, target, manner = SkipLog(strict, printer()), False, Place.of(out), (years, locale, ssn)
    if wants_shards(sharding["shard_size"] or sharding["url"], {**sharding, "sign_in": None}):
        if profile is not None:
            raise UsageError("--defects is not for shards; plant them with: fhirsynth export --defects")
        result, fed = _in_shards(folder, timeline, run_id, seed, manner, workers, skips, target, **sharding)
        _report(result, target)
        failed = fed is not None and not tell(fed, result.run_id)
    else:
        source, path = path_of(folder), path_of(out)
        tables = _holds_tables(Stored.at(source), timeline)
        with atomic_folder(path) as scratch:
            if tables:
                result = _tables(source, run_id, workers, skips, scratch)
            else:
                lives = path_of(timeline) if timeline else source / TIMELINE
                result = _rows(source, lives, run_id, seed, manner, workers, skips, scratch)
            told, planted = plant_into(scratch, profile, seed)
            skips.write(scratch / "skipped.ndjson")
            write_json(scratch / "manifest.json", {"stage": "bundles", **result.outcome, **told})
        _report(result, target)
        say(planted, path)
    if skips.items:
        summarize(skips, target / "skipped.ndjson")
    if skips.items or failed:
        sys.exit(1)


def _holds_tables(found: Stored, timeline: str | None) -> bool:
    """Whether these are tables, and not synthetic rows.

    Raises
    ------
    UsageError
        When they are neither, or tables and there is a timeline.
    """
    from fhirsynth.errors import UsageError

    if ROWS in found.files:
        return False
    if not found.of(["patients"]):
        raise UsageError(
            f"{found.place}: holds neither {ROWS} nor patients.parquet; make it with: fhirsynth augment, or flatten"
        )
    if timeline is not None:
        raise UsageError(f"{found.place}: holds tables, which say when everything was; leave out --timeline")
    return True


def _in_shards(
    folder: str,
    timeline: str | None,
    run_id: str | None,
    seed: int,
    manner: tuple[float | None, str, bool],
    workers: int,
    skips: SkipLog,
    out: Place,
    *,
    shard_size: int | None,
    compress: Compression | None,
    engine: str,
    master: str | None,
    conf: tuple[str, ...],
    url: str | None,
    max_disk: int | None,
    sign_in: Callable[[str], Access],
) -> tuple[AssembleResult, Feed | None]:
    from fhirsynth.assemble.in_shards import SHARD, Manner, Shards
    from fhirsynth.cli._assemble import rows_in_shards, tables_in_shards
    from fhirsynth.errors import UsageError
    from fhirsynth.stored import Stored
    from synthea_bridge.files import write_json

    if url is not None and engine == "spark":
        raise UsageError("--load takes shards that this machine makes; leave --engine spark away, or load them later")
    if max_disk is not None and url is None:
        raise UsageError(NO_SERVER)
    fed = None
    with engine_of(engine, master, conf, workers) as chosen, bar("assemble") as progress:
        source, there = chosen.place(folder), chosen.place(str(out))
        found = Stored.at(source)
        tables = _holds_tables(found, timeline)
        if url is not None:
            fed = feed(chosen, url, max_disk, run_id, sign_in(url))
            progress = with_loaded(progress, fed)
        shards = Shards(fed or chosen, str(there), "", compress or "gzip", progress)
        if tables:
            result: AssembleResult = tables_in_shards(found, run_id, shards, skips)
        else:
            lives = chosen.place(timeline) if timeline else source / TIMELINE
            rows, schema, times = (one.file() for one in (source / ROWS, source / SCHEMA, lives))
            given = Manner(rows, schema, times, run_id or "", seed, *manner)
            result = rows_in_shards(given, shard_size or SHARD, shards, skips)
        with there.writing() as made:
            skips.write(made / "skipped.ndjson")
            write_json(made / "manifest.json", {"stage": "bundles", **result.outcome})
    return result, fed


def _rows(
    folder: Path,
    timeline: Path,
    run_id: str | None,
    seed: int,
    manner: tuple[float | None, str, bool],
    workers: int,
    skips: SkipLog,
    out: Path,
) -> AssembleResult:
    from fhirsynth.assemble import Timeline, assemble
    from fhirsynth.assemble.inputs import look_over, own_run_id, read_rows
    from fhirsynth.schema import FeatureSchema

    years, locale, ssn = manner
    schema = FeatureSchema.load(folder / SCHEMA)
    lives = Timeline.load(timeline)
    rows = read_rows(folder / ROWS, schema)
    name = run_id or own_run_id(rows, schema, lives, seed, manner)
    with bar("assemble") as progress:
        result = assemble(
            rows,
            schema,
            lives,
            run_id=name,
            seed=seed,
            years=years,
            locale=locale,
            ssn=ssn,
            out=out,
            workers=workers,
            skips=skips,
            progress=progress,
        )
    result.clinical = look_over(out, rows, schema, name, {skip.entry for skip in skips.items})
    return result


def _tables(folder: Path, run_id: str | None, workers: int, skips: SkipLog, out: Path) -> AssembleResult:
    from fhirsynth.assemble.rewrite import rewrite

    with bar("assemble") as progress:
        return rewrite(folder, out=out, run_id=run_id, workers=workers, skips=skips, progress=progress)


def _report(result: AssembleResult, out: Place) -> None:
    outcome = result.outcome
    click.echo(f"{out}: {result.patients} patients, run {result.run_id}")
    for kind, count in outcome["resources"].items():
        click.echo(f"{kind:<18} {count:>9,}")
    if result.clinical:
        said = ("rules", "errors", "warnings")
        rules, errors, warnings = (result.clinical[one] for one in said)
        click.echo(f"{rules} clinical rules: {errors} errors, {warnings} warnings", err=True)
    for element, count in outcome.get("left_out", {}).items():
        click.echo(f"left out: {count:,} × {element}, which refers to nothing in the tables", err=True)
