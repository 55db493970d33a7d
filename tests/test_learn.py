"""A timeline is learned from the training patients alone, and describes nobody of them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from fhirsynth.assemble import learn
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


def test_it_learns_visits_panels_pace_and_orders(tables: Path, schema: FeatureSchema) -> None:
    timeline = learn(tables, everybody(tables), schema)
    assert {kind.class_code for kind in timeline.visits["routine"].kinds} == {"AMB"}
    assert any("heart_rate" in panel.features for panel in timeline.panels["routine"])
    assert 0 < timeline.diastolic[1] < 1
    assert timeline.within["systolic_bp"] > 0
    for quantiles in (timeline.since, *timeline.gaps.values(), *timeline.onset.values()):
        assert list(quantiles) == sorted(quantiles)
    assert timeline.onset[CF.column][-1] < 26


def test_nobody_else_is_looked_at(tables: Path, schema: FeatureSchema, tmp_path: Path) -> None:
    some = everybody(tables)[:8]
    for path in tables.glob("*.parquet"):
        frame = pd.read_parquet(path)
        frame[frame["patient_id"].isin(some)].to_parquet(tmp_path / path.name)
    assert learn(tmp_path, some, schema) == learn(tables, some, schema)
    assert learn(tables, some, schema) != learn(tables, everybody(tables), schema)


def test_a_code_that_few_patients_have_does_not_enter(tables: Path, schema: FeatureSchema) -> None:
    timeline = learn(tables, everybody(tables), schema)
    encounters = pd.read_parquet(tables / "encounters.parquet")
    people = encounters.groupby("type_code")["patient_id"].nunique()
    rare = set(people[people < FEWEST].index)
    assert rare
    learned = {kind.code for visits in timeline.visits.values() for kind in visits.kinds}
    assert not learned & rare
    medications = pd.read_parquet(tables / "medications.parquet")
    takers = medications.groupby("code")["patient_id"].nunique()
    assert {order.code for order in timeline.orders} == set(takers[takers >= FEWEST].index)


def test_no_patient_and_no_day_is_in_it(tables: Path, schema: FeatureSchema) -> None:
    text = learn(tables, everybody(tables), schema).model_dump_json()
    patients = pd.read_parquet(tables / "patients.parquet")
    assert not any(str(one) in text for one in [*patients["patient_id"], *patients["birth_date"]])


def test_without_patients_or_tables_it_says_so(tables: Path, schema: FeatureSchema, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of the patients"):
        learn(tables, ["nobody"], schema)
    with pytest.raises(UsageError, match="there is no such table"):
        learn(tmp_path, ["nobody"], schema)
