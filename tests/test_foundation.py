"""Files, skips, seeds, schema and work folder: what every stage stands on."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from fhirsynth.errors import UsageError, WorkspaceError
from fhirsynth.schema import ConditionFeature, FeatureSchema, build_schema, declared
from fhirsynth.seeds import derive, rng
from fhirsynth.workspace import Workspace
from synthea_bridge.errors import InputError
from synthea_bridge.files import atomic_file, atomic_folder
from synthea_bridge.skips import Skip, SkipLog
from synthea_bridge.tables import TABLES

CF = ConditionFeature(slug="cystic-fibrosis", name="Cystic fibrosis", snomed="190905008", display="Cystic fibrosis")


class Broken(Exception):
    pass


def test_atomic_file_keeps_the_old_content_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(Broken), atomic_file(target) as scratch:
        scratch.write_text("half")
        raise Broken
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_atomic_folder_replaces_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "stage"
    with atomic_folder(target) as scratch:
        (scratch / "one").write_text("1")
    with pytest.raises(KeyboardInterrupt), atomic_folder(target) as scratch:
        (scratch / "two").write_text("2")
        raise KeyboardInterrupt
    assert [p.name for p in target.iterdir()] == ["one"]
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]


def test_atomic_folder_recovers_what_a_power_cut_left(tmp_path: Path) -> None:
    (tmp_path / ".stage.old").mkdir()
    (tmp_path / ".stage.old" / "one").write_text("1")
    with pytest.raises(Broken), atomic_folder(tmp_path / "stage"):
        raise Broken
    assert (tmp_path / "stage" / "one").read_text() == "1"


def test_skips_are_counted_and_listed(tmp_path: Path) -> None:
    log = SkipLog()
    log.add(Skip("a.json", "", "is a picture", "remove it"))
    log.add(Skip("b.json", "entry[2]", "is a picture", "remove it"))
    log.write(tmp_path / "skipped.ndjson")
    assert log.counts() == {"is a picture": 2}
    assert len((tmp_path / "skipped.ndjson").read_text().splitlines()) == 2
    assert str(log.items[1]) == "b.json, entry[2]: is a picture; remove it"


def test_strict_stops_at_the_first() -> None:
    with pytest.raises(InputError, match=r"a\.json: is a picture; remove it"):
        SkipLog(strict=True).add(Skip("a.json", "", "is a picture", "remove it"))


def test_seeds_depend_on_seed_and_path_only() -> None:
    assert derive(1, "a", 2) == derive(1, "a", 2)
    assert len({derive(1, "a"), derive(2, "a"), derive(1, "b"), derive(1, "a", "")}) == 4
    assert rng(1, "a").random() == rng(1, "a").random()


def test_tables_name_each_column_once_and_have_their_key() -> None:
    for table in TABLES:
        assert len(set(table.names)) == len(table.names)
        assert set(table.key) <= set(table.names)
        assert all(column.element or column.name in ("source", "weight") for column in table.columns)


def test_schema_has_the_declared_minimum_and_round_trips(tmp_path: Path) -> None:
    schema = build_schema(date(2026, 1, 1), CF)
    assert schema.columns[-1] == "has_cystic_fibrosis"
    assert {"age", "hba1c", "length_of_stay", "readmitted_30d"} <= set(schema.columns)
    schema.save(tmp_path / "schema.json")
    assert FeatureSchema.load(tmp_path / "schema.json") == schema


def test_schema_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        FeatureSchema.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"features": 3}')
    with pytest.raises(UsageError, match="is not a feature schema"):
        FeatureSchema.load(tmp_path / "bad.json")
    (tmp_path / "more.toml").write_text('[bmi]\ntitle = "BMI"\nkind = "colour"\nsource = { rule = "latest" }\n')
    with pytest.raises(UsageError, match=r"more\.toml, \[bmi\]"):
        declared(tmp_path / "more.toml")


def test_conform_orders_types_and_rounds() -> None:
    schema = build_schema(date(2026, 1, 1))
    row = dict.fromkeys(schema.columns, 1)
    row |= {"sex": "female", "race": "white", "creatinine": 1.23456}
    frame = schema.conform(pd.DataFrame([{"patient_id": "a", **dict(reversed(row.items()))}]))
    assert list(frame.columns) == ["patient_id", *schema.columns]
    assert frame["creatinine"].tolist() == [1.23]
    assert frame["has_chf"].dtype == "boolean"


def test_workspace_resumes_the_same_and_refuses_another_run(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work")
    run_id = workspace.claim({"seed": 1})
    assert workspace.claim({"seed": 1}) == run_id
    with pytest.raises(WorkspaceError, match="seed: was 1, now 2"):
        workspace.claim({"seed": 2})


def test_workspace_refuses_a_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("x")
    with pytest.raises(WorkspaceError, match="is not empty"):
        Workspace(tmp_path).claim({})


def test_stage_is_current_only_when_made_from_the_same(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with workspace.stage("tables", {"a": 1}) as writer:
        (writer.folder / "x").write_text("x")
        writer.outcome["rows"] = 3
    assert workspace.is_current("tables", {"a": 1})
    assert not workspace.is_current("tables", {"a": 2})
    assert (workspace.manifest("tables") or {})["rows"] == 3
