"""Rows become lives that say exactly what the rows say, in valid FHIR, and read back as the same rows."""

from __future__ import annotations

import math
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirsynth.assemble import Timeline, assemble, stage
from fhirsynth.assemble.conform import check, check_round_trip
from fhirsynth.assemble.identity import patient_uuid
from fhirsynth.assemble.inputs import look_over, read_back
from fhirsynth.assemble.stage import check_writable
from fhirsynth.assemble.stays import possible
from fhirsynth.errors import AssembleError, UsageError
from fhirsynth.schema import Feature, FeatureSchema, Source
from synthea_bridge.errors import InputError
from synthea_bridge.skips import SkipLog
from synthea_bridge.tags import ORIGIN_TAG, RUN_TAG
from tests.frames import example_features, example_schema
from tests.lives import example_timeline

SCHEMA = example_schema()
DECEASED = Feature(name="deceased", title="Deceased", kind="flag", source=Source(rule="demographic"))
MORTAL = FeatureSchema(features=(*SCHEMA.features, DECEASED), index_date=SCHEMA.index_date)
RUN = "run-1"
ROWS = 40


def made(rows: pd.DataFrame, out: Path, *, seed: int = 1, workers: int = 1, skips: SkipLog | None = None) -> Path:
    assemble(rows, SCHEMA, example_timeline(), run_id=RUN, out=out, seed=seed, workers=workers, skips=skips)
    return out


def bundles(folder: Path) -> list[dict[str, Any]]:
    return [orjson.loads(path.read_bytes()) for path in sorted((folder / "transactions").iterdir())]


def resources(bundle: dict[str, Any], kind: str | None = None) -> list[dict[str, Any]]:
    found = [entry["resource"] for entry in bundle["entry"]]
    return [one for one in found if kind in (None, one["resourceType"])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(example_features(ROWS), tmp_path_factory.mktemp("assembled"))


def test_what_is_emitted_reads_back_as_the_rows(folder: Path) -> None:
    features = read_back(folder, example_features(ROWS), SCHEMA, RUN)
    assert len(features) == ROWS


def test_a_changed_value_is_found(folder: Path) -> None:
    rows = example_features(ROWS)
    features = read_back(folder, rows, SCHEMA, RUN)
    names = {one: patient_uuid(RUN, one) for one in rows["patient_id"]}
    changed = rows.assign(heart_rate=rows["heart_rate"] + (rows.index == 7))
    with pytest.raises(AssembleError, match=r"heart_rate: was .* \(1 values differ\)"):
        check_round_trip(features, changed, SCHEMA, names)
    with pytest.raises(AssembleError, match="rows became"):
        check_round_trip(features.head(ROWS - 1), rows, SCHEMA, names)


@pytest.mark.slow
def test_the_number_of_workers_does_not_change_the_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "PARALLEL_FROM", 0)
    again = made(example_features(ROWS), tmp_path, workers=2)
    mine, theirs = (
        {path.relative_to(place): path.read_bytes() for place in [one] for path in sorted(place.rglob("*.json"))}
        for one in (folder, again)
    )
    assert mine == theirs
    other = made(example_features(ROWS), tmp_path / "other", seed=2)
    assert bundles(other) != bundles(folder)


def test_every_resource_is_tagged_unique_and_referred_to_rightly(folder: Path) -> None:
    seen: set[str] = set()
    shared = orjson.loads((folder / "shared.json").read_bytes())
    known = {f"{one['resourceType']}?identifier=urn:fhirsynth:record|{one['id']}" for one in resources(shared)}
    for bundle in [shared, *bundles(folder)]:
        urls = {entry["fullUrl"] for entry in bundle["entry"]}
        assert len(urls) == len(bundle["entry"])
        for entry in bundle["entry"]:
            resource = entry["resource"]
            assert entry["fullUrl"] == f"urn:uuid:{resource['id']}"
            assert entry["request"]["ifNoneExist"].endswith(resource["id"])
            assert resource["id"] not in seen
            seen.add(resource["id"])
            tags = {tag["system"]: tag["code"] for tag in resource["meta"]["tag"]}
            assert tags == {RUN_TAG: RUN, ORIGIN_TAG: "augmented"}
            assert resource["meta"]["security"][0]["code"] == "HTEST"
            assert set(references(resource)) <= urls | known


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [one for inner in value.values() for one in references(inner)]
    return [one for inner in value for one in references(inner)] if isinstance(value, list) else []


def times(bundle: dict[str, Any]) -> dict[str, tuple[datetime, datetime]]:
    """When each encounter is, by its URL."""
    found = {}
    for one in resources(bundle, "Encounter"):
        start, end = (datetime.fromisoformat(one["period"][side]) for side in ("start", "end"))
        found[f"urn:uuid:{one['id']}"] = (start, end)
    return found


def onsets(bundle: dict[str, Any]) -> dict[str, datetime]:
    found = resources(bundle, "Condition")
    return {f"urn:uuid:{one['id']}": datetime.fromisoformat(one["onsetDateTime"]) for one in found}


@pytest.fixture(scope="module", params=[(20, 3.0), (6, None)], ids=["years", "lives"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[date, list[dict[str, Any]]]:
    """From when on visits are told, and the Bundles."""
    out, (rows, years) = tmp_path_factory.mktemp("told"), request.param
    assemble(example_features(rows), SCHEMA, example_timeline(), run_id=RUN, out=out, years=years)
    return date(2023, 1, 1) if years else date(1900, 1, 1), bundles(out)


def test_visits_are_within_what_is_told_and_all_else_within_visits(told: tuple[date, list[dict[str, Any]]]) -> None:
    since, documents = told
    for bundle in documents:
        born = date.fromisoformat(resources(bundle, "Patient")[0]["birthDate"])
        periods = times(bundle)
        assert len(periods) >= 1
        for start, end in periods.values():
            assert max(born, since) <= start.date() <= end.date() <= SCHEMA.index_date
            assert start <= end
        for one in resources(bundle, "Observation"):
            start, end = periods[one["encounter"]["reference"]]
            assert start <= datetime.fromisoformat(one["effectiveDateTime"]) <= end
        for one in resources(bundle, "MedicationRequest"):
            written = datetime.fromisoformat(one["authoredOn"])
            start, end = periods[one["encounter"]["reference"]] if "encounter" in one else (written, written)
            assert start <= written <= end
            assert written.date() >= born
            assert "encounter" in one or (one["status"] == "active" and written.date() <= since)
        for one in resources(bundle, "Procedure"):
            start, end = periods[one["encounter"]["reference"]]
            done = [datetime.fromisoformat(one["performedPeriod"][side]) for side in ("start", "end")]
            assert start <= done[0] <= done[1] <= end


def test_conditions_begin_where_they_are_found_and_before_what_is_done_about_them(
    told: tuple[date, list[dict[str, Any]]],
) -> None:
    since, documents = told
    for bundle in documents:
        born = date.fromisoformat(resources(bundle, "Patient")[0]["birthDate"])
        periods, began = times(bundle), onsets(bundle)
        for one in resources(bundle, "Condition"):
            onset = datetime.fromisoformat(one["onsetDateTime"])
            start, end = periods[one["encounter"]["reference"]] if "encounter" in one else (onset, onset)
            assert start <= onset <= end
            assert onset.date() >= born
            assert "encounter" in one or onset.date() <= since
            assert onset <= datetime.fromisoformat(one.get("abatementDateTime", one["onsetDateTime"]))
        for one in [*resources(bundle, "MedicationRequest"), *resources(bundle, "Procedure")]:
            at = one["authoredOn"] if "authoredOn" in one else one["performedPeriod"]["start"]
            assert all(began[why["reference"]] <= datetime.fromisoformat(at) for why in one.get("reasonReference", []))


def test_what_the_clinical_rules_say_is_told(folder: Path) -> None:
    said = look_over(folder, example_features(ROWS), SCHEMA, RUN)
    assert said["rules"] > 100
    assert said["errors"] == 0


def test_most_patients_have_several_encounters(folder: Path) -> None:
    counts = [len(resources(bundle, "Encounter")) for bundle in bundles(folder)]
    assert np.median(counts) >= 3


def test_blood_pressure_is_a_panel_with_systolic_above_diastolic(folder: Path) -> None:
    found = 0
    for bundle in bundles(folder):
        for one in resources(bundle, "Observation"):
            if one["code"]["coding"][0]["code"] == "85354-9":
                parts = {part["code"]["coding"][0]["code"]: part["valueQuantity"] for part in one["component"]}
                assert parts["8480-6"]["value"] > parts["8462-4"]["value"]
                assert {part["code"] for part in parts.values()} == {"mm[Hg]"}
                found += 1
    assert found > ROWS


def test_a_panel_is_whole_where_no_visit_measures_it(tmp_path: Path) -> None:
    known = example_timeline()
    bare = known.model_copy(update={"kinds": tuple(one.model_copy(update={"contents": {}}) for one in known.kinds)})
    assemble(example_features(5), SCHEMA, bare, run_id=RUN, out=tmp_path)
    for bundle in bundles(tmp_path):
        measured = {one["code"]["coding"][0]["code"]: one for one in resources(bundle, "Observation")}
        assert len(measured["85354-9"]["component"]) == 2


HEALTHY = {
    "age": 40,
    "sex": "female",
    "race": "white",
    "systolic_bp": 120.0,
    "heart_rate": 70.0,
    "spo2": 98.0,
    "hba1c": None,
    "creatinine": None,
    "hemoglobin": None,
    "wbc": None,
    "prior_admissions_12m": 0,
    "ed_visits_12m": 0,
    "num_medications": 0,
    "has_diabetes": False,
    "has_chf": False,
    "has_copd": False,
    "length_of_stay": None,
    "readmitted_30d": False,
    "has_cystic_fibrosis": True,
}


def row(**changes: Any) -> pd.DataFrame:
    return SCHEMA.conform(pd.DataFrame([{"patient_id": "syn-1", **HEALTHY, **changes}]))


def numbers(feature: Feature) -> st.SearchStrategy[float]:
    low, high = feature.minimum or 0.0, feature.maximum if feature.maximum is not None else 100.0
    return st.floats(low, high).map(lambda value: round(value, feature.decimals))


@st.composite
def possible_rows(draw: st.DrawFn) -> dict[str, Any]:
    """Any row that the bounds and the twelve months allow."""
    values: dict[str, Any] = {}
    for feature in MORTAL.features:
        if feature.kind == "category":
            values[feature.name] = draw(st.sampled_from(feature.categories))
        elif feature.kind == "flag":
            values[feature.name] = draw(st.booleans())
        elif feature.kind == "number":
            values[feature.name] = draw(st.none() | numbers(feature) if feature.nullable else numbers(feature))
    values["age"] = draw(st.integers(0, 120))
    values["ed_visits_12m"] = draw(st.integers(0, 40))
    values["num_medications"] = draw(st.integers(0, 30))
    stays = draw(st.integers(0, 6))
    values["prior_admissions_12m"] = stays
    if stays == 0:
        values |= {"length_of_stay": None, "readmitted_30d": False}
    else:
        values["length_of_stay"] = round(draw(st.floats(0, 200)), 2)
        values["readmitted_30d"] = stays > 1 and values["readmitted_30d"]
        if not possible(stays, values["length_of_stay"], values["readmitted_30d"], values["age"]):
            values["length_of_stay"] = 1.0
    return values


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=possible_rows(), seed=st.integers(0, 5))
def test_any_possible_row_round_trips(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any], seed: int
) -> None:
    rows = MORTAL.conform(pd.DataFrame([{"patient_id": "syn-1", **values}]))
    assert example_timeline().livable(rows).all()
    out = tmp_path_factory.mktemp("row")
    assemble(rows, MORTAL, example_timeline(), run_id=RUN, out=out, seed=seed)
    read_back(out, rows, MORTAL, RUN)
    (patient,) = resources(bundles(out)[0], "Patient")
    assert ("deceasedDateTime" in patient) == values["deceased"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"prior_admissions_12m": 1}, "contradict"),
        ({"length_of_stay": 2.0}, "contradict"),
        ({"prior_admissions_12m": 1, "length_of_stay": 2.0, "readmitted_30d": True}, "contradict"),
        ({"prior_admissions_12m": 13, "length_of_stay": 2.0}, "do not fit"),
        ({"num_medications": 31}, "only 30"),
        ({"age": 0, "ed_visits_12m": 366, "prior_admissions_12m": 1, "length_of_stay": 366.0}, "do not fit"),
    ],
)
def test_an_impossible_row_is_skipped_and_counted(changes: dict[str, Any], problem: str, tmp_path: Path) -> None:
    skips = SkipLog()
    rows = pd.concat([row(**changes), row(patient_id="good").assign(patient_id="syn-2")], ignore_index=True)
    assert example_timeline().livable(rows).tolist() == [False, True]
    made(rows, tmp_path, skips=skips)
    (skip,) = skips.items
    assert skip.entry == "syn-1"
    assert problem in skip.problem
    assert len(bundles(tmp_path)) == 1
    read_back(tmp_path, rows, SCHEMA, RUN, {"syn-1"})
    with pytest.raises(InputError, match="syn-1"):
        made(rows, tmp_path / "strict")


@pytest.mark.parametrize("race", SCHEMA["race"].categories)
def test_every_race_is_written_as_us_core_wants_it(race: str, tmp_path: Path) -> None:
    made(row(race=race), tmp_path)
    (patient,) = resources(bundles(tmp_path)[0], "Patient")
    inner = patient["extension"][0]["extension"]
    categories = [one["valueCoding"]["code"] for one in inner if one["url"] == "ombCategory"]
    assert len(categories) == (2 if race == "multiple" else 1)
    assert [one["url"] for one in inner].count("text") == 1


def test_a_missing_value_is_never_measured(tmp_path: Path) -> None:
    made(row(heart_rate=None, systolic_bp=None, spo2=None), tmp_path)
    found = {one["code"]["coding"][0]["code"] for one in resources(bundles(tmp_path)[0], "Observation")}
    assert found
    assert not found & {"8867-4", "59408-5", "2708-6"}
    assert "85354-9" not in found or "8480-6" not in str(bundles(tmp_path))


def test_a_feature_without_a_place_in_fhir_is_refused() -> None:
    extra = Feature(name="marital_status", title="?", kind="category", source=Source(rule="demographic"))
    schema = FeatureSchema(features=(*SCHEMA.features, extra), index_date=SCHEMA.index_date)
    with pytest.raises(UsageError, match="marital_status"):
        check_writable(schema)


def test_a_resource_that_is_not_r4_is_a_defect() -> None:
    with pytest.raises(AssembleError, match="syn-1, Patient/x: is not valid R4"):
        check({"resourceType": "Patient", "id": "x", "birthDate": "yesterday"}, "syn-1")


def test_a_timeline_is_saved_and_read_and_a_wrong_one_refused(tmp_path: Path) -> None:
    example_timeline().save(tmp_path / "timeline.json")
    assert Timeline.load(tmp_path / "timeline.json") == example_timeline()
    (tmp_path / "timeline.json").write_text("{}")
    with pytest.raises(UsageError, match="is not a timeline"):
        Timeline.load(tmp_path / "timeline.json")
    with pytest.raises(UsageError, match="cannot be read"):
        Timeline.load(tmp_path / "none.json")


def test_what_is_possible_within_a_year() -> None:
    assert possible(0, None, False, 40)
    assert not possible(1, None, False, 40)
    assert possible(1, 365.9, False, 40)
    assert not possible(1, 365.9, False, 0)
    assert possible(12, 1.0, False, 40)
    assert not possible(12, 60.0, False, 40)
    assert possible(12, 60.0, True, 40)
    assert not math.isnan(1.0)
