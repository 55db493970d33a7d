"""``fhirsynth validate``: what the HL7 validator says of FHIR R4."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fhirsynth.cli._heap import heap_size
from fhirsynth.cli._progress import bar
from fhirsynth.cli._skips import printer, summarize

if TYPE_CHECKING:
    from fhirsynth.hapi.problems import Report


@click.command("validate")
@click.argument("src", type=click.Path(path_type=Path))
@click.option("--package", "packages", multiple=True, help="An implementation guide: .tgz, or name#version; repeat it.")
@click.option(
    "--terminology",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Folder with more CodeSystems and ValueSets; repeat it.",
)
@click.option(
    "--severity",
    type=click.Choice(["error", "warning", "information"]),
    default="warning",
    show_default=True,
    help="The least that is shown.",
)
@click.option("--threads", type=click.IntRange(1), help="Bundles at a time.  [default: all cores]")
@click.option("--heap", default="2g", show_default=True, callback=heap_size, help="Memory of the validator.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--sarif", type=click.Path(path_type=Path, dir_okay=False), help="Also write a SARIF file.")
def command(
    src: Path,
    packages: tuple[str, ...],
    terminology: tuple[Path, ...],
    severity: str,
    threads: int | None,
    heap: str,
    as_json: bool,
    sarif: Path | None,
) -> None:
    """Ask the HL7 validator whether SRC is valid FHIR R4, and valid by the profiles that it claims.

    SRC is a Bundle, a resource, NDJSON, .gz, .zip or a folder of them. Ends with 1 when there are errors, or when
    something could not be read.

    \b
    Example:
      fhirsynth validate work/bundles --package hl7.fhir.us.core#5.0.1 --terminology vsac
    """
    from fhirsynth.hapi.engine import LOCK
    from fhirsynth.hapi.validate import validate
    from synthea_bridge.artifacts import fetch
    from synthea_bridge.files import write_json
    from synthea_bridge.skips import SkipLog

    skips = SkipLog(on_skip=printer())
    with bar("fetch the validator") as progress:
        fetch(LOCK, progress)
    with bar("validate") as progress:
        report = validate(src, packages, terminology, threads=threads, heap=heap, skips=skips, progress=progress)
    if sarif is not None:
        write_json(sarif, report.sarif(severity))
    if as_json:
        click.echo(json.dumps(report.outcome(severity)))
    else:
        _print(report, severity)
    if skips.items:
        summarize(skips)
    if report.errors or skips.items:
        sys.exit(1)


def _print(report: Report, severity: str) -> None:
    for problem in report.down_to(severity):
        click.echo(f"{problem.severity:<11} {problem.count:>7,} ×  {problem.where or problem.file}")
        click.echo(f"{'':<24}{problem.message}")
        entry = f", {problem.entry}" if problem.entry else ""
        path = f": {problem.path}" if problem.path else ""
        click.echo(f"{'':<24}e.g. {problem.file}{entry}{path}")
    for system, count in report.unchecked.most_common():
        click.echo(f"not checked {count:>7,} ×  {system}")
    if report.unchecked:
        click.echo(f"{'':<24}what of these terminologies you have can be given with --terminology")
    for source in sorted(report.in_parts):
        click.echo(f"in parts               {source}: too large to be held, its resources were checked one by one")
    kinds = [f"{report.number(kind):,} {kind}" + "s" * (kind != "information") for kind in ("warning", "information")]
    click.echo(
        f"{report.documents:,} documents, {report.resources:,} resources: {report.errors:,} errors, {', '.join(kinds)}"
    )
