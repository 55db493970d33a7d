"""What a check found: of each rule how often it applied and was broken, with examples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from fhirsynth.clinical.fields import Severity
from fhirsynth.hapi.problems import Problem, Report, printable
from synthea_bridge.skips import SkipLog

SHOWN: Final = {"error": ("error",), "warning": ("error", "warning"), "information": ("error", "warning")}
"""Which rules are told of, by the least severity that is asked for."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row that breaks a rule: the file of its patient, ``Type/id``, ``Patient/id``, and what is wrong in words."""

    file: str
    resource: str
    patient: str
    words: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one rule.

    Parameters
    ----------
    id, title, severity, source
        As the rule says.
    applied, broken
        Rows that were judged, and those of them that break it.
    patients
        In whom it is broken.
    not_checked
        Rows that could not be judged, by reason.
    met
        How many rows each formula of a relation fits.
    correlation
        Pearson's r of value and formula over ``applied`` pairs, where the rule asks for it and it can be had.
    examples
        Broken rows, each of another patient.
    """

    id: str
    title: str
    severity: Severity
    source: str
    applied: int
    broken: int
    patients: int
    not_checked: Mapping[str, int]
    met: Mapping[str, int]
    correlation: float | None
    examples: tuple[Example, ...]

    @property
    def share(self) -> float:
        """The part of the judged rows that breaks the rule; 0 where none was judged."""
        return self.broken / self.applied if self.applied else 0.0

    @property
    def notes(self) -> list[str]:
        """What else was measured, in words."""
        said = []
        if len(self.met) > 1:
            said.append("fits " + ", ".join(f"{name}: {count:,}" for name, count in self.met.items()))
        if self.correlation is not None:
            said.append(f"correlation of value and formula r = {self.correlation:.2f} over {self.applied:,} pairs")
        return said


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found of all rules.

    Parameters
    ----------
    patients
        How many were looked at.
    rules
        In the order of the rule files.
    withdrawn
        Resources that say nothing of what happened (entered in error, refuted, cancelled, planned), by table; they are
        not judged.
    """

    patients: int
    rules: tuple[Finding, ...]
    withdrawn: Mapping[str, int]

    def broken(self, lowest: str = "warning") -> list[Finding]:
        """Broken rules down to a severity: errors first, then those that are broken most often."""
        found = [one for one in self.rules if one.broken and one.severity in SHOWN[lowest]]
        return sorted(found, key=lambda one: (one.severity != "error", -one.share))

    def number(self, severity: Severity) -> int:
        """How many rows break rules of that severity."""
        return sum(one.broken for one in self.rules if one.severity == severity)

    @property
    def errors(self) -> int:
        """How many rows break rules that cannot be broken."""
        return self.number("error")

    def outcome(self, lowest: str = "information") -> dict[str, Any]:
        """Counts and rules down to the severity ``lowest``, as JSON values."""
        told = [one for one in self.rules if one.severity in SHOWN[lowest]]
        return {
            "patients": self.patients,
            "errors": self.errors,
            "warnings": self.number("warning"),
            "rules": [{**asdict(one), "share": round(one.share, 6)} for one in told],
            "withdrawn": dict(self.withdrawn),
        }

    def sarif(self, lowest: str = "information", skips: SkipLog | None = None) -> dict[str, Any]:
        """The broken rules as a SARIF 2.1.0 log, a result for each with one example."""
        told = self.broken(lowest)
        report = Report(skips if skips is not None else SkipLog())
        report.found = {(one.id,): _problem(one) for one in told}
        log = report.sarif("information")
        texts = {one.id: one for one in told}
        for rule in log["runs"][0]["tool"]["driver"]["rules"]:
            finding = texts[rule["id"]]
            rule["shortDescription"] = {"text": finding.title}
            rule["fullDescription"] = {"text": finding.source}
        return log


def _problem(finding: Finding) -> Problem:
    first = finding.examples[0]
    resource = printable(first.resource)
    words = printable(f"{finding.title}: {first.words} ({resource} of {first.patient})")
    return Problem(finding.severity, finding.id, "", words, first.file, resource, resource, finding.broken)


def correlation(count: float, x: float, y: float, xx: float, yy: float, xy: float) -> float | None:
    """Pearson's r from number, sums, sums of squares and sum of products; None with fewer than three or no spread."""
    if count < 3:
        return None
    spread = (xx - x * x / count) * (yy - y * y / count)
    return (xy - x * y / count) / math.sqrt(spread) if spread > 0 else None
