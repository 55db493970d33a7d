"""``fhirsynth evaluate`` as somebody calls it: files in, four files out, one line where something is wrong."""

from __future__ import annotations

import base64
import json
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest

from fhirsynth.guess import guess_schema
from fhirsynth.registry import registry
from fhirsynth.trilemma.inputs import made_by
from synthea_bridge.files import sha256_of
from tests.evaluating import NAMES, Call, caller, options, patients, refused, saved
from tests.frames import example_features, example_schema
from tests.test_timeline import population, write

COLUMNS = ["patient_id", "age", "sex", "spo2", "has_diabetes", "has_cystic_fibrosis"]
WRITTEN = {"report.json", "report.html", "datasheet.md", "model-card.json", "croissant.json"}
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command as the console script does."""
    return caller(monkeypatch, capsys)


def frames(rows: int = 120) -> dict[str, pd.DataFrame]:
    return {name: example_features(rows, seed=seed)[COLUMNS] for seed, name in enumerate(NAMES, 1)}


def on_disk(folder: Path, kind: str, rows: int = 120) -> list[str]:
    """Three tables as files, and the options that name them."""
    arguments = []
    for name, frame in frames(rows).items():
        place = folder / f"{name}.{kind}"
        if kind == "parquet":
            frame.to_parquet(place)
        else:
            frame.to_csv(place, index=False)
        arguments += [f"--{name}", str(place)]
    return [*arguments, "--out", str(folder / "report")]


def test_parquet_with_the_schema_beside_it(tmp_path: Path, call: Call) -> None:
    schema = example_schema()
    kept = tuple(feature for feature in schema.features if feature.name in COLUMNS)
    schema.model_copy(update={"features": kept}).save(tmp_path / "schema.json")
    result = call(*on_disk(tmp_path, "parquet"), "--seed", 3)
    assert result.code == 0, result.err
    assert "no schema given" not in result.err
    assert "report.html" in result.out
    assert {place.name for place in (tmp_path / "report").iterdir()} == WRITTEN
    body = json.loads((tmp_path / "report" / "report.json").read_text())
    assert body["target"] == "has_cystic_fibrosis"
    assert body["seed"] == 3
    assert isinstance(body["valid"], bool)
    for dimension in ("utility", "privacy", "fidelity"):
        assert f"{dimension}, overall: " in result.out
        assert f"{dimension}, rare: " in result.out


@pytest.mark.slow
def test_csv_with_a_guessed_schema(tmp_path: Path, call: Call) -> None:
    result = call(*on_disk(tmp_path, "csv"), "--target", "has_cystic_fibrosis", "--json")
    assert result.code == 0, result.err
    assert "age: count, sex: category, spo2: number, has_diabetes: flag, has_cystic_fibrosis: flag" in result.err
    body = json.loads(result.out)
    assert body["target"] == "has_cystic_fibrosis"
    assert {one["cohort"] for one in body["findings"]} == {"overall", "rare"}
    assert {place.name for place in (tmp_path / "report").iterdir()} == WRITTEN


@pytest.mark.slow
def test_without_a_target_utility_is_not_measured_and_says_so(tmp_path: Path, call: Call) -> None:
    result = call(*on_disk(tmp_path, "csv", rows=60))
    assert result.code == 0, result.err
    assert "utility, overall: UNDERPOWERED. No target column was given" in result.out
    assert "--target" in result.out


# ---------------------------------------------------------------- guessing


def test_kinds_are_guessed_from_what_columns_hold() -> None:
    frame = pd.DataFrame(
        {
            "patient_id": ["a", "b", "c"],
            "whole": [1, 2, 3],
            "half": [0.5, 1.5, None],
            "negative": [-1, 2, 3],
            "zero_one": [0, 1, 1],
            "yes_no": ["Yes", "no", None],
            "word": ["x", "y", "x"],
            "one_word": ["x", "x", "x"],
            "nothing": [None, None, None],
        }
    )
    guess = guess_schema([frame, frame])
    assert "half: number" in guess.notices[0]
    assert {feature.name: feature.kind for feature in guess.schema.features} == {
        "whole": "count",
        "half": "number",
        "negative": "number",
        "zero_one": "flag",
        "yes_no": "flag",
        "word": "category",
        "one_word": "category",
        "nothing": "category",
    }


# ---------------------------------------------------------------- bad input


def test_missing_column(tmp_path: Path, call: Call) -> None:
    arguments = on_disk(tmp_path, "csv")
    frames()["holdout"].drop(columns="spo2").to_csv(tmp_path / "holdout.csv", index=False)
    refused(call(*arguments), 2, "holdout.csv", "spo2")


def test_no_such_file(tmp_path: Path, call: Call) -> None:
    arguments = on_disk(tmp_path, "csv")
    (tmp_path / "train.csv").unlink()
    refused(call(*arguments), 2, "train.csv", "No such file")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("content", [b"", PICTURE, b"\x00\xff\xfe"], ids=["empty", "picture", "bytes"])
def test_file_of_another_kind(tmp_path: Path, call: Call, kind: str, content: bytes) -> None:
    arguments = on_disk(tmp_path, kind)
    (tmp_path / f"synthetic.{kind}").write_bytes(content)
    refused(call(*arguments), 2, f"synthetic.{kind}")


def test_header_without_rows(tmp_path: Path, call: Call) -> None:
    arguments = on_disk(tmp_path, "csv")
    frames()["synthetic"].head(0).to_csv(tmp_path / "synthetic.csv", index=False)
    refused(call(*arguments, "--target", "has_cystic_fibrosis"), 1, "synthetic", "0 rows")


def test_three_rows(tmp_path: Path, call: Call) -> None:
    arguments = on_disk(tmp_path, "parquet")
    frames()["train"].head(3).to_parquet(tmp_path / "train.parquet")
    refused(call(*arguments, "--target", "has_cystic_fibrosis"), 1, "train", "3 rows")


def test_target_that_is_no_flag(tmp_path: Path, call: Call) -> None:
    refused(call(*on_disk(tmp_path, "csv"), "--target", "age"), 2, "target 'age' is a count")


def test_unknown_target(tmp_path: Path, call: Call) -> None:
    refused(call(*on_disk(tmp_path, "csv"), "--target", "has_gout"), 2, "has_gout")


def test_schema_that_is_none(tmp_path: Path, call: Call) -> None:
    arguments = on_disk(tmp_path, "csv")
    (tmp_path / "other.json").write_text("{}")
    refused(call(*arguments, "--schema", tmp_path / "other.json"), 2, "other.json", "not a feature schema")


def test_words_where_the_schema_wants_numbers(tmp_path: Path, call: Call) -> None:
    arguments = on_disk(tmp_path, "csv")
    schema = example_schema()
    kept = tuple(feature for feature in schema.features if feature.name in COLUMNS)
    schema.model_copy(update={"features": kept}).save(tmp_path / "schema.json")
    frames()["synthetic"].assign(spo2="high").to_csv(tmp_path / "synthetic.csv", index=False)
    refused(call(*arguments), 1, "synthetic", "spo2", "not a number")


def test_the_same_patient_in_train_and_holdout(tmp_path: Path, call: Call) -> None:
    arguments = on_disk(tmp_path, "csv")
    frames()["train"].to_csv(tmp_path / "holdout.csv", index=False)
    result = call(*arguments, "--target", "has_cystic_fibrosis")
    refused(result, 1, "120 patients", "train", "holdout")


# ---------------------------------------------------------------- options


def written(folder: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((folder / "report" / "report.json").read_text())
    return body


def test_what_was_guessed_and_left_out_is_in_the_report(tmp_path: Path, call: Call) -> None:
    rows = {name: frame.assign(id=range(len(frame))) for name, frame in patients(30).items()}
    result = call(*options(saved(tmp_path, rows)), "--target", "relapse")
    assert result.code == 0, result.err
    assert written(tmp_path)["warnings"][:2] == result.err.splitlines()[:2]
    assert written(tmp_path)["warnings"][1].startswith("left out, as identifiers: id;")
    assert "no schema given" not in result.out
    assert "left out, as identifiers: id" in (tmp_path / "report" / "report.html").read_text()


def test_json_is_what_report_json_holds(tmp_path: Path, call: Call) -> None:
    result = call(*options(saved(tmp_path, patients(20))), "--json")
    assert result.code == 0, result.err
    body = json.loads(result.out)
    assert body == written(tmp_path)
    schema = json.loads(resources.files("fhirsynth.trilemma.documents").joinpath("report.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(body)


@pytest.mark.slow
def test_an_oracle_is_the_fresh_draw_of_the_self_test(tmp_path: Path, call: Call) -> None:
    *places, oracle = saved(tmp_path, {**patients(30), "oracle": patients(45)["train"].tail(40)})
    result = call(*options(places), "--target", "relapse", "--oracle", oracle)
    assert result.code == 0, result.err
    (fresh,) = [one for one in written(tmp_path)["controls"] if one["must"] == "fail nothing"]
    assert "40" in fresh["note"]


def test_an_engine_is_for_the_uplift(tmp_path: Path, call: Call) -> None:
    given = options(saved(tmp_path, patients(20)))
    refused(call(*given, "--engine", "spark"), 2, "--engine spark fits the models of the uplift; give --uplift")
    refused(call(*given, "--master", "yarn"), 2, "--master and --conf are Spark's")


@pytest.mark.slow
def test_uplift_compares_the_generators_that_are_named(tmp_path: Path, call: Call) -> None:
    *places, other = saved(tmp_path, {**patients(120), "other": patients(130)["synthetic"]})
    manifest = {"stage": "synthetic", "model": {"model": "ctgan", "parameters": {}}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    result = call(*options(places), "--target", "relapse", "--uplift", "--also", f"tvae={other}", "--workers", 2)
    assert result.code == 0, result.err
    titles = " ".join(one["title"] for one in written(tmp_path)["uplift"]["arms"])
    assert "ctgan" in titles
    assert "tvae" in titles
    assert "uplift: " in result.out
    refused(
        call(*options(places), "--target", "relapse", "--uplift", "--also", f"ctgan={other}"), 2, "'ctgan' is taken"
    )


@pytest.mark.slow
def test_tables_bring_the_histories(tmp_path: Path, call: Call) -> None:
    rows = {}
    for number, (name, frame) in enumerate(patients(30).items()):
        rows[name] = frame.assign(patient_id=[f"p{30 * (number % 2) + row}" for row in range(30)])
    real = write(tmp_path / "real", population(60, 1))
    made = write(tmp_path / "made", population(30, 2))
    arguments = options(saved(tmp_path, rows))
    refused(call(*arguments, "--tables", real, "--synthetic-tables", made), 2, "index date")
    schema = guess_schema([rows[name] for name in NAMES]).schema
    schema.model_copy(update={"index_date": date(2026, 1, 1)}).save(tmp_path / "schema.json")
    result = call(*arguments, "--tables", real, "--synthetic-tables", made)
    assert result.code == 0, result.err
    body = written(tmp_path)
    assert body["timeline"]
    assert any(one["group"] == "time" for one in body["rules"])
    (made / "encounters.parquet").write_bytes(b"no table")
    refused(call(*arguments, "--tables", real, "--synthetic-tables", made), 2, "encounters.parquet")


def test_the_generator_is_named_by_the_manifest_beside_its_rows(tmp_path: Path) -> None:
    place = tmp_path / "manifest.json"
    assert made_by(tmp_path / "synthetic.csv").name == "synthetic"
    for text in ("{", "[]", '{"stage": "tables"}', '{"stage": "synthetic", "model": {"model": 3}}', "null"):
        place.write_text(text)
        assert made_by(tmp_path / "synthetic.csv").name == "synthetic"
    place.write_text('{"stage": "synthetic", "model": {"model": "tvae"}}')
    assert made_by(tmp_path / "synthetic.csv").name == "tvae"


def test_the_registry_lists_the_folder_of_a_report(tmp_path: Path, call: Call) -> None:
    assert call(*options(saved(tmp_path, patients(20)))).code == 0
    found = registry(tmp_path)
    assert found.problems == ()
    (entry,) = found.entries
    assert (entry.kind, entry.path, entry.synthetic) == ("report", "report", 20)
    assert entry.utility == written(tmp_path)["verdicts"]["utility"]
    assert entry.synthetic_sha256 == sha256_of(tmp_path / "synthetic.csv")
