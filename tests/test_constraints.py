"""Constraints: data in, counts out, and nothing enforced that the training data itself breaks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fhirsynth.constraints import ConstraintSet, Test
from fhirsynth.errors import UsageError
from tests.frames import example_features, example_schema

OURS = {
    "hba1c-means-diabetes",
    "spo2-at-most-100",
    "creatinine-of-adults",
    "adult-cohort",
    "no-stay-without-admission",
    "stay-with-admission",
    "readmission-needs-two-stays",
}


def good_rows(count: int = 8) -> pd.DataFrame:
    """Adults that break nothing: two admissions, no readmission, ordinary values."""
    frame = example_features(count)
    return example_schema().conform(
        frame.assign(
            age=40,
            spo2=98.0,
            hba1c=5.0,
            creatinine=1.0,
            has_diabetes=False,
            prior_admissions_12m=2,
            length_of_stay=3.0,
            readmitted_30d=False,
        )
    )


def test_ours_are_there_each_with_a_source() -> None:
    rules = ConstraintSet.load()
    assert {rule.id for rule in rules.enforced} == OURS
    assert all(rule.source and rule.title for rule in rules.enforced)


@pytest.mark.parametrize(
    ("constraint", "column", "value"),
    [
        ("hba1c-means-diabetes", "hba1c", 6.5),
        ("spo2-at-most-100", "spo2", 100.1),
        ("creatinine-of-adults", "creatinine", 0.29),
        ("adult-cohort", "age", 17),
        ("stay-with-admission", "length_of_stay", None),
    ],
)
def test_one_bad_row_is_rejected_and_counted(constraint: str, column: str, value: float | None) -> None:
    frame = good_rows()
    frame.loc[3, column] = value
    kept, counts = ConstraintSet.load().apply(frame)
    assert list(kept.index) == [0, 1, 2, 4, 5, 6, 7]
    assert {name: count for name, count in counts.items() if count} == {constraint: 1}


def test_readmission_needs_two_stays() -> None:
    frame = good_rows()
    frame.loc[[1, 2], "readmitted_30d"] = True
    frame.loc[2, "prior_admissions_12m"] = 1
    kept, counts = ConstraintSet.load().apply(frame)
    assert 1 in kept.index
    assert 2 not in kept.index
    assert counts["readmission-needs-two-stays"] == 1


def test_a_missing_value_breaks_nothing() -> None:
    frame = good_rows()
    frame[["hba1c", "spo2", "creatinine"]] = float("nan")
    kept, counts = ConstraintSet.load().apply(frame)
    assert len(kept) == len(frame)
    assert not any(counts.values())


def test_a_stay_without_admission_is_repaired() -> None:
    frame = good_rows()
    frame.loc[0, "prior_admissions_12m"] = 0
    kept, counts = ConstraintSet.load().apply(frame)
    assert len(kept) == len(frame)
    assert kept["length_of_stay"].isna().tolist() == [True] + [False] * 7
    assert counts["no-stay-without-admission"] == 1
    assert kept.dtypes.equals(frame.dtypes)


def test_children_may_have_little_creatinine() -> None:
    frame = good_rows()
    frame.loc[0, ["age", "creatinine"]] = [5, 0.2]
    rules = ConstraintSet.load().for_training(example_features())
    assert len(rules.apply(frame)[0]) == len(frame)


def test_what_the_training_data_breaks_is_switched_off_with_its_share() -> None:
    train = pd.concat([good_rows(150), good_rows(50)], ignore_index=True)
    train.loc[[7, 8], "hba1c"] = 9.0
    train.loc[0, "spo2"] = 101
    rules = ConstraintSet.load().for_training(train)
    assert rules.switched_off == {"hba1c-means-diabetes": 0.99}
    assert {rule.id for rule in rules.enforced} == OURS - {"hba1c-means-diabetes"}


def test_what_cases_break_is_switched_off_however_few_they_are() -> None:
    train = good_rows(1000).assign(case=False)
    train.loc[:9, "case"] = True
    train.loc[0, "spo2"] = 101
    assert not ConstraintSet.load().for_training(train, "case").switched_off
    train.loc[1, "spo2"] = 101
    assert not ConstraintSet.load().for_training(train).switched_off
    assert ConstraintSet.load().for_training(train, "case").switched_off == {"spo2-at-most-100": 0.8}


def test_what_speaks_of_other_columns_is_reported() -> None:
    rules = ConstraintSet.load().for_training(good_rows().drop(columns="spo2"))
    assert rules.not_applicable == ("spo2-at-most-100",)


def test_a_user_can_add_constraints(tmp_path: Path) -> None:
    path = tmp_path / "more.toml"
    path.write_text(
        '[slow]\ntitle = "x"\nthen = { column = "heart_rate", at_most = 200 }\naction = "repair"\nsource = "y"\n'
    )
    frame = good_rows()
    frame["heart_rate"] = 250.0
    kept, counts = ConstraintSet.load(path).apply(frame)
    assert kept["heart_rate"].tolist() == [200.0] * 8
    assert counts["slow"] == 8


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('then = { column = "age" }', "exactly one"),
        ('then = { column = "age", at_least = 1, at_most = 2 }', "exactly one"),
        ('then = { column = "age", missing = false }', "cannot be repaired"),
        ("then = 3", "then|valid"),
    ],
)
def test_a_bad_file_is_named_with_its_table(tmp_path: Path, body: str, problem: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(f'[mine]\ntitle = "x"\n{body}\naction = "repair"\nsource = "y"\n')
    with pytest.raises(UsageError, match=rf"bad\.toml, \[mine\]: .*({problem})"):
        ConstraintSet.load(path)


def test_a_picture_is_no_constraint_file(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    with pytest.raises(UsageError, match="cannot be read as TOML"):
        ConstraintSet.load(path)


def test_equals_compares_text_and_flags() -> None:
    frame = good_rows()
    frame["sex"] = ["female", None] * 4
    assert Test(column="sex", equals="female").holds(frame, if_missing=False).tolist() == [True, False] * 4
    assert Test(column="has_diabetes", equals=False).holds(frame, if_missing=False).all()
