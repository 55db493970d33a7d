"""Utility: figures that scikit-learn agrees with, intervals that know of two kinds of chance, one model for both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from fhirsynth.trilemma import utility
from fhirsynth.trilemma.intervals import Floats
from fhirsynth.trilemma.learning import MODELS, Learned, learn
from fhirsynth.trilemma.samples import Samples
from fhirsynth.trilemma.utility import measure_labels, measure_utility
from tests.plain import called, figure, normals, plain_samples


def patients(rows: int, seed: int, signal: float = 2.0) -> pd.DataFrame:
    """Four numbers, two of which say something about the flag; a third of the rows has it."""
    frame = normals(rows, 4, seed)
    chance = np.random.default_rng([seed, 1]).logistic(size=rows)
    return frame.assign(ill=signal * (frame["x0"] - 0.5 * frame["x1"]) + chance > 1)


@pytest.fixture(scope="module")
def samples() -> Samples:
    return plain_samples(patients(300, 1), patients(300, 2), patients(300, 3), target="ill")


@pytest.fixture(scope="module")
def learned(samples: Samples) -> Learned:
    return learn(samples)


@pytest.fixture(scope="module")
def judged(samples: Samples, learned: Learned) -> utility.Utility:
    return measure_labels(samples, learned.real)


def width(found: utility.Utility, name: str) -> float:
    one = called(found.measures, name)
    assert one.low is not None
    assert one.high is not None
    return one.high - one.low


# ---------------------------------------------------------------- figures


@pytest.mark.parametrize("model", MODELS)
def test_figures_are_those_of_scikit_learn(judged: utility.Utility, learned: Learned, model: str) -> None:
    found = judged
    assert found.learned is not None
    labels, scores = found.learned.labels, found.learned.synthetic[model]
    assert np.array_equal(scores, learned.synthetic[model])
    real = learned.real[model]
    assert figure(found.measures, f"average_precision_{model}") == pytest.approx(
        average_precision_score(labels, scores)
    )
    assert figure(found.measures, f"brier_{model}") == pytest.approx(brier_score_loss(labels, scores))
    assert f"Trained on real {brier_score_loss(labels, real):.3f}." in called(found.measures, f"brier_{model}").note
    areas = [float(roc_auc_score(labels, one)) for one in (scores, real)]
    assert figure(found.measures, f"auc_ratio_{model}") == pytest.approx(areas[0] / areas[1])
    assert figure(found.measures, f"signal_kept_{model}") == pytest.approx((areas[0] - 0.5) / (areas[1] - 0.5))


@pytest.mark.parametrize("model", MODELS)
def test_the_calibration_slope_is_that_of_a_regression_on_the_log_odds(
    judged: utility.Utility, learned: Learned, model: str
) -> None:
    found = called(judged.measures, f"calibration_slope_{model}")
    scores = learned.synthetic[model]
    plain = LogisticRegression(C=1e9, tol=1e-10).fit(logit(scores).reshape(-1, 1), learned.labels)
    assert found.value == pytest.approx(plain.coef_[0, 0], rel=1e-3)
    assert found.low is not None
    assert found.high is not None
    assert found.low < plain.coef_[0, 0] < found.high
    assert found.verdict is None


def test_boosting_is_too_sure_of_itself_and_the_slope_says_so(judged: utility.Utility) -> None:
    found = judged.measures
    assert figure(found, "calibration_slope_boosting") < 0.7 < figure(found, "calibration_slope_logistic")


def test_squeezed_probabilities_rank_alike_but_lose_in_brier_and_slope(
    samples: Samples, learned: Learned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an AUC cannot see: everybody is given almost the same probability, in the right order."""
    squeezed = {name: 0.9 + 0.05 * scores for name, scores in learned.synthetic.items()}
    monkeypatch.setattr(utility, "learn", lambda *_: replace(learned, synthetic=squeezed))
    found = measure_utility(samples, "overall").measures
    assert figure(found, "auc_ratio_logistic") == pytest.approx(
        roc_auc_score(learned.labels, learned.synthetic["logistic"])
        / roc_auc_score(learned.labels, learned.real["logistic"])
    )
    brier = called(found, "brier_logistic")
    assert brier.value is not None
    assert brier.value > 0.4
    assert figure(found, "calibration_slope_logistic") > 2


# ---------------------------------------------------------------- two kinds of chance


def test_which_rows_were_learned_from_widens_the_interval(
    samples: Samples, learned: Learned, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (learned.areas_spread > 0).all()
    assert (learned.precisions_spread > 0).all()
    monkeypatch.setattr(utility, "learn", lambda *_: learned)
    whole = measure_utility(samples, "overall")
    nothing = np.zeros_like(learned.areas_spread)
    monkeypatch.setattr(utility, "learn", lambda *_: replace(learned, areas_spread=nothing))
    patients_only = measure_utility(samples, "overall")
    for name in ("auc_ratio_logistic", "signal_kept_boosting"):
        assert width(whole, name) > 1.02 * width(patients_only, name)
        assert figure(whole.measures, name) == figure(patients_only.measures, name)


@pytest.mark.slow
def test_the_spread_over_halves_is_that_over_fresh_samples(samples: Samples, learned: Learned) -> None:
    """Refits on halves stand for other samples of the same source; six of them tell their spread to a third."""
    areas = []
    for seed in range(100, 130):
        other = replace(samples, synthetic=samples.schema.conform(patients(300, seed)))
        model = LogisticRegression(max_iter=5000).fit(_numbers(other.synthetic), other.synthetic["ill"].astype(bool))
        areas.append(roc_auc_score(learned.labels, model.predict_proba(_numbers(samples.holdout))[:, 1]))
    assert 0.4 < learned.areas_spread[0] / np.std(areas) < 2.5


def _numbers(frame: pd.DataFrame) -> Floats:
    return frame[["x0", "x1", "x2", "x3"]].to_numpy(dtype=np.float64)


def test_fewer_synthetic_rows_are_a_wider_interval(samples: Samples, learned: Learned) -> None:
    few = learn(replace(samples, synthetic=samples.synthetic.head(40)), learned.real)
    assert few.areas_spread[0] > 2 * learned.areas_spread[0]
    # The models that learned from real rows were known and are not learned again.
    assert np.array_equal(few.real["boosting"], learned.real["boosting"])


# ---------------------------------------------------------------- the rare cohort


def test_the_cohort_that_is_predicted_needs_no_models_of_its_own(
    samples: Samples, learned: Learned, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> Learned:
        raise AssertionError("learned again")

    monkeypatch.setattr(utility, "learn", never)
    found = measure_utility(samples, "rare", overall=learned)
    expected = [average_precision_score(learned.labels, one["logistic"]) for one in (learned.synthetic, learned.real)]
    ratio = called(found.measures, "average_precision_ratio_logistic")
    assert ratio.value == pytest.approx(expected[0] / expected[1])
    assert ratio.cohort == "rare"
    assert {one.name.rsplit("_", 1)[0] for one in found.measures} == {"average_precision_ratio", "signal_kept"}
    assert found.rocs == []


def test_another_target_is_learned_within_the_cohort(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Samples] = []

    def spy(asked: Samples, *_: object) -> Learned:
        seen.append(asked)
        raise KeyboardInterrupt

    monkeypatch.setattr(utility, "learn", spy)
    frames = [
        one.assign(other=(np.arange(300) % 3 == 0)) for one in (samples.train, samples.holdout, samples.synthetic)
    ]
    world = replace(plain_samples(*frames, target="ill"), cohort="other")
    with pytest.raises(KeyboardInterrupt):
        measure_utility(world, "rare")
    assert [len(frame) for frame in (seen[0].train, seen[0].holdout, seen[0].synthetic)] == [100, 100, 100]


def test_a_cohort_of_nine_is_underpowered_and_says_how_many_are_needed(samples: Samples) -> None:
    few = samples.holdout.drop(index=samples.holdout.index[samples.holdout["ill"]][9:]).reset_index(drop=True)
    found = measure_utility(replace(samples, holdout=few), "overall")
    assert found.verdict == "UNDERPOWERED"
    assert "9 patients with 'ill'" in found.sentence
    assert "10 of each are needed" in found.sentence
