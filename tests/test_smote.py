"""SMOTE-NC as a model: between real rows, of what was asked for, and of nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fhirsynth.augment import smote
from fhirsynth.augment.smote import SmoteNc, interpolate
from fhirsynth.errors import Shortfall
from fhirsynth.trilemma.encode import flags
from synthea_bridge.progress import silent
from tests.frames import example_features, example_schema

SCHEMA = example_schema()
CASE = "has_cystic_fibrosis"


def fitted(rows: pd.DataFrame) -> SmoteNc:
    model = SmoteNc()
    model.fit(rows, SCHEMA, seed=0, steps=None, progress=silent)
    return model


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return example_features(200, cases=0.2)


def test_made_rows_lie_between_rows_of_what_is_asked_for(rows: pd.DataFrame) -> None:
    base = rows[flags(rows[CASE]) & rows["sex"].eq("female")]
    made = fitted(rows).sample(60, {CASE: True, "sex": "female"}, seed=1)
    assert made[CASE].all()
    assert made["sex"].eq("female").all()
    for name in ("age", "wbc", "heart_rate"):
        assert base[name].min() <= made[name].min()
        assert made[name].max() <= base[name].max()
    assert not set(made["wbc"].dropna()) <= set(base["wbc"])


def test_a_number_can_be_asked_for(rows: pd.DataFrame) -> None:
    made = fitted(rows).sample(20, {"prior_admissions_12m": 2}, seed=1)
    assert made["prior_admissions_12m"].eq(2).all()


def test_without_a_condition_both_classes_are_made_in_proportion(rows: pd.DataFrame) -> None:
    made = fitted(rows).sample(500, seed=3)
    cases = flags(made[CASE])
    assert 0.15 < cases.mean() < 0.25
    # Between a case and somebody else there would be saturations that neither class has.
    assert made["spo2"][cases].mean() < 94 < 96 < made["spo2"][~cases].mean()


def test_a_stay_is_there_exactly_where_an_admission_is(rows: pd.DataFrame) -> None:
    made = fitted(rows).sample(200, {CASE: True}, seed=1)
    assert made["prior_admissions_12m"].eq(0).any()
    assert (made["length_of_stay"].isna() == made["prior_admissions_12m"].eq(0)).all()


def test_fewer_than_two_rows_are_one_clear_line(rows: pd.DataFrame) -> None:
    one = rows[~flags(rows[CASE]) | (np.cumsum(flags(rows[CASE])) == 1)]
    with pytest.raises(Shortfall, match=r"smote-nc needs 2 rows .* and found 1; give more data"):
        fitted(one).sample(5, {CASE: True}, seed=0)
    # A single case has nothing to lie between, and is not left out for that.
    assert len(fitted(one).sample(300, seed=0)) == 300


def test_a_draw_computes_distances_among_so_many_rows_at_most(
    rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smote, "LARGEST", 20)
    seen: list[int] = []

    def spy(base: pd.DataFrame, *arguments: object) -> pd.DataFrame:
        seen.append(len(base))
        return interpolate(base, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(smote, "interpolate", spy)
    assert len(fitted(rows).sample(30, {CASE: False}, seed=0)) == 30
    assert seen == [20]


def test_rows_alone_are_enough_and_others_change_nothing_but_for_categories(rows: pd.DataFrame) -> None:
    cases, others = rows[flags(rows[CASE])], rows[~flags(rows[CASE])]
    alone, beside = (
        interpolate(cases, other, 50, SCHEMA, np.random.default_rng(0)) for other in (others.iloc[:0], others)
    )
    pd.testing.assert_frame_equal(alone, beside)
