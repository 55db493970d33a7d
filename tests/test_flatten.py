"""Resources to rows: golden tables, every form of reference, dates, duplicates, memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthea_bridge import bundles, flattener, parquet
from synthea_bridge.batches import Seen
from synthea_bridge.dates import days, instant_of, instants
from synthea_bridge.flatten import FlattenResult, flatten, tables_in
from synthea_bridge.skips import SkipLog
from synthea_bridge.tables import TABLES
from tests.remake_golden import FIXTURES, NAMES, make, read

PATIENT = {"resourceType": "Patient", "id": "p1"}
CODE = {"coding": [{"system": "http://loinc.org", "code": "4548-4", "display": "HbA1c"}]}


def entry(resource: dict[str, Any], url: str | None = None) -> dict[str, Any]:
    return {"fullUrl": url or f"urn:uuid:{resource['id']}", "resource": resource}


def tables(tmp_path: Path, *entries: dict[str, Any]) -> tuple[dict[str, list[dict[str, Any]]], FlattenResult]:
    (tmp_path / "in").mkdir(exist_ok=True)
    (tmp_path / "in" / "a.json").write_bytes(orjson.dumps({"resourceType": "Bundle", "entry": list(entries)}))
    result = flatten(tmp_path / "in", tmp_path / "out")
    return {t.name: pq.read_table(tmp_path / "out" / f"{t.name}.parquet").to_pylist() for t in TABLES}, result


def test_golden(tmp_path: Path) -> None:
    made = make(tmp_path / "out")
    for name in NAMES:
        assert made[name] == read(name), name


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        make(tmp_path / name)
        files = sorted((tmp_path / name).glob("*.parquet"))
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert digests[0] == digests[1]


def test_the_schema_is_the_declared_one(tmp_path: Path) -> None:
    tables(tmp_path, entry(PATIENT))
    for table in TABLES:
        assert pq.read_schema(tmp_path / "out" / f"{table.name}.parquet").equals(table.schema, check_metadata=False)


@pytest.mark.parametrize(
    ("reference", "url", "own_id"),
    [
        ("urn:uuid:p1", "urn:uuid:p1", "p1"),
        ("urn:uuid:other", "urn:uuid:other", "p1"),
        ("urn:uuid:p1", "urn:uuid:p1", None),
        ("Patient/p1", "urn:uuid:zzz", "p1"),
        ("Patient/p1", "http://server/fhir/Patient/p1", None),
        ("Patient/p1/_history/3", "http://server/fhir/Patient/p1", "p1"),
        ("http://server/fhir/Patient/p1", "http://server/fhir/Patient/p1", "p1"),
        ("https://elsewhere/fhir/Patient/p1", "urn:uuid:p1", "p1"),
        ("Patient?identifier=urn:sys|42", "urn:uuid:p1", "p1"),
    ],
)
def test_every_form_of_reference(tmp_path: Path, reference: str, url: str, own_id: str | None) -> None:
    patient: dict[str, Any] = {"resourceType": "Patient", "identifier": [{"system": "urn:sys", "value": "42"}]}
    if own_id:
        patient["id"] = own_id
    seen = {"resourceType": "Observation", "id": "o1", "code": CODE, "subject": {"reference": reference}}
    found, result = tables(tmp_path, entry(seen), {"fullUrl": url, "resource": patient})
    assert found["patients"][0]["patient_id"] == "p1"
    assert found["observations"][0]["patient_id"] == "p1"
    assert result.unresolved == 0


def test_logical_reference(tmp_path: Path) -> None:
    patient = {**PATIENT, "identifier": [{"system": "s", "value": "1"}]}
    about = {"identifier": {"system": "s", "value": "1"}}
    found, _ = tables(
        tmp_path, entry(patient), entry({"resourceType": "Procedure", "id": "x", "code": CODE, "subject": about})
    )
    assert found["procedures"][0]["patient_id"] == "p1"


def test_medication_by_every_road(tmp_path: Path) -> None:
    drug = {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "1", "display": "Aspirin"}]}
    base = {"resourceType": "MedicationRequest", "subject": {"reference": "Patient/p1"}, "status": "active"}
    found, result = tables(
        tmp_path,
        entry(PATIENT),
        entry({**base, "id": "m1", "medicationCodeableConcept": drug}),
        entry({**base, "id": "m2", "medicationReference": {"reference": "urn:uuid:med"}}),
        entry(
            {
                **base,
                "id": "m3",
                "medicationReference": {"reference": "#c"},
                "contained": [{"resourceType": "Medication", "id": "c", "code": drug}],
            }
        ),
        entry({**base, "id": "m4", "medicationReference": {"reference": "Medication/gone", "display": "Lost"}}),
        entry({"resourceType": "Medication", "id": "med", "code": drug}),
    )
    assert [row["code"] for row in found["medications"]] == ["1", "1", "1", None]
    assert found["medications"][3]["display"] == "Lost"
    assert result.unsupported == {"Medication": 1}
    assert result.unresolved == 1


def test_components_are_rows_beside_their_panel(tmp_path: Path) -> None:
    part = {"code": {"coding": [{"code": "8480-6"}]}, "valueQuantity": {"value": 120, "code": "mm[Hg]"}}
    panel = {
        "resourceType": "Observation",
        "id": "o1",
        "code": {"coding": [{"system": "x", "code": "local"}, {"system": "http://loinc.org", "code": "85354-9"}]},
        "subject": {"reference": "Patient/p1"},
        "effectivePeriod": {"start": "2020-05"},
        "component": [part, {"code": CODE, "dataAbsentReason": {"coding": [{"code": "unknown"}]}}],
    }
    found, result = tables(tmp_path, entry(PATIENT), entry(panel))
    rows = found["observations"]
    assert [(r["component"], r["code"], r["panel_code"]) for r in rows] == [
        (0, "85354-9", None),
        (1, "8480-6", "85354-9"),
        (2, "4548-4", "85354-9"),
    ]
    assert [r["value_number"] for r in rows] == [None, 120.0, None]
    assert rows[2]["absent_reason"] == "unknown"
    assert (rows[0]["effective"], rows[0]["effective_text"]) == (datetime(2020, 5, 1, tzinfo=UTC), "2020-05")
    assert result.dropped_codings == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"valueString": "x"}, ("string", None, "x")),
        ({"valueInteger": 3}, ("integer", 3.0, "3")),
        ({"valueBoolean": False}, ("boolean", None, "false")),
        ({"valueDateTime": "2020"}, ("dateTime", None, "2020")),
        ({"valueCodeableConcept": {"text": "free"}}, ("code", None, "free")),
        ({"valueRatio": {"numerator": {"value": 1}}}, ("ratio", None, '{"numerator":{"value":1}}')),
        ({}, (None, None, None)),
    ],
)
def test_every_type_of_value(tmp_path: Path, value: dict[str, Any], expected: tuple[Any, ...]) -> None:
    seen = {"resourceType": "Observation", "id": "o", "code": CODE, "subject": {"reference": "Patient/p1"}, **value}
    row = tables(tmp_path, entry(PATIENT), entry(seen))[0]["observations"][0]
    assert (row["value_type"], row["value_number"], row["value_text"]) == expected


def test_what_cannot_become_a_row_is_told_and_the_rest_is_kept(tmp_path: Path) -> None:
    subject = {"reference": "Patient/p1"}
    made = {"resourceType": "Procedure", "code": CODE, "subject": subject}
    found, result = tables(
        tmp_path,
        entry(PATIENT),
        entry({**made, "id": "ok"}),
        entry({**made, "id": "ok"}),
        entry({**made, "id": "no-patient", "subject": None}),
        entry({**made, "id": "far", "subject": {"reference": "Patient?identifier=a|b"}}),
        entry({**made, "id": "shape", "code": "text"}),
        entry({**made, "id": "type", "status": 5}),
        {"resource": made},
    )
    assert [row["procedure_id"] for row in found["procedures"]] == ["ok"]
    listed = [orjson.loads(line) for line in (tmp_path / "out" / "skipped.ndjson").read_text().splitlines()]
    assert {(item["entry"], item["problem"].partition(";")[0]) for item in listed} == {
        ("entry[2] Procedure/ok", "is there twice"),
        ("entry[3] Procedure/no-patient", "has no reference to a patient"),
        ("entry[4] Procedure/far", "refers to a patient that is not here"),
        ("entry[5] Procedure/shape", "is not shaped as FHIR R4"),
        ("entry[6] Procedure/type", "holds a value of a type that FHIR R4 does not allow there"),
        ("entry[7] Procedure", "has no id"),
    }
    assert sum(result.skipped.values()) == 6


def test_rows_are_written_before_they_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flattener, "ROWS_AT_A_TIME", 10)
    monkeypatch.setattr(parquet, "GROUP", 10)
    line = orjson.dumps
    rows = [{"resourceType": "Patient", "id": f"p{n % 35}"} for n in range(40)]
    (tmp_path / "a.ndjson").write_bytes(b"\n".join(map(line, rows)))
    result = flatten(tmp_path / "a.ndjson", tmp_path / "out")
    file = pq.ParquetFile(tmp_path / "out" / "patients.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [10, 10, 10, 5]
    assert result.skipped == {"is there twice; the first one is kept": 5}


@given(st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=12))
def test_seen_is_a_set(batches: list[list[int]]) -> None:
    seen, known = Seen(), set[int]()
    for batch in filter(None, batches):
        expected = []
        for key in batch:
            expected.append(key not in known)
            known.add(key)
        assert seen.first(batch) == expected


OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(*(datetime.fromisoformat(text) for text in ("1900-01-02", "2100-01-01")), timezones=OFFSETS)


@given(st.lists(MOMENTS, min_size=1))
def test_a_date_time_with_offset_is_its_instant(moments: list[datetime]) -> None:
    texts = [moment.isoformat() for moment in moments]
    expected = [moment.astimezone(UTC) for moment in moments]
    assert [instant_of(text) for text in texts] == expected
    assert instants(pa.array(texts)).to_pylist() == expected
    assert instants(pa.array([*texts, "1999", None])).to_pylist() == [*expected, datetime(1999, 1, 1, tzinfo=UTC), None]


@given(st.dates())
def test_partial_dates_are_the_start_of_their_period(day: Any) -> None:
    text = day.isoformat()
    assert instant_of(text) == datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert instant_of(text[:7]) == datetime(day.year, day.month, 1, tzinfo=UTC)
    assert instant_of(text[:4]) == datetime(day.year, 1, 1, tzinfo=UTC)
    assert days(pa.array([text, text[:4]])).to_pylist() == [day, day.replace(month=1, day=1)]


@pytest.mark.parametrize("text", ["", "soon", "2020-13", "2020-02-30", "2020-01-01T25:00:00Z", "20200101", "2020-1-1"])
def test_what_is_no_date_is_null(text: str) -> None:
    assert instant_of(text) is None
    assert instants(pa.array([text])).to_pylist() == [None]


def test_a_leap_second_and_nine_digits() -> None:
    assert instant_of("2016-12-31T23:59:60Z") == datetime(2017, 1, 1, tzinfo=UTC)
    assert instant_of("2020-01-01T00:00:00.123456789Z") == datetime(2020, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)


def test_large_bundles_make_the_same_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = flatten(FIXTURES / "bundles", tmp_path / "whole")
    monkeypatch.setattr(bundles, "LARGE", 1000)
    monkeypatch.setattr(bundles, "PART", 50)
    parts = flatten(FIXTURES / "bundles", tmp_path / "parts")
    assert parts == whole
    for path in (tmp_path / "whole").glob("*.parquet"):
        assert pq.read_table(path) == pq.read_table(tmp_path / "parts" / path.name)


def test_tables_can_be_filled_bundle_by_bundle(tmp_path: Path) -> None:
    whole = flatten(FIXTURES / "bundles", tmp_path / "whole")
    (tmp_path / "each").mkdir()
    with tables_in(tmp_path / "each", SkipLog(strict=True)) as filled:
        for path in sorted((FIXTURES / "bundles").iterdir()):
            filled.take(path.name, io.BytesIO(gzip.decompress(path.read_bytes())))
    assert filled.result("here").rows == whole.rows
    for path in (tmp_path / "whole").glob("*.parquet"):
        assert pq.read_table(path) == pq.read_table(tmp_path / "each" / path.name)


@pytest.mark.parametrize(("asked", "taken"), [(None, "system"), ("mimalloc", "mimalloc"), ("jemalloc", "jemalloc")])
def test_arrow_takes_memory_that_the_system_gets_back_unless_told_otherwise(asked: str | None, taken: str) -> None:
    if taken not in pa.supported_memory_backends():
        pytest.skip(f"Arrow comes without {taken} here")
    surroundings = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    if asked is not None:
        surroundings["ARROW_DEFAULT_MEMORY_POOL"] = asked
    text = "import synthea_bridge.flatten, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    said = subprocess.run([sys.executable, "-c", text], env=surroundings, check=True, capture_output=True, text=True)
    assert said.stdout.strip() == taken
