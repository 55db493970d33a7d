"""Tables become the Bundles that they were read from: flattening what is assembled gives the tables again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings

from fhirsynth.assemble import rewrite as module
from fhirsynth.assemble import slices
from fhirsynth.assemble.bundle import to_json, transaction
from fhirsynth.assemble.chart import Chart
from fhirsynth.assemble.conform import problem
from fhirsynth.assemble.read import charts
from fhirsynth.assemble.rewrite import NOT_KEPT, RewriteResult, rewrite
from fhirsynth.assemble.write import Origin, resources
from fhirsynth.cli import cli
from fhirsynth.errors import UsageError
from synthea_bridge.errors import InputError
from synthea_bridge.flatten import flatten
from synthea_bridge.skips import SkipLog
from synthea_bridge.tables import TABLES
from synthea_bridge.tags import ORIGIN_TAG, RUN_TAG
from tests.charting import charts as any_chart

FIXTURES = Path(__file__).parent.parent / "fixtures" / "bundles"
PATIENT = {"resourceType": "Patient", "id": "p1"}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of real Synthea patients, as ``run`` has them: with weights."""
    folder = tmp_path_factory.mktemp("source") / "tables"
    flatten(FIXTURES, folder)
    people = pq.read_table(folder / "patients.parquet")
    place = people.column_names.index("weight")
    weights = pa.array([1.5] * len(people), pa.float64())
    pq.write_table(people.set_column(place, people.schema.field(place), weights), folder / "patients.parquet")
    return folder


@pytest.fixture(scope="module")
def bundles(tables: Path) -> Path:
    folder = tables.parent / "bundles"
    rewrite(tables, out=folder)
    return folder


def made(source: Path, out: Path, **options: Any) -> tuple[Path, RewriteResult]:
    """The tables of what is assembled from ``source``."""
    result = rewrite(source, out=out / "bundles", **options)
    flatten(out / "bundles", out / "again", strict=True)
    return out / "again", result


def differing(before: Path, after: Path) -> set[str]:
    """Every column that is not the same, row by row; a table with other rows counts as a whole."""
    found = set()
    for table in TABLES:
        left, right = (pq.read_table(folder / f"{table.name}.parquet") for folder in (before, after))
        if len(left) != len(right):
            found.add(table.name)
        found |= {f"{table.name}.{name}" for name in table.names if not left[name].equals(right[name])}
    return found


def flattened(tmp_path: Path, *listed: dict[str, Any]) -> Path:
    (tmp_path / "in").mkdir()
    entries = [{"fullUrl": f"urn:x:{one['id']}", "resource": one} for one in listed]
    (tmp_path / "in" / "a.json").write_bytes(orjson.dumps({"resourceType": "Bundle", "entry": entries}))
    flatten(tmp_path / "in", tmp_path / "tables")
    return tmp_path / "tables"


def entries(folder: Path, kind: str | None = None) -> list[dict[str, Any]]:
    paths = sorted((folder / "transactions").iterdir())
    found = [entry for path in paths for entry in orjson.loads(path.read_bytes())["entry"]]
    return [entry for entry in found if kind in (None, entry["resource"]["resourceType"])]


def test_flattening_what_is_assembled_gives_the_tables_again(tables: Path, bundles: Path, tmp_path: Path) -> None:
    """Every column of every table, but for those that are listed; and those that are listed do differ."""
    flatten(bundles, tmp_path / "again", strict=True)
    assert differing(tables, tmp_path / "again") == set(NOT_KEPT)


def test_a_changed_cell_would_be_found(tables: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    changed.mkdir()
    for table in TABLES:
        rows = pq.read_table(tables / f"{table.name}.parquet")
        if table.name == "observations":
            place = rows.column_names.index("value_text")
            texts = pa.array([*rows["value_text"].to_pylist()[:-1], "changed"], pa.string())
            rows = rows.set_column(place, rows.schema.field(place), texts)
        pq.write_table(rows, changed / f"{table.name}.parquet")
    assert differing(tables, changed) == {"observations.value_text"}


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chart=any_chart())
def test_any_chart_reads_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, chart: Chart) -> None:
    folder = tmp_path_factory.mktemp("chart")
    written = list(resources(chart, Origin(root="r")))
    assert not [text for one in written if (text := problem(one)) is not None]
    (folder / "a.json").write_bytes(to_json(transaction("r", "x", written)))
    flatten(folder / "a.json", folder / "tables", strict=True)
    assert list(charts(folder / "tables")) == [chart]


def test_references_lead_to_what_the_bundles_hold(bundles: Path) -> None:
    shared = orjson.loads((bundles / "shared.json").read_bytes())["entry"]
    known = {f"{one['request']['url']}?{one['request']['ifNoneExist']}" for one in shared}
    for path in sorted((bundles / "transactions").iterdir()):
        bundle = orjson.loads(path.read_bytes())
        urls = {entry["fullUrl"] for entry in bundle["entry"]}
        assert len(urls) == len(bundle["entry"])
        assert set(references(bundle)) <= urls | known


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [one for inner in value.values() for one in references(inner)]
    return [one for inner in value for one in references(inner)] if isinstance(value, list) else []


def test_rows_in_any_order_become_the_same_charts(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patients are in the order of their table, and the rows of each in the order that they had."""
    monkeypatch.setattr(slices, "PART", 500)
    monkeypatch.setattr(slices, "BATCH", 100)
    for table in TABLES:
        rows = pq.read_table(tables / f"{table.name}.parquet")
        if table.name != "patients":
            key = pc.binary_replace_slice(rows["patient_id"], 0, 4, "")
            rows = rows.append_column("key", key).append_column("place", pa.array(range(len(rows))))
            rows = rows.sort_by([("key", "descending"), ("place", "ascending")]).select(table.names)
        pq.write_table(rows, tmp_path / f"{table.name}.parquet")
    assert differing(tables, tmp_path)
    assert list(charts(tmp_path)) == list(charts(tables))


def test_a_patient_who_is_not_there_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    seen = [{"resourceType": "Encounter", "id": f"e{n}", "subject": {"reference": f"Patient/p{n}"}} for n in (1, 2)]
    source = flattened(tmp_path, PATIENT, *seen)
    with pytest.raises(InputError, match=r"encounters.parquet, Patient/p2 \(1 rows\): is not in patients.parquet"):
        list(charts(source))
    skips = SkipLog()
    (chart,) = charts(source, skips)
    assert [one.id for one in chart.encounters] == ["e1"]
    assert len(skips.items) == 1


def test_what_is_no_valid_fhir_is_skipped_and_named(tmp_path: Path) -> None:
    """A condition without a date that is one goes, and the reference to it; the procedure stays."""
    subject = {"reference": "urn:x:p1"}
    source = flattened(
        tmp_path,
        PATIENT,
        {"resourceType": "Condition", "id": "c1", "subject": subject, "onsetDateTime": "yesterday"},
        {
            "resourceType": "Procedure",
            "id": "r1",
            "status": "completed",
            "subject": subject,
            "reasonReference": [{"reference": "urn:x:c1"}],
        },
        {"resourceType": "Patient", "id": "p_2"},
    )
    skips = SkipLog()
    result = rewrite(source, out=tmp_path / "out", skips=skips)
    assert [skip.entry for skip in skips.items] == ["Condition/c1 of Patient/p1", "Patient/p_2"]
    assert "is not valid R4 (onsetDateTime" in skips.items[0].problem
    assert result.outcome["left_out"] == {"Procedure.reason": 1}
    assert result.resources == {"Patient": 1, "Procedure": 1}
    with pytest.raises(InputError, match="Condition/c1"):
        rewrite(source, out=tmp_path / "strict")


def test_ids_of_two_sources_do_not_meet_on_a_server(tmp_path: Path) -> None:
    """Resources whose id is 1 in two hospitals are created twice, and twice the same are created once."""
    conditions = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        source = flattened(tmp_path / name, {**PATIENT, "id": "1"}, {**PATIENT, "id": f"2{name}"})
        for number in range(2):
            rewrite(source, out=tmp_path / name / f"out{number}")
        one, again = (entries(tmp_path / name / f"out{number}")[0]["request"]["ifNoneExist"] for number in range(2))
        assert one == again
        conditions.append(one)
        rewrite(source, out=tmp_path / name / "named", run_id="ours")
        conditions.append(entries(tmp_path / name / "named")[0]["request"]["ifNoneExist"])
    assert conditions[0] != conditions[2]
    assert conditions[1] == conditions[3]


def test_tags_are_kept_and_a_run_id_takes_their_place(tmp_path: Path) -> None:
    tags = [{"system": RUN_TAG, "code": "run-7"}, {"system": ORIGIN_TAG, "code": "simulated"}]
    source = flattened(tmp_path, {**PATIENT, "meta": {"tag": tags}}, {**PATIENT, "id": "p2"})
    rewrite(source, out=tmp_path / "out")
    kept, bare = entries(tmp_path / "out", "Patient")
    assert kept["resource"]["meta"]["tag"] == tags
    assert kept["resource"]["meta"]["security"][0]["code"] == "HTEST"
    assert "meta" not in bare["resource"]
    rewrite(source, out=tmp_path / "named", run_id="run-8")
    assert [one["resource"]["meta"]["tag"][0]["code"] for one in entries(tmp_path / "named")] == ["run-8"] * 2


@pytest.mark.slow
def test_the_number_of_workers_does_not_change_the_bytes(
    tables: Path, bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PARALLEL_FROM", 0)
    rewrite(tables, out=tmp_path, workers=2)
    mine, theirs = (
        {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.json"))}
        for folder in (bundles, tmp_path)
    )
    assert len(mine) == 13
    assert mine == theirs


def test_a_folder_that_flatten_has_not_made_is_refused(tables: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"patients.parquet: there is no such table"):
        list(charts(tmp_path))
    for table in TABLES:
        pq.write_table(pq.read_table(tables / f"{table.name}.parquet"), tmp_path / f"{table.name}.parquet")
    people = pq.read_table(tmp_path / "patients.parquet")
    pq.write_table(pa.concat_tables([people, people.slice(3, 1)]), tmp_path / "patients.parquet")
    with pytest.raises(UsageError, match=r"patients.parquet: has the patient '.*' twice"):
        list(charts(tmp_path))
    pq.write_table(people.drop_columns(["gender", "city"]), tmp_path / "patients.parquet")
    with pytest.raises(UsageError, match="lacks the columns gender, city"):
        list(charts(tmp_path))


def test_the_command_tells_tables_from_rows(tables: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(cli, ["assemble", str(tables), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert "12 patients" in done.output
    manifest = orjson.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert manifest["resources"]["Procedure"] == 1045
    assert manifest["left_out"] == {}
    for arguments, words in (
        ([str(tables), "--timeline", "t.json"], "leave out --timeline"),
        ([str(tmp_path)], "neither synthetic.parquet nor patients.parquet"),
    ):
        refused = runner.invoke(cli, ["assemble", *arguments, "--out", str(tmp_path / "no")])
        assert isinstance(refused.exception, UsageError)
        assert words in str(refused.exception)
    assert not (tmp_path / "no").exists()


def test_the_command_says_what_it_left_out(tmp_path: Path) -> None:
    seen = {"resourceType": "Condition", "id": "c1", "subject": {"reference": "urn:x:p1"}}
    source = flattened(tmp_path, PATIENT, {**seen, "encounter": {"reference": "Encounter/9"}}, {**seen, "id": "c_2"})
    done = CliRunner().invoke(cli, ["assemble", str(source), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "left out: 1 × Condition.encounter, which refers to nothing in the tables" in done.output
    assert "Condition/c_2 of Patient/p1: is not valid R4" in done.output
    assert len((tmp_path / "out" / "skipped.ndjson").read_bytes().splitlines()) == 1
