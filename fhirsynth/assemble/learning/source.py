"""The rows that a timeline is learned from, with ages, sexes and groups, and small tools for shares and quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from fhirsynth.assemble.timeline import ALWAYS, BANDS, FEWEST, LEVELS, SEXES, Concept, Onsets, Quantiles, Sex, Span
from fhirsynth.errors import UsageError
from fhirsynth.features import STAYS, VOID
from fhirsynth.schema import FeatureSchema
from fhirsynth.seeds import derive
from fhirsynth.stored import read

MOST_PATIENTS: Final = 3000
"""More patients sharpen no quantile that matters."""
MOST_CASES: Final = 1000
"""Nor more patients with the condition, whose whole histories are looked at."""
ENOUGH: Final = 20
"""Patients with the condition from which on the timeline is theirs, and not everybody's."""
YEAR: Final = 365.25
"""Days."""
EITHER: Final = 0.1
"""Share of the patients that each sex must have for one of them to be missed."""
RECENT: Final = pd.Timedelta(days=1826)
"""How far back is looked, as long as enough patients are seen there: what is done changes with the years."""
POOLED: Final = 10
"""Patients whose ages at onset are looked at together, at least."""
JUST: Final = 10.0
"""Years before an age in which is counted how often something happened."""
LATER: Final = 0.3
"""Share of what would have happened after it, from which on it has not ended at that age."""
EDGES: Final = (*BANDS, 200)
NOT_DONE: Final = (*VOID, "refuted", "not-done")

Frame = pd.DataFrame
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Source:
    """What is learned from.

    Parameters
    ----------
    schema
        The columns of the rows that lives will be told of.
    learned
        Number of training patients.
    people
        Those whom the synthetic patients will resemble, by ``patient_id``: ``sex``, ``born``, ``begins`` (the first
        encounter) and ``ends`` (the end of the index day, or of the day of death).
    encounters, conditions, observations, medications, procedures
        Their rows, each with ``age`` in years and ``sex``; encounters have a ``group``.
    everyone, everybody
        All training patients, and their medications.
    hispanic
        Share of Hispanic or Latino patients.
    """

    schema: FeatureSchema
    learned: int
    people: Frame
    encounters: Frame
    conditions: Frame
    observations: Frame
    medications: Frame
    procedures: Frame
    everyone: Frame
    everybody: Frame
    hispanic: float

    @classmethod
    def read(cls, tables: Path, patients: Sequence[str], schema: FeatureSchema) -> Self:
        """Read what there is of ``patients``.

        Raises
        ------
        UsageError
            When a table is missing, or none of the patients is in it.
        """
        chosen = sorted(patients, key=lambda one: derive(0, "timeline", one))[:MOST_PATIENTS]
        columns = ["patient_id", "gender", "birth_date", "deceased_at", "ethnicity_code"]
        known = _read(tables, "patients", columns, chosen).drop_duplicates("patient_id").set_index("patient_id")
        known = known[known["birth_date"].notna()]
        if known.empty:
            raise UsageError(f"{tables}: holds none of the patients to learn a timeline from")
        hispanic = float(known["ethnicity_code"].eq("2135-2").fillna(False).mean())
        coded = ["patient_id", "encounter_id", "system", "code", "display"]
        conditions = _read(
            tables,
            "conditions",
            [*coded, "condition_id", "verification_status", "category", "onset", "abatement", "recorded"],
            chosen,
        )
        conditions = conditions[~conditions["verification_status"].isin(NOT_DONE)]
        everybody = _happened(_read(tables, "medications", [*coded, "status", "authored", "reason_id"], chosen))
        cases = _cases(conditions, schema, chosen)
        people, everyone = _people(known, cases, schema), _people(known, list(known.index), schema)
        self = cls(
            schema=schema,
            learned=len(known),
            people=people,
            encounters=_encounters(tables, cases),
            conditions=conditions[conditions["patient_id"].isin(cases)].assign(
                onset=lambda frame: frame["onset"].fillna(frame["recorded"])
            ),
            observations=_observations(tables, cases),
            medications=everybody[everybody["patient_id"].isin(cases)],
            everyone=everyone,
            procedures=_happened(_read(tables, "procedures", [*coded, "status", "start", "end", "reason_id"], cases)),
            everybody=_aged(everybody, "authored", everyone),
            hispanic=hispanic,
        )
        return self._dated()

    def _dated(self) -> Self:
        """With ages, without what lies after the end; the first encounter is where observation begins."""
        times = {
            "encounters": "start",
            "conditions": "onset",
            "observations": "effective",
            "medications": "authored",
            "procedures": "start",
        }
        frames = {name: _aged(getattr(self, name), time, self.people) for name, time in times.items()}
        first = frames["encounters"].groupby("patient_id")["start"].min()
        begins = self.people["born"].where(first.reindex(self.people.index).isna(), first)
        people = self.people.assign(begins=begins)
        return type(self)(
            schema=self.schema,
            learned=self.learned,
            people=people,
            everyone=self.everyone,
            everybody=self.everybody,
            hispanic=self.hispanic,
            **frames,
        )

    def late(self, patients: pd.Series[Any], times: pd.Series[Any]) -> npt.NDArray[np.bool_]:
        """Which of these times of patients are among the last years."""
        found: npt.NDArray[np.bool_] = instants(times) >= instants((self.people["ends"] - RECENT).reindex(patients))
        return found

    @property
    def lived(self) -> pd.Series[Any]:
        """Years that each patient has lived, by ``patient_id``."""
        return days(self.people["ends"] - self.people["born"]) / YEAR

    def exposure(self, since: pd.Series[Any] | None = None) -> Frame:
        """Years that each patient was observed, a column an age band, by ``patient_id``.

        Parameters
        ----------
        since
            By patient, from when on, and nobody else; None: from the first encounter.
        """
        people = self.people
        begin = people["begins"]
        if since is not None:
            begin = begin[begin.index.isin(since.index)]
            begin = begin.where(begin > since.reindex(begin.index), since.reindex(begin.index))
            people = people.loc[begin.index]
        low = days(begin - people["born"]) / YEAR
        high = days(people["ends"] - people["born"]) / YEAR
        return pd.DataFrame(
            {bottom: np.maximum(np.minimum(high, top) - np.maximum(low, bottom), 0) for bottom, top in pairwise(EDGES)}
        )


def instants(times: pd.Series[Any]) -> npt.NDArray[np.datetime64]:
    """Times in UTC: an array that numpy compares at once, where one with a time zone is compared one by one."""
    found: npt.NDArray[np.datetime64] = times.to_numpy("datetime64[us]")
    return found


def days(spans: Any) -> pd.Series[Any]:
    """Time spans in days."""
    found: pd.Series[Any] = spans / pd.Timedelta(days=1)
    return found


def quantiles(values: Any, fallback: Quantiles = ()) -> Quantiles:
    """Eleven quantiles, the outermost drawn in to 2.5 % and 97.5 %; ``fallback`` for fewer than :data:`FEWEST`."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    if len(known) < FEWEST:
        return tuple(float(one) for one in fallback)
    return tuple(round(float(one), 3) for one in np.quantile(known, np.clip(LEVELS, 0.025, 0.975)))


def onset_ages(ages: pd.Series[Any], lived: pd.Series[Any], fallback: Quantiles = ()) -> Onsets:
    """Quantiles of ages at onset by the age band that patients are in now; few of them are pooled with those below.

    Parameters
    ----------
    ages, lived
        In years, by ``patient_id``.
    """
    if len(ages) < FEWEST:
        return {BANDS[0]: tuple(float(one) for one in fallback)} if len(fallback) else {}
    now = bands(lived.reindex(ages.index))
    found = {}
    for place, low in enumerate(BANDS):
        pool = now == place
        for other in (*range(place - 1, -1, -1), *range(place + 1, len(BANDS))):
            if pool.sum() >= POOLED:
                break
            pool |= now == other
        found[low] = quantiles(ages[pool])
    return found


def weighted_quantiles(values: Any, weights: Any) -> Quantiles:
    """Eleven quantiles of weighted values, the outermost as in :func:`quantiles`; their mean is that of the values."""
    known, weight = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    order = np.argsort(known, kind="stable")
    known, weight = known[order], weight[order]
    places = (np.cumsum(weight) - weight / 2) / weight.sum()
    found = np.interp(np.clip(LEVELS, 0.025, 0.975), places, known)
    mean = float(np.trapezoid(found, LEVELS))
    scale = float((known * weight).sum() / weight.sum()) / mean if mean > 0 else 1.0
    return tuple(round(float(one), 4) for one in found * scale)


def between(frame: Frame, people: Frame) -> Span:
    """Ages between which nearly all of it happens, and a year more.

    Open above, unless patients have lived on long enough that it would have happened to them as before.
    """
    age = frame["age"].to_numpy(np.float64)
    low, high = float(np.quantile(age, 0.025)) - 1, float(np.quantile(age, 0.975)) + 1
    able = people[people["sex"].isin(set(frame["sex"]))]
    lived = (days(able["ends"] - able["born"]) / YEAR).to_numpy(np.float64)
    before = float(((age > high - JUST) & (age <= high)).sum())
    rate = before / max(float(np.clip(lived - high + JUST, 0, JUST).sum()), 1.0)
    expected = rate * float(np.clip(lived - high, 0, None).sum())
    closed = expected >= FEWEST and (age > high).sum() <= LATER * expected
    return round(max(low, 0.0), 1), round(high, 1) if closed else ALWAYS[1]


def only_sex(frame: Frame, people: Frame) -> Sex | None:
    """The sex of all patients in ``frame``, where so many of the other sex could have been among them."""
    sexes = set(frame["sex"])
    if len(sexes) != 1 or (people["sex"].value_counts(normalize=True).reindex(SEXES).fillna(0) < EITHER).any():
        return None
    return next(sex for sex in SEXES if sex in sexes)


def bands(ages: Any) -> npt.NDArray[np.int64]:
    """The number of the age band of each age."""
    found: npt.NDArray[np.int64] = np.clip(np.searchsorted(EDGES, np.asarray(ages), "right") - 1, 0, len(BANDS) - 1)
    return found


def common(frame: Frame, keys: list[str]) -> Frame:
    """Groups of ``keys`` that at least :data:`FEWEST` patients have: entries (``size``) and patients (``people``)."""
    counted = frame.groupby(keys, dropna=False).agg(size=("patient_id", "size"), people=("patient_id", "nunique"))
    return counted[counted["people"] >= FEWEST].reset_index()


def concepts(frame: Frame, prefix: str = "") -> dict[str, Concept]:
    """Code → coding, with its commonest display."""
    start = f"{prefix}_" if prefix else ""
    names = [f"{start}{name}" for name in ("system", "code", "display")]
    known = frame.dropna(subset=names[:2])
    known = known.assign(**{names[2]: known[names[2]].fillna(known[names[1]])})
    counted = known.groupby(names, sort=True).size().reset_index(name="size")
    best = counted.sort_values(["size", names[2]], ascending=[False, True], kind="stable").drop_duplicates(names[1])
    rows = zip(*(best[name] for name in names), strict=True)
    return {
        str(code): Concept(system=str(system), code=str(code), display=str(display)) for system, code, display in rows
    }


def _read(tables: Path, name: str, columns: list[str], patients: Sequence[str]) -> Frame:
    frame: Frame = read(tables, name, columns, [("patient_id", "in", list(patients))]).to_pandas()
    return frame


def _happened(frame: Frame) -> Frame:
    return frame[~frame["status"].isin(NOT_DONE)]


def _cases(conditions: Frame, schema: FeatureSchema, chosen: Sequence[str]) -> list[str]:
    found: list[str] = []
    if schema.condition is not None:
        mine = set(conditions.loc[conditions["code"] == schema.condition.snomed, "patient_id"])
        found = [one for one in chosen if one in mine]
    return (found if len(found) >= ENOUGH else list(chosen))[:MOST_CASES]


def _people(known: Frame, cases: list[str], schema: FeatureSchema) -> Frame:
    mine = known.loc[[one for one in cases if one in known.index]]
    index_day = pd.Timestamp(schema.index_date, tz="UTC")
    last = mine["deceased_at"].dt.floor("D")
    last = last.where(last < index_day, index_day).fillna(index_day)
    born = pd.to_datetime(mine["birth_date"], utc=True)
    sex = mine["gender"].where(mine["gender"].isin(SEXES), "female")
    return pd.DataFrame({"sex": sex, "born": born, "ends": last + pd.Timedelta(days=1)})


def _encounters(tables: Path, cases: list[str]) -> Frame:
    coded = [f"{prefix}_{name}" for prefix in ("type", "reason") for name in ("system", "code", "display")]
    frame = _read(
        tables, "encounters", ["encounter_id", "patient_id", "status", "class_code", *coded, "start", "end"], cases
    )
    frame = _happened(frame)
    group = np.where(frame["class_code"].isin(STAYS), "stay", "routine")
    return frame.assign(group=np.where(frame["class_code"] == "EMER", "emergency", group))


def _observations(tables: Path, cases: list[str]) -> Frame:
    coded = ["system", "code", "display", "panel_code", "category", "effective", "status"]
    values = ["value_type", "value_number", "value_unit", "value_system", "value_code", "value_text"]
    ids = ["observation_id", "component", "patient_id", "encounter_id"]
    return _happened(_read(tables, "observations", [*ids, *coded, *values], cases))


def _aged(frame: Frame, time: str, people: Frame) -> Frame:
    known = frame[frame["patient_id"].isin(people.index) & frame[time].notna()]
    who = people.loc[known["patient_id"]]
    when = instants(known[time])
    age = (when - instants(who["born"])) / np.timedelta64(1, "D") / YEAR
    inside = (when < instants(who["ends"])) & (age > -0.01)
    found = known.assign(age=np.maximum(age, 0), sex=who["sex"].to_numpy())[inside]
    ordered: Frame = found.sort_values(["patient_id", time], kind="stable").reset_index(drop=True)
    return ordered
