"""Augmentation uplift: real cases help, meaningless ones do not, and nothing of the holdout is used before the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from fhirsynth.errors import EvaluateError, UsageError
from fhirsynth.trilemma.encode import Encoder, flags
from fhirsynth.trilemma.learning import fit
from fhirsynth.trilemma.measure import Estimate, Uplift
from fhirsynth.trilemma.samples import Samples, prepare
from fhirsynth.trilemma.uplift import trial, uplift
from fhirsynth.trilemma.uplift.arms import RATIOS, build_arms, interpolated, repeated
from fhirsynth.trilemma.uplift.trial import Bench, Task, log_odds
from fhirsynth.trilemma.uplift.uplift import measure_uplift
from fhirsynth.trilemma.uplift.words import Facts, sentence
from fhirsynth.trilemma.weighted import STEEPEST, calibration, ranking, redraw, slope
from tests.frames import example_features, example_schema

CASE = "has_cystic_fibrosis"
NUMBERS = [feature.name for feature in example_schema().of_kind("number")]
SCHEMA = example_schema().model_copy(
    update={
        "features": tuple(
            feature
            for feature in example_schema().features
            if feature.name in {*NUMBERS, "ed_visits_12m", "race", "has_chf", CASE}
        )
    }
)


def patients(rows: int, cases: int, seed: int, shift: float = 0.6) -> pd.DataFrame:
    """Cases lie a little higher in every number: a dozen of them are too few to tell how much."""
    frame = example_features(rows, cases / rows, seed)
    draw = np.random.default_rng(seed + 1000)
    for name in NUMBERS:
        values = 100 + 10 * (draw.normal(size=rows) + shift * flags(frame[CASE]))
        frame[name] = np.where(draw.random(rows) < 0.1, np.nan, values) if name == "spo2" else values
    frame["ed_visits_12m"] = pd.array(draw.poisson(1, rows), dtype="Int64")
    return SCHEMA.conform(frame)


def world(holdout: int = 1200, cases: int = 16) -> Samples:
    made = patients(300, 150, 3)
    return prepare(patients(200, cases, 1), patients(holdout, holdout // 5, 2), made, SCHEMA, None, (), 0)


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if "slow" not in request.keywords:
            patch.setattr(uplift, "DRAWS", 200)
            patch.setattr(trial, "REPEATS", 1)
            patch.setattr(trial, "SEEDS", 2)
        yield


@pytest.fixture(scope="module")
def small() -> Samples:
    return world(150)


@pytest.fixture(scope="module")
def told() -> Uplift:
    """Opposed cases from a generator, and real ones beside them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uplift, "DRAWS", 200)
        patch.setattr(trial, "SEEDS", 2)
        opposed = patients(300, 150, 4, shift=-0.6)
        return measure_uplift(
            world(), {"opposed": opposed, "fresh": patients(300, 150, 5)}, oracle=patients(300, 150, 6)
        )


def arm(result: Uplift, name: str) -> Any:
    return next(one for one in result.arms if one.name == name)


def test_real_cases_help_and_relabelled_rows_do_not(told: Uplift) -> None:
    assert arm(told, "oracle").gain.low > 0
    assert arm(told, "permuted").gain.low <= 0
    assert arm(told, "permuted").gain.value < arm(told, "oracle").gain.value / 2
    assert arm(told, "oracle").gap_closed == Estimate(value=1, low=1, high=1)
    assert arm(told, "opposed").gap_closed.value < 0 < arm(told, "fresh").gap_closed.value
    assert [one.name for one in told.arms] == [
        *("none", "weights", "oversampling", "smote", "opposed", "fresh", "oracle", "permuted")
    ]


def test_harm_is_said_as_plainly_as_a_gain(told: Uplift) -> None:
    assert arm(told, "opposed").gain.high < 0
    assert " (opposed) to 16 real ones did harm: average precision " in told.sentence
    assert "further real cases 0." in told.sentence
    better = next(note for note in told.notes if "better to add nothing" in note)
    assert "Synthetic cases (opposed)" in better
    assert "oracle" not in better


def test_a_gain_is_one_of_average_precision(told: Uplift) -> None:
    alone = arm(told, "none")
    assert alone.gain is None
    for one in (arm(told, other.name) for other in told.arms[1:]):
        assert one.gain.value == pytest.approx(one.auprc.value - alone.auprc.value)
        assert one.gain.low <= one.gain.value <= one.gain.high
        # Paired: the same patients decide both, so the difference is known better than either.
        if one.name == "weights":
            assert one.gain.high - one.gain.low < (one.auprc.high - one.auprc.low) / 2


def test_the_curve_begins_with_none_added_and_holds_the_chosen_ratios(told: Uplift) -> None:
    points = {(one.arm, one.ratio): one for one in told.curve}
    for one in told.arms:
        if one.name not in {"none", "weights"}:
            assert [ratio for name, ratio in points if name == one.name] == [0, *RATIOS]
            assert points[one.name, 0].auprc == arm(told, "none").auprc.value
            assert points[one.name, one.ratio].auprc == one.auprc.value
            assert one.ratio > 0


def test_a_generator_of_noise_does_not_help() -> None:
    noise = patients(300, 150, 7, shift=0.0)
    result = measure_uplift(world(400), {"noise": noise})
    assert arm(result, "noise").gain.low <= 0
    assert "did not help" in result.sentence or "did harm" in result.sentence
    assert arm(result, "noise").gap_closed is None


def test_ratios_are_chosen_without_the_holdout(small: Samples) -> None:
    draw = np.random.default_rng(0)
    labels = small.holdout[CASE].iloc[draw.permutation(len(small.holdout))].reset_index(drop=True)
    blind = replace(small, holdout=small.holdout.assign(**{CASE: labels}))
    first, second = (measure_uplift(one, {"made": small.synthetic}) for one in (small, blind))
    assert [one.ratio for one in first.arms] == [one.ratio for one in second.arms]
    assert first.model == second.model
    assert arm(second, "none").auroc.value < arm(first, "none").auroc.value - 0.1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_result(small: Samples) -> None:
    seen: list[tuple[int, int | None]] = []
    first = measure_uplift(
        small, {"made": small.synthetic}, progress=lambda done, total=None, note="": seen.append((done, total))
    )
    assert first == measure_uplift(small, {"made": small.synthetic})
    assert first != measure_uplift(replace(small, seed=1), {"made": small.synthetic})
    total = seen[0][1]
    assert seen == [(done, total) for done in range(len(seen))]
    assert seen[-1][0] == total


def test_weights_restore_the_natural_prevalence(small: Samples) -> None:
    labels = flags(small.holdout[CASE])
    weights = np.where(labels, 0.1, 1.0) * np.random.default_rng(0).uniform(0.5, 1.5, len(labels))
    result = measure_uplift(small, {"made": small.synthetic}, weights=weights)
    encoder = Encoder.fit(small.train, SCHEMA, skip={CASE})
    model = {"Logistic regression": "logistic", "Gradient boosting": "boosting"}[result.model]
    fitted = fit(model, encoder.transform(small.train), flags(small.train[CASE]), small.seed)
    scores = fitted.decision_function(encoder.transform(small.holdout))
    expected = average_precision_score(labels, scores, sample_weight=weights)
    # Rows are in another order here, which changes the last digits of the fit.
    assert arm(result, "none").auprc.value == pytest.approx(expected, abs=1e-3)
    assert arm(result, "none").auprc.value < average_precision_score(labels, scores) - 0.1
    assert result.prevalence == pytest.approx(weights[labels].sum() / weights.sum())
    assert "at the natural prevalence" in result.sentence


def test_ranking_is_that_of_scikit_learn() -> None:
    draw = np.random.default_rng(1)
    labels, scores = draw.random(200) < 0.3, np.round(draw.normal(size=200), 1)
    weights = draw.uniform(0.2, 3, (3, 200))
    found = ranking(labels, scores, weights, 0.9)
    for row in range(3):
        fpr, tpr, _ = roc_curve(labels, scores, sample_weight=weights[row], drop_intermediate=False)
        expected = [
            roc_auc_score(labels, scores, sample_weight=weights[row]),
            average_precision_score(labels, scores, sample_weight=weights[row]),
            tpr[fpr <= 0.1 + 1e-9].max(),
        ]
        assert found[:, row] == pytest.approx(expected)


@pytest.mark.parametrize("steepness", [0.2, 1.0, 4.0])
def test_slope_is_that_of_an_unpenalised_regression(steepness: float) -> None:
    draw = np.random.default_rng(2)
    truth = np.where(draw.random(400) < 0.1, draw.normal(3, 1, 400), draw.normal(-3, 1, 400))
    labels, logits = draw.random(400) < expit(truth), truth / steepness
    weights = np.stack([np.ones(400), np.where(labels, 1e-3, 1.0)])
    clipped = np.clip(logits, -14, 14)[:, None]
    for found, weight in zip(slope(labels, logits, weights), weights, strict=True):
        model = LogisticRegression(C=1e10, tol=1e-8, max_iter=5000).fit(
            clipped, labels, sample_weight=weight / weight.mean()
        )
        assert found == pytest.approx(model.coef_[0, 0], rel=0.01)


def test_slope_does_not_depend_on_prevalence() -> None:
    draw = np.random.default_rng(3)
    logits = draw.normal(-2, 2, 300)
    labels, weights = draw.random(300) < expit(logits), draw.uniform(0.5, 2, (4, 300))
    assert slope(labels, logits + 3, weights) == pytest.approx(slope(labels, logits, weights), rel=1e-5)


def test_slope_has_a_bound_where_classes_are_apart_and_is_0_where_nothing_is_told() -> None:
    labels = np.array([False] * 5 + [True] * 5)
    weights = np.ones((1, 10))
    assert slope(labels, np.arange(10) / 10, weights) == pytest.approx(STEEPEST)
    assert slope(labels, np.zeros(10), weights) == pytest.approx(0)


def test_bootstrap_keeps_the_classes_and_the_weights() -> None:
    labels = np.arange(30) < 10
    blocks = list(redraw(labels, np.where(labels, 0.5, 2.0), 50, np.random.default_rng(0)))
    weights = np.vstack([block for _, block in blocks])
    assert weights.shape == (50, 30)
    assert weights[:, labels].sum(axis=1) == pytest.approx(5)
    assert weights[:, ~labels].sum(axis=1) == pytest.approx(40)


def test_predictions_after_oversampling_are_put_back_to_the_prevalence() -> None:
    samples = prepare(patients(3000, 300, 8), patients(3000, 300, 9), patients(20, 10, 3), SCHEMA, None, (), 0)
    task = Task.of(samples, None)
    bench = Bench.of(task, "logistic", task.train, task.holdout)
    cases = len(bench.positives)
    arms = [bench.score(), bench.score(np.tile(bench.features[:cases], (4, 1))), bench.score(balanced=True)]
    weights = np.ones((1, len(task.labels)))
    alone, repeated, balanced = (calibration(task.labels, one, log_odds(task.prior), weights)[:, 0] for one in arms)
    for brier, steep in (repeated, balanced):
        assert brier == pytest.approx(alone[0], abs=0.001)
        assert steep == pytest.approx(1, abs=0.1)
    skewed = calibration(task.labels, arms[1], log_odds(5 * cases / (5 * cases + 2700)), weights)[0, 0]
    assert skewed > alone[0] + 0.02


def test_smote_makes_whole_patients() -> None:
    frame = patients(200, 40, 10)
    frame["spo2"] = frame["spo2"].where(np.arange(200) % 2 == 0)
    cases = frame[flags(frame[CASE])]
    made = interpolated(SCHEMA)(cases, frame[~flags(frame[CASE])], np.random.default_rng(0))
    assert len(made) == 320
    assert dict(made.dtypes.astype(str)) == dict(cases[SCHEMA.columns].dtypes.astype(str))
    assert flags(made[CASE]).all()
    assert set(made["race"]) <= set(cases["race"])
    for name in (*NUMBERS, "ed_visits_12m"):
        assert made[name].min() >= cases[name].min()
        assert made[name].max() <= cases[name].max()
    assert not set(made["wbc"]) <= set(cases["wbc"])
    assert 0.2 < made["spo2"].isna().mean() < 0.8
    assert not made["wbc"].isna().any()


def test_what_is_made_in_the_inner_validation_comes_from_the_part_that_is_learned_from(small: Samples) -> None:
    task = Task.of(small, None)
    looked = []
    for learn, look in map(task.split, range(task.splits)):
        bench = Bench.of(task, "logistic", learn, look)
        assert not set(learn.index) & set(look.index)
        assert set(repeated(bench.positives, bench.negatives, np.random.default_rng(0)).index) <= set(learn.index)
        assert flags(look[CASE]).sum() in {5, 6}
        looked += list(look.index)
    assert sorted(looked) == sorted(small.train.index)


@pytest.mark.parametrize("kept", [{"race", "has_chf"}, {"wbc", "spo2"}])
def test_smote_of_one_kind_of_column(kept: set[str]) -> None:
    schema = SCHEMA.model_copy(update={"features": tuple(f for f in SCHEMA.features if f.name in kept)})
    frame = patients(100, 20, 11)
    cases = frame[flags(frame[CASE])]
    made = interpolated(schema)(cases, frame[~flags(frame[CASE])], np.random.default_rng(0))
    assert made.shape == (160, 2)
    assert list(made.columns) == schema.columns


def test_ratios_that_cannot_be_filled_are_left_out_and_said() -> None:
    train = patients(200, 16, 1)
    synthetic = {"few": patients(30, 20, 3), "fewer": patients(30, 3, 4)}
    made = build_arms(train, synthetic, None, SCHEMA, CASE)
    assert {one.name: one.ratios for one in made.arms}["few"] == (0.5, 1.0)
    assert made.generators == ("few",)
    assert any("(few): 20 positives fill ratios up to 1" in note for note in made.notes)
    assert any("(fewer): has 3 positives" in note and "no arm" in note for note in made.notes)


def test_no_row_of_a_pool_is_repeated() -> None:
    train = patients(200, 16, 1)
    labels = flags(train[CASE])
    made = build_arms(train, {"both": patients(90, 30, 3), "cases": patients(60, 60, 4)}, None, SCHEMA, CASE)
    for one in made.arms:
        if one.pool is not None and one.name not in {"oversampling", "smote"}:
            pool = one.pool(train[labels], train[~labels], np.random.default_rng(0))
            assert pool.index.is_unique
            assert len(pool) >= max(one.ratios) * 16


@pytest.mark.parametrize(("rows", "cases", "title"), [(300, 150, "labels permuted"), (150, 150, "real negatives")])
def test_the_control_is_made_of_rows_whose_label_means_nothing(rows: int, cases: int, title: str) -> None:
    train = patients(200, 16, 1)
    control = build_arms(train, {"made": patients(rows, cases, 3)}, None, SCHEMA, CASE).arms[-1]
    assert control.name == "permuted"
    assert title in control.title
    assert control.pool is not None
    pool = control.pool(train[flags(train[CASE])], train[~flags(train[CASE])], np.random.default_rng(0))
    assert len(pool) == 150
    share = flags(pool[CASE]).mean()
    assert share == 0 if rows == cases else 0.35 < share < 0.65


def test_too_few_cases_from_every_generator_is_a_sentence(small: Samples) -> None:
    result = measure_uplift(small, {"few": patients(30, 2, 3)})
    assert result.sentence.startswith("No generator made enough cases to be added to the 16 real ones")
    assert [one.name for one in result.arms] == ["none", "weights", "oversampling", "smote", "permuted"]


def test_a_small_holdout_lowers_the_specificity(small: Samples) -> None:
    few = replace(small, holdout=patients(70, 15, 12))
    result = measure_uplift(few, {"made": small.synthetic})
    assert result.specificity == 0.9
    assert any("specificity of 0.9: the 55 others" in note for note in result.notes)


@pytest.mark.parametrize(
    ("train", "holdout", "words"), [(9, 30, "the training rows hold 9"), (16, 9, "holdout holds 9")]
)
def test_too_few_cases_are_one_clear_line(small: Samples, train: int, holdout: int, words: str) -> None:
    poor = replace(small, train=patients(200, train, 1), holdout=patients(150, holdout, 2))
    with pytest.raises(EvaluateError, match=words) as caught:
        measure_uplift(poor, {"made": small.synthetic})
    assert "\n" not in str(caught.value)


def test_wrong_calls_are_refused(small: Samples) -> None:
    rows = {"made": small.synthetic}
    with pytest.raises(UsageError, match="no target"):
        measure_uplift(replace(small, target=None), rows)
    with pytest.raises(UsageError, match="no synthetic rows"):
        measure_uplift(small, {})
    with pytest.raises(UsageError, match="'smote' is the name of an arm"):
        measure_uplift(small, {"smote": small.synthetic})
    with pytest.raises(UsageError, match="'made': lack the columns wbc"):
        measure_uplift(small, {"made": small.synthetic.drop(columns="wbc")})
    for weights in (np.ones(3), np.full(150, np.nan), np.full(150, -1.0)):
        with pytest.raises(UsageError, match="weights must be 150 numbers"):
            measure_uplift(small, rows, weights=weights)
    with pytest.raises(EvaluateError, match="without of a weight above 0; 10 of each"):
        measure_uplift(small, rows, weights=np.where(flags(small.holdout[CASE]), 0.0, 1.0))


@pytest.mark.parametrize(
    ("gain", "control", "words", "doubted"),
    [
        ((0.05, 0.01, 0.09), (-0.02, -0.05, 0.01), "helped: ", False),
        ((0.05, 0.01, 0.09), (0.04, 0.01, 0.07), "helped: ", True),
        ((0.05, -0.01, 0.09), (0.04, 0.01, 0.07), "did not help by more than chance: ", False),
        ((-0.02, -0.06, 0.01), (0.0, 0.0, 0.0), "did not help: ", False),
        ((-0.05, -0.09, -0.01), (0.0, 0.0, 0.0), "did harm: ", False),
    ],
)
def test_words_follow_the_interval(
    told: Uplift, gain: tuple[float, ...], control: tuple[float, ...], words: str, doubted: bool
) -> None:
    changed = {"opposed": gain, "permuted": control}
    arms = tuple(
        one.model_copy(update={"gain": Estimate(**dict(zip(("value", "low", "high"), changed[one.name], strict=True)))})
        if one.name in changed
        else one
        for one in told.arms
    )
    facts = Facts(("opposed", "fresh"), (), {}, {}, 0.1, weighted=False)
    said = sentence(told.model_copy(update={"arms": arms}), facts)
    assert words in said
    assert ("label means nothing" in said) is doubted
    assert "synthetic cases of fresh 0." in said


@pytest.mark.slow
def test_a_generator_as_good_as_reality_closes_the_gap() -> None:
    result = measure_uplift(world(2000), {"fresh": patients(300, 150, 13)}, oracle=patients(300, 150, 14))
    assert " (fresh) to 16 real ones helped: " in result.sentence
    assert 0.6 < arm(result, "fresh").gap_closed.value < 1.4
    assert arm(result, "permuted").gain.low <= 0


@pytest.mark.slow
def test_intervals_hold_the_draw_of_what_is_added(small: Samples) -> None:
    """With one draw of the added rows for all, intervals are those of patients alone, and narrower."""
    wide = measure_uplift(small, {"made": small.synthetic})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "SEEDS", 1)
        narrow = measure_uplift(small, {"made": small.synthetic})
    widths = [arm(one, "made").gain.high - arm(one, "made").gain.low for one in (wide, narrow)]
    assert widths[0] > widths[1]
