"""Learn a timeline from tables: from the training patients, and from nobody else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from fhirsynth.assemble.timeline import BANDS, FEWEST, GROUPS, LEVELS, Group, Kind, Order, Panel, Quantiles, Timeline
from fhirsynth.assemble.timeline import Visits as VisitModel
from fhirsynth.errors import UsageError
from fhirsynth.features import STAYS, VOID
from fhirsynth.schema import Feature, FeatureSchema
from fhirsynth.seeds import derive

MOST_PATIENTS: Final = 5000
"""More patients sharpen no quantile that matters."""
ENOUGH: Final = 20
"""Patients with the condition from which on the timeline is theirs, and not everybody's."""
DIASTOLIC: Final = "8462-4"
SYSTOLIC: Final = "8480-6"
MOST_PANELS: Final = 40
Frame = pd.DataFrame
_DEFAULTS: Final[dict[Group, tuple[Kind, Quantiles]]] = {
    "routine": (
        Kind(class_code="AMB", code="185349003", display="Encounter for check up (procedure)", weight=1),
        tuple(np.linspace(15, 30, 11)),
    ),
    "emergency": (
        Kind(class_code="EMER", code="50849002", display="Emergency room admission (procedure)", weight=1),
        tuple(np.linspace(60, 180, 11)),
    ),
    "stay": (
        Kind(class_code="IMP", code="32485007", display="Hospital admission (procedure)", weight=1),
        tuple(np.linspace(1440, 10080, 11)),
    ),
}
"""Stands in for a group that the training patients have too few encounters of."""


def learn(tables: Path, patients: Sequence[str], schema: FeatureSchema) -> Timeline:
    """Learn from the rows of ``patients`` in the folder ``tables``.

    With a condition in ``schema`` the patients who have it are what is learned from, if there are at least
    :data:`ENOUGH` of them; medications, and whatever they have too little of, come from all of ``patients``.

    Raises
    ------
    UsageError
        When a table is missing, or none of the patients is in it.
    """
    chosen = sorted(patients, key=lambda one: derive(0, "timeline", one))[:MOST_PATIENTS]
    source = _Source(tables, frozenset(chosen), schema)
    groups = source.encounters
    measured = source.measured
    return Timeline(
        patients=len(chosen),
        visits={group: _visits(groups[groups["group"] == group], group) for group in GROUPS},
        gaps=_gaps(groups, source.born),
        since=_since(groups, source.end),
        panels={group: _panels(measured, groups[groups["group"] == group]) for group in GROUPS},
        within=_within(measured),
        diastolic=_diastolic(source.pressure),
        onset={
            feature.name: _onset(source, feature) for feature in schema.features if feature.source.rule == "present"
        },
        orders=_orders(source),
        hispanic=float(source.patients["ethnicity_code"].eq("2135-2").fillna(False).mean()),
    )


class _Source:
    """The rows that are learned from; ``cases`` are those whom the synthetic patients will resemble."""

    def __init__(self, tables: Path, chosen: frozenset[str], schema: FeatureSchema) -> None:
        self.tables, self.chosen, self.schema = tables, chosen, schema
        self.end = pd.Timestamp(schema.index_date, tz="UTC") + pd.Timedelta(days=1)
        self.patients = self.read("patients", ["patient_id", "birth_date", "ethnicity_code"])
        if self.patients.empty:
            raise UsageError(f"{tables}: holds none of the patients to learn a timeline from")
        self.born = pd.to_datetime(self.patients.set_index("patient_id")["birth_date"], utc=True)
        wanted = {"patient_id", "verification_status", "code", "onset", "recorded"}
        conditions = self.read("conditions", sorted(wanted))
        self.conditions = conditions[~conditions["verification_status"].isin(["entered-in-error", "refuted"])]
        self.cases = self._cases()
        self.encounters = self._encounters()
        codes = {code: f.name for f in self._measurable() for code in f.source.codes}
        observations = self._observations([*codes, DIASTOLIC])
        self.measured = observations[observations["code"].isin(list(codes))].assign(
            feature=lambda frame: frame["code"].map(codes)
        )
        self.measured = self._valued(self.measured)
        self.pressure = observations[observations["code"].isin([SYSTOLIC, DIASTOLIC])]

    def read(self, name: str, columns: list[str], filters: Any = None) -> Frame:
        path = self.tables / f"{name}.parquet"
        if not path.exists():
            raise UsageError(f"{path}: there is no such table; make it with: fhirsynth flatten SRC --out {self.tables}")
        frame: Frame = pq.read_table(path, columns=columns, filters=filters).to_pandas()
        return frame[frame["patient_id"].isin(self.chosen)]

    def _cases(self) -> frozenset[str]:
        if self.schema.condition is None:
            return self.chosen
        mine = self.conditions[self.conditions["code"] == self.schema.condition.snomed]
        found = frozenset(mine["patient_id"])
        return found if len(found) >= ENOUGH else self.chosen

    def _encounters(self) -> Frame:
        columns = ["encounter_id", "patient_id", "status", "class_code", "type_code", "type_display", "start", "end"]
        frame = self.read("encounters", columns)
        frame = frame[frame["patient_id"].isin(self.cases) & ~frame["status"].isin(VOID) & (frame["start"] < self.end)]
        group = np.where(frame["class_code"].isin(STAYS), "stay", "routine")
        group = np.where(frame["class_code"] == "EMER", "emergency", group)
        return frame.assign(group=group).sort_values(["patient_id", "start"], kind="stable")

    def _measurable(self) -> list[Feature]:
        return [feature for feature in self.schema.features if feature.source.rule == "latest"]

    def _observations(self, codes: list[str]) -> Frame:
        columns = ["patient_id", "observation_id", "encounter_id", "code", "effective", "value_number", "value_unit"]
        frame = self.read("observations", [*columns, "status"], [("code", "in", codes)])
        return frame[frame["patient_id"].isin(self.cases) & ~frame["status"].isin(VOID)]

    def _valued(self, frame: Frame) -> Frame:
        factors = {(f.name, unit): factor for f in self._measurable() for unit, factor in f.source.units.items()}
        keys = pd.Series(list(zip(frame["feature"], frame["value_unit"], strict=True)), index=frame.index, dtype=object)
        return frame.assign(value=frame["value_number"] * keys.map(factors).astype("float64"))


def _quantiles(values: pd.Series[Any], fallback: Quantiles) -> Quantiles:
    """Eleven quantiles, the outermost drawn in to 2.5 % and 97.5 %; ``fallback`` for fewer than :data:`FEWEST`."""
    known = values.dropna().to_numpy(dtype=float)
    if len(known) < FEWEST:
        return tuple(float(one) for one in fallback)
    return tuple(round(float(one), 3) for one in np.quantile(known, np.clip(LEVELS, 0.025, 0.975)))


def _days(spans: Any) -> pd.Series[Any]:
    """Time spans in days."""
    days: pd.Series[Any] = spans / pd.Timedelta(days=1)
    return days


def _visits(frame: Frame, group: Group) -> VisitModel:
    kind, minutes = _DEFAULTS[group]
    counted = (
        frame.dropna(subset=["class_code", "type_code", "type_display"])
        .groupby(["class_code", "type_code"])
        .agg(visits=("patient_id", "size"), patients=("patient_id", "nunique"), display=("type_display", "max"))
        .reset_index()
    )
    counted = counted[counted["patients"] >= FEWEST].sort_values(["visits", "type_code"], ascending=[False, True])
    columns = [counted[name] for name in ("class_code", "type_code", "display", "visits")]
    kinds = tuple(
        Kind(class_code=str(one), code=str(code), display=str(display), weight=float(count))
        for one, code, display, count in zip(*columns, strict=True)
    )
    lasted = 1440 * _days(frame["end"] - frame["start"])
    return VisitModel(kinds=kinds or (kind,), minutes=_quantiles(lasted[lasted >= 0], minutes))


def _gaps(frame: Frame, born: pd.Series[Any]) -> dict[int, Quantiles]:
    routine = frame[frame["group"] == "routine"]
    days = _days(routine.groupby("patient_id")["start"].diff())
    age = _days(routine["start"] - routine["patient_id"].map(born)) / 365.25
    days = days.where(days >= 1)
    everybody = _quantiles(days, tuple(np.linspace(30, 400, 11)))
    edges = [*BANDS, 200]
    return {low: _quantiles(days[(age >= low) & (age < high)], everybody) for low, high in pairwise(edges)}


def _since(frame: Frame, end: pd.Timestamp) -> Quantiles:
    last = frame[frame["group"] == "routine"].groupby("patient_id")["start"].max()
    return _quantiles(_days(end - last), tuple(np.linspace(5, 360, 11)))


def _panels(measured: Frame, visits: Frame) -> tuple[Panel, ...]:
    """Sets of features by encounter; none at all is a set too."""
    if visits.empty:
        return ()
    mine = measured[measured["encounter_id"].isin(visits["encounter_id"])]
    found: Counter[tuple[str, ...]] = Counter()
    people: dict[tuple[str, ...], set[str]] = {}
    for _, part in mine.groupby("encounter_id"):
        names = tuple(sorted(set(part["feature"])))
        found[names] += 1
        people.setdefault(names, set()).update(part["patient_id"])
    common = [(names, count) for names, count in found.items() if len(people[names]) >= FEWEST]
    common.sort(key=lambda one: (-one[1], one[0]))
    empty = Panel(features=(), weight=float(len(visits) - found.total()))
    return (empty, *(Panel(features=names, weight=float(count)) for names, count in common[:MOST_PANELS]))


def _within(measured: Frame) -> dict[str, float]:
    """The pooled standard deviation within patients who were measured at least twice."""
    result = {}
    for name, frame in measured.groupby("feature"):
        variances = frame.groupby("patient_id")["value"].var()
        known = variances.dropna()
        result[str(name)] = round(float(np.sqrt(known.median())), 4) if len(known) >= FEWEST else 0.0
    return result


def _diastolic(pressure: Frame) -> tuple[float, float, float]:
    wide = pressure.pivot_table(index="observation_id", columns="code", values="value_number", aggfunc="first")
    if not {SYSTOLIC, DIASTOLIC} <= set(wide.columns):
        return 35.0, 0.36, 6.0
    known = wide.dropna()
    if len(known) < ENOUGH or known[SYSTOLIC].std() == 0:
        return 35.0, 0.36, 6.0
    slope, intercept = np.polyfit(known[SYSTOLIC].to_numpy(), known[DIASTOLIC].to_numpy(), 1)
    spread = float((known[DIASTOLIC] - intercept - slope * known[SYSTOLIC]).std())
    return round(float(intercept), 3), round(float(slope), 4), round(spread, 3)


def _onset(source: _Source, feature: Feature) -> Quantiles:
    mine = source.conditions[source.conditions["code"].isin(feature.source.codes)]
    first = mine["onset"].fillna(mine["recorded"]).groupby(mine["patient_id"]).min()
    age = _days(first - first.index.to_series().map(source.born)) / 365.25
    return _quantiles(age[age >= 0], tuple(np.linspace(1, 70, 11)))


def _orders(source: _Source) -> tuple[Order, ...]:
    """Medications on order; those of the cases weigh by how many have them, the others come after them."""
    frame = source.read("medications", ["patient_id", "code", "display", "status"])
    frame = frame[frame["status"].isin(["active", "stopped", "completed"])].dropna(subset=["code", "display"])
    active = frame["status"] == "active"
    mine = frame["patient_id"].isin(source.cases)
    weight: dict[str, float] = {}
    for part, worth in ((frame, 0.01), (frame[active], 0.1), (frame[active & mine], 1.0)):
        people = part.groupby("code")["patient_id"].nunique()
        for code, count in people[people >= FEWEST].items():
            weight[str(code)] = weight.get(str(code), 0.0) + worth * float(count)
    display = frame.groupby("code")["display"].max()
    ordered = sorted(weight, key=lambda code: (-weight[code], code))
    return tuple(Order(code=code, display=str(display[code]), weight=round(weight[code], 3)) for code in ordered)
