"""``fhirsynth conditions``: what can be asked for."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command("conditions")
@click.argument("search", default="")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(search: str, as_json: bool) -> None:
    """List the conditions whose name or SNOMED CT code contains SEARCH.

    \b
    Example:
      fhirsynth conditions fibrosis
    """
    from synthea_bridge import conditions

    found = conditions.search(search)
    if as_json:
        click.echo(json.dumps([asdict(condition) for condition in found], indent=2))
    else:
        for condition in found:
            click.echo(f"{condition.slug:<20} {condition.snomed:<12} {condition.display} ({condition.note})")
    if not found:
        click.echo(f"no condition contains '{search}'; leave it out to see all", err=True)
