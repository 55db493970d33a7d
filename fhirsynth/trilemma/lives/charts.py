"""Single histories to look at: which patients are shown, and what of theirs is drawn."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

import numpy as np
import pandas as pd

from fhirsynth.trilemma.intervals import Bools, Floats, Ints
from fhirsynth.trilemma.lives.histories import Histories, Lives
from fhirsynth.trilemma.lives.order import day_number, whole
from fhirsynth.trilemma.lives.reading import YEAR
from fhirsynth.trilemma.lives.shown import Chart, Course, Spans, Ticks

LANES: Final = {"conditions": 10, "medications": 6, "procedures": 6}
"""Lanes of each kind that have a name of their own; what is left of it shares one."""

LABS: Final = 2
"""Measured values that are drawn."""

CLASSES: Final = {
    "AMB": "ambulatory",
    "EMER": "emergency",
    "IMP": "inpatient",
    "ACUTE": "inpatient, acute",
    "NONAC": "inpatient, non-acute",
    "HH": "at home",
    "VR": "virtual",
    "OBSENC": "observation",
    "SS": "short stay",
}
"""Classes of encounters in words (https://terminology.hl7.org/CodeSystem-v3-ActCode.html)."""

SHOWN: Final = (("the median number", 0.5), ("the 80th percentile", 0.8))
"""Which synthetic patients are shown, by how many entries their history has."""

HIDDEN: Final = (
    "No real patient is shown beside them: a real history belongs to somebody. Only where the tables say of all real "
    "patients that they are simulated (origin) is one of them drawn."
)

LEAKED: Final = (
    "No history is shown: the verdict on privacy is FAIL, so that a synthetic history may be that of a real patient."
)

_TIMES: Final = {
    "encounters": "start",
    "conditions": "onset",
    "observations": "effective",
    "medications": "authored",
    "procedures": "start",
}
_TAG: Final = re.compile(r" \((disorder|finding|situation|procedure|regime/therapy|morphologic abnormality)\)$")
"""Semantic tags of SNOMED CT, which say what the lane says."""

_LAID_ASIDE: Final = ("(finding)", "(situation)")


@dataclass(frozen=True, slots=True)
class Charts:
    """The histories that are shown, real ones first, and what a reader must know of the choice."""

    charts: tuple[Chart, ...] = ()
    note: str = ""


def example_charts(histories: Histories, index_date: date, *, leaked: bool = False) -> Charts:
    """Choose patients by rule and draw up their charts.

    Parameters
    ----------
    histories
        Real holdout patients and synthetic ones.
    index_date
        The day at which every patient is described; what is later is left out.
    leaked
        Whether the verdict on privacy is FAIL: then only simulated patients may be behind what is shown.

    Returns
    -------
    Charts
        The synthetic patient with the median number of entries, the one that has more than 80 % of them, and of
        simulated holdout patients the one most like the first, in sex, then in age and number of entries.
    """
    if leaked and not histories.nobodys:
        return Charts(note=LEAKED)
    until = day_number(index_date) + 1
    counts = entries(histories.synthetic)
    order = np.argsort(counts, kind="stable")
    places = [int(order[int(share * (len(order) - 1))]) for _, share in SHOWN]
    made = [
        chart(histories.synthetic, place, until, "synthetic", "Synthetic patient", f" ({words})")
        for place, (words, _) in dict(zip(places, SHOWN, strict=True)).items()
    ]
    chosen = "Chosen by the number of entries, not by looks."
    if not histories.nobodys:
        return Charts(_aligned(made), f"{chosen} {HIDDEN}")
    like = _most_like(histories, places[0], counts[places[0]])
    real = chart(histories.real, like, until, "real", "Holdout patient, simulated", " (most like the next)")
    more = (
        "The first is a holdout patient, a simulated one: the one most like the next in sex, age and number of entries."
    )
    return Charts(_aligned([real, *made]), f"{chosen} {more}")


def _aligned(charts: list[Chart]) -> tuple[Chart, ...]:
    """The same with one axis for all."""
    ends = {"start": min(one.start for one in charts), "end": max(one.end for one in charts)}
    return tuple(one.model_copy(update=ends) for one in charts)


def entries(lives: Lives) -> Ints:
    """How many entries each patient has: encounters, conditions, observations, medications and procedures."""
    found = np.zeros(len(lives), dtype=np.int64)
    for name in _TIMES:
        frame = whole(lives) if name == "observations" else getattr(lives, name)
        found += np.bincount(frame["patient"].to_numpy(), minlength=len(lives))
    return found


def _most_like(histories: Histories, place: int, count: int) -> int:
    """The real patient nearest in age (ten years) and in entries (a factor of e) of those of the same sex, if any."""
    one, others = histories.synthetic.patients.iloc[place], histories.real.patients
    years = np.abs(others["birth_date"].to_numpy() - one["birth_date"]) / YEAR
    factor = np.abs(np.log((entries(histories.real) + 1) / (count + 1)))
    far = np.nan_to_num(years, nan=100.0) / 10 + factor + 1000 * (others["gender"] != one["gender"]).to_numpy()
    return int(np.argmin(far))


def chart(
    lives: Lives, place: int, until: float, origin: Literal["real", "synthetic"], who: str, words: str = ""
) -> Chart:
    """The chart of one patient.

    Parameters
    ----------
    lives, place
        Histories, and the number of the patient in them.
    until
        The end of what is shown, in days since 1970; infinite: everything.
    origin, who, words
        Whose patient it is, how the title begins, and how it ends.

    Returns
    -------
    Chart
        It begins with the first entry or, where what was before is left out, where what is told begins.
    """
    frames = {name: _own(lives, name, place, until) for name in _TIMES}
    times = np.concatenate([frames[name][time].to_numpy() for name, time in _TIMES.items()])
    times = times[np.isfinite(times)]
    ends = (_years(max(times.min(), lives.since)), _years(times.max())) if len(times) else (2000.0, 2001.0)
    count = sum(map(len, frames.values())) - int((frames["observations"]["component"] > 0).sum())
    birth = float(lives.patients["birth_date"].iloc[place])
    last = until if np.isfinite(until) else float(times.max(initial=0))
    age = f"{int((last - birth) / YEAR)} years" if np.isfinite(birth) else "age unknown"
    sex = lives.patients["gender"].iloc[place] or "sex unknown"
    return Chart(
        origin=origin,
        title=f"{who}: {sex}, {age}, {count:,} entries{words}",
        start=float(np.floor(ends[0])),
        end=float(max(np.ceil(ends[1]), np.floor(ends[0]) + 1)),
        encounters=_classes(frames["encounters"]),
        conditions=_conditions(frames["conditions"]),
        medications=_lanes(frames["medications"], "medications"),
        procedures=_lanes(frames["procedures"], "procedures"),
        labs=_labs(frames["observations"]),
    )


def _own(lives: Lives, name: str, place: int, until: float) -> pd.DataFrame:
    frame = getattr(lives, name)
    # Times are in order, so that the same history is the same chart whatever the order of its rows.
    kept: Bools = (frame["patient"] == place).to_numpy() & ~(frame[_TIMES[name]].to_numpy() >= until)
    mine: pd.DataFrame = frame[kept].sort_values(_TIMES[name], kind="stable")
    return mine


def _years(days: float) -> float:
    """Years of the calendar of days since 1970."""
    return round(1970 + float(days) / 365.2425, 2)


def _at(times: Floats) -> tuple[float, ...]:
    return tuple(sorted({_years(one) for one in times[np.isfinite(times)]}))


def _bare(title: str) -> str:
    """A name without the semantic tag at its end."""
    return _TAG.sub("", title) or title


def _names(frame: pd.DataFrame) -> pd.Series:
    """What each entry is called."""
    shown = frame["display"].astype(object)
    return shown.where(shown.notna(), frame["code"].astype(object)).fillna("without a code").astype(str)


def _classes(frame: pd.DataFrame) -> tuple[Ticks, ...]:
    kind = frame["class_code"].astype(object).fillna("without a class").astype(str)
    order = [one for one in CLASSES if (kind == one).any()] + sorted(set(kind) - set(CLASSES))
    start = frame["start"].to_numpy()
    return tuple(Ticks(title=CLASSES.get(one, one), at=_at(start[(kind == one).to_numpy()])) for one in order)


def _lanes(frame: pd.DataFrame, name: str) -> tuple[Ticks, ...]:
    """The commonest ones, each in a lane; all others in the last one."""
    names, times = _names(frame), frame[_TIMES[name]].to_numpy()
    counts = names.value_counts()
    order = sorted(counts.index, key=lambda one: (-counts[one], one))
    kept, others = order[: LANES[name]], order[LANES[name] :]
    lanes = [Ticks(title=_bare(one), at=_at(times[(names == one).to_numpy()])) for one in kept]
    if others:
        rest: Bools = names.isin(others).to_numpy()
        lanes.append(Ticks(title=f"{len(others)} others", at=_at(times[rest])))
    return tuple(lanes)


def _conditions(frame: pd.DataFrame) -> tuple[Spans, ...]:
    """Those that last longest, each in a lane, disorders before findings and situations; the others in the last one."""
    if frame.empty:
        return ()
    names = _names(frame)
    last = np.nanmax(frame[["onset", "abatement", "recorded"]].to_numpy(), initial=0.0)
    ends = np.where(frame["abatement"].notna(), frame["abatement"], last)
    lasted = pd.Series(np.nan_to_num(ends - frame["onset"].to_numpy()), index=frame.index).groupby(names).sum()
    order = sorted(lasted.index, key=lambda one: (one.endswith(_LAID_ASIDE), -round(lasted[one], 3), one))
    kept, others = order[: LANES["conditions"]], order[LANES["conditions"] :]
    lanes = [Spans(title=_bare(one), spans=_spans(frame[(names == one).to_numpy()])) for one in kept]
    if others:
        lanes.append(Spans(title=f"{len(others)} others", spans=_spans(frame[names.isin(others).to_numpy()])))
    return tuple(one for one in lanes if one.spans)


def _spans(frame: pd.DataFrame) -> tuple[tuple[float, float | None], ...]:
    begun = frame[frame["onset"].notna().to_numpy()]
    return tuple(
        (_years(onset), None if np.isnan(abatement) else _years(abatement))
        for onset, abatement in zip(begun["onset"].to_numpy(), begun["abatement"].to_numpy(), strict=True)
    )


def _labs(frame: pd.DataFrame) -> tuple[Course, ...]:
    """The numbers that were measured most often, in the unit that they mostly have."""
    known = frame[np.isfinite(frame["value_number"].to_numpy()) & frame["effective"].notna().to_numpy()]
    names, unit = _names(known), known["value_unit"].astype(object).fillna("").astype(str)
    pairs = (names + "\x1f" + unit).value_counts()
    order = sorted(pairs.index, key=lambda one: (-pairs[one], one))
    courses: dict[str, Course] = {}
    for title, _, measure in (one.partition("\x1f") for one in order):
        rows = known[((names == title) & (unit == measure)).to_numpy()]
        if title not in courses and len(courses) < LABS and len(rows) > 1:
            at = tuple(_years(one) for one in rows["effective"])
            value = tuple(float(f"{one:.4g}") for one in rows["value_number"])
            courses[title] = Course(title=title, unit=measure, at=at, value=value)
    return tuple(courses.values())
