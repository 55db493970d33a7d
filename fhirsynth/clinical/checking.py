"""Check rules on tables, some hundreds of patients at a time."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from fhirsynth.clinical.catalogue import Catalogue, load_rules
from fhirsynth.clinical.chart import Chart, patient_ids
from fhirsynth.clinical.findings import Example, Finding, Findings, correlation
from fhirsynth.clinical.kinds import Change, Drug, Range, Relation, Rule, Whom
from fhirsynth.clinical.people import judge_drug, judge_whom
from fhirsynth.clinical.ranges import judge_change, judge_range
from fhirsynth.clinical.relations import judge_relation
from fhirsynth.clinical.times import judge_time
from fhirsynth.clinical.verdict import Verdict
from fhirsynth.errors import UsageError
from fhirsynth.stored import stored
from synthea_bridge.flatten import write_tables
from synthea_bridge.progress import Progress, silent
from synthea_bridge.skips import SkipLog

TOGETHER: Final = 500
"""Patients whose rows are held at a time: some 400 MB for the whole lives that Synthea simulates."""
EXAMPLES: Final = 3
"""Examples of each rule that are kept."""


def check(tables: Path, rules: Catalogue | None = None, *, progress: Progress = silent) -> Findings:
    """Check rules on the tables that ``synthea_bridge.flatten`` writes.

    Parameters
    ----------
    tables
        Their folder.
    rules
        What is checked; None: our own rules.
    progress
        Called with patients done and patients in all.

    Raises
    ------
    UsageError
        When a table is missing, or is none.
    """
    catalogue = load_rules() if rules is None else rules
    everybody = patient_ids(tables)
    tallies = {name: _Tally(rule) for name, rule in catalogue.rules.items()}
    withdrawn: Counter[str] = Counter()
    for start in range(0, len(everybody), TOGETHER):
        some = everybody[start : start + TOGETHER]
        chart = Chart(tables, catalogue, some, whole=len(some) == len(everybody))
        for tally in tallies.values():
            tally.add(judge(tally.rule, chart, catalogue), chart)
        withdrawn.update(chart.withdrawn)
        progress(start + len(some), len(everybody))
    findings = tuple(tally.finding() for tally in tallies.values())
    return Findings(len(everybody), findings, {name: count for name, count in sorted(withdrawn.items()) if count})


def check_source(
    src: Path, rules: Catalogue | None = None, *, skips: SkipLog | None = None, progress: Progress = silent
) -> Findings:
    """Check rules on a folder of tables, or on Bundles, resources, NDJSON, archives and folders of them.

    Parameters
    ----------
    skips
        Takes what cannot be read.
    progress
        Called with the files that were read, or the patients that were checked.

    Raises
    ------
    UsageError
        When there is no ``src``.
    InputError
        When nothing in it is FHIR R4.
    """
    if not src.exists():
        raise UsageError(f"{src}: there is no such file or folder; give a Bundle, NDJSON, .gz, .zip or a folder")
    if stored(src, "observations") and stored(src, "patients"):
        return check(src, rules, progress=progress)
    with tempfile.TemporaryDirectory(prefix="fhirsynth-") as folder:
        write_tables(src, Path(folder), skips if skips is not None else SkipLog(), progress)
        return check(Path(folder), rules)


def judge(rule: Rule, chart: Chart, catalogue: Catalogue) -> Verdict:
    """What one rule says of the patients of a chart."""
    match rule:
        case Range():
            return judge_range(rule, chart, catalogue.analytes[rule.of])
        case Relation():
            return judge_relation(rule, chart, catalogue.analytes)
        case Change():
            return judge_change(rule, chart, catalogue.analytes[rule.of])
        case Whom():
            return judge_whom(rule, chart)
        case Drug():
            return judge_drug(rule, chart, catalogue)
        case _:
            return judge_time(rule, chart)


class _Tally:
    """What has been found of a rule so far; a patient is in one part only, so that counts of parts add up."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._applied = self._broken = self._patients = 0
        self._unchecked: Counter[str] = Counter()
        self._met: Counter[str] = Counter()
        self._moments = np.zeros(6)
        self._examples: list[Example] = []

    def add(self, verdict: Verdict, chart: Chart) -> None:
        self._applied += verdict.applied
        self._broken += len(verdict.broken)
        self._patients += verdict.broken["patient"].nunique()
        self._unchecked += verdict.unchecked
        self._met.update(verdict.met)
        self._moments += verdict.moments
        self._examples += list(_examples(verdict, chart, EXAMPLES - len(self._examples)))

    def finding(self) -> Finding:
        rule = self.rule
        return Finding(
            id=rule.id,
            title=rule.title,
            severity=rule.severity,
            source=rule.source,
            applied=self._applied,
            broken=self._broken,
            patients=self._patients,
            not_checked=dict(sorted(self._unchecked.items(), key=lambda item: (-item[1], item[0]))),
            met=dict(self._met),
            correlation=correlation(*self._moments.tolist()),
            examples=tuple(self._examples),
        )


def _examples(verdict: Verdict, chart: Chart, wanted: int) -> Iterator[Example]:
    for row in verdict.broken.drop_duplicates("patient").head(wanted).itertuples():
        patient = int(row.patient)  # type: ignore[arg-type]
        source = chart.patients["source"].iat[patient]
        file = source if isinstance(source, str) else "?"
        name = chart.ids[patient].as_py()
        yield Example(file, str(row.resource), f"Patient/{name}", verdict.say(row))
