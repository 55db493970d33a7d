"""``fhirsynth load``: Bundles → a FHIR server."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from fhirsynth.cli._progress import bar
from fhirsynth.cli._skips import SHOWN, printer, summarize


@click.command()
@click.argument("src", type=click.Path(path_type=Path))
@click.argument("url")
@click.option("--journal", type=click.Path(path_type=Path, dir_okay=False), help="[default: a hidden file in SRC]")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=120.0, show_default=True, help="Seconds a request.")
@click.option("--tries", type=click.IntRange(1), default=6, show_default=True, help="Requests for one Bundle, at most.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(src: Path, url: str, journal: Path | None, timeout: float, tries: int, as_json: bool) -> None:
    """POST the Bundles of SRC to the FHIR server at URL; call it again as often as you like.

    Shared resources go first. Credentials come from FHIRSYNTH_TOKEN (bearer), or FHIRSYNTH_USER and FHIRSYNTH_PASSWORD
    (basic). Ends with 1 when the server refused something.

    \b
    Example:
      fhirsynth load work/bundles http://127.0.0.1:8080/fhir
    """
    if not load_and_report(src, url, journal=journal, timeout=timeout, tries=tries, as_json=as_json):
        sys.exit(1)


def load_and_report(
    src: Path,
    url: str,
    *,
    journal: Path | None = None,
    timeout: float = 120.0,
    tries: int = 6,
    as_json: bool = False,
    err: bool = False,
) -> bool:
    """Load and print the summary (on stderr with ``err``); whether everything was taken."""
    from fhirsynth.publish.credentials import from_environment
    from fhirsynth.publish.retry import Patience
    from fhirsynth.publish.server import load
    from synthea_bridge.skips import SkipLog

    auth = from_environment(os.environ)
    skips = SkipLog(on_skip=printer())
    with bar("load") as progress:
        result = load(
            src,
            url,
            auth=auth,
            journal=journal,
            timeout=timeout,
            patience=Patience(tries=tries),
            skips=skips,
            progress=progress,
        )
    for refusal in result.refused[:SHOWN]:
        click.echo(str(refusal), err=True)
    if as_json:
        click.echo(json.dumps(result.outcome))
    else:
        click.echo(
            f"{result.loaded} Bundles loaded, {result.earlier} earlier, {len(result.refused)} refused; resources: "
            f"{result.created:,} created, {result.matched:,} already there",
            err=err,
        )
    if skips.items:
        summarize(skips)
    return not (skips.items or result.refused)
