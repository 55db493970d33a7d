"""``fhirsynth assemble``: synthetic rows → transaction Bundles."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fhirsynth.cli._defects import defects_option, plant_into, say
from fhirsynth.cli._progress import bar
from fhirsynth.cli._skips import printer, summarize

if TYPE_CHECKING:
    from fhirsynth.defects import Profile

_FOLDER: Any = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--timeline", type=click.Path(path_type=Path, dir_okay=False), help="[default: DIR/timeline.json]")
@click.option("--run-id", help="Tag and root of all ids.  [default: follows from the rows and the seed]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything that the rows do not say.")
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes.  [default: all cores]")
@defects_option()
@click.option("--strict", is_flag=True, help="Stop at the first row that cannot become a patient.")
@click.option("--out", type=_FOLDER, required=True, help="Folder to write.")
def command(
    folder: Path,
    timeline: Path | None,
    run_id: str | None,
    seed: int,
    workers: int,
    profile: Profile | None,
    strict: bool,
    out: Path,
) -> None:
    """Turn DIR (made by augment) into valid FHIR R4: a transaction Bundle a patient, and one for what they share.

    What the emitted Bundles say is read back and compared with the rows.

    \b
    Example:
      fhirsynth assemble synthetic --out bundles
    """
    from fhirsynth.assemble import Timeline, assemble
    from fhirsynth.assemble.inputs import own_run_id, read_back, read_rows
    from fhirsynth.schema import FeatureSchema
    from synthea_bridge.files import atomic_folder, write_json
    from synthea_bridge.skips import SkipLog

    schema = FeatureSchema.load(folder / "schema.json")
    lives = Timeline.load(timeline or folder / "timeline.json")
    rows = read_rows(folder / "synthetic.parquet", schema)
    name = run_id or own_run_id(rows, schema, lives, seed)
    skips = SkipLog(strict, printer())
    with atomic_folder(out) as scratch:
        with bar("assemble") as progress:
            result = assemble(
                rows,
                schema,
                lives,
                run_id=name,
                seed=seed,
                out=scratch,
                workers=workers,
                skips=skips,
                progress=progress,
            )
        read_back(scratch, rows, schema, name, {skip.entry for skip in skips.items})
        told, planted = plant_into(scratch, profile, seed)
        skips.write(scratch / "skipped.ndjson")
        write_json(scratch / "manifest.json", {"stage": "bundles", **result.outcome, **told})
    click.echo(f"{out}: {result.patients} patients, run {name}")
    for kind, count in result.outcome["resources"].items():
        click.echo(f"{kind:<18} {count:>9,}")
    say(planted, out)
    if skips.items:
        summarize(skips, out / "skipped.ndjson")
        sys.exit(1)
