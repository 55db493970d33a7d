"""What is found in some people only, and drugs with their reasons and contradictions."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from fhirsynth.clinical.catalogue import Catalogue
from fhirsynth.clinical.chart import Chart, Flags, Floats, Frame
from fhirsynth.clinical.fields import TIMES, TableName
from fhirsynth.clinical.kinds import Analyte, Drug, Whom
from fhirsynth.clinical.relations import keys_of
from fhirsynth.clinical.verdict import NO_BIRTH, NO_DATE, NO_SEX, Verdict, day, number, span, usable


def occurrences(chart: Chart, names: tuple[str, ...]) -> Frame:
    """The rows of any of some concepts: patient, resource, when it began and ended, and words."""
    parts = [_plain(table, rows) for table, rows in chart.found(names)]
    return pd.concat(parts, ignore_index=True).drop_duplicates("resource", ignore_index=True)


def _plain(table: TableName, rows: Frame) -> Frame:
    moments = TIMES[table]
    ends = rows["abatement"] if table == "conditions" else rows["end"] if "end" in moments else np.nan
    lasts = rows["abatement_lasts"] if table == "conditions" else rows["end_lasts"] if "end" in moments else 0.0
    began = rows[moments[0]].fillna(rows["recorded"]) if table == "conditions" else rows[moments[0]]
    words = _worded(rows, "code", "display")
    if table == "encounters":
        reason = _worded(rows, "why", "why_display")
        words = words.where(reason.isna(), words + " for " + reason)
    return Frame(
        {
            "patient": rows["patient"].to_numpy(),
            "resource": rows["resource"].astype("object").to_numpy(),
            "seconds": began.to_numpy(),
            "ends": np.broadcast_to(np.asarray(ends + lasts, dtype=np.float64), len(rows)),
            "words": words.to_numpy(),
        }
    )


def _worded(rows: Frame, code: str, display: str) -> pd.Series[Any]:
    """The display of each row, or its code where there is none."""
    codes = rows[code].astype("object")
    if display not in rows:
        return codes
    displays = rows[display].astype("object")
    return displays.where(displays.notna(), codes)


def judge_whom(rule: Whom, chart: Chart) -> Verdict:
    """What is found in a person in whom it cannot be."""
    unchecked: Counter[str] = Counter()
    rows = occurrences(chart, (rule.what,))
    patient = rows["patient"].to_numpy()
    least, greatest = chart.ages(patient, rows["seconds"].to_numpy())
    female = chart.patients["female"].to_numpy()[patient]
    applied, out = np.ones(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    if rule.sex is not None:
        applied &= ~np.isnan(female)
        unchecked[NO_SEX] += int((~applied).sum())
        out |= female != (rule.sex == "female")
    if rule.start > 0 or rule.end is not None:
        unknown = applied & np.isnan(greatest)
        unchecked[NO_BIRTH] += int(unknown.sum())
        applied &= ~unknown
        out |= (greatest < rule.start) | (least >= (np.inf if rule.end is None else rule.end))
    out &= applied
    broken = rows[out].assign(age=greatest[out], female=female[out])

    def say(row: Any) -> str:
        sex = {1.0: ", female", 0.0: ", male"}.get(row.female, "")
        age = "" if np.isnan(row.age) else f", {span(row.age)}"
        return f"{row.words} on {day(row.seconds)}{sex}{age}"

    return Verdict(int(applied.sum()), broken, say, unchecked)


def judge_drug(rule: Drug, chart: Chart, catalogue: Catalogue) -> Verdict:
    """Which orders of a drug have no reason, or contradict a state or a value."""
    orders = occurrences(chart, (rule.drug,))
    if orders.empty:
        return Verdict(0, orders, str)
    if rule.needs:
        return _without_reason(rule, chart, orders, [catalogue.concepts[name].title for name in rule.needs])
    unchecked: Counter[str] = Counter()
    dated = orders[orders["seconds"].notna()].reset_index(drop=True)
    unchecked[NO_DATE] += len(orders) - len(dated)
    if rule.level is not None:
        return _against_level(rule, chart, dated, catalogue.analytes[rule.level.of], unchecked)
    return _against_state(rule, chart, dated, unchecked)


def _without_reason(rule: Drug, chart: Chart, orders: Frame, reasons: list[str]) -> Verdict:
    """Orders before which no reason is recorded, in patients of whom any condition is."""
    earliest = _earliest(chart, rule.needs)[orders["patient"].to_numpy()]
    has_any = np.zeros(len(chart.ids), dtype=bool)
    has_any[chart.rows("conditions")["patient"].to_numpy()] = True
    judged = has_any[orders["patient"].to_numpy()]
    # An order without a date can have had any reason that the patient has.
    ordered = orders["seconds"].fillna(np.inf).to_numpy()
    out = judged & ~(earliest <= ordered + rule.within)
    unchecked = Counter({"no conditions at all are recorded of the patient": int((~judged).sum())})
    named = ", ".join(reasons)

    def say(row: Any) -> str:
        return f"{row.words} ordered on {day(row.seconds)}, and none of these is recorded: {named}"

    return Verdict(int(judged.sum()), orders[out], say, unchecked)


def _earliest(chart: Chart, names: tuple[str, ...]) -> Floats:
    """When each patient first had any of some concepts; without a date, always; infinite: never."""
    found = np.full(len(chart.ids), np.inf)
    rows = occurrences(chart, names)
    np.minimum.at(found, rows["patient"].to_numpy(), rows["seconds"].fillna(-np.inf).to_numpy())
    return found


def _against_state(rule: Drug, chart: Chart, orders: Frame, unchecked: Counter[str]) -> Verdict:
    """Orders while a state lasts with which the drug does not go together."""
    states = occurrences(chart, rule.avoids).dropna(subset=["seconds"])
    until = states["ends"].fillna(np.inf).to_numpy()
    longest = states["seconds"].to_numpy() + (np.inf if rule.lasting is None else rule.lasting)
    states = states.assign(until=np.minimum(until, longest))[["patient", "seconds", "until", "words"]]
    both = orders.reset_index(names="row").merge(states, on="patient", suffixes=("", "_state"))
    during = (both["seconds"] >= both["seconds_state"]) & (both["seconds"] < both["until"])
    hits = both[during].drop_duplicates("row").set_index("row")
    excused = _excused(rule, chart, orders)
    broken = hits[~excused[hits.index.to_numpy()]]

    def say(row: Any) -> str:
        return f"{row.words} ordered on {day(row.seconds)}, during {row.words_state} since {day(row.seconds_state)}"

    return Verdict(int((~excused).sum()), broken, say, unchecked)


def _excused(rule: Drug, chart: Chart, orders: Frame) -> Flags:
    if not rule.excuses:
        return np.zeros(len(orders), dtype=bool)
    earliest = _earliest(chart, rule.excuses)[orders["patient"].to_numpy()]
    return np.asarray(earliest <= orders["seconds"].to_numpy() + rule.within)


def _against_level(rule: Drug, chart: Chart, orders: Frame, analyte: Analyte, unchecked: Counter[str]) -> Verdict:
    """Orders after a value with which the drug does not go together."""
    level = rule.level
    assert level is not None
    rows = usable(chart.measures(level.of), analyte.unit, Counter())
    rows = rows[rows["seconds"].notna()]
    keys = keys_of(rows["patient"], rows["seconds"])
    order = np.argsort(keys, kind="stable")
    mine = keys_of(orders["patient"], orders["seconds"])
    place = np.searchsorted(keys[order], mine, side="right") - 1
    there = place >= 0
    last = np.where(there, place, 0)
    if len(rows):
        there &= mine - keys[order][last] <= level.within
        value = np.where(there, rows["value"].to_numpy()[order][last], np.nan)
    else:
        there, value = np.zeros(len(orders), dtype=bool), np.full(len(orders), np.nan)
    unchecked[f"no {analyte.title} in the {span(level.within)} before"] += int((~there).sum())
    out = there & ~_excused(rule, chart, orders)
    out &= (value < level.below) if level.below is not None else (value > level.above)
    broken = orders[out].assign(value=value[out])

    def say(row: Any) -> str:
        return f"{row.words} ordered on {day(row.seconds)}, with {analyte.title} {number(row.value)} {analyte.unit}"

    return Verdict(int(there.sum()), broken, say, unchecked)
