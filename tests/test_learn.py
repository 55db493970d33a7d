"""A timeline is learned from the training patients alone, and describes nobody of them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fhirsynth.assemble import Timeline, learn
from fhirsynth.assemble.timeline import FEWEST
from fhirsynth.errors import UsageError
from fhirsynth.schema import FeatureSchema, build_schema
from tests.remake_golden import CF, make


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("learn") / "tables"
    make(out)
    return out


@pytest.fixture(scope="module")
def schema() -> FeatureSchema:
    return build_schema(date(2026, 1, 1), CF)


def everybody(tables: Path) -> list[str]:
    return list(pd.read_parquet(tables / "patients.parquet")["patient_id"])


@pytest.fixture(scope="module")
def timeline(tables: Path, schema: FeatureSchema) -> Timeline:
    return learn(tables, everybody(tables), schema)


def test_it_learns_kinds_of_visits_and_why_they_are_made(timeline: Timeline) -> None:
    kinds = {(kind.class_code, kind.reason.code if kind.reason else None) for kind in timeline.kinds}
    assert ("AMB", CF.snomed) in kinds
    clinic = next(kind for kind in timeline.kinds if kind.reason and kind.reason.code == CF.snomed and kind.paces)
    assert clinic.needs == CF.snomed
    assert all(pace.makes["female"] > 0.9 for pace in clinic.paces.values())
    assert any(kind.rhythm for kind in timeline.kinds)
    for kind in timeline.kinds:
        for quantiles in (kind.minutes, kind.rhythm, *(pace.rates for pace in kind.paces.values())):
            assert list(quantiles) == sorted(quantiles)
        assert np.trapezoid(kind.rhythm or [1] * 11, dx=0.1) == pytest.approx(1, abs=0.01)
        assert np.mean(kind.months) == pytest.approx(1, abs=0.01)


def test_it_learns_what_is_measured_together_and_how_far_patients_keep_their_level(timeline: Timeline) -> None:
    assert timeline.measures["85354-9"].parts == ("8462-4", "8480-6")
    pressure = timeline.items.index(next(one for one in timeline.items if one.concept.code == "85354-9"))
    together = next(batch for batch in timeline.batches if pressure in batch)
    assert "29463-7" in {timeline.items[place].concept.code for place in together}
    height, rate = timeline.measures["8302-2"], timeline.measures["9279-1"]
    assert height.unit == "cm"
    assert height.own > rate.own
    assert 0 <= timeline.measures["8480-6"].own <= 1


def test_it_learns_conditions_and_what_is_taken_for_them(timeline: Timeline) -> None:
    assert timeline.flagged[CF.column].onset[0][-1] < 26
    cells = [cells for one in timeline.lasting for cells in one.share.values()]
    assert cells
    assert all(0 <= share <= 1 for cell in cells for pair in cell.values() for share in pair)
    for_it = [order for order in timeline.orders if order.reason == CF.snomed]
    assert for_it
    assert any(order.at for order in for_it)
    assert all(order.without < order.weight < 1 for order in for_it)


def test_nobody_else_is_looked_at(tables: Path, schema: FeatureSchema, timeline: Timeline, tmp_path: Path) -> None:
    some = everybody(tables)[:5]
    for path in tables.glob("*.parquet"):
        frame = pd.read_parquet(path)
        frame[frame["patient_id"].isin(some)].to_parquet(tmp_path / path.name)
    own = learn(tables, some, schema)
    assert learn(tmp_path, some, schema) == own
    assert own != timeline


def test_a_code_that_few_patients_have_does_not_enter(tables: Path, timeline: Timeline) -> None:
    learned = {
        "encounters": {kind.concept.code for kind in timeline.kinds},
        "medications": {one.concept.code for one in timeline.orders},
        "procedures": {one.concept.code for one in timeline.items if one.table == "procedures"},
        "observations": {one.concept.code for one in timeline.items if one.table == "observations"},
        "conditions": {one.concept.code for one in timeline.items if one.table == "conditions"}
        | {one.concept.code for one in timeline.lasting},
    }
    some = False
    for name, codes in learned.items():
        frame = pd.read_parquet(tables / f"{name}.parquet")
        people = frame.groupby("type_code" if name == "encounters" else "code")["patient_id"].nunique()
        rare = set(people[people < FEWEST].index)
        assert not codes & rare
        assert codes
        some |= bool(rare)
    assert some


def test_no_patient_and_no_day_is_in_it(tables: Path, timeline: Timeline) -> None:
    text = timeline.model_dump_json()
    patients = pd.read_parquet(tables / "patients.parquet")
    assert not any(str(one) in text for one in [*patients["patient_id"], *patients["birth_date"]])


def test_without_patients_or_tables_it_says_so(tables: Path, schema: FeatureSchema, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of the patients"):
        learn(tables, ["nobody"], schema)
    with pytest.raises(UsageError, match="there is no such table"):
        learn(tmp_path, ["nobody"], schema)
