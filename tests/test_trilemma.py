"""Measures, verdicts, self-test and report: each must be able to say PASS, FAIL and that it cannot tell."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from sklearn.metrics import average_precision_score, roc_auc_score

from fhirsynth.errors import EvaluateError, UsageError
from fhirsynth.schema import FeatureSchema
from fhirsynth.trilemma import Report, evaluate, selftest
from fhirsynth.trilemma.attributes import default_sensitive
from fhirsynth.trilemma.documents.datasheet import datasheet
from fhirsynth.trilemma.documents.modelcard import model_card
from fhirsynth.trilemma.documents.report import as_json
from fhirsynth.trilemma.fidelity import measure_fidelity
from fhirsynth.trilemma.intervals import auc, average_precision, bootstrap_curves, holm, stratified_auc, wilson
from fhirsynth.trilemma.measure import SCHEMA_VERSION, Measure, Pictures, at_least, at_most, worst
from fhirsynth.trilemma.page.render import page
from fhirsynth.trilemma.pairs import cramers_v
from fhirsynth.trilemma.privacy import measure_privacy
from fhirsynth.trilemma.samples import Samples, prepare
from fhirsynth.trilemma.utility import measure_utility
from tests.frames import example_features, example_schema

SCHEMA = example_schema()
CASE = "has_cystic_fibrosis"
FEW = ("age", "race", "spo2", "wbc", "has_diabetes", CASE)
"""Columns of the small comparisons: every kind but one, some with missing values."""

HOSTILE = "--><script>alert(1)</script>"
HOSTILE_TITLE = '"><img src=x onerror=alert(2)> &amp; $x_1$'

LITERAL = {
    "overall": {
        "auc_ratio",
        "membership_auc",
        "attribute_accuracy",
        "ks_columns_passing",
        "nearest_below_5th_percentile",
    },
    "rare": {
        "average_precision_ratio",
        "membership_auc",
        "attribute_accuracy",
        "ks_columns_passing",
        "nearest_below_5th_percentile",
    },
}


def some(schema: FeatureSchema, names: tuple[str, ...] = FEW) -> FeatureSchema:
    return schema.model_copy(update={"features": tuple(f for f in schema.features if f.name in names)})


def samples(
    synthetic: pd.DataFrame, *, rows: int = 450, holdout: int = 300, sensitive: tuple[str, ...] = ()
) -> Samples:
    return prepare(
        example_features(rows, seed=1), example_features(holdout, seed=2), synthetic, SCHEMA, None, sensitive, 0
    )


@pytest.fixture(scope="module")
def fresh() -> Samples:
    return samples(example_features(450, seed=3))


def with_synthetic(world: Samples, synthetic: pd.DataFrame) -> Samples:
    return replace(world, synthetic=synthetic[SCHEMA.columns].reset_index(drop=True))


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    draw = np.random.default_rng(5)
    return pd.DataFrame({name: frame[name].iloc[draw.permutation(len(frame))].reset_index(drop=True) for name in frame})


# ---------------------------------------------------------------- numbers


def test_auc_and_average_precision_agree_with_scikit_learn_on_ties() -> None:
    draw = np.random.default_rng(0)
    labels = draw.random(300) < 0.2
    scores = np.round(draw.random(300) + 0.3 * labels, 1)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores))


def test_bootstrap_curves_are_what_a_plain_bootstrap_gives() -> None:
    draw = np.random.default_rng(1)
    labels = draw.random(200) < 0.3
    scores = np.round(draw.random(200) + 0.4 * labels, 1)
    areas, precisions = bootstrap_curves(labels, [scores, scores], draw, 2000)
    assert np.array_equal(areas[0], areas[1])
    plain = []
    for _ in range(400):
        rows = np.concatenate([draw.choice(np.flatnonzero(side), side.sum()) for side in (labels, ~labels)])
        plain.append((auc(labels[rows], scores[rows]), average_precision(labels[rows], scores[rows])))
    expected = np.array(plain)
    for found, column in ((areas[0], 0), (precisions[0], 1)):
        assert found.mean() == pytest.approx(expected[:, column].mean(), abs=0.01)
        assert found.std() == pytest.approx(expected[:, column].std(), rel=0.2)


def test_stratified_auc_sees_no_signal_in_a_different_mix_of_strata() -> None:
    draw = np.random.default_rng(2)
    member = np.repeat([True, False], 400)
    strata = np.concatenate([draw.random(400) < 0.8, draw.random(400) < 0.2])
    scores = draw.random(800) + 3 * strata
    assert auc(member, scores) > 0.7
    result = stratified_auc(member, scores, strata, draw)
    assert result is not None
    assert result.low < 0.5 < result.high
    assert result.p > 0.01
    assert stratified_auc(member, scores, ~member, draw) is None


def test_wilson_interval() -> None:
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    low, high = wilson(0, 20)
    assert low == 0
    assert 0.1 < high < 0.2
    assert wilson(0, 0) == (0.0, 1.0)


def test_holm_is_monotone_and_bounded() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.9])) == pytest.approx([0.04, 0.09, 0.09, 0.9])


def test_cramers_v_of_independence_and_of_identity() -> None:
    assert cramers_v(np.full((3, 3), 50.0)) == 0
    assert cramers_v(np.eye(3) * 50) == pytest.approx(1, abs=1e-9)
    assert cramers_v(np.array([[10.0, 20.0]])) == 0


# ---------------------------------------------------------------- verdicts


def test_an_interval_across_the_bound_is_underpowered() -> None:
    assert [at_least(*ends, 0.8) for ends in ((0.8, 0.9), (0.7, 0.79), (0.7, 0.9))] == ["PASS", "FAIL", "UNDERPOWERED"]
    assert [at_most(*ends, 0.8) for ends in ((0.7, 0.8), (0.81, 0.9), (0.7, 0.9))] == ["PASS", "FAIL", "UNDERPOWERED"]


def test_the_worst_verdict_counts_and_nothing_is_no_pass() -> None:
    assert worst(["PASS", "UNDERPOWERED", "FAIL"]) == "FAIL"
    assert worst(["PASS", "UNDERPOWERED"]) == "UNDERPOWERED"
    assert worst(["PASS", "PASS"]) == "PASS"
    assert worst([]) == "UNDERPOWERED"


# ---------------------------------------------------------------- measures


@pytest.mark.slow
def test_a_fresh_draw_fails_nothing(fresh: Samples) -> None:
    sensitive = default_sensitive(fresh)
    assert len(sensitive) >= 3
    assert measure_privacy(fresh, "overall", sensitive).verdict != "FAIL"
    assert measure_privacy(fresh, "rare", sensitive).verdict != "FAIL"
    assert measure_fidelity(fresh, "overall").verdict != "FAIL"
    assert measure_fidelity(fresh, "rare").verdict != "FAIL"
    assert measure_utility(fresh, "overall").verdict != "FAIL"


def test_the_training_data_themselves_fail_privacy(fresh: Samples) -> None:
    found = measure_privacy(with_synthetic(fresh, fresh.train), "overall", ("has_diabetes",))
    verdicts = {one.name: one.verdict for one in found.measures}
    assert verdicts["membership_auc"] == verdicts["copied_share"] == verdicts["exact_copies"] == "FAIL"
    assert "remembers" in found.sentence
    values = {one.name: one.value for one in found.measures}
    assert values["exact_copies"] == 1
    assert values["membership_auc"] > 0.99  # type: ignore[operator]


def test_a_fifth_of_copies_fails_privacy(fresh: Samples) -> None:
    mixed = pd.concat([fresh.synthetic.iloc[90:], fresh.train.iloc[:90]])
    assert measure_privacy(with_synthetic(fresh, mixed), "overall", ()).verdict == "FAIL"


def test_jittered_training_data_fail_privacy_without_an_exact_copy(fresh: Samples) -> None:
    draw, jittered = np.random.default_rng(4), fresh.train.copy()
    for name in ("systolic_bp", "heart_rate", "wbc"):
        jittered[name] += draw.normal(0, 0.05 * jittered[name].std(), len(jittered))
    found = measure_privacy(with_synthetic(fresh, jittered), "overall", ())
    assert found.verdict == "FAIL"
    assert next(one.value for one in found.measures if one.name == "exact_copies") == 0


def test_copies_of_cases_alone_are_seen_overall_and_in_the_cohort(fresh: Samples) -> None:
    copied = with_synthetic(fresh, fresh.train[fresh.cases(fresh.train)])
    assert measure_privacy(copied, "overall", ()).verdict == "FAIL"
    assert measure_privacy(copied, "rare", ()).verdict == "FAIL"


def test_no_record_beyond_bins_leaves_the_distances(fresh: Samples) -> None:
    found = measure_privacy(fresh, "overall", ()).distances
    assert found is not None
    assert all(len(shares) == 25 and sum(shares) == pytest.approx(1, abs=0.01) for shares in found.series.values())


def test_shuffled_columns_fail_fidelity_by_their_pairs_only(fresh: Samples) -> None:
    few = replace(fresh, schema=some(SCHEMA, (*FEW, "systolic_bp", "hba1c", "hemoglobin")))
    found = measure_fidelity(with_synthetic(few, shuffled(fresh.train)), "overall")
    verdicts = {one.name: one.verdict for one in found.measures}
    assert verdicts["association_error"] == "FAIL"
    assert verdicts["marginal_distance"] == "PASS"
    assert "hang together" in found.sentence


def test_a_shifted_column_is_named_and_missing_values_count(fresh: Samples) -> None:
    moved = fresh.synthetic.assign(heart_rate=fresh.synthetic["heart_rate"] + 12, spo2=np.nan)
    found = measure_fidelity(with_synthetic(fresh, moved), "overall")
    title = SCHEMA["heart_rate"].title
    columns = {one.name: one for one in found.columns}
    assert [name for name, one in columns.items() if one.distance > one.band + 0.2] == ["heart_rate", "spo2"]
    assert columns["heart_rate"].p_holm < 0.001
    assert columns["spo2"].p_holm < 0.001
    assert title in found.sentence
    expected = ks_2samp(fresh.holdout["heart_rate"].dropna(), moved["heart_rate"].dropna()).statistic
    assert columns["heart_rate"].distance == pytest.approx(expected, abs=0.02)


def test_permuted_labels_fail_utility(fresh: Samples) -> None:
    draw = np.random.default_rng(6)
    labels = pd.Series(draw.permutation(fresh.synthetic[CASE].to_numpy(dtype=bool)), dtype="boolean")
    found = measure_utility(with_synthetic(fresh, fresh.synthetic.assign(**{CASE: labels})), "overall")
    assert found.verdict == "FAIL"
    assert "less than real ones" in found.sentence


def test_the_ratio_as_written_passes_noise_that_the_calibrated_verdict_refuses() -> None:
    draw = np.random.default_rng(7)
    frames = [example_features(300, seed=seed) for seed in (1, 2, 3)]
    for frame in frames:
        frame[CASE] = pd.Series(draw.permutation(frame[CASE].to_numpy(dtype=bool)), dtype="boolean")
    found = measure_utility(prepare(*frames, SCHEMA, None, (), 0), "overall")
    assert found.verdict == "UNDERPOWERED"
    assert "no signal" in found.sentence


# ---------------------------------------------------------------- too few


def test_three_cases_are_underpowered_never_a_pass() -> None:
    few = example_features(300, cases=0.01, seed=2)
    world = prepare(example_features(300, seed=1), few, example_features(300, seed=3), SCHEMA, None, (), 0)
    for found in (
        measure_utility(world, "overall"),
        measure_utility(world, "rare"),
        measure_privacy(world, "rare", ("has_diabetes",)),
        measure_fidelity(world, "rare"),
    ):
        assert found.verdict == "UNDERPOWERED"
        assert "3" in found.sentence
        assert [one.value for one in found.measures] == [None] * len(found.measures)


def test_twenty_members_are_underpowered_with_the_effect_that_would_have_been_noticed() -> None:
    world = prepare(
        example_features(20, seed=1), example_features(20, seed=2), example_features(20, seed=3), SCHEMA, None, (), 0
    )
    found = measure_privacy(world, "overall", ())
    assert found.verdict == "UNDERPOWERED"
    area = next(one for one in found.measures if one.name == "membership_auc")
    assert area.detectable is not None
    assert area.detectable > 0.7
    assert f"{area.detectable:.2f}" in found.sentence


def test_few_rows_never_pass_privacy_by_luck() -> None:
    """Of twelve samples of 24 members, some look less familiar than strangers do; none of them is a pass."""
    for seed in range(12):
        frames = [example_features(24, seed=3 * seed + part) for part in range(3)]
        world = prepare(*frames, SCHEMA, None, (), 0)
        found = {one.name: one for one in measure_privacy(world, "overall", ()).measures}
        assert found["membership_auc"].verdict != "PASS"
    assert measure_privacy(replace(world, synthetic=world.synthetic.head(10)), "overall", ()).verdict != "PASS"


# ---------------------------------------------------------------- bad input


def test_a_frame_without_a_column_is_named() -> None:
    rows = example_features(30)
    with pytest.raises(UsageError, match=r"holdout: lacks the columns wbc"):
        prepare(rows, rows.drop(columns="wbc"), rows, SCHEMA, None, (), 0)


def test_a_target_that_is_no_flag_is_refused() -> None:
    rows = example_features(30)
    with pytest.raises(UsageError, match="target 'age' is a count"):
        prepare(rows, rows, rows, SCHEMA, "age", (), 0)


def test_unknown_sensitive_columns_are_refused() -> None:
    rows = example_features(30)
    with pytest.raises(UsageError, match="no feature 'income'"):
        prepare(rows, rows, rows, SCHEMA, None, ("income",), 0)


def test_a_value_that_its_column_cannot_hold_is_named() -> None:
    rows = example_features(30)
    with pytest.raises(EvaluateError, match="synthetic, column age: is not a count"):
        prepare(rows, rows, rows.assign(age="old"), SCHEMA, None, (), 0)


def test_three_rows_are_refused() -> None:
    rows = example_features(30)
    with pytest.raises(EvaluateError, match="synthetic: has 3 rows"):
        prepare(rows, rows, rows.head(3), SCHEMA, None, (), 0)


# ---------------------------------------------------------------- self-test


@pytest.mark.slow
def test_controls_that_misbehave_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    world = prepare(
        *(example_features(80, seed=seed)[["patient_id", *FEW]] for seed in (1, 2, 3)), some(SCHEMA), None, (), 0
    )
    blind = replace(measure_privacy(world, "overall", ()), verdict="PASS")
    monkeypatch.setattr(selftest, "measure_privacy", lambda *_: blind)
    controls = {one.name: one for one in selftest.self_test(world, ())}
    assert not controls["The training data as synthetic data"].ok
    assert controls["Half of the holdout as synthetic data"].ok
    alarmed = replace(blind, verdict="FAIL")
    monkeypatch.setattr(selftest, "measure_privacy", lambda *_: alarmed)
    assert not {one.name: one.ok for one in selftest.self_test(world, ())}["Half of the holdout as synthetic data"]


def test_every_control_answers_as_it_must(hostile: Report) -> None:
    assert [one.name for one in hostile.controls if not one.ok] == []
    assert len(hostile.controls) == 6


# ---------------------------------------------------------------- the report


@pytest.fixture(scope="module")
def hostile() -> Report:
    """A report about cases only, with markup in category values and in titles."""
    frames = [example_features(160, seed=seed) for seed in (1, 2, 3)]
    frames[2] = frames[2][frames[2][CASE]]
    for frame in frames:
        frame["race"] = frame["race"].replace({"black": HOSTILE})
    features = tuple(
        feature.model_copy(
            update={"categories": (), "title": HOSTILE_TITLE if feature.name in ("race", CASE) else feature.title}
        )
        for feature in some(SCHEMA).features
    )
    schema = SCHEMA.model_copy(update={"features": features})
    return evaluate(*(frame[["patient_id", *FEW]] for frame in frames), schema, sensitive=("race",), seed=4)


FULL: dict[str, Any] = {
    "run_id": f"run-{HOSTILE}",
    "generated": {"spec": {"population": 400, "seed": 7, "state": "<b>Ohio</b>"}, "kept": 400},
    "tables": {"skipped": {"observations": {"unit <i>": 3}}},
    "synthetic": {
        "model": {"name": "ctgan", "version": "1.36", "parameters": {"epochs": 40}, "seed": 7},
        "train_sha256": "ab" * 32,
        "rejected": 12,
    },
    "bundles": {"counts": {"Patient": 40}},
}


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in ("src", "xlink:href", "data")]


@pytest.mark.parametrize("provenance", [pytest.param({}, id="empty", marks=pytest.mark.slow), FULL])
def test_hostile_text_is_only_text_in_the_page(hostile: Report, provenance: dict[str, Any]) -> None:
    text = page(hostile, provenance)
    tags = _Tags()
    tags.feed(text)
    assert not tags.seen & {"script", "img", "iframe", "object", "embed", "link", "foreignobject"}
    assert not any(name.startswith("on") for name in tags.attributes)
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in tags.addresses)
    assert "&lt;script&gt;" in text
    assert text.count("<svg") >= 4


def test_page_says_invalid_at_the_top_when_a_control_misbehaved(hostile: Report) -> None:
    bare = hostile.model_copy(update={"pictures": Pictures(cohort="rare")})
    assert '<p class="invalid">' not in page(bare.model_copy(update={"valid": True}), {})
    text = page(bare.model_copy(update={"valid": False}), {})
    assert text.index("INVALID") < text.index('class="verdicts"')
    assert "INVALID" in datasheet(hostile.model_copy(update={"valid": False}), {})


def test_the_five_targets_stand_there_literally_overall_and_for_the_cohort(hostile: Report) -> None:
    for cohort, names in LITERAL.items():
        found = [one for one in hostile.literal() if one.cohort == cohort]
        assert {re.sub("_(logistic|boosting)$", "", one.name) for one in found} == names
        for one in found:
            _whole(one)


def _whole(one: Measure) -> None:
    assert one.value is not None, one.name
    assert one.low is not None
    assert one.high is not None
    assert one.low <= one.value <= one.high
    assert one.n > 0
    assert one.met is not None
    assert one.target
    assert one.calibrated in ("PASS", "FAIL", "UNDERPOWERED")
    assert one.misleads.endswith(".")


def test_report_json_has_version_validity_and_verdicts_on_top(hostile: Report) -> None:
    body = as_json(hostile, {"run_id": "r1"})
    assert body["schema_version"] == SCHEMA_VERSION
    assert body["valid"] in (True, False)
    assert set(body["verdicts"]) == {"utility", "privacy", "fidelity"}
    assert set(body["verdicts"].values()) <= {"PASS", "FAIL", "UNDERPOWERED"}
    assert body["run_id"] == "r1"


def test_cases_only_are_judged_in_every_dimension(hostile: Report) -> None:
    assert hostile.sizes.synthetic == hostile.sizes.synthetic_cases == 40
    assert "only patients with the condition" in hostile.composition
    assert hostile.pictures.cohort == "rare"
    assert {(one.dimension, one.cohort) for one in hostile.findings} == {
        (dimension, cohort) for dimension in ("utility", "privacy", "fidelity") for cohort in ("overall", "rare")
    }


@pytest.mark.parametrize("provenance", [{}, FULL], ids=["empty", "full"])
def test_datasheet_and_model_card(hostile: Report, provenance: dict[str, Any]) -> None:
    text, card = datasheet(hostile, provenance), model_card(hostile, provenance)
    assert "<script>" not in text
    assert not re.search(r"\b(None|nan)\b", text)
    assert "not the risk of any patient" in card["privacy_figures"]
    if provenance:
        assert card["generator"]["name"] == "ctgan"
        assert card["seed"] == 7
        assert card["training_data_sha256"] == {"train_sha256": "ab" * 32}
        assert "simulated with Synthea" in text
    else:
        assert card["generator"] is None
        assert "not recorded" in text


@pytest.mark.slow
def test_same_seed_same_report_and_another_seed_another() -> None:
    frames = [example_features(120, seed=seed)[["patient_id", *FEW]] for seed in (1, 2, 3)]
    reports = [evaluate(*frames, some(SCHEMA), seed=seed) for seed in (3, 3, 4)]
    assert page(reports[0], {}) == page(reports[1], {})
    assert as_json(reports[0], {}) == as_json(reports[1], {})
    assert as_json(reports[0], {})["measures"] != as_json(reports[2], {})["measures"]


@pytest.mark.slow
def test_weights_tell_of_the_natural_population(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhirsynth.trilemma.judging.self_test", lambda *_: ())
    schema, flag = some(SCHEMA), CASE
    train, holdout, made = (example_features(200, seed=seed)[["patient_id", *FEW]] for seed in (1, 2, 3))
    plain = evaluate(train, holdout, made, schema, seed=1)
    assert plain.natural == ()
    weighted = [
        frame.assign(weight=np.where(frame[flag].fillna(False).astype(bool), 0.001, 1.0)) for frame in (train, holdout)
    ]
    report = evaluate(*weighted, made, schema, seed=1)
    (share,) = [one for one in report.natural if one.name == flag]
    assert share.natural < 0.01 < share.cohort
    natural = [one for one in report.measures if one.name.startswith("average_precision_natural")]
    assert len(natural) == 2
    assert all(one.verdict is None and one.baseline is not None and one.baseline < 0.01 for one in natural)
    assert [one for one in report.measures if one not in natural] == list(plain.measures)
