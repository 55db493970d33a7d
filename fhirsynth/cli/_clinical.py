"""What the clinical rules found, as the user sees it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from fhirsynth.clinical import Finding, Findings
    from synthea_bridge.skips import SkipLog

REASONS: Final = 10
"""Reasons for which something was not checked that are printed; --json has all."""
INDENT: Final = " " * 37


def clinical_findings(src: Path, rules: tuple[Path, ...], skips: SkipLog) -> Findings:
    """Check our rules and those of some files on everything under ``src``."""
    from fhirsynth.cli._progress import bar
    from fhirsynth.clinical import check_source, load_rules

    catalogue = load_rules(*rules)
    with bar("check the clinical rules") as progress:
        return check_source(src, catalogue, skips=skips, progress=progress)


def show_clinical(findings: Findings, severity: str) -> None:
    """Print the broken rules (for ``information``, the others too), what was not checked, and a summary."""
    held = [one for one in findings.rules if one.applied and not one.broken]
    told = findings.broken(severity) + (held if severity == "information" else [])
    if told:
        click.echo(f"{'':<9}{'broken':>8}{'of':>11}{'share':>8} rule")
    for finding in told:
        _show(finding)
    _show_unchecked(findings)
    for table, count in findings.withdrawn.items():
        click.echo(f"left out    {count:>7,} ×  {table} that were entered in error, cancelled, refuted or only planned")
    idle = sum(not one.applied for one in findings.rules)
    broken = len(findings.rules) - len(held) - idle
    click.echo(
        f"{findings.patients:,} patients, {len(findings.rules)} clinical rules: {len(held)} held, {broken} broken, "
        f"{idle} did not apply; {findings.errors:,} errors, {findings.number('warning'):,} warnings"
    )


def _show(finding: Finding) -> None:
    from fhirsynth.hapi.problems import printable

    level = finding.severity if finding.broken else "holds"
    figures = f"{level:<9}{finding.broken:>8,}{finding.applied:>11,}{_percent(finding.share):>8}"
    click.echo(f"{figures} {finding.id}: {finding.title}")
    for example in finding.examples[:1]:
        click.echo(
            f"{INDENT}e.g. {printable(example.resource)} in {printable(example.file)}: {printable(example.words)}"
        )
    for note in finding.notes:
        click.echo(f"{INDENT}{note}")


def _percent(share: float) -> str:
    return "< 0.1 %" if 0 < share < 0.0005 else f"{share:.1%}".replace("%", " %")


def _show_unchecked(findings: Findings) -> None:
    from fhirsynth.hapi.problems import printable

    reasons = [(count, rule.id, why) for rule in findings.rules for why, count in rule.not_checked.items()]
    reasons.sort(key=lambda one: (-one[0], one[1], one[2]))
    for count, name, why in reasons[:REASONS]:
        click.echo(f"not checked {count:>7,} ×  {name}: {printable(why)}")
    if len(reasons) > REASONS:
        click.echo(f"not checked, for {len(reasons) - REASONS} more reasons: see --json")
