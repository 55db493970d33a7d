"""Moments that come one after another."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from fhirsynth.clinical.chart import Chart, Floats
from fhirsynth.clinical.fields import TIMES, TableName
from fhirsynth.clinical.kinds import Time
from fhirsynth.clinical.verdict import Verdict, span

WORDS = {
    "patient.birth": "birth",
    "patient.death": "death",
    "encounter.start": "start of its encounter",
    "encounter.end": "end of its encounter",
    "reason.onset": "onset of its reason",
}


def judge_time(rule: Time, chart: Chart) -> Verdict:
    """Which rows have a moment after another that it cannot be after."""
    applied, broken = 0, []
    for table in rule.tables:
        rows = chart.rows(table)
        names = [TIMES[table][0] if name == "began" else name for name in (rule.earlier, rule.later)]
        (first, _), (second, lasts) = (_moment(chart, table, name) for name in names)
        judged = ~np.isnan(first) & ~np.isnan(second)
        if rule.excuses:
            judged &= ~chart.selected(rule.excuses, table)
        applied += int(judged.sum())
        out = judged & (first > second + lasts + rule.tolerance)
        resource = rows["resource"].to_numpy()[out]
        patient = rows["patient"].to_numpy()[out]
        words = [WORDS.get(name, name) for name in names]
        broken.append(
            pd.DataFrame({"patient": patient, "resource": resource, "first": first[out], "second": second[out]}).assign(
                earlier=words[0], later=words[1]
            )
        )
    return Verdict(applied, pd.concat(broken, ignore_index=True), _said, Counter())


def _said(row: Any) -> str:
    far = span(row.first - row.second)
    return f"{row.earlier} {_to_the_minute(row.first)} is {far} after {row.later} {_to_the_minute(row.second)}"


def _to_the_minute(seconds: float) -> str:
    return str(pd.Timestamp(seconds, unit="s").strftime("%Y-%m-%d %H:%M"))


def _moment(chart: Chart, table: TableName, name: str) -> tuple[Floats, Floats]:
    """The moment of each row in seconds, and how long it lasts."""
    rows = chart.rows(table)
    owner, _, moment = name.rpartition(".")
    if not owner:
        return rows[moment].to_numpy(), rows[f"{moment}_lasts"].to_numpy()
    if owner == "patient":
        source, position = chart.patients, rows["patient"].to_numpy()
    elif owner == "encounter":
        source, position = chart.rows("encounters"), _encounter(table, rows)
    else:
        source, position = chart.rows("conditions"), chart.reasons(table)
    there = position >= 0
    found, lasts = np.full(len(rows), np.nan), np.zeros(len(rows))
    found[there] = source[moment].to_numpy()[position[there]]
    lasts[there] = source[f"{moment}_lasts"].to_numpy()[position[there]]
    return found, lasts


def _encounter(table: TableName, rows: pd.DataFrame) -> Any:
    return np.arange(len(rows)) if table == "encounters" else rows["encounter"].to_numpy()
