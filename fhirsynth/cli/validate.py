"""``fhirsynth validate``: what the HL7 validator says of FHIR R4, and what clinical rules say of its patients."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fhirsynth.cli._clinical import clinical_findings, show_clinical
from fhirsynth.cli._heap import heap_size
from fhirsynth.cli._progress import bar
from fhirsynth.cli._skips import printer, summarize

if TYPE_CHECKING:
    from fhirsynth.clinical import Findings
    from fhirsynth.hapi.problems import Report
    from synthea_bridge.skips import Skip, SkipLog

OF_HL7: Final = ("packages", "terminology", "threads", "heap")
"""Options that say something to the HL7 validator only."""


@click.command("validate")
@click.argument("src", type=click.Path(path_type=Path))
@click.option("--clinical", is_flag=True, help="Check clinical rules instead; no Java is needed.")
@click.option("--hl7", is_flag=True, help="With --clinical: ask the HL7 validator as well.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="With --clinical: a TOML file with more rules; repeat it.",
)
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
@click.pass_context
def command(
    context: click.Context,
    src: Path,
    clinical: bool,
    hl7: bool,
    rules: tuple[Path, ...],
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

    With --clinical, ask whether a clinician would believe it: whether values are possible, agree with each other and
    fit age and sex, whether drugs have their reasons, and whether things come in order. SRC can also be a folder of
    tables, as flatten writes them. An error is what cannot be, a warning what is hardly believable.

    \b
    Examples:
      fhirsynth validate work/bundles --package hl7.fhir.us.core#5.0.1 --terminology vsac
      fhirsynth validate work/bundles --clinical
      fhirsynth validate work/bundles --clinical --hl7
    """
    _refuse_mixed(context, clinical, hl7, rules)
    from synthea_bridge.files import write_json
    from synthea_bridge.skips import SkipLog

    show = _once(printer())
    logs = [SkipLog(on_skip=show), SkipLog(on_skip=show)]
    report = _ask_hl7(src, packages, terminology, threads, heap, logs[0]) if hl7 or not clinical else None
    findings = clinical_findings(src, rules, logs[1]) if clinical else None
    # Both read the same files: what neither can read was passed over once.
    skips = SkipLog(items=list(dict.fromkeys(logs[0].items + logs[1].items)))
    if sarif is not None:
        write_json(sarif, _sarif(report, findings, severity, logs[1]))
    if as_json:
        click.echo(json.dumps(_outcome(report, findings, severity, skips)))
    else:
        if report is not None:
            _print(report, severity)
        if findings is not None:
            show_clinical(findings, severity)
    if skips.items:
        summarize(skips)
    errors = (0 if report is None else report.errors) + (0 if findings is None else findings.errors)
    if errors or skips.items:
        sys.exit(1)


def _refuse_mixed(context: click.Context, clinical: bool, hl7: bool, rules: tuple[Path, ...]) -> None:
    """Refuse options that would say nothing."""
    if not clinical and (hl7 or rules):
        raise click.UsageError(f"{'--rules' if rules else '--hl7'} goes with --clinical; add it")
    if clinical and not hl7:
        given = [one for one in OF_HL7 if context.get_parameter_source(one) is click.core.ParameterSource.COMMANDLINE]
        if given:
            name = "package" if given[0] == "packages" else given[0]
            raise click.UsageError(f"--{name} is for the HL7 validator, which --clinical alone does not ask; add --hl7")


def _ask_hl7(
    src: Path, packages: tuple[str, ...], terminology: tuple[Path, ...], threads: int | None, heap: str, skips: SkipLog
) -> Report:
    from fhirsynth.hapi.engine import LOCK
    from fhirsynth.hapi.validate import validate
    from synthea_bridge.artifacts import fetch

    with bar("fetch the validator") as progress:
        fetch(LOCK, progress)
    with bar("validate") as progress:
        return validate(src, packages, terminology, threads=threads, heap=heap, skips=skips, progress=progress)


def _once(show: Callable[[Skip], None]) -> Callable[[Skip], None]:
    seen: set[Skip] = set()

    def show_new(skip: Skip) -> None:
        if skip not in seen:
            seen.add(skip)
            show(skip)

    return show_new


def _sarif(report: Report | None, findings: Findings | None, severity: str, skips: SkipLog) -> dict[str, Any]:
    """One log, with a run for each that was asked."""
    logs = [] if report is None else [report.sarif(severity)]
    logs += [] if findings is None else [findings.sarif(severity, skips)]
    return {**logs[0], "runs": [run for log in logs for run in log["runs"]]}


def _outcome(report: Report | None, findings: Findings | None, severity: str, skips: SkipLog) -> dict[str, Any]:
    """What the HL7 validator said, as ever, and what the clinical rules found under ``clinical``."""
    outcome = {} if report is None else report.outcome(severity)
    if findings is not None:
        outcome["clinical"] = findings.outcome(severity)
    return {**outcome, "skipped": skips.counts()}


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
