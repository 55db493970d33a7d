"""The private model: what it counts, that nothing without noise leaves it, and the rows that it makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from fhirsynth.augment import private as module
from fhirsynth.augment.levels import Levels, public_levels
from fhirsynth.augment.noise import (
    VARIABLE,
    Mechanism,
    gaussian_sigma,
)
from fhirsynth.augment.private import Private, count
from fhirsynth.errors import Shortfall, UsageError
from fhirsynth.schema import Feature, FeatureSchema, Source
from synthea_bridge.progress import silent
from tests.frames import example_features, example_schema

KEY = bytes(range(32))
SCHEMA = example_schema()
CASE = "has_cystic_fibrosis"


def fitted(
    features: pd.DataFrame | None = None,
    schema: FeatureSchema = SCHEMA,
    prior: pd.DataFrame | None = None,
    seed: int = 0,
    **options: Any,
) -> Private:
    model = Private(**{"noise_seed": KEY, **options})
    rows = example_features(400, cases=0.3) if features is None else features
    model.fit(rows, schema, seed=seed, steps=None, progress=silent, prior=prior)
    return model


def small_schema(*features: Feature) -> FeatureSchema:
    flag = Feature(name="ill", title="Ill", kind="flag", source=Source(rule="derived"))
    return FeatureSchema(features=(*features, flag), index_date=SCHEMA.index_date)


def feature(name: str, **values: Any) -> Feature:
    return Feature(name=name, title=name, source=Source(rule="derived"), **values)


# ---------------------------------------------------------------- what is counted

ROWS = st.fixed_dictionaries(
    {
        "age": st.integers(0, 130),
        "sex": st.sampled_from(["female", "male", "unheard of", None]),
        "spo2": st.one_of(st.none(), st.floats(0, 200), st.just(float("inf"))),
        "wbc": st.one_of(st.none(), st.floats(-5, 1000)),
        "has_diabetes": st.sampled_from([True, False, None]),
        CASE: st.sampled_from([True, False, None]),
    }
)


EXAMPLES = example_features(30)
LEVELS = public_levels(SCHEMA, CASE, None, 1.0)
COUNTS = count(EXAMPLES, LEVELS, CASE)


@settings(max_examples=25, deadline=None)
@given(changes=ROWS)
def test_any_patient_moves_the_counts_by_no_more_than_is_stated(changes: dict[str, Any]) -> None:
    row = SCHEMA.conform(EXAMPLES.head(1).assign(**{name: [value] for name, value in changes.items()}))
    difference = count(pd.concat([EXAMPLES, row], ignore_index=True), LEVELS, CASE) - COUNTS
    assert set(np.unique(difference)) <= {0, 1}
    assert difference.sum() <= len(LEVELS)
    assert np.linalg.norm(difference) <= Mechanism.calibrated(1, 1e-6, len(LEVELS)).sensitivity


def test_every_permitted_value_is_counted_once_in_each_column() -> None:
    levels = public_levels(SCHEMA, CASE, None, 1.0)
    rows = example_features(200)
    counts = count(rows, levels, CASE)
    assert counts.sum() == 200 * len(levels)
    ages = [one for one in levels if one.feature.name == "age"]
    assert np.flatnonzero(count(rows.assign(age=0), ages, CASE)).tolist() == [0, ages[0].size]


def test_levels_come_from_the_schema_and_not_from_the_rows() -> None:
    usual, odd = fitted(), fitted(example_features(30, seed=9).assign(age=97, sex="other", wbc=311.7))
    assert usual._released.levels == odd._released.levels


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (feature("dose", kind="number", minimum=0), "minimum and maximum of dose"),
        (feature("dose", kind="number", minimum=0, maximum=float("inf")), "minimum and maximum of dose"),
        (feature("children", kind="count"), "minimum and maximum of children"),
        (feature("town", kind="category"), "categories of town"),
    ],
)
def test_bounds_that_nobody_declared_are_not_taken_from_patients(one: Feature, told: str) -> None:
    schema = small_schema(one)
    value = "here" if one.kind == "category" else 3
    rows = schema.conform(pd.DataFrame({one.name: [value] * 30, "ill": [True] * 30}))
    with pytest.raises(UsageError, match=f"declare in the schema: {told}") as refused:
        fitted(rows, schema)
    assert "\n" not in str(refused.value)


def test_bounds_that_nobody_declared_are_taken_from_simulated_patients() -> None:
    schema = small_schema(feature("dose", kind="number", decimals=1), feature("town", kind="category"))
    random = np.random.default_rng(0)
    prior = schema.conform(
        pd.DataFrame({"dose": random.uniform(2, 5, 200), "town": random.choice(["here", "there"], 200), "ill": False})
    )
    rows = schema.conform(pd.DataFrame({"dose": [3.0, 99.0] * 50, "town": ["here", "elsewhere"] * 50, "ill": True}))
    drawn = fitted(rows, schema, prior, epsilon=50.0).sample(200, seed=1)
    assert drawn["dose"].between(2, 5).all()
    assert set(drawn["town"]) <= {"here", "there"}
    assert drawn["town"].eq("here").mean() > 0.7


def test_a_schema_with_nothing_but_the_condition_is_refused() -> None:
    alone = SCHEMA.model_copy(update={"features": (SCHEMA[CASE],)})
    with pytest.raises(UsageError, match="no column to learn beside the condition"):
        fitted(example_features(30)[[CASE]], alone)


# ---------------------------------------------------------------- nothing else leaves the model


def test_a_model_with_and_without_one_patient_differs_by_that_patient_at_most(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Mechanism, "release", _same_noise)
    rows = example_features(300)
    odd = rows.head(1).assign(patient_id="someone", age=103, wbc=217.3, creatinine=17.77, race="pacific")
    texts = []
    for name, table in (("without", rows), ("with", pd.concat([rows, odd], ignore_index=True))):
        (tmp_path / name).mkdir()
        fitted(table).save(tmp_path / name)
        texts.append((tmp_path / name / "released.json").read_text())
        assert (tmp_path / name / "schema.json").read_text() == (tmp_path / "without" / "schema.json").read_text()
        assert {path.name for path in (tmp_path / name).iterdir()} == {"released.json", "schema.json"}
    first, second = (json.loads(text) for text in texts)
    counts = [np.concatenate([np.ravel(part) for part in one.pop("counts")]) for one in (first, second)]
    assert first == second
    assert 0 < np.linalg.norm(counts[1] - counts[0]) <= np.sqrt(len(SCHEMA.columns) - 1)
    for told in ("someone", "217.3", "17.77", "real-0", KEY.hex()):
        assert told not in texts[1]


def _same_noise(self: Mechanism, counts: np.ndarray[Any, Any], key: bytes) -> np.ndarray[Any, Any]:
    stream = np.random.default_rng(5)
    noisy: np.ndarray[Any, Any] = counts + np.round(stream.normal(0, self.sigma, counts.shape)).astype(np.int64)
    return noisy


def test_the_noise_does_not_come_from_the_seed_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    rows = example_features(60)
    first, second = (fitted(rows, noise_seed=None, seed=4)._released for _ in range(2))
    assert first.noise == second.noise == "operating system"
    assert np.mean(np.concatenate([np.ravel(one) for one in first.counts]) == _flat(second)) < 0.3


def _flat(released: module.Released) -> np.ndarray[Any, Any]:
    return np.concatenate([np.ravel(one) for one in released.counts])


def test_what_is_released_has_the_noise_that_is_stated() -> None:
    rows = example_features(300)
    model = fitted(rows)
    released = model._released
    levels = list(released.levels)
    noise = _flat(released) - count(rows, levels, CASE)
    assert noise.std() == pytest.approx(model.parameters()["sigma"], rel=0.15)
    assert noise.mean() == pytest.approx(0, abs=4 * noise.std() / np.sqrt(len(noise)))


def test_the_parameters_say_what_is_guaranteed() -> None:
    said = fitted(epsilon=2.0, delta=1e-7).parameters()
    assert json.loads(json.dumps(said)) == said
    assert (said["epsilon"], said["delta"], said["noise"]) == (2.0, 1e-7, "given")
    assert said["sensitivity"] == pytest.approx(np.sqrt(len(SCHEMA.columns) - 1), abs=1e-6)
    assert said["sigma"] >= gaussian_sigma(2.0, 1e-7, said["sensitivity"]) * (1 - 1e-6)
    assert "added or removed" in said["neighbouring"]
    assert KEY.hex() not in json.dumps(said)


@pytest.mark.slow
def test_an_attacker_gains_no_more_than_the_budget_permits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Membership of a patient who stands out, by the best test there is: the sum of the counts that are theirs."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(module, "_estimated", lambda *_: None)
    schema = small_schema(feature("mark", kind="flag"), feature("sign", kind="flag"))
    rows = schema.conform(pd.DataFrame({"mark": [False] * 60, "sign": [False] * 60, "ill": [False] * 60}))
    odd = schema.conform(pd.DataFrame({"mark": [True], "sign": [True], "ill": [True]}))
    joined = pd.concat([rows, odd], ignore_index=True)

    fits = 600

    def advantage(**options: Any) -> float:
        models = [Private(noise_seed=KEY + number.to_bytes(4), **options) for number in range(fits)]
        scores = [np.array([_score(model, table, schema) for model in models]) for table in (rows, joined)]
        cuts = np.unique(np.concatenate(scores))
        above = [np.mean(one[:, None] > cuts, axis=0) for one in scores]
        return float(np.max(above[1] - above[0]))

    # What is permitted at every cut, and what chance adds to the largest of them in so many fits (19 times out of 20).
    permitted = 2 * norm.cdf(1 / (2 * gaussian_sigma(1, 1e-6))) - 1
    chance = 1.36 * np.sqrt(2 / fits)
    assert permitted < np.tanh(0.5)
    assert advantage() <= permitted + chance
    assert advantage(epsilon=8.0) > permitted + chance


def _score(model: Private, rows: pd.DataFrame, schema: FeatureSchema) -> int:
    model.fit(rows, schema, seed=0, steps=None, progress=silent)
    return sum(column[0][1] for column in model._released.counts)


# ---------------------------------------------------------------- rows


def test_the_same_key_and_seed_make_the_same_rows_and_a_saved_model_does_too(tmp_path: Path) -> None:
    first, second = fitted(), fitted()
    drawn = first.sample(60, {CASE: True}, seed=3)
    pd.testing.assert_frame_equal(second.sample(60, {CASE: True}, seed=3), drawn)
    first.save(tmp_path)
    loaded = Private.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.sample(60, {CASE: True}, seed=3), drawn)
    assert loaded.parameters() == first.parameters()
    assert not first.sample(60, {CASE: True}, seed=4).equals(drawn)


def test_conditions_and_words_are_set_and_numbers_are_waited_for() -> None:
    model = fitted(epsilon=50.0)
    drawn = model.sample(40, {CASE: True, "sex": "male", "has_diabetes": True}, seed=1)
    assert drawn[CASE].all()
    assert drawn["sex"].eq("male").all()
    assert drawn["has_diabetes"].all()
    assert model.tally.unasked == 0
    assert model.sample(5, {"prior_admissions_12m": 2}, seed=1)["prior_admissions_12m"].eq(2).all()
    assert model.tally.unasked > 0
    with pytest.raises(Shortfall, match="asked for 5 synthetic patients, could make 0"):
        model.sample(5, {"sex": "unheard of"}, seed=1)


def test_asking_for_a_word_makes_the_classes_that_have_it() -> None:
    drawn = fitted(epsilon=50.0).sample(4000, {"has_diabetes": True}, seed=1)
    real = example_features(400, cases=0.3)
    wanted = real.loc[real["has_diabetes"], CASE].mean()
    assert drawn[CASE].mean() == pytest.approx(wanted, abs=0.05)


def test_with_a_large_budget_the_distributions_are_those_of_the_patients() -> None:
    real = example_features(4000, cases=0.3)
    model = fitted(real, epsilon=50.0)
    drawn = model.sample(4000, seed=2)
    assert drawn[CASE].mean() == pytest.approx(0.3, abs=0.03)
    for value in (False, True):
        mine, theirs = (rows[rows[CASE] == value] for rows in (drawn, real))
        assert mine["age"].mean() == pytest.approx(theirs["age"].mean(), abs=1.5)
        assert mine["spo2"].mean() == pytest.approx(theirs["spo2"].mean(), abs=0.5)
        assert mine["hemoglobin"].isna().mean() == pytest.approx(theirs["hemoglobin"].isna().mean(), abs=0.05)
        assert mine["race"].eq("black").mean() == pytest.approx(theirs["race"].eq("black").mean(), abs=0.04)
        assert mine["has_diabetes"].mean() == pytest.approx(theirs["has_diabetes"].mean(), abs=0.04)
        assert mine["heart_rate"].notna().all()


def test_a_budget_that_lets_nothing_through_still_makes_rows() -> None:
    drawn = fitted(example_features(25, cases=0.4), epsilon=0.01).sample(200, {CASE: True}, seed=2)
    assert len(drawn) == 200


def test_a_stay_has_a_length_exactly_where_there_was_an_admission() -> None:
    drawn = fitted(epsilon=50.0).sample(2000, seed=5)
    assert (drawn["length_of_stay"].isna() == (drawn["prior_admissions_12m"] == 0)).all()
    assert drawn["length_of_stay"].notna().any()


def test_a_prior_lends_how_columns_hang_together(tmp_path: Path) -> None:
    prior = example_features(3000, cases=0.3, seed=8)
    model = fitted(prior=prior, epsilon=8.0)
    drawn, alone = (one.sample(3000, {CASE: False}, seed=1) for one in (model, fitted(epsilon=8.0)))

    def together(rows: pd.DataFrame) -> float:
        return float(rows["age"].astype(float).corr(rows["systolic_bp"]))

    assert together(prior[~prior[CASE]]) > 0.35
    assert together(drawn) > 0.3
    assert abs(together(alone)) < 0.1
    assert model.parameters()["prior_rows"] == 3000
    model.save(tmp_path)
    pd.testing.assert_frame_equal(
        Private.load(tmp_path).sample(50, {CASE: True}, seed=1), model.sample(50, {CASE: True}, seed=1)
    )


def test_patients_are_believed_more_than_a_prior_when_the_budget_is_large() -> None:
    prior = example_features(1000, cases=0.3, seed=8)
    real = SCHEMA.conform(example_features(2000, cases=0.3).assign(heart_rate=lambda rows: rows["heart_rate"] + 12))
    drawn = fitted(real, prior=prior, epsilon=50.0).sample(1000, {CASE: True}, seed=1)
    mean = {name: rows.loc[rows[CASE], "heart_rate"].mean() for name, rows in (("real", real), ("prior", prior))}
    assert mean["prior"] + 8 < drawn["heart_rate"].mean() < mean["real"] + 2


def test_a_prior_that_the_schema_does_not_permit_is_refused() -> None:
    with pytest.raises(UsageError, match="no simulated patient has a permitted value in every column"):
        fitted(prior=SCHEMA.conform(example_features(50).assign(sex="unheard of")))


def test_a_table_without_a_condition_is_one_class() -> None:
    schema = small_schema(feature("age", kind="count", minimum=0, maximum=120, nullable=True))
    rows = schema.conform(pd.DataFrame({"age": [30, 40, None, 50] * 100, "ill": [True, False, False, False] * 100}))
    drawn = fitted(rows, schema, epsilon=20.0).sample(2000, {"ill": True}, seed=1)
    assert drawn["ill"].all()
    assert drawn["age"].isna().mean() == pytest.approx(0.25, abs=0.07)
    assert drawn["age"].mean() == pytest.approx(40, abs=4)


def test_one_possible_value_is_a_level() -> None:
    schema = small_schema(feature("only", kind="count", minimum=1, maximum=1))
    rows = schema.conform(pd.DataFrame({"only": [1] * 40, "ill": [True, False] * 20}))
    assert fitted(rows, schema).sample(10, seed=1)["only"].eq(1).all()


def test_simulated_patients_part_what_few_of_them_have_from_what_most_have() -> None:
    schema = small_schema(feature("stays", kind="count", minimum=0, maximum=366))
    prior = schema.conform(pd.DataFrame({"stays": [0] * 900 + [1] * 60 + [2] * 30 + [7] * 10, "ill": False}))
    (stays, _) = public_levels(schema, None, prior, 1.0)
    assert stays.edges[:3] == (0.0, 1.0, 2.0)
    assert stays.edges[-1] == 366


@pytest.mark.parametrize("kind", ["number", "count"])
@pytest.mark.parametrize(("low", "high"), [(0.1, 500.0), (0.0, 366.0), (-5.0, 5.0), (0.0, 1.0), (2.0, 3.0)])
def test_levels_cover_their_bounds_without_gaps(kind: Any, low: float, high: float) -> None:
    schema = small_schema(feature("x", kind=kind, minimum=low, maximum=high))
    (levels, _) = public_levels(schema, None, None, 1.0)
    assert isinstance(levels, Levels)
    assert (levels.edges[0], levels.edges[-1]) == (low, high)
    assert (np.diff(levels.edges) > 0).all()
    codes = levels.codes(pd.Series([low - 9, low, (low + high) / 2, high, high + 9]))
    assert (np.diff(codes) >= 0).all()
    assert (codes.min(), codes.max()) == (0, levels.size - 1)
