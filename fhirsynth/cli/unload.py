"""``fhirsynth unload``: take a run off a FHIR server again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from fhirsynth.cli._access import access_options
from fhirsynth.cli._progress import bar
from fhirsynth.cli._skips import SHOWN

if TYPE_CHECKING:
    from fhirsynth.publish.access import Access
    from fhirsynth.publish.unload import UnloadResult


@click.command()
@click.argument("run")
@click.argument("url")
@click.option("--dry-run", is_flag=True, help="Count what would be deleted, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=120.0, show_default=True, help="Seconds a request.")
@click.option("--limit", type=click.FloatRange(min=0.1), help="Seconds for everything.  [default: none]")
@click.option("--tries", type=click.IntRange(1), default=8, show_default=True, help="Requests for one piece, at most.")
@access_options()
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    run: str,
    url: str,
    dry_run: bool,
    yes: bool,
    timeout: float,
    limit: float | None,
    tries: int,
    as_json: bool,
    sign_in: Callable[[str], Access],
) -> None:
    """Delete what the run RUN has put on the FHIR server at URL: what carries its tag, and nothing else.

    RUN is the run_id in manifest.json. Counts first, and asks; ends with 1 when something of the run is left.

    \b
    Example:
      fhirsynth unload b1bb385d36e8 http://127.0.0.1:8080/fhir --dry-run
      fhirsynth unload b1bb385d36e8 http://127.0.0.1:8080/fhir --yes
    """
    from fhirsynth.errors import UsageError
    from fhirsynth.publish.retry import Patience
    from fhirsynth.publish.unload import unload

    if not (dry_run or yes or sys.stdin.isatty()):
        raise UsageError("unload deletes, and there is nobody to ask; add --yes, or --dry-run to count only")
    access = sign_in(url)
    given: dict[str, Any] = {"access": access, "timeout": timeout, "limit": limit, "patience": Patience(tries=tries)}
    found = unload(run, url, dry=True, **given)
    if not as_json or not (dry_run or yes):
        _count(found)
    if dry_run or not found.found:
        if as_json:
            click.echo(json.dumps(found.outcome))
        return
    if not yes:
        click.confirm(f"Delete them from {found.url}?", abort=True, err=True)
    with bar("unload") as progress:
        done = unload(run, url, progress=progress, **given)
    for address, why in list(done.kept.items())[:SHOWN]:
        click.echo(f"kept: {address}: {why}", err=True)
    if as_json:
        click.echo(json.dumps(done.outcome))
    else:
        click.echo(f"{done.deleted.total():,} resources deleted, {done.left.total():,} left")
    if not done.whole:
        sys.exit(1)


def _count(found: UnloadResult) -> None:
    for kind, number in sorted(found.found.items()):
        click.echo(f"{kind:<24} {number:>10,}", err=True)
    click.echo(f"run {found.run}: {found.found.total():,} resources on {found.url}", err=True)
