"""Features by their definitions, and the split by patient."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest
from click.testing import CliRunner

from fhirsynth.cli.flatten import command
from fhirsynth.cohort import split
from fhirsynth.errors import CohortError, UsageError
from fhirsynth.features import build_features, write_features
from fhirsynth.schema import FeatureSchema, build_schema, declared
from synthea_bridge.flatten import flatten
from synthea_bridge.skips import SkipLog
from tests.remake_golden import CF

INDEX = date(2025, 1, 1)
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
Resource = dict[str, Any]


def patient(**more: Any) -> Resource:
    return {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1980-01-02", **more}


def made(kind: str, number: int, **more: Any) -> Resource:
    return {"resourceType": kind, "id": f"{kind}-{number}", "subject": {"reference": "Patient/p"}, **more}


def stay(number: int, start: str, end: str | None, code: str = "IMP", **more: Any) -> Resource:
    period = {"start": start, "end": end} if end else {"start": start}
    return made("Encounter", number, status="finished", **{"class": {"code": code}}, period=period, **more)


def seen(number: int, code: str, value: float, unit: str, when: str, **more: Any) -> Resource:
    quantity = {"value": value, "code": unit}
    concept = {"coding": [{"code": code}]}
    return made("Observation", number, code=concept, effectiveDateTime=when, valueQuantity=quantity, **more)


def sick(number: int, code: str, onset: str | None, **more: Any) -> Resource:
    dates = {"onsetDateTime": onset} if onset else {}
    return made("Condition", number, code={"coding": [{"code": code}]}, **dates, **more)


def features(
    tmp_path: Path, *resources: Resource, schema: FeatureSchema | None = None
) -> tuple[pd.DataFrame, list[str]]:
    lines = [
        orjson.dumps(r) for r in (resources if resources[0]["resourceType"] == "Patient" else (patient(), *resources))
    ]
    (tmp_path / "in.ndjson").write_bytes(b"\n".join(lines))
    flatten(tmp_path / "in.ndjson", tmp_path / "tables", strict=True)
    skips = SkipLog()
    frame = build_features(tmp_path / "tables", schema or build_schema(INDEX, CF), skips)
    return frame, [str(item) for item in skips.items]


def one(tmp_path: Path, *resources: Resource) -> Any:
    frame, skips = features(tmp_path, *resources)
    assert not skips
    assert len(frame) == 1
    return frame.iloc[0]


def test_types_and_order_are_the_schema_s(tmp_path: Path) -> None:
    schema = build_schema(INDEX, CF)
    frame, _ = features(tmp_path, patient(id="b"), patient(id="a"), schema=schema)
    assert list(frame["patient_id"]) == ["a", "b"]
    assert list(frame.columns) == ["patient_id", *schema.columns]
    assert {name: str(frame[name].dtype) for name in schema.columns} == schema.dtypes


@pytest.mark.parametrize(("born", "age"), [("1980-01-01", 45), ("1980-01-02", 44), ("2024", 1), ("2024-06", 0)])
def test_age_in_completed_years(tmp_path: Path, born: str, age: int) -> None:
    assert one(tmp_path, patient(birthDate=born))["age"] == age


def test_who_died_is_described_at_the_day_of_death(tmp_path: Path) -> None:
    row = one(
        tmp_path, patient(deceasedDateTime="2000-06-01T10:00:00Z"), seen(1, "4548-4", 7, "%", "2001-01-01T00:00:00Z")
    )
    assert row["age"] == 20
    assert pd.isna(row["hba1c"])


def test_race(tmp_path: Path) -> None:
    def race(*codes: str) -> Resource:
        inner = [{"url": "ombCategory", "valueCoding": {"code": code}} for code in codes]
        return {"extension": [{"url": f"{US_CORE}race", "extension": inner}]}

    frame, _ = features(
        tmp_path,
        patient(id="1", **race("2054-5")),
        patient(id="2", **race("2054-5", "2106-3")),
        patient(id="3", **race("UNK")),
        patient(id="4", gender=None),
    )
    assert list(frame["race"]) == ["black", "multiple", "unknown", "unknown"]
    assert list(frame["sex"]) == ["female", "female", "female", "unknown"]


def test_latest_value_up_to_the_end_of_the_index_day(tmp_path: Path) -> None:
    row = one(
        tmp_path,
        seen(1, "4548-4", 6.14, "%", "2025-01-01T23:59:59Z"),
        seen(2, "4548-4", 9, "%", "2025-01-02T00:00:00Z"),
        seen(3, "4548-4", 5, "%", "2024-12-31"),
        seen(4, "2160-0", 88.4, "umol/L", "2020-01-01"),
        seen(5, "4548-4", 8, "%", "2025-01-01T23:59:59.5Z", status="entered-in-error"),
    )
    assert row["hba1c"] == 6.1
    assert row["creatinine"] == 1.0


def test_values_of_components_are_found(tmp_path: Path) -> None:
    part = {"code": {"coding": [{"code": "8480-6"}]}, "valueQuantity": {"value": 121, "code": "mm[Hg]"}}
    panel = made(
        "Observation", 1, code={"coding": [{"code": "85354-9"}]}, effectiveDateTime="2024-01-01", component=[part]
    )
    assert one(tmp_path, panel)["systolic_bp"] == 121


def test_values_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    frame, skips = features(
        tmp_path, seen(1, "4548-4", 6, "mmol/mol", "2024-01-01"), seen(2, "2708-6", 104, "%", "2024-01-01")
    )
    assert frame[["hba1c", "spo2"]].isna().all(axis=None)
    assert len(skips) == 2
    assert "feature hba1c, 1 values: value without a unit that is taken" in skips[0]
    assert "feature spo2, 1 values: value outside the declared bounds" in skips[1]


def test_a_patient_who_cannot_be_described_is_told(tmp_path: Path) -> None:
    frame, skips = features(
        tmp_path, patient(id="ok"), patient(id="none", birthDate=None), patient(id="late", birthDate="2026")
    )
    assert list(frame["patient_id"]) == ["ok"]
    assert sum("cannot be described: age" in skip for skip in skips) == 2


@pytest.mark.parametrize(
    ("onset", "more", "present"),
    [
        ("2025-01-01T23:59:00Z", {}, True),
        ("2025-01-02", {}, False),
        (None, {"recordedDate": "2020"}, True),
        (None, {}, False),
        ("2020", {"abatementDateTime": "2025-01-01T12:00:00Z"}, False),
        ("2020", {"abatementDateTime": "2025-01-02"}, True),
        ("2020", {"verificationStatus": {"coding": [{"code": "refuted"}]}}, False),
        ("2020", {"verificationStatus": {"coding": [{"code": "entered-in-error"}]}}, False),
    ],
)
def test_present(tmp_path: Path, onset: str | None, more: Resource, present: bool) -> None:
    row = one(tmp_path, sick(1, CF.snomed, onset, **more))
    assert row[CF.column] == present
    assert not row["has_diabetes"]


def test_visits_of_twelve_months(tmp_path: Path) -> None:
    row = one(
        tmp_path,
        stay(1, "2024-01-02T00:00:00Z", "2024-01-09T00:00:00Z"),
        stay(2, "2024-03-01T00:00:00Z", "2024-03-03T12:00:00Z"),
        stay(3, "2024-04-02T12:00:00Z", "2024-04-03T00:00:00Z", "ACUTE"),
        stay(4, "2024-05-01T00:00:00Z", "2024-05-01T02:00:00Z", "EMER"),
        stay(5, "2024-05-01T00:00:00Z", "2024-05-01T02:00:00Z", "AMB"),
        stay(6, "2025-01-02T00:00:00Z", "2025-01-03T00:00:00Z"),
    )
    assert row["prior_admissions_12m"] == 2
    assert row["ed_visits_12m"] == 1
    assert row["length_of_stay"] == 0.5
    assert row["readmitted_30d"]


def test_no_stay_no_length_and_an_open_one_lasts_to_the_index_day(tmp_path: Path) -> None:
    frame, _ = features(
        tmp_path,
        patient(),
        patient(id="q"),
        stay(1, "2024-12-01T00:00:00Z", None),
    )
    assert frame["length_of_stay"].isna().tolist() == [False, True]
    assert frame["length_of_stay"][0] == 32
    assert frame["prior_admissions_12m"].tolist() == [1, 0]
    assert frame["readmitted_30d"].tolist() == [False, False]


def test_a_stay_after_more_than_thirty_days_is_no_readmission(tmp_path: Path) -> None:
    row = one(
        tmp_path,
        stay(1, "2024-03-01T00:00:00Z", "2024-03-02T00:00:00Z"),
        stay(2, "2024-04-01T00:00:01Z", "2024-04-02T00:00:00Z"),
    )
    assert not row["readmitted_30d"]


def test_distinct_active_medications(tmp_path: Path) -> None:
    def order(number: int, code: str, status: str, when: str) -> Resource:
        drug = {"coding": [{"code": code}]}
        return made("MedicationRequest", number, status=status, authoredOn=when, medicationCodeableConcept=drug)

    row = one(
        tmp_path,
        order(1, "a", "active", "2020"),
        order(2, "a", "active", "2021"),
        order(3, "b", "active", "2025-01-01"),
        order(4, "c", "stopped", "2020"),
        order(5, "d", "active", "2025-01-02"),
    )
    assert row["num_medications"] == 2


def test_features_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text(
        '[bmi]\ntitle = "BMI"\nkind = "number"\ndecimals = 1\nnullable = true\n'
        'source = { rule = "latest", codes = ["39156-5"], units = { "kg/m2" = 1.0 }, window_days = 30 }\n'
        '[state]\ntitle = "State"\nkind = "category"\ncategories = ["MA"]\nnullable = true\n'
        'source = { rule = "demographic" }\n'
    )
    extra = declared(tmp_path / "more.toml")[len(declared()) :]
    schema = build_schema(INDEX, None, extra)
    frame, _ = features(
        tmp_path,
        patient(address=[{"state": "MA"}]),
        patient(id="q"),
        seen(1, "39156-5", 22.04, "kg/m2", "2024-12-15"),
        {**seen(2, "39156-5", 30, "kg/m2", "2024-11-15"), "subject": {"reference": "Patient/q"}},
        schema=schema,
    )
    assert frame["bmi"].tolist()[0] == 22.0
    assert pd.isna(frame["bmi"][1])
    assert frame["state"][0] == "MA"


def test_no_tables(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such table; make it with"):
        build_features(tmp_path, build_schema(INDEX))


def test_write_features(tmp_path: Path) -> None:
    frame, _ = features(tmp_path, patient())
    schema = build_schema(INDEX, CF)
    write_features(tmp_path / "tables", schema)
    again = schema.conform(pd.read_parquet(tmp_path / "tables" / "features.parquet"))
    pd.testing.assert_frame_equal(again, frame)
    assert FeatureSchema.load(tmp_path / "tables" / "schema.json") == schema


def cohort(cases: int, others: int) -> pd.DataFrame:
    flags = pd.array([True] * cases + [False] * others, "boolean")
    return pd.DataFrame({"patient_id": [f"p{n:04d}" for n in range(cases + others)], "has_x": flags})


def test_split_is_by_patient_stratified_and_indifferent_to_order() -> None:
    frame = cohort(50, 150)
    parts = split(frame, "has_x", 0.4, seed=3)
    assert (len(parts.train), len(parts.holdout)) == (120, 80)
    assert (parts.train["has_x"].sum(), parts.holdout["has_x"].sum()) == (30, 20)
    assert set(parts.train["patient_id"]) | set(parts.holdout["patient_id"]) == set(frame["patient_id"])
    turned = split(frame.iloc[::-1], "has_x", 0.4, seed=3)
    pd.testing.assert_frame_equal(parts.holdout, turned.holdout)
    assert set(split(frame, "has_x", 0.4, seed=4).holdout["patient_id"]) != set(parts.holdout["patient_id"])


@pytest.mark.parametrize(
    ("cases", "others", "words"),
    [(0, 50, "there are no patients with x"), (3, 50, "there are 3 patients with x"), (50, 0, "all 50 patients have")],
)
def test_split_refuses_what_cannot_be_learned_from(cases: int, others: int, words: str) -> None:
    with pytest.raises(CohortError, match=words):
        split(cohort(cases, others), "has_x", 0.4, seed=1)


def test_command(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    visit = stay(1, "2024-12-01T00:00:00Z", "2024-12-03T00:00:00Z")
    (tmp_path / "in" / "a.ndjson").write_bytes(orjson.dumps(patient()) + b"\n" + orjson.dumps(visit))
    call = [str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--condition", CF.snomed, "--json"]
    done = CliRunner().invoke(command, call)
    assert done.exit_code == 0, done.output
    summary = orjson.loads(done.stdout)
    assert (summary["index_date"], summary["features"], summary["rows"]["encounters"]) == ("2024-12-03", 1, 1)
    assert (tmp_path / "out" / "features.parquet").exists()
    (tmp_path / "in" / "b.json").write_text("{")
    done = CliRunner().invoke(command, [*call, "--index-date", "2025-01-01"])
    assert done.exit_code == 1
    assert "b.json: is JSON that is cut short" in done.stderr
    assert orjson.loads(done.stdout)["index_date"] == "2025-01-01"
    assert (tmp_path / "out" / "skipped.ndjson").exists()


def test_command_asks_for_a_day_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(orjson.dumps(patient()))
    done = CliRunner().invoke(command, [str(tmp_path / "a.json"), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, UsageError)
    assert "--index-date" in str(done.exception)
    assert not (tmp_path / "out").exists()
