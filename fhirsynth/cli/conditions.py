"""``fhirsynth conditions``: what can be asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from synthea_bridge.conditions import Condition


@click.command("conditions")
@click.argument("search", default="")
@click.option("--modules", type=click.Path(path_type=Path, file_okay=False), help="Folder with more Synthea modules.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with modules, states and why one cannot be boosted.")
def command(search: str, modules: Path | None, as_json: bool) -> None:
    """List the conditions whose name, module or SNOMED CT code contains SEARCH.

    Prevalence is that of the living, counted in a survey of simulated people, or (~) the share who ever get it by
    the probabilities in its module; onset is the middle half of the ages at which it begins, or the span that the
    module allows; boost is how much more frequent it can be made.

    \b
    Example:
      fhirsynth conditions fibrosis
    """
    from synthea_bridge import conditions

    found = conditions.search(search, modules)
    if as_json:
        click.echo(json.dumps([condition.as_json for condition in found], indent=2))
    else:
        for condition in found:
            click.echo(_line(condition))
    if not found:
        click.echo(f"no condition contains '{search}'; leave it out to see all", err=True)


def _line(condition: Condition) -> str:
    walked = "~" if condition.prevalence_by == "walk" else ""
    share = "" if condition.prevalence is None else f"{walked}{_rounded(100 * condition.prevalence)} %"
    age = "" if condition.onset_age is None else f"{condition.onset_age[0]:.0f}–{condition.onset_age[1]:.0f} y"
    boost = "" if condition.boost is None else f"× {_rounded(condition.boost)}"
    where = ", ".join(condition.onsets)
    return f"{condition.slug:<44} {condition.snomed:<16} {share:>9} {age:>9} {boost:>8}  {where}"


def _rounded(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}"
