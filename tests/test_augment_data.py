"""``fhirsynth augment`` on anybody's data: tables of any make, a public prior, options, advice, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from fhirsynth.augment import registry
from fhirsynth.augment.advice import advise
from fhirsynth.augment.baselines import Marginals
from fhirsynth.augment.inputs import read_source
from fhirsynth.augment.prior import refuse_own
from fhirsynth.augment.sampling import DRAWS_PER_ROW, LEAST_BUDGET, exactly
from fhirsynth.cli import cli
from fhirsynth.errors import CohortError, EvaluateError, FhirsynthError, Shortfall, UsageError
from fhirsynth.schema import FeatureSchema
from fhirsynth.tables import read_table
from fhirsynth.trilemma.documents import provenance as origin
from tests.frames import example_features, example_schema

Change = Callable[[pd.DataFrame], pd.DataFrame]
ROWS = 400


def patients(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """A table as a hospital has it: a name, dates, words for the target, missing values."""
    rng = np.random.default_rng(seed)
    case = np.arange(rows) % 5 == 0
    crp = np.exp(rng.normal(1 + case, 0.7, rows)).round(1)
    admitted = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 700, rows), unit="D")
    return pd.DataFrame(
        {
            "case_note": [f"Zq-{number:05d}" for number in rng.permutation(rows)],
            "age": rng.integers(18, 90, rows) + 5 * case,
            "sex": rng.choice(["f", "m"], rows),
            "admitted": admitted.strftime("%d.%m.%Y"),
            "crp": np.where(rng.random(rows) < 0.1, np.nan, crp),
            "smoker": np.where(rng.random(rows) < 0.2 + 0.4 * case, "yes", "no"),
            "relapse": np.where(case, "relapsed", "stable"),
        }
    )


def saved(folder: Path, frame: pd.DataFrame, name: str = "patients.csv", **how: Any) -> Path:
    path = folder / name
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False, **how)
    return path


def call(source: Path | None, out: Path, *more: str, target: str | None = "relapse", model: str = "smote-nc") -> Result:
    given = [] if source is None else [str(source), "--model", model]
    aimed = [] if target is None or source is None else ["--target", target]
    return CliRunner().invoke(cli, ["augment", *given, *aimed, "--n", "30", *more, "--out", str(out)])


def made(source: Path, out: Path, *more: str, **how: Any) -> Result:
    done = call(source, out, *more, **how)
    assert done.exit_code == 0, done.exception or done.output
    return done


def manifest(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "manifest.json").read_bytes())
    return found


# ---------------------------------------------------------------- what is made of a table


def test_a_csv_file_becomes_cases_in_its_own_form(tmp_path: Path) -> None:
    frame = patients()
    done = made(saved(tmp_path, frame), tmp_path / "out", "--seed", "7")
    text = pd.read_csv(tmp_path / "out" / "synthetic.csv", dtype="string")
    assert list(text.columns) == [name for name in frame.columns if name != "case_note"]
    assert len(text) == 30
    assert set(text["relapse"]) == {"relapsed"}
    assert set(text["smoker"]) <= {"yes", "no"}
    assert text["admitted"].str.fullmatch(r"202[45]-\d\d-\d\d").all()
    assert text["crp"].dropna().str.fullmatch(r"\d+(\.\d)?").all()
    rows = pd.read_parquet(tmp_path / "out" / "synthetic.parquet")
    assert rows["relapse"].all()
    assert rows["patient_id"].str.startswith("syn-").all()
    assert "admitted: date" in done.stderr
    assert "as identifiers or free text: case_note" in done.stderr


def test_nobodys_id_is_in_what_is_made(tmp_path: Path) -> None:
    made(saved(tmp_path, patients()), tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or b"Zq-" not in path.read_bytes(), path.name


def test_every_row_is_learned_or_held_out_and_nothing_is_in_both(tmp_path: Path) -> None:
    made(saved(tmp_path, patients()), tmp_path / "out")
    train, holdout = (pd.read_parquet(tmp_path / "out" / f"{part}.parquet") for part in ("train", "holdout"))
    assert len(train) + len(holdout) == ROWS
    assert not set(train["patient_id"]) & set(holdout["patient_id"])
    assert abs(train["relapse"].mean() - holdout["relapse"].mean()) < 0.01


def test_several_rows_of_a_patient_stay_together(tmp_path: Path) -> None:
    source = saved(tmp_path, patients().assign(patient=[f"Zq{number // 4}" for number in range(ROWS)]))
    done = made(source, tmp_path / "out")
    train, holdout = (pd.read_parquet(tmp_path / "out" / f"{part}.parquet") for part in ("train", "holdout"))
    assert not set(train["patient_id"]) & set(holdout["patient_id"])
    assert "400 rows are of 100 patients" in done.stderr
    assert "several rows" not in done.stderr
    assert "patient" not in pd.read_csv(tmp_path / "out" / "synthetic.csv").columns


def test_a_guarantee_for_rows_is_said_to_be_none_for_patients(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"patient_id": [f"p{number // 4}" for number in range(400)], "age": rng.integers(0, 90, 400)})
    frame["relapse"] = rng.random(400) < 0.3
    source = saved(tmp_path, frame)
    made(source, tmp_path / "guessed")
    schema = FeatureSchema.load(tmp_path / "guessed" / "schema.json")
    bounded = [schema["age"].model_copy(update={"minimum": 0, "maximum": 90}), schema["relapse"]]
    schema.model_copy(update={"features": tuple(bounded)}).save(tmp_path / "columns.json")
    done = made(source, tmp_path / "out", "--schema", str(tmp_path / "columns.json"), model="private")
    assert "for patients with several rows epsilon is as many times as large" in done.stderr
    assert "bounded by the epsilon and delta" in done.stderr


def test_rows_without_the_target_are_left_out_and_counted(tmp_path: Path) -> None:
    frame = patients()
    frame.loc[frame.index[:7], "relapse"] = None
    done = made(saved(tmp_path, frame), tmp_path / "out")
    assert "7 of 400 rows are left out, as they say nothing of relapse" in done.stderr
    assert manifest(tmp_path / "out")["given"] == {"rows": 400, "without_target": 7}
    assert manifest(tmp_path / "out")["notices"][-1] in done.stderr


def test_semicolons_and_decimal_commas_stay(tmp_path: Path) -> None:
    made(saved(tmp_path, patients(), sep=";", decimal=","), tmp_path / "out")
    head, first, *_ = (tmp_path / "out" / "synthetic.csv").read_text().splitlines()
    assert head == "age;sex;admitted;crp;smoker;relapse"
    again = read_table(tmp_path / "out" / "synthetic.csv").frame
    assert again["crp"].dtype == np.float64
    assert "." not in first


def test_parquet_stays_parquet_and_dates_are_days(tmp_path: Path) -> None:
    frame = patients().assign(admitted=lambda f: pd.to_datetime(f["admitted"], format="%d.%m.%Y"))
    made(saved(tmp_path, frame, "patients.parquet"), tmp_path / "out")
    assert not (tmp_path / "out" / "synthetic.csv").exists()
    days = pd.read_parquet(tmp_path / "out" / "synthetic.parquet")["admitted"]
    assert days.between(19_700, 20_500).all()
    assert (days == days.round()).all()


def test_without_a_target_all_kinds_of_rows_are_made(tmp_path: Path) -> None:
    made(saved(tmp_path, patients()), tmp_path / "out", target=None, model="bootstrap")
    assert set(pd.read_csv(tmp_path / "out" / "synthetic.csv")["relapse"]) == {"relapsed", "stable"}
    assert manifest(tmp_path / "out")["model"]["cases"] is None


def test_a_saved_model_remembers_target_and_form(tmp_path: Path) -> None:
    first = tmp_path / "first"
    made(saved(tmp_path, patients()), first, "--seed", "3")
    again = call(None, tmp_path / "again", "--resample", str(first / "model"), "--seed", "3")
    assert again.exit_code == 0, again.exception
    assert (tmp_path / "again" / "synthetic.csv").read_bytes() == (first / "synthetic.csv").read_bytes()
    done = call(None, tmp_path / "no", "--resample", str(first / "model"), "--target", "smoker")
    assert "leave out --target" in str(done.exception)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    source = saved(tmp_path, patients())
    for name in ("one", "two"):
        made(source, tmp_path / name, "--seed", "5")
    for name in ("synthetic.csv", "synthetic.parquet", "manifest.json", "forms.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_weight_is_the_patients(tmp_path: Path) -> None:
    weights = np.random.default_rng(1).normal(70, 9, ROWS).round(1)
    done = made(saved(tmp_path, patients().assign(weight=weights)), tmp_path / "out")
    assert "weight is learned like any other column, as weight_value" in done.stderr
    assert pd.read_csv(tmp_path / "out" / "synthetic.csv")["weight"].between(30, 110).all()
    assert FeatureSchema.load(tmp_path / "out" / "schema.json")["weight_value"].decimals == 1


def test_a_schema_says_what_columns_are(tmp_path: Path) -> None:
    source = saved(tmp_path, patients())
    made(source, tmp_path / "out")
    schema = FeatureSchema.load(tmp_path / "out" / "schema.json")
    kept = schema.model_copy(update={"features": tuple(one for one in schema.features if one.name != "sex")})
    kept.save(tmp_path / "mine.json")
    made(source, tmp_path / "other", "--schema", str(tmp_path / "mine.json"), target=None)
    text = pd.read_csv(tmp_path / "other" / "synthetic.csv")
    assert list(text.columns) == ["age", "admitted", "crp", "smoker", "relapse"]
    assert set(text["relapse"]) == {"relapsed"}
    assert text["admitted"].str.fullmatch(r"202[45]-\d\d-\d\d").all()


def test_three_hundred_categories_and_times_of_day(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    frame = patients(1500)
    frame["job"] = rng.permutation([f"job {number % 300}" for number in range(1500)])
    frame["seen"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**7, 1500), unit="s")
    made(saved(tmp_path, frame), tmp_path / "out", model="marginals")
    text = pd.read_csv(tmp_path / "out" / "synthetic.csv")
    assert text["job"].isin(set(frame["job"])).all()
    assert text["seen"].str.fullmatch(r"2024-\d\d-\d\dT\d\d:\d\d:\d\d").all()


def test_clinical_constraints_apply_where_their_columns_are(tmp_path: Path) -> None:
    frame = patients().assign(spo2=np.random.default_rng(2).integers(85, 101, ROWS))
    made(saved(tmp_path, frame), tmp_path / "out")
    told = manifest(tmp_path / "out")
    assert "spo2-at-most-100" in told["rejected"]
    assert set(told["not_applicable"]) >= {"hba1c-means-diabetes", "readmission-needs-two-stays"}


# ---------------------------------------------------------------- folders of tables


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    folder = tmp_path / "tables"
    folder.mkdir()
    example_features(300, cases=0.3).to_parquet(folder / "features.parquet")
    example_schema().save(folder / "schema.json")
    return folder


def test_another_flag_of_a_folder_can_make_the_cases(tables: Path, tmp_path: Path) -> None:
    made(tables, tmp_path / "out", target="has_diabetes")
    rows = pd.read_parquet(tmp_path / "out" / "synthetic.parquet")
    assert rows["has_diabetes"].all()
    assert not rows["has_cystic_fibrosis"].all()
    condition = FeatureSchema.load(tmp_path / "out" / "schema.json").condition
    assert condition is not None
    assert (condition.column, condition.snomed) == ("has_diabetes", example_schema()["has_diabetes"].source.codes[0])


def test_the_condition_of_a_folder_stays_what_it_is(tables: Path, tmp_path: Path) -> None:
    made(tables, tmp_path / "out", target="has_cystic_fibrosis")
    assert FeatureSchema.load(tmp_path / "out" / "schema.json") == example_schema()


def test_a_folder_without_a_condition_is_learned_as_it_is(tables: Path, tmp_path: Path) -> None:
    example_schema().model_copy(update={"condition": None}).save(tables / "schema.json")
    made(tables, tmp_path / "out", target=None, model="bootstrap")
    assert manifest(tmp_path / "out")["made"] == 30
    done = call(tables, tmp_path / "no", "--condition", "lupus", target=None)
    assert "has no condition; flatten again" in str(done.exception)


# ---------------------------------------------------------------- what is said


def notices(folder: Path, change: Change, target: str | None = "relapse") -> str:
    return "\n".join(read_source(saved(folder, change(patients())), target=target).notices)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.assign(ward=np.where(f["relapse"] == "stable", "A", "B")), "same as ward (“B” exactly where"),
        (lambda f: f.assign(days=np.where(f["relapse"] == "stable", np.nan, f["age"])), "days (missing exactly where"),
        (lambda f: f.assign(dose=f["age"] + 500 * (f["relapse"] != "stable")), "dose (larger exactly where"),
        (lambda f: f.assign(number=range(ROWS)), "left out, as row numbers: number"),
        (lambda f: f.assign(visit=np.arange(ROWS)[::-1] * 37), "visit: another whole number in every row"),
        (lambda f: f.assign(mrn=np.arange(ROWS) * 37), "left out, as who a row is about: mrn"),
        (lambda f: f.assign(subject_id=np.arange(ROWS) // 3), "left out, as who a row is about: subject_id"),
        (lambda f: f.head(45).assign(remark=[f"text {n}" for n in range(45)]), "identifiers or free text: "),
        (lambda f: f.assign(relapse=f["sex"]), "relapse is the same as sex"),
    ],
    ids=["level", "missing", "threshold", "rows", "whole", "mrn", "subject", "few", "sex"],
)
def test_what_says_too_much_is_named(tmp_path: Path, change: Change, words: str) -> None:
    assert words in notices(tmp_path, change)


def test_ordinary_columns_are_not_named(tmp_path: Path) -> None:
    said = notices(tmp_path, lambda frame: frame)
    assert "same as" not in said
    assert "another whole number" not in said


@pytest.mark.parametrize(
    ("rows", "cases", "columns", "words"),
    [
        (40, 12, 8, ("40 rows, 12 of them cases,", "20 cases", "below 500 rows", "SMOTE-NC", "--prior")),
        (600, 30, 20, ("600 rows, 30 of them cases,", "50 rows a column, here 1,000")),
        (5000, 15, 20, ("15 of them cases", "20 cases are advised")),
        (300, None, 5, ("300 rows and 5 columns", "below 500")),
    ],
)
def test_a_small_cohort_is_told_what_would_be_more_reliable(
    rows: int, cases: int | None, columns: int, words: tuple[str, ...]
) -> None:
    advice = advise(rows, cases, columns)
    assert advice is not None
    assert all(word in advice for word in words)
    assert advice.count(". ") <= 1
    assert ("class weights" in advice) == (cases is not None)
    assert "--prior" not in (advise(rows, cases, columns, prior=True) or "")


@pytest.mark.parametrize(("rows", "cases", "columns"), [(1000, 20, 20), (100_000, None, 40), (500, 20, 10)])
def test_a_large_cohort_is_told_nothing(rows: int, cases: int | None, columns: int) -> None:
    assert advise(rows, cases, columns) is None


def test_advice_is_said_and_kept(tmp_path: Path) -> None:
    done = made(saved(tmp_path, patients()), tmp_path / "out")
    assert f"advice: {manifest(tmp_path / 'out')['advice']}" in done.stderr.splitlines()
    done = made(saved(tmp_path, patients(1500)), tmp_path / "large")
    assert "advice:" not in done.stderr
    assert manifest(tmp_path / "large")["advice"] is None


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "target", "kind", "words"),
    [
        (lambda f: f[(f["relapse"] == "stable") | (f.index < 25)], "relapse", CohortError, "there are 5 patients with"),
        (lambda f: f.assign(relapse=0), "relapse", CohortError, "there are no patients with relapse among 400"),
        (lambda f: f.assign(relapse=1), "relapse", CohortError, "all 400 patients have relapse"),
        (lambda f: f.assign(relapse="well"), "relapse", UsageError, "the single value “well” in the data"),
        (lambda f: f.assign(relapse=np.nan), "relapse", UsageError, "holds no value in the data"),
        (lambda f: f, "Relapse", UsageError, "no column is called so (there is 'relapse')"),
        (lambda f: f, "age", UsageError, "is a count with"),
        (lambda f: f[["relapse"]], "relapse", UsageError, "no column beside relapse"),
        (lambda f: f[["case_note"]], None, UsageError, "no column that can be learned"),
        (lambda f: f.assign(crp=np.inf), "relapse", EvaluateError, "column crp: holds values beyond"),
        (lambda f: f.head(12), None, CohortError, "there are 12 patients"),
        (lambda f: f.head(0), "relapse", EvaluateError, "has 0 rows"),
    ],
    ids=["five", "none", "all", "one", "empty", "typo", "count", "alone", "names", "infinite", "few", "head"],
)
def test_bad_tables_are_refused_in_one_line(
    tmp_path: Path, change: Change, target: str | None, kind: type[FhirsynthError], words: str
) -> None:
    done = call(saved(tmp_path, change(patients())), tmp_path / "out", target=target)
    assert isinstance(done.exception, kind)
    assert words in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_cases_that_the_holdout_takes_away_are_told_without_a_disease(tmp_path: Path) -> None:
    frame = patients()
    few = frame[(frame["relapse"] == "stable") | (frame.index < 110)]
    done = call(saved(tmp_path, few), tmp_path / "out", "--holdout", "0.8")
    assert "4 of 68 patients to learn from are cases of 'relapse = relapsed'; at least 10" in str(done.exception)
    assert "--cases" not in str(done.exception)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("none.csv", None),
        ("empty.csv", b""),
        ("picture.csv", b"\x89PNG\r\n\0\0"),
        ("a.parquet", b"x"),
        ("a.json", b"{}"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = call(tmp_path / name, tmp_path / "out")
    assert isinstance(done.exception, UsageError)
    assert name in str(done.exception)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--condition", "lupus"), "--target, or --condition, and not both"),
        (("--epsilon", "1"), "the model 'smote-nc' takes no epsilon; leave it out, or choose: private"),
        (("--epsilon", "1", "--delta", "0.1"), "takes no epsilon and no delta"),
        (("--prior", "x.csv"), "the model 'smote-nc' learns from no prior"),
        (("--schema", "none.json"), "none.json: cannot be read"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, more: tuple[str, ...], words: str) -> None:
    done = call(saved(tmp_path, patients()), tmp_path / "out", *more)
    assert isinstance(done.exception, UsageError)
    assert words in str(done.exception)


IMPOSSIBLE = """
[impossible]
title = "No case is like that"
when = [{ column = "relapse", equals = true }]
then = { column = "age", at_least = 500 }
action = "reject"
source = "none"
"""


def test_a_constraint_that_all_cases_break_is_switched_off_and_said(tmp_path: Path) -> None:
    rows, rng = 6000, np.random.default_rng(3)
    frame = pd.DataFrame({"age": rng.integers(0, 90, rows), "crp": rng.normal(5, 1, rows).round(1)})
    frame["relapse"] = np.arange(rows) < 25
    (tmp_path / "no.toml").write_text(IMPOSSIBLE)
    source = saved(tmp_path, frame)
    done = made(source, tmp_path / "out", "--constraints", str(tmp_path / "no.toml"))
    assert "switched off impossible: only 0.0% of the training patients, or of the cases, satisfy it" in done.stderr


PAIR = """
[pair-{number}]
title = "One flag asks for another"
when = [{{ column = "a{number}", equals = true }}]
then = {{ column = "b{number}", equals = true }}
action = "reject"
source = "none"
"""


def test_what_a_generator_hardly_makes_ends_with_what_was_reached(tmp_path: Path) -> None:
    rng, pairs = np.random.default_rng(3), range(60)
    flags = {name: rng.random(600) < 0.5 for name in (f"a{number}" for number in pairs)}
    flags |= {name.replace("a", "b"): values for name, values in flags.items()}
    frame = pd.DataFrame({"relapse": np.arange(600) < 60, **flags})
    (tmp_path / "no.toml").write_text("".join(PAIR.format(number=number) for number in pairs))
    source = saved(tmp_path, frame)
    done = call(source, tmp_path / "out", "--constraints", str(tmp_path / "no.toml"), "--n", "4000", model="marginals")
    assert isinstance(done.exception, Shortfall)
    assert "asked for 4000 synthetic patients, could make 0" in str(done.exception)


@pytest.mark.parametrize("one_in", [0, DRAWS_PER_ROW * 10])
def test_drawing_ends_early_where_it_would_end_short(one_in: int) -> None:
    drawn = 0

    def draw(size: int, attempt: int) -> pd.DataFrame:
        nonlocal drawn
        drawn += size
        return pd.DataFrame({"number": range(drawn - size, drawn)})

    with pytest.raises(Shortfall, match="asked for 5000"):
        exactly(5000, draw, lambda rows: rows[rows["number"] % one_in == 1] if one_in else rows[:0], "")
    assert drawn <= 2 * LEAST_BUDGET


# ---------------------------------------------------------------- a public prior, and options


class Noisy(Marginals):
    """A generator with options, as ``private`` has them."""

    name: ClassVar[str] = "noisy"

    def __init__(self, epsilon: float = 1.0, delta: float = 1e-6) -> None:
        super().__init__()
        self._options = {"epsilon": epsilon, "delta": delta, "noise": "given"}

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), **self._options}


@pytest.fixture
def takes_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "TAKE_PRIOR", ("marginals",))


@pytest.mark.usefixtures("takes_prior")
def test_a_prior_is_recorded_with_where_it_comes_from(tmp_path: Path) -> None:
    folder = tmp_path / "simulated"
    folder.mkdir()
    saved(folder, patients(250, seed=9).drop(columns="case_note"), "features.parquet")
    (folder / "manifest.json").write_text(json.dumps({"generated": {"synthea": "3.3.0"}}))
    made(saved(tmp_path, patients()), tmp_path / "out", "--prior", str(folder), model="marginals")
    told = manifest(tmp_path / "out")["model"]["prior"]
    assert (told["rows"], told["cases"], told["source"]) == (250, 50, "simulated with Synthea 3.3.0")
    assert len(told["sha256"]) == 64
    provenance = {"synthetic": manifest(tmp_path / "out")}
    assert origin.prior(provenance) == told
    assert list(origin.training_hashes(provenance)) == ["model.train_sha256"]


@pytest.mark.usefixtures("takes_prior")
@pytest.mark.parametrize(
    ("prior", "words"),
    [
        (patients(seed=9).drop(columns=["crp", "sex"]), "lacks the columns sex, crp"),
        (patients(seed=9).assign(crp="high"), "column crp: is not a number"),
        (patients(), "the prior is the data to learn from (400 equal rows)"),
        (pd.concat([patients(seed=9), patients().head(40)]), "of the prior equal a row of the data in every column"),
    ],
    ids=["columns", "words", "same", "part"],
)
def test_priors_that_are_none_are_refused(tmp_path: Path, prior: pd.DataFrame, words: str) -> None:
    place = saved(tmp_path, prior, "prior.csv")
    done = call(saved(tmp_path, patients()), tmp_path / "out", "--prior", str(place), model="marginals")
    assert isinstance(done.exception, FhirsynthError)
    assert words in str(done.exception)
    assert "\n" not in str(done.exception)


@pytest.mark.usefixtures("takes_prior")
def test_a_folder_without_features_is_no_prior(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    place = str(tmp_path / "bare")
    done = call(saved(tmp_path, patients()), tmp_path / "out", "--prior", place, model="marginals")
    assert "bare: has no features.parquet; make it with: fhirsynth flatten" in str(done.exception)


@pytest.mark.parametrize("seed", range(5))
def test_coarse_rows_are_equal_by_chance(seed: int) -> None:
    schema = example_schema()
    rng = np.random.default_rng(seed)
    coarse = example_features(3000, seed=1)
    fixed = dict.fromkeys(schema.columns) | {"sex": coarse["sex"], "age": rng.integers(20, 60, 3000)}
    rows = pd.DataFrame(fixed, index=coarse.index)
    refuse_own(rows.iloc[300:], rows.iloc[:300], schema)
    with pytest.raises(UsageError, match="the prior is the data"):
        refuse_own(rows.iloc[:300].sample(frac=1, random_state=seed), rows.iloc[:300], schema)


def test_options_reach_the_generator_and_the_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.MODELS, "noisy", f"{__name__}:Noisy")
    source = saved(tmp_path, patients())
    made(source, tmp_path / "out", "--epsilon", "2", "--delta", "1e-7", model="noisy")
    guarantee = origin.differential_privacy({"synthetic": manifest(tmp_path / "out")})
    assert guarantee == {"epsilon": 2.0, "delta": 1e-7, "noise": "given"}
    made(source, tmp_path / "other")
    assert origin.differential_privacy({"synthetic": manifest(tmp_path / "other")}) is None
    assert origin.prior({"synthetic": manifest(tmp_path / "other")}) is None


# ---------------------------------------------------------------- before and after


def test_help_names_every_model_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom fhirsynth.cli import cli\ncli.main(['augment', '--help'], standalone_mode=False)\n"
        "print('loaded', [n for n in ('pandas', 'numpy', 'torch', 'sklearn', 'pydantic') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("loaded []")
    assert ",".join(registry.MODELS) in "".join(done.stdout.split())


@pytest.mark.slow
def test_what_is_made_can_be_judged(tmp_path: Path) -> None:
    out = tmp_path / "out"
    made(saved(tmp_path, patients(600)), out, "--n", "60")
    files = [f"--{part}={out / part}.parquet" for part in ("train", "holdout", "synthetic")]
    done = CliRunner().invoke(
        cli, ["evaluate", *files, "--target", "relapse", "--uplift", "--out", str(tmp_path / "report")]
    )
    assert done.exit_code == 0, done.exception
    assert "valid: True" in done.stdout
    assert "uplift: Adding" in done.stdout
    card = json.loads((tmp_path / "report" / "model-card.json").read_bytes())
    assert card["generator"]["model"] == "smote-nc"
    assert card["training_cases"] == 72
    assert (card["prior"], card["differential_privacy"]) == (None, None)
    sheet = (tmp_path / "report" / "datasheet.md").read_text()
    assert "| Learned from before (prior) | none |" in sheet
    assert "| Differential privacy | none |" in sheet
