"""What ``fhirsynth evaluate`` takes from anybody: odd files are read and that is said, or refused in one line."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fhirsynth.errors import EvaluateError, FhirsynthError, UsageError
from fhirsynth.guess import guess_schema
from fhirsynth.schema import Feature, FeatureSchema, Source
from fhirsynth.tables import MEASURED
from fhirsynth.trilemma.inputs import Inputs, read_inputs
from tests.evaluating import NAMES, Call, Frames, caller, changed, options, patients, refused, saved

Change = Callable[[pd.DataFrame], pd.DataFrame]
BEGIN = pd.Timestamp("2020-01-01")


def read(folder: Path, tables: Frames | dict[str, bytes], kind: str = "csv", target: str | None = "relapse") -> Inputs:
    train, holdout, synthetic = saved(folder, dict(tables), kind)
    return read_inputs(train, holdout, synthetic, target=target)


def kinds(inputs: Inputs) -> dict[str, str]:
    return {feature.name: feature.kind for feature in inputs.schema.features}


def written(**how: Any) -> dict[str, bytes]:
    """The patients as bytes of CSV files, written in some way."""
    encoding = how.pop("encoding", "utf-8")
    return {name: str(frame.to_csv(index=False, **how)).encode(encoding) for name, frame in patients().items()}


def columns(**made: Callable[[pd.DataFrame], Any]) -> Change:
    return lambda frame: frame.assign(**{name: make(frame) for name, make in made.items()})


def days(frame: pd.DataFrame) -> pd.Series:
    return BEGIN + pd.to_timedelta(frame["age"] * 31 + frame.index, unit="D")


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (written(sep=";"), "train, holdout, synthetic: separated by semicolons"),
        (written(sep=";", decimal=","), "separated by semicolons"),
        (written(sep="|"), "separated by bars"),
        (written(sep="\t"), ""),
        (written(encoding="utf-8-sig"), ""),
        (written(encoding="utf-16"), ""),
        ({name: text.replace(b",", b", ") for name, text in written().items()}, ""),
        ({name: text.replace(b"\n", b"\r\n") for name, text in written().items()}, ""),
    ],
    ids=["semicolons", "German", "bars", "tabs", "mark", "UTF-16", "spaces", "Windows"],
)
def test_csv_of_any_dialect_is_read_alike(tmp_path: Path, tables: dict[str, bytes], said: str) -> None:
    inputs = read(tmp_path, tables)
    assert kinds(inputs) == {"age": "count", "bmi": "number", "sex": "category", "relapse": "flag"}
    assert inputs.frames[0]["bmi"].tolist() == patients()["train"]["bmi"].tolist()
    assert said in inputs.notices[0]
    assert said or inputs.notices[0].startswith("no schema given")


def test_other_encodings_are_read_and_named(tmp_path: Path) -> None:
    tables = changed(columns(sex=lambda frame: frame["sex"].map({"m": "männlich", "f": "weiblich"})))
    inputs = read(tmp_path, {name: frame.to_csv(index=False).encode("cp1252") for name, frame in tables.items()})
    assert set(inputs.frames[0]["sex"]) == {"männlich", "weiblich"}
    assert inputs.notices[0] == "train, holdout, synthetic: not in UTF-8, and read as Windows-1252 (Latin-1)"


def test_compressed_csv(tmp_path: Path) -> None:
    tables = {name: gzip.compress(text) for name, text in written().items()}
    assert len(read(tmp_path, tables, "csv.gz").frames[2]) == 60
    with pytest.raises(UsageError, match=r"train\.csv\.gz: cannot be read \(it ends too early"):
        read(tmp_path, tables | {"train": tables["train"][:200]}, "csv.gz")


def test_names_of_columns_are_on_one_line(tmp_path: Path) -> None:
    odd = {"age": ' age "in\nyears" ', "sex": "<b>sex</b>", "bmi": " "}
    inputs = read(tmp_path, changed(lambda frame: frame.rename(columns=odd)))
    assert inputs.schema.columns == ['age "in years"', "Unnamed: 1", "<b>sex</b>", "relapse"]


def test_columns_of_parquet_that_are_no_plain_ones(tmp_path: Path) -> None:
    inputs = read(tmp_path, changed(lambda frame: frame.set_index("age")), "parquet")
    assert kinds(inputs)["age"] == "count"
    table = pa.Table.from_pandas(patients()["train"])
    pq.write_table(table.append_column("age", table["age"]), tmp_path / "train.parquet")
    paths = [tmp_path / f"{name}.parquet" for name in NAMES]
    with pytest.raises(UsageError, match=r"train\.parquet: has 2 columns called 'age'"):
        read_inputs(paths[0], paths[1], paths[2])


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (b"age,bmi,sex,age\n1,2,f,3\n", UsageError, r"holdout\.csv: has 2 columns called 'age'"),
        (b"age,bmi,sex,relapse\n1,2,f,1,\n", UsageError, "more fields than its first line has names"),
        (b"age,bmi,sex,relapse\n1,2,f,1\n1,2,3,4,5,6\n", UsageError, "Expected 4 fields in line 3"),
        (b"age,bmi,sex,relapse\n", EvaluateError, r"holdout\.csv: has 0 rows"),
        (b"", UsageError, r"holdout\.csv: is neither Parquet nor CSV"),
        (b"age,bmi\x00\n1,2\n", UsageError, "zero bytes"),
        (b"Age,bmi,sex,relapse\n1,2,f,1\n", UsageError, r"lacks the columns age \(there is 'Age'\)"),
        (b"41,23.5,f,0\n35,28.1,m,1\n", UsageError, "lacks the columns age, bmi, sex, relapse"),
    ],
    ids=["twice", "trailing", "ragged", "header", "empty", "binary", "case", "names"],
)
def test_files_that_are_wrong(tmp_path: Path, text: bytes, error: type[FhirsynthError], words: str) -> None:
    with pytest.raises(error, match=words):
        read(tmp_path, written() | {"holdout": text})


def test_without_names_of_columns(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does the first line of every file hold the names"):
        read(tmp_path, written(header=False), target=None)


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        (lambda f: f["bmi"].map("{:.1f}".format).str.replace(".", ","), "number", "x: number (decimal commas)"),
        (lambda f: f["bmi"].mask(f.index == 3).astype(object).fillna("n.d."), "number", "(“n.d.” taken as missing)"),
        (lambda f: days(f).dt.strftime("%Y-%m-%d"), "number", "x: date"),
        (lambda f: days(f).dt.strftime("%Y-%m-%dT%H:%M:%S+02:00"), "number", "x: date"),
        (lambda f: days(f).dt.strftime("%d.%m.%Y"), "number", "x: date"),
        (lambda f: days(f).dt.strftime("%m/%d/%Y"), "number", "x: date"),
        (lambda f: np.where(f["age"] < 50, "TRUE", "no"), "flag", "x: flag"),
        (lambda f: np.where(f["age"] < 50, " Y", "n "), "flag", "x: flag"),
        (lambda f: (f["age"] % 4).astype(float).mask(f["age"] % 4 == 0), "count", "x: count"),
        (lambda f: f["bmi"] * 1e-12, "number", "x: number"),
        (lambda f: [f"0{one}" for one in f["age"] % 7], "count", "x: count"),
        (lambda f: np.where(f["age"] < 50, "2020-02-30", "2020-02-01"), "category", "x: category"),
        (lambda f: [f"{one % 3}+" for one in f["age"]], "category", "x: category"),
    ],
    ids=[
        "comma",
        "stray",
        "iso",
        "zone",
        "german",
        "us",
        "true",
        "yes",
        "codes",
        "tiny",
        "zeros",
        "impossible",
        "words",
    ],
)
def test_what_a_column_of_csv_is_taken_for(
    tmp_path: Path, change: Callable[[pd.DataFrame], object], kind: str, told: str
) -> None:
    inputs = read(tmp_path, changed(columns(x=change)))
    assert kinds(inputs)["x"] == kind
    assert told in inputs.notices[0]
    values = inputs.schema.conform(inputs.frames[0])["x"]
    assert values.isna().sum() <= 15 + 5
    assert values.nunique() > 1


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (days, "number"),
        (lambda f: days(f).dt.tz_localize("Europe/Berlin"), "number"),
        (lambda f: days(f).dt.date, "number"),
        (lambda f: [Decimal(str(one)) for one in f["bmi"]], "number"),
        (lambda f: f["bmi"].astype(str), "number"),
        (lambda f: f["age"].mod(3).astype(str).astype("category"), "category"),
        (lambda f: [f"{one % 9:03d}" for one in f["age"]], "category"),
    ],
    ids=["datetime", "zone", "date", "decimal", "text", "category", "zeros"],
)
def test_what_a_column_of_parquet_is_taken_for(
    tmp_path: Path, change: Callable[[pd.DataFrame], object], kind: str
) -> None:
    inputs = read(tmp_path, changed(columns(x=change)), "parquet")
    assert kinds(inputs)["x"] == kind
    assert inputs.schema.conform(inputs.frames[0])["x"].notna().all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda f: [f"p{one}" for one in np.random.default_rng(len(f)).permutation(10**4)[: len(f)]],
            "identifiers or free text: x",
        ),
        (
            lambda f: [
                (datetime(2020, 1, 1, tzinfo=UTC) + pd.Timedelta(days=31 * n)).strftime(
                    "%d/%m/%Y" if n % 2 else "%Y-%m-%d"
                )
                for n in range(len(f))
            ],
            "dates of which day and month",
        ),
        (lambda f: [f"{n},{n:03d}" for n in range(1, len(f) + 1)], "decimal sign is not clear"),
        (lambda f: f.index + 10**16, "identifiers or free text: x"),
    ],
    ids=["words", "dates", "numbers", "long"],
)
def test_what_cannot_be_compared_is_left_out_and_said(
    tmp_path: Path, change: Callable[[pd.DataFrame], object], words: str
) -> None:
    inputs = read(tmp_path, changed(columns(x=change)))
    assert "x" not in kinds(inputs)
    assert "left out, as " in inputs.notices[1]
    assert words in inputs.notices[1]


def test_keys_row_numbers_and_lists_are_left_out(tmp_path: Path) -> None:
    rows = changed(columns(**{"encounter_id": lambda f: f.index + 7, "Unnamed: 0": lambda f: f.index}))
    rows["synthetic"] = rows["synthetic"].drop(columns=["encounter_id", "Unnamed: 0"])
    inputs = read(tmp_path, rows)
    assert inputs.schema.columns == ["age", "bmi", "sex", "relapse"]
    assert {"identifiers: encounter_id", "row numbers or empty: Unnamed: 0"} <= {
        line.removeprefix("left out, as ").split(";")[0] for line in inputs.notices[1:]
    }
    listed = read(tmp_path, changed(columns(x=lambda f: [[1, 2]] * len(f))), "parquet")
    assert "lists or tables: x" in listed.notices[1]


def test_the_same_values_of_other_types_are_the_same(tmp_path: Path) -> None:
    rows = changed(columns(code=lambda f: f["age"] % 4, seen=lambda f: f["age"] > 50))
    rows["holdout"] = rows["holdout"].assign(code=rows["holdout"]["code"].astype(str))
    rows["synthetic"] = rows["synthetic"].assign(
        code=rows["synthetic"]["code"].astype(float), seen=rows["synthetic"]["seen"].map({True: "Yes", False: "No"})
    )[["seen", "relapse", "code", "sex", "bmi", "age"]]
    inputs = read(tmp_path, rows, "parquet")
    assert kinds(inputs)["code"] == "count"
    assert kinds(inputs)["seen"] == "flag"
    assert all(set(inputs.schema.conform(one)["code"]) == {0, 1, 2, 3} for one in inputs.frames)


@pytest.mark.parametrize(("real", "made"), [(1, 1.0), (1.0, "1"), ("1", 1)])
def test_codes_of_a_given_category_are_told_apart_by_value_and_not_by_type(
    tmp_path: Path, real: object, made: object
) -> None:
    feature = Feature(name="code", title="code", kind="category", nullable=True, source=Source(rule="derived"))
    FeatureSchema(features=(feature,), index_date=BEGIN.date()).save(tmp_path / "schema.json")
    values = dict(zip(NAMES, (real, real, made), strict=True))
    inputs = read(tmp_path, {name: pd.DataFrame({"code": [one] * 12}) for name, one in values.items()}, "parquet")
    assert {one for frame in inputs.frames for one in frame["code"]} == {"1"}
    assert inputs.notices == ()


def test_words_in_one_table_where_training_rows_hold_numbers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"synthetic\.csv, column bmi: holds “high” where .*train\.csv holds numbers"):
        read(tmp_path, changed(lambda f: f.assign(bmi="high"), "synthetic"))


def test_booleans_in_one_table_and_numbers_as_text_in_another(tmp_path: Path) -> None:
    rows = changed(columns(x=lambda f: f["bmi"].map("{:.1f}".format).str.replace(".", ",")))
    rows["train"] = rows["train"].assign(x=rows["train"]["age"] > 50)
    assert "x" not in kinds(read(tmp_path, rows))


# ---------------------------------------------------------------- target and weight


@pytest.mark.parametrize(
    ("values", "true"),
    [({1: "malignant", 0: "benign"}, "malignant"), ({1: 2, 0: 1}, "2"), ({1: ">50K", 0: "<=50K"}, ">50K")],
)
def test_of_two_values_of_the_target_the_rarer_is_true(tmp_path: Path, values: dict[int, object], true: str) -> None:
    inputs = read(tmp_path, changed(lambda f: f.assign(relapse=f["relapse"].map(values))))
    assert inputs.schema["relapse"].title == f"relapse = {true}"
    assert f"true where it is “{true}”, the rarer value" in inputs.notices[0]
    assert inputs.frames[2]["relapse"].tolist() == patients()["synthetic"]["relapse"].astype(bool).tolist()


@pytest.mark.parametrize(
    ("change", "only", "words"),
    [
        (lambda f: f.assign(relapse=f["relapse"] * 0.9), "synthetic", "holds “0.9”, but the target is “0” or “1”"),
        (lambda f: f.assign(relapse=f["age"] % 3), None, "is a count with 3 values in train and holdout"),
        (lambda f: f.assign(relapse="benign"), None, "the single value “benign”"),
        (lambda f: f.assign(relapse=np.nan), None, "holds no value in train and holdout"),
        (lambda f: f.rename(columns={"relapse": "Relapse"}), None, r"no column is called so (there is 'Relapse')"),
    ],
    ids=["soft", "three", "one", "none", "typo"],
)
def test_targets_that_are_none(tmp_path: Path, call: Call, change: Change, only: str | None, words: str) -> None:
    places = saved(tmp_path, changed(change, only))
    refused(call(*options(places), "--target", "relapse"), 2, "relapse", words)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (lambda f: np.where(f["relapse"], 1, 50), "is taken as how many people a row stands for"),
        (lambda f: f["bmi"] - 25, "is not used: the one of train and of holdout has values that are missing, negative"),
        (lambda f: 0, "or only zeros"),
        (lambda f: f["bmi"].mask(f.index == 1), "missing"),
        (lambda f: "heavy", "no numbers"),
    ],
    ids=["good", "negative", "zero", "missing", "words"],
)
def test_weights_are_used_or_it_is_said_why_not(
    tmp_path: Path, weight: Callable[[pd.DataFrame], object], words: str
) -> None:
    rows = changed(columns(weight=weight)) | {"synthetic": patients()["synthetic"]}
    inputs = read(tmp_path, rows)
    assert words in inputs.notices[-1]
    assert ("weight" in inputs.frames[0]) == ("is taken" in inputs.notices[-1])
    with_one = read(tmp_path, rows | {"holdout": patients()["holdout"]})
    assert "weight" not in with_one.frames[0]
    assert "is not used" in with_one.notices[-1]


def test_a_weight_that_is_measured_is_compared(tmp_path: Path) -> None:
    inputs = read(tmp_path, changed(columns(weight=lambda f: f["bmi"] * 3)))
    assert MEASURED in kinds(inputs)
    assert "weight" not in inputs.frames[0]
    assert MEASURED in inputs.notices[-1]


# ---------------------------------------------------------------- one line


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("change", "only", "code", "words"),
    [
        (lambda f: f.assign(bmi=f["bmi"].mask(f.index == 2, np.inf)), "train", 1, "train, column bmi: holds values"),
        (lambda f: f.assign(age=f["age"].astype(float).mask(f.index == 2, np.inf)), None, 1, "column age"),
        (lambda f: f.assign(bmi=f["bmi"] * 1e300), None, 1, "column bmi: holds values beyond 1e+15"),
        (lambda f: f.head(9), "holdout", 1, "holdout: has 9 rows"),
        (lambda f: f.drop(columns="bmi"), "synthetic", 2, "synthetic.csv: lacks the columns bmi"),
        (lambda f: f.assign(extra=1.5), "synthetic", 2, "train.csv: lacks the columns extra"),
    ],
    ids=["inf", "infinite count", "huge", "nine rows", "lacking", "extra"],
)
def test_values_and_tables_that_are_refused(
    tmp_path: Path, call: Call, change: Change, only: str | None, code: int, words: str
) -> None:
    refused(call(*options(saved(tmp_path, changed(change, only))), "--target", "relapse"), code, words)


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--sensitive", "income"], 2, "no feature 'income'"),
        (["--uplift", "--also", "nonsense"], 2, "is not NAME=FILE"),
        (["--uplift", "--also", "train=x.csv"], 2, "the name 'train' is taken"),
        (["--also", "x=x.csv"], 2, "give --uplift as well"),
        (["--uplift", "--also", "x=nowhere.csv"], 2, "nowhere.csv: cannot be read"),
        (["--tables", "."], 2, "--synthetic-tables"),
        (["--tables", ".", "--synthetic-tables", "."], 2, "the index date of a schema"),
        (["--oracle", "nowhere.csv"], 2, "nowhere.csv: cannot be read"),
        (["--schema", "nowhere.json"], 2, "nowhere.json: cannot be read"),
    ],
)
def test_options_that_are_wrong(tmp_path: Path, call: Call, more: list[str], code: int, words: str) -> None:
    refused(call(*options(saved(tmp_path, patients())), "--target", "relapse", *more), code, words)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda f: f.drop(columns="bmi"), 2, "oracle.csv: lacks the columns bmi"),
        (lambda f: f.assign(bmi="high"), 1, "oracle, column bmi: is not a number"),
    ],
)
def test_an_oracle_of_other_columns(tmp_path: Path, call: Call, change: Change, code: int, words: str) -> None:
    *places, oracle = saved(tmp_path, {**patients(), "oracle": change(patients()["train"])})
    refused(call(*options(places), "--target", "relapse", "--oracle", oracle), code, words)


def test_nothing_in_common() -> None:
    rows = pd.DataFrame({"patient_id": ["a", "b"]})
    with pytest.raises(UsageError, match="share no column"):
        guess_schema([rows, rows, rows])
