"""Trees one after the other: exact on what is asked for, and nobody's own numbers handed out."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirsynth.augment.cart import Cart
from fhirsynth.augment.sampling import matches
from fhirsynth.augment.trees import Coding, Given, Growth
from fhirsynth.constraints import ConstraintSet
from fhirsynth.errors import AugmentError, CohortError, Shortfall, UsageError
from fhirsynth.schema import ConditionFeature, Feature, FeatureSchema, Kind, Source
from fhirsynth.trilemma.privacy import measure_privacy
from fhirsynth.trilemma.samples import prepare
from synthea_bridge.progress import silent
from tests.frames import example_features, example_schema

SCHEMA = example_schema()
CASE = "has_cystic_fibrosis"


def fitted(frame: pd.DataFrame, schema: FeatureSchema = SCHEMA, seed: int = 3, **chosen: Any) -> Cart:
    model = Cart(**chosen)
    model.fit(frame, schema, seed=seed, steps=None, progress=silent)
    return model


def schema_of(kinds: dict[str, Kind], condition: str | None = None, **more: Any) -> FeatureSchema:
    source = Source(rule="derived")
    features = [
        Feature(name=name, title=name, kind=kind, nullable=True, decimals=9 if kind == "number" else 0, source=source)
        for name, kind in kinds.items()
    ]
    about = None if condition is None else ConditionFeature(slug=condition, name=condition, snomed="1", display="")
    return FeatureSchema(features=tuple(features), condition=about, index_date=date(2026, 1, 1), **more)


@pytest.fixture(scope="module")
def train() -> pd.DataFrame:
    return example_features(400, cases=0.25, seed=4)


@pytest.fixture(scope="module")
def model(train: pd.DataFrame) -> Cart:
    return fitted(train)


# ---------------------------------------------------------------- what is asked for


@pytest.mark.parametrize(
    "where",
    [
        {CASE: True},
        {CASE: False},
        {"sex": "female"},
        {"age": 41},
        {"heart_rate": 80},
        {"has_copd": np.True_, "age": np.int64(30)},
        {"race": "black", "spo2": 95.0, CASE: True},
        {"length_of_stay": 3.5},
        {"prior_admissions_12m": 2, "readmitted_30d": False, "sex": "male", CASE: True},
    ],
)
def test_what_is_asked_for_is_met_without_rejection(model: Cart, where: dict[str, Any]) -> None:
    rows = model.sample(60, where, seed=1)
    assert len(rows) == 60
    assert matches(rows, where).all()
    assert model.tally.unasked == 0
    assert (rows["length_of_stay"].isna() == (rows["prior_admissions_12m"] == 0)).all()


def test_what_is_asked_for_changes_the_columns_that_come_before_it(model: Cart, train: pd.DataFrame) -> None:
    sick, well = (model.sample(400, {CASE: flag}, seed=2) for flag in (True, False))
    ages = train.groupby(CASE)["age"].mean()
    assert sick["age"].mean() == pytest.approx(ages[True], abs=4)
    assert well["age"].mean() == pytest.approx(ages[False], abs=4)
    # HbA1c comes before diabetes in the schema; that it is raised has to be learned from diabetes all the same.
    diabetic = model.sample(300, {"has_diabetes": True}, seed=2)
    assert diabetic["hba1c"].min() > 6.3


@pytest.mark.parametrize(
    ("where", "error", "problem"),
    [
        ({"sex": "unknown"}, Shortfall, "no patient to learn from has sex = unknown"),
        ({"age": 119}, Shortfall, r"patients to learn from have age from \d+ to \d+, not 119"),
        (
            {"length_of_stay": 2.0, "prior_admissions_12m": 0},
            Shortfall,
            "is missing wherever prior_admissions_12m is 0",
        ),
        ({"sex": "robot"}, UsageError, "sex cannot be 'robot'; ask for one of: female, male"),
        ({"age": 130}, UsageError, "age cannot be 130; ask for a whole number and at least 0 and at most 120"),
        ({"age": 30.5}, UsageError, "age cannot be 30.5; ask for a whole number"),
        ({"age": True}, UsageError, "age cannot be True"),
        ({"spo2": None}, UsageError, "spo2 cannot be None"),
        ({"spo2": float("nan")}, UsageError, "spo2 cannot be nan"),
        ({"has_copd": 1}, UsageError, "has_copd cannot be 1; ask for True or False"),
        ({"shoe_size": 43}, UsageError, "there is no feature 'shoe_size'"),
    ],
)
def test_what_cannot_be_met_is_said_in_one_line(
    model: Cart, where: dict[str, Any], error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem) as raised:
        model.sample(5, where, seed=0)
    assert "\n" not in str(raised.value)


def test_contradictions_end_soon(model: Cart, train: pd.DataFrame) -> None:
    constraints = ConstraintSet.load().for_training(train)
    begun = time.monotonic()
    with pytest.raises(Shortfall, match="could make 0; constraints and what was asked for may contradict each other"):
        model.sample(
            20_000, {"hba1c": 8.0, "has_diabetes": False}, seed=0, keep=lambda rows: constraints.apply(rows)[0]
        )
    assert time.monotonic() - begun < 20
    assert len(model.sample(30, {"has_copd": True, "age": 1}, seed=0)) == 30


# ---------------------------------------------------------------- what is handed out


def columns_of(rows: int, seed: int = 0) -> tuple[pd.DataFrame, FeatureSchema]:
    """A continuous column, one with spikes at both ends, one that is missing for most cases, and the condition."""
    rng = np.random.default_rng(seed)
    case = rng.random(rows) < 0.3
    scale = np.clip(rng.normal(50, 40, rows), 0, 100)
    laboratory = np.where(rng.random(rows) < np.where(case, 0.8, 0.1), np.nan, rng.normal(5 + case, 1, rows))
    frame = pd.DataFrame({"x": rng.lognormal(0, 1, rows), "scale": scale, "laboratory": laboratory, "has_it": case})
    schema = schema_of({"x": "number", "scale": "number", "laboratory": "number", "has_it": "flag"}, "it")
    return schema.conform(frame), schema


def test_numbers_of_single_patients_are_not_handed_out() -> None:
    frame, schema = columns_of(500)
    made = fitted(frame, schema).sample(2000, seed=1)
    assert not set(made["x"]) & set(frame["x"])
    assert frame["x"].min() <= made["x"].min()
    assert made["x"].max() <= frame["x"].max()
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert (made["x"] < frame["x"].quantile(share)).mean() == pytest.approx(share, abs=0.05)
    verbatim = fitted(frame, schema, smoothing=0).sample(2000, seed=1)
    assert set(verbatim["x"]) <= set(frame["x"])


def test_spikes_stay_spikes_and_nothing_else_becomes_one() -> None:
    frame, schema = columns_of(500)
    made = fitted(frame, schema).sample(4000, seed=1)
    for end in (0.0, 100.0):
        assert (made["scale"] == end).mean() == pytest.approx((frame["scale"] == end).mean(), abs=0.03)
    between = made["scale"][made["scale"].between(0, 100, inclusive="neither")]
    assert between.value_counts().max() <= 2


def test_a_spike_of_few_cases_alone_stays_theirs() -> None:
    rng = np.random.default_rng(2)
    case = np.arange(1000) < 40
    x = np.where(case & (rng.random(1000) < 0.5), 6.6, rng.normal(6, 1, 1000))
    schema = schema_of({"x": "number", "has_it": "flag"}, "it")
    frame = schema.conform(pd.DataFrame({"x": x, "has_it": case}))
    model = fitted(frame, schema)
    share = (frame["x"][case] == 6.6).mean()
    assert (model.sample(1000, {"has_it": True}, seed=0)["x"] == 6.6).mean() == pytest.approx(share, abs=0.05)
    assert (model.sample(1000, {"has_it": False}, seed=0)["x"] == 6.6).sum() == 0


def test_what_is_missing_is_drawn_for_each_class() -> None:
    frame, schema = columns_of(500)
    model = fitted(frame, schema)
    for flag in (True, False):
        made = model.sample(1500, {"has_it": flag}, seed=1)["laboratory"]
        real = frame.loc[frame["has_it"] == flag, "laboratory"]
        assert made.isna().mean() == pytest.approx(real.isna().mean(), abs=0.03)
        assert made.mean() == pytest.approx(real.mean(), abs=0.3)


def test_columns_that_are_missing_together_stay_so() -> None:
    rng = np.random.default_rng(1)
    gone = rng.random(400) < 0.4
    frame = pd.DataFrame({name: np.where(gone, np.nan, rng.normal(0, 1, 400)) for name in ("a", "b")})
    schema = schema_of({"a": "number", "b": "number"})
    made = fitted(schema.conform(frame), schema).sample(500, seed=0)
    assert (made["a"].isna() == made["b"].isna()).all()


def grown(frame: pd.DataFrame, schema: FeatureSchema, growth: Growth) -> list[Given]:
    """The trees of all columns, each given those before, on everybody."""
    codings = {f.name: Coding.learn(frame[f.name], f) for f in schema.features}
    columns = {name: coding.encode(frame[name]) for name, coding in codings.items()}
    order = schema.columns
    return [Given.grow(name, order[:number], columns, codings, growth, seed=0) for number, name in enumerate(order)]


@pytest.mark.parametrize("floor", [5, 12])
def test_no_leaf_holds_fewer_patients_than_the_floor(train: pd.DataFrame, floor: int) -> None:
    for name, given_ in zip(SCHEMA.columns, grown(train, SCHEMA, Growth(floor, 0.0, 1.0)), strict=True):
        for leaves in (given_.gone, given_.value):
            assert leaves is None or leaves.count[leaves.count > 0].min() >= floor
        assert given_.value is not None
        assert given_.value.count.sum() == train[name].notna().sum()


def test_pruning_leaves_independent_columns_alone() -> None:
    rng = np.random.default_rng(0)
    names = [f"x{number}" for number in range(8)]
    schema = schema_of(dict.fromkeys(names, "number"))
    frame = pd.DataFrame({name: rng.normal(0, 1, 600) for name in names})
    frame["x7"] = np.where(frame["x0"] > 0, 5.0, 0.0) + rng.normal(0, 1, 600)
    pruned, whole = (
        [int((one.value.count > 0).sum()) for one in grown(frame, schema, Growth(5, penalty, 1.0)) if one.value]
        for penalty in (20.0, 0.0)
    )
    assert sum(pruned[:-1]) <= 8
    assert pruned[-1] >= 2
    assert min(whole[1:]) > 50


def test_few_cases_are_still_seen_among_many_others() -> None:
    frame = example_features(3625, cases=25 / 3625, seed=2)
    model = fitted(frame)
    sick, well = (model.sample(200, {CASE: flag}, seed=0) for flag in (True, False))
    assert sick["age"].mean() < 35 < 45 < well["age"].mean()
    assert sick["wbc"].mean() > well["wbc"].mean() + 1.5
    assert sick["spo2"].mean() < well["spo2"].mean() - 2


# ---------------------------------------------------------------- the rest


def test_the_same_seed_gives_the_same_rows_whatever_was_asked_before(train: pd.DataFrame, model: Cart) -> None:
    where = {"age": 20, "sex": "female"}
    rows = model.sample(40, where, seed=9)
    fresh = fitted(train)
    pd.testing.assert_frame_equal(fresh.sample(40, where, seed=9), rows)
    assert not fresh.sample(40, where, seed=10).equals(rows)


def test_a_saved_model_makes_the_same_rows_given_anything(model: Cart, tmp_path: Path) -> None:
    model.save(tmp_path)
    again = Cart.load(tmp_path)
    for where in (None, {CASE: True}, {"spo2": 96.0, "sex": "male"}):
        pd.testing.assert_frame_equal(again.sample(30, where, seed=2), model.sample(30, where, seed=2))
    assert again.parameters() == model.parameters()
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".parquet"}


def test_the_order_of_columns_can_be_chosen(train: pd.DataFrame) -> None:
    chosen = fitted(train, order=("spo2", "race"))
    assert chosen.parameters()["order"][:4] == [CASE, "spo2", "race", "age"]
    assert sorted(chosen.parameters()["order"]) == sorted(SCHEMA.columns)
    assert fitted(train).parameters()["order"][:2] == [CASE, "age"]
    with pytest.raises(UsageError, match="there is no feature 'height'"):
        fitted(train, order=("height",))


@pytest.mark.parametrize("chosen", [{"floor": 0}, {"smoothing": -1}, {"penalty": float("inf")}])
def test_settings_without_sense_are_refused(chosen: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"the model 'cart', {next(iter(chosen))}: input should be"):
        Cart(**chosen)


def test_three_hundred_categories_do_not_slow_it_down() -> None:
    rng = np.random.default_rng(0)
    code = rng.integers(0, 300, 3000)
    schema = schema_of({"ward": "category", "x": "number", "town": "category"})
    frame = schema.conform(
        pd.DataFrame(
            {
                "ward": [f"w{one}" for one in code],
                "x": np.where(code % 2, 100.0, 0.0) + rng.normal(0, 1, 3000),
                "town": [f"t{one}" for one in rng.integers(0, 300, 3000)],
            }
        )
    )
    begun = time.monotonic()
    model = fitted(frame, schema)
    made = model.sample(3000, seed=0)
    assert time.monotonic() - begun < 10
    assert set(made["ward"]) <= set(frame["ward"])
    assert made["ward"].nunique() > 280
    # Levels are ordered by what comes of them, so one split parts the odd wards from the even ones.
    odd = made["ward"].str[1:].astype(int) % 2 == 1
    assert ((made["x"] > 50) == odd).mean() > 0.95
    assert len(model.sample(20, {"town": frame["town"].iloc[0], "x": round(float(frame["x"].max()), 9)}, seed=0)) == 20


def test_too_few_rows_and_endless_numbers_are_refused(train: pd.DataFrame) -> None:
    with pytest.raises(CohortError, match="19 patients to learn from; cart needs at least 20"):
        fitted(train.head(19))
    with pytest.raises(AugmentError, match="column wbc holds numbers beyond 1e\\+15, or infinite ones"):
        fitted(train.assign(wbc=np.where(np.arange(len(train)) == 3, np.inf, train["wbc"])))


def test_a_definition_holds_where_hardly_anybody_was_admitted(train: pd.DataFrame) -> None:
    admitted = train.index[train["prior_admissions_12m"].eq(1) & train[CASE]][:2]
    others = ~train.index.isin(admitted)
    frame = train.assign(
        prior_admissions_12m=train["prior_admissions_12m"].mask(others, 0),
        length_of_stay=train["length_of_stay"].mask(others),
        readmitted_30d=False,
    )
    model = fitted(frame)
    for where in ({"prior_admissions_12m": 1}, {"prior_admissions_12m": 1, CASE: False}, {CASE: True}):
        made = model.sample(50, where, seed=0)
        assert (made["length_of_stay"].isna() == (made["prior_admissions_12m"] == 0)).all()


@pytest.mark.slow
def test_nothing_is_remembered_that_pruning_and_smoothing_should_forget() -> None:
    rows = example_features(1600, cases=0.25, seed=6)
    train, holdout = rows.iloc[:500], rows.iloc[500:]
    verdicts = {}
    models: dict[str, dict[str, Any]] = {"careful": {}, "verbatim": {"penalty": 0.0, "smoothing": 0.0, "floor": 1}}
    for name, chosen in models.items():
        made = fitted(train, **chosen).sample(500, seed=1)
        samples = prepare(train, holdout, made, SCHEMA, CASE, (), 0)
        verdicts[name] = {one.name: one.verdict for one in measure_privacy(samples, "overall", ()).measures}
    assert "FAIL" not in verdicts["careful"].values()
    assert verdicts["verbatim"]["membership_auc"] == "FAIL"


NUMBERS = st.none() | st.integers(-9, 9).map(float) | st.floats(-1e9, 1e9).map(lambda x: round(x, 3))
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    "number": NUMBERS,
    "count": st.none() | st.integers(0, 40),
    "flag": st.none() | st.booleans(),
    "category": st.none() | st.sampled_from(["", "a", "b", "ü <&>", "nan"]),
}


@st.composite
def wild(draw: st.DrawFn) -> tuple[pd.DataFrame, FeatureSchema]:
    """Columns of any kinds, some constant or missing for everybody, with a condition or without."""
    kinds = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=5))
    rows, columns = draw(st.integers(20, 45)), {f"c{number}": kind for number, kind in enumerate(kinds)}
    content: dict[str, list[Any]] = {
        name: [draw(VALUES[kind])] * rows
        if draw(st.booleans())
        else draw(st.lists(VALUES[kind], min_size=rows, max_size=rows))
        for name, kind in columns.items()
    }
    about = draw(st.booleans())
    if about:
        columns["has_it"] = "flag"
        content["has_it"] = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    schema = schema_of(columns, "it" if about else None)
    return schema.conform(
        pd.DataFrame({name: pd.Series(values, dtype="object") for name, values in content.items()})
    ), schema


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(wild(), st.data())
def test_any_table_gives_rows_of_its_kind_and_any_of_its_values_can_be_asked_for(
    table: tuple[pd.DataFrame, FeatureSchema], data: st.DataObject
) -> None:
    frame, schema = table
    model = fitted(frame, schema)
    row = frame.iloc[data.draw(st.integers(0, len(frame) - 1))]
    asked = data.draw(st.lists(st.sampled_from(schema.columns), unique=True))
    where = {name: row[name] for name in asked if not pd.isna(row[name])}
    made = model.sample(30, where, seed=1)
    assert len(made) == 30
    assert dict(made.dtypes.astype(str)) == schema.dtypes
    assert matches(made, where).all()
    for name in schema.columns:
        seen, given_ = frame[name].dropna(), made[name].dropna()
        assert len(seen) or given_.empty
        assert len(given_) == 30 or frame[name].isna().any()
        if schema[name].kind in {"flag", "category"}:
            assert given_.isin(seen).all()
        elif len(given_):
            assert seen.min() <= given_.min()
            assert given_.max() <= seen.max()
