"""``fhirsynth load``: Bundles → a FHIR server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fhirsynth.cli._access import access_options
from fhirsynth.cli._access import sign_in as plain_sign_in
from fhirsynth.cli._progress import bar
from fhirsynth.cli._skips import SHOWN, printer, summarize

if TYPE_CHECKING:
    from fhirsynth.publish.access import Access
    from fhirsynth.publish.parcel import How
    from fhirsynth.publish.result import LoadResult

_MODES = ("create", "update", "post")
_STYLES = ("urn:uuid", "literal", "conditional")


@click.command()
@click.argument("src", type=click.Path(path_type=Path))
@click.argument("url")
@click.option("--mode", type=click.Choice(_MODES), default="create", show_default=True, help="See below.")
@click.option("--format", "form", type=click.Choice(("transaction", "batch")), default="transaction", show_default=True)
@click.option("--style", type=click.Choice(_STYLES), default="urn:uuid", show_default=True, help="Of references.")
@click.option("--tag", metavar="RUN", help="Tag resources that have no run with this one, so that unload finds them.")
@click.option("--max-entries", type=click.IntRange(1), help="Entries a request.  [default: what the server takes]")
@click.option("--max-bytes", type=click.IntRange(1000), help="Bytes a request.  [default: what the server takes]")
@click.option("--concurrency", type=click.IntRange(1, 64), default=24, show_default=True, help="Requests at a time.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=120.0, show_default=True, help="Seconds a request.")
@click.option("--tries", type=click.IntRange(1), default=8, show_default=True, help="Requests for one piece, at most.")
@click.option("--limit", type=click.FloatRange(min=0.1), help="Seconds for everything.  [default: none]")
@click.option("--journal", type=click.Path(path_type=Path, dir_okay=False), help="[default: a hidden file in SRC]")
@click.option("--dead-letters", type=click.Path(path_type=Path, dir_okay=False), help="[default: a hidden file in SRC]")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write the load report (JSON).")
@access_options()
@click.option("--json", "as_json", is_flag=True, help="Print the load report as JSON.")
def command(
    src: Path,
    url: str,
    mode: str,
    form: str,
    style: str,
    tag: str | None,
    max_entries: int | None,
    max_bytes: int | None,
    concurrency: int,
    timeout: float,
    tries: int,
    limit: float | None,
    journal: Path | None,
    dead_letters: Path | None,
    report: Path | None,
    as_json: bool,
    sign_in: Callable[[str], Access],
) -> None:
    """Send the Bundles of SRC to the FHIR server at URL, each resource once, however often it is called or killed.

    Modes: create sends each resource unless the server has it (conditional create); update puts it under its own id,
    over what is there; post creates it anew, for servers that know nothing else.

    Shared resources go first. What is refused goes to a file that load takes, too. At the end the server's resources
    are counted. Ends with 1 when something was refused, or is not there.

    \b
    Example:
      fhirsynth load work/bundles http://127.0.0.1:8080/fhir
      fhirsynth load synthea/output/fhir http://127.0.0.1:8080/fhir --tag trial-1
      fhirsynth load work/bundles https://fhir.example.org/r4 --max-entries 500 --limit 3600 --report load.json
    """
    from fhirsynth.publish.parcel import How

    how = How(mode=mode, sending=form, style=style, most=max_entries, size=max_bytes, tag=tag)  # type: ignore[arg-type]
    taken = load_and_report(
        src,
        url,
        how=how,
        journal=journal,
        dead_letters=dead_letters,
        timeout=timeout,
        limit=limit,
        concurrency=concurrency,
        tries=tries,
        report=report,
        as_json=as_json,
        sign_in=sign_in,
    )
    if not taken:
        sys.exit(1)


def load_and_report(
    src: Path,
    url: str,
    *,
    how: How | None = None,
    tries: int = 8,
    report: Path | None = None,
    as_json: bool = False,
    err: bool = False,
    sign_in: Callable[[str], Access] = plain_sign_in,
    **options: Any,
) -> bool:
    """Load and print the summary (on stderr with ``err``); whether everything was taken, and is there."""
    from fhirsynth.publish.retry import Patience
    from fhirsynth.publish.server import load
    from synthea_bridge.files import write_json
    from synthea_bridge.skips import SkipLog

    access = sign_in(url)
    skips = SkipLog(on_skip=printer())
    with bar("load") as progress:
        result = load(
            src,
            url,
            how=how,
            access=access,
            patience=Patience(tries=tries),
            skips=skips,
            progress=progress,
            **options,
        )
    tell(result)
    if report is not None:
        write_json(report, result.outcome)
    if as_json:
        click.echo(json.dumps(result.outcome))
    else:
        click.echo(
            f"{result.loaded} Bundles loaded, {result.earlier} earlier, {len(result.refused)} refused; resources: "
            f"{result.created:,} created, {result.matched:,} already there; {result.counted:,} counted on the server",
            err=err,
        )
    if skips.items:
        summarize(skips)
    return result.whole


def tell(result: LoadResult, before: str = "") -> None:
    """On stderr, what was not as it was asked for; ``before`` stands before each line."""
    for line in result.adapted:
        click.echo(f"{before}note: {line}", err=True)
    for refusal in result.refused[:SHOWN]:
        click.echo(f"{before}{refusal}", err=True)
    if len(result.refused) > SHOWN:
        click.echo(f"{before}… {result.refusals:,} entries refused in all", err=True)
    if result.dead_letters is not None:
        click.echo(f"{before}refused entries are in {result.dead_letters}; correct them, and load that file", err=True)
    for reason, number in result.left_out.most_common():
        click.echo(f"{before}left out: {number:,} × {reason}", err=True)
    for difference in result.differences:
        click.echo(f"{before}differs: {difference}", err=True)
    if result.repaired:
        click.echo(
            f"{before}{result.repaired:,} resources were taken earlier and no longer there; sent again", err=True
        )
    if result.removed:
        click.echo(
            f"{before}{result.removed:,} doubles that this load had made at the same time as another removed", err=True
        )
    if result.uncounted:
        click.echo(f"{before}{result.uncounted:,} resources without the tag of a run cannot be counted", err=True)
