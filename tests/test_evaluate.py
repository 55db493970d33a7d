"""``fhirsynth evaluate`` as somebody calls it: files in, four files out, one line where something is wrong."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from fhirsynth.cli import main
from fhirsynth.guess import guess_schema
from tests.frames import example_features, example_schema

NAMES = ("train", "holdout", "synthetic")
COLUMNS = ["patient_id", "age", "sex", "spo2", "has_diabetes", "has_cystic_fibrosis"]
WRITTEN = {"report.json", "report.html", "datasheet.md", "model-card.json", "croissant.json"}
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Call = Callable[..., Result]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command as the console script does."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["fhirsynth", "evaluate", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return Result(int(left.value.code or 0), *capsys.readouterr())

    return run


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
    schema, notices = guess_schema([frame, frame])
    assert "half: number" in notices[0]
    assert {feature.name: feature.kind for feature in schema.features} == {
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


def refused(result: Result, code: int, *words: str) -> None:
    """One line that names what is wrong, and nothing that looks like our code."""
    assert result.code == code, result.err
    assert "Traceback" not in result.err
    assert result.out == ""
    lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.err
    assert result.err.splitlines()[-1] == lines[0]
    for word in words:
        assert word in lines[0]


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
