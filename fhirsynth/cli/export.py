"""``fhirsynth export``: Bundles → the shape that a server wants."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fhirsynth.cli._defects import defects_option, plant_into, say
from fhirsynth.cli._progress import bar
from fhirsynth.cli._skips import printer, summarize

if TYPE_CHECKING:
    from fhirsynth.defects import Profile
    from fhirsynth.publish.shape import Format, Style

_FORMATS = ("transaction", "batch", "collection", "ndjson")
_STYLES = ("urn:uuid", "literal", "conditional")


@click.command()
@click.argument("src", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(_FORMATS), default="transaction", show_default=True)
@click.option("--style", type=click.Choice(_STYLES), default="urn:uuid", show_default=True, help="Of references.")
@click.option("--base", metavar="URL", help="Where the NDJSON will lie: adds import.json, the Parameters of $import.")
@defects_option()
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of --defects.")
@click.option("--strict", is_flag=True, help="Stop at the first thing that cannot be read.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write.")
def command(
    src: Path,
    form: Format,
    style: Style,
    base: str | None,
    profile: Profile | None,
    seed: int,
    strict: bool,
    out: Path,
) -> None:
    """Write the Bundles of SRC as transactions, batches, collections, or NDJSON by resource type.

    \b
    Example:
      fhirsynth export work/bundles --format ndjson --out ndjson
      fhirsynth export work/bundles --format ndjson --base https://files.example.org/bulk --out bulk
      fhirsynth export work/bundles --defects heavy --seed 7 --out dirty
    """
    from fhirsynth.publish.disk import export
    from synthea_bridge.files import atomic_folder, write_json
    from synthea_bridge.skips import SkipLog

    skips = SkipLog(strict, printer())
    with atomic_folder(out) as scratch:
        with bar("export") as progress:
            result = export(src, form, scratch, style=style, base=base, skips=skips, progress=progress)
        told, planted = plant_into(scratch, profile, seed)
        skips.write(scratch / "skipped.ndjson")
        write_json(scratch / "manifest.json", {"stage": "export", **result.outcome, **told})
    click.echo(f"{out}: {sum(result.resources.values()):,} resources as {form}")
    say(planted, out)
    if result.unresolved:
        click.echo(f"{result.unresolved:,} references point to nothing in {src}; they stay as they are", err=True)
    if skips.items:
        summarize(skips, out / "skipped.ndjson")
        sys.exit(1)
