"""``fhirsynth defects``: which there are, and how many a check has found."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fhirsynth.defects import Score

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group("defects")
def command() -> None:
    """Defects that export --defects and assemble --defects plant: which there are, and how many a check has found.

    \b
    Example:
      fhirsynth defects kinds
      fhirsynth defects score found.jsonl --truth dirty/defects.jsonl
    """


@command.command("kinds")
@click.option(
    "--json", "as_json", is_flag=True, help="As JSON, with where each is planted and what a check should say."
)
def kinds_command(as_json: bool) -> None:
    """List the kinds, with the share of their places that an untidy feed has."""
    from fhirsynth.defects import kinds, profiles

    if as_json:
        click.echo(json.dumps([kind.model_dump(mode="json") for kind in kinds().values()], indent=2))
        return
    for kind in kinds().values():
        click.echo(f"{kind.id:<24}{100 * kind.rate:>5.1f} %  {kind.title}{' (only by name)' * kind.by_name}")
    click.echo()
    for name, one in profiles().items():
        if name not in kinds():
            often = f"{one.times:g} × these rates" if one.times else "no more"
            click.echo(f"{name:<24}{one.title}: {often}, at least {one.at_least} of each")


@command.command("score")
@click.argument("found", type=_FILE)
@click.option("--truth", type=_FILE, required=True, help="The defects.jsonl of what was checked.")
@click.option(
    "--level",
    type=click.Choice(["file", "resource", "path"]),
    default="resource",
    show_default=True,
    help="What a finding has to name.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def score_command(found: Path, truth: Path, level: str, as_json: bool) -> None:
    """Compare what a check has FOUND with what was planted: recall and precision, by kind.

    FOUND has a JSON object a line: "file" and "entry" (from 0) or "line" (from 1), or "resource" ("Patient/123"); with
    "path" (FHIRPath) for --level path; with "kind" where the check knows it, for the precision of each kind.

    \b
    Example:
      fhirsynth defects score found.jsonl --truth dirty/defects.jsonl
    """
    from fhirsynth.defects import read_findings, read_journal, score

    scores = score(read_findings(found), read_journal(truth), level)  # type: ignore[arg-type]
    if as_json:
        click.echo(json.dumps([{**asdict(one), "recall": one.recall, "precision": one.precision} for one in scores]))
        return
    click.echo(f"{'kind':<24}{'planted':>9}{'found':>9}{'recall':>9}{'reported':>11}{'right':>9}{'precision':>11}")
    for one in scores:
        click.echo(_line(one))


def _line(one: Score) -> str:
    recall, precision = (("–" if share is None else f"{share:.0%}") for share in (one.recall, one.precision))
    return f"{one.kind:<24}{one.planted:>9,}{one.found:>9,}{recall:>9}{one.reported:>11,}{one.right:>9,}{precision:>11}"
