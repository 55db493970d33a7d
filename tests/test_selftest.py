"""The self-test: a control that stays silent makes a report INVALID; what data cannot tell is not asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from fhirsynth.trilemma import Extras, evaluate, selftest
from fhirsynth.trilemma.fidelity import Fidelity, measure_fidelity
from fhirsynth.trilemma.measure import Cohort, Control, Measure, Verdict
from fhirsynth.trilemma.privacy import Privacy, measure_privacy
from fhirsynth.trilemma.samples import Samples
from fhirsynth.trilemma.selftest import CERTAIN, COPIED, self_test
from fhirsynth.trilemma.utility import Utility
from tests.plain import normals, plain_samples, plain_schema

COPY = "The training data as synthetic data"
JITTERED = "The training data with small noise on every number"
MIXED = "The same with a fifth replaced by training data"
HALF = "Half of the holdout as synthetic data"
ORACLE = "A fresh draw of the population as synthetic data"
SHUFFLED = "Training data with every column shuffled on its own"
PERMUTED = "Training data with permuted labels"


def tied(rows: int, seed: int) -> pd.DataFrame:
    """Six numbers with a common cause: dependent columns, records that lie far apart."""
    frame = normals(rows, 7, seed)
    return frame.drop(columns="x6").add(frame["x6"], axis=0)


def coins(rows: int, seed: int) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).random((rows, 3)) < 0.5, columns=["a", "b", "c"])


def ill(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(ill=frame["x0"] > 0.5)


@dataclass
class Seen:
    """What the controls were judged by: the synthetic rows of each call, by measure."""

    privacy: list[Samples]
    fidelity: list[Samples]
    utility: list[Samples]


def controls(
    monkeypatch: pytest.MonkeyPatch,
    samples: Samples,
    *,
    privacy: Verdict = "FAIL",
    fidelity: Verdict = "FAIL",
    utility: Verdict = "FAIL",
    detectable: float | None = 0.01,
    oracle: pd.DataFrame | None = None,
    together: bool = False,
) -> tuple[dict[str, Control], Seen]:
    """The controls of ``samples`` where the measures answer as told; ``together``: real associations, at a cost."""
    seen = Seen([], [], [])

    def judge_privacy(asked: Samples, cohort: Cohort, sensitive: Sequence[str]) -> Privacy:
        seen.privacy.append(asked)
        measure = Measure(
            name="copied_share",
            title="",
            dimension="privacy",
            cohort=cohort,
            value=0,
            n=1,
            target="",
            detectable=detectable,
        )
        return Privacy([measure], [], [], None, privacy, "")

    def judge_fidelity(asked: Samples, cohort: Cohort) -> Fidelity:
        seen.fidelity.append(asked)
        found = measure_fidelity(asked, cohort).association if together else None
        return Fidelity([], [], found, fidelity, "")

    def judge_utility(asked: Samples, *_: object) -> Utility:
        seen.utility.append(asked)
        return Utility([], [], utility, "")

    monkeypatch.setattr(selftest, "measure_privacy", judge_privacy)
    monkeypatch.setattr(selftest, "measure_fidelity", judge_fidelity)
    monkeypatch.setattr(selftest, "measure_utility", judge_utility)
    monkeypatch.setattr(selftest, "measure_labels", judge_utility)
    return {one.name: one for one in self_test(samples, (), None, oracle)}, seen


@pytest.fixture(scope="module")
def samples() -> Samples:
    return plain_samples(tied(80, 1), tied(80, 2), tied(80, 3))


@pytest.fixture(scope="module")
def labelled() -> Samples:
    return plain_samples(ill(tied(80, 1)), ill(tied(80, 2)), ill(tied(80, 3)), target="ill")


# ---------------------------------------------------------------- what is asked


@pytest.mark.parametrize(
    ("detectable", "strict", "strict_mixed"),
    [
        (COPIED / CERTAIN - 0.01, True, True),
        (COPIED / CERTAIN + 0.01, True, False),
        (1 / CERTAIN - 0.01, True, False),
        (1 / CERTAIN + 0.01, False, False),
        (None, False, False),
    ],
)
@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "UNDERPOWERED"])
def test_a_leak_must_be_found_where_the_sample_can_notice_it(
    monkeypatch: pytest.MonkeyPatch,
    samples: Samples,
    verdict: Verdict,
    detectable: float | None,
    strict: bool,
    strict_mixed: bool,
) -> None:
    found, _ = controls(monkeypatch, samples, privacy=verdict, detectable=detectable)
    for name, must_fail in ((COPY, strict), (JITTERED, strict), (MIXED, strict_mixed)):
        one = found[name]
        assert one.must == ("fail privacy" if must_fail else "fail privacy, or be UNDERPOWERED")
        assert one.ok == (verdict == "FAIL" or (verdict == "UNDERPOWERED" and not must_fail))
        assert one.got == {"privacy": verdict}
        assert (f"{detectable:.1%}" in one.note) if detectable is not None else (one.note == "")


def test_controls_hold_what_their_names_say(monkeypatch: pytest.MonkeyPatch, labelled: Samples) -> None:
    _, seen = controls(monkeypatch, labelled)
    jittered, copy, fresh, mixed = (one.synthetic for one in seen.privacy)
    assert copy.equals(labelled.train)
    assert not jittered["x0"].equals(labelled.train["x0"])
    gap = (jittered["x0"] - labelled.train["x0"]).std() / labelled.train["x0"].std()
    assert gap == pytest.approx(0.05, rel=0.4)
    assert jittered["ill"].equals(labelled.train["ill"])
    assert len(fresh) == len(mixed) == 40
    keys = set(labelled.train["x0"])
    assert not set(fresh["x0"]) & keys
    assert mixed["x0"].isin(keys).sum() == 8
    assert set(seen.privacy[2].holdout["x0"]).isdisjoint(fresh["x0"])
    shuffled, permuted = seen.utility[0].synthetic, seen.utility[1].synthetic
    assert sorted(shuffled["x0"]) == sorted(labelled.train["x0"])
    assert abs(shuffled["x0"].corr(shuffled["x1"])) < 0.3 < labelled.train["x0"].corr(labelled.train["x1"])
    assert permuted["x0"].equals(labelled.train["x0"])
    assert permuted["ill"].sum() == labelled.train["ill"].sum()
    assert not permuted["ill"].equals(labelled.train["ill"])


def test_a_holdout_too_small_to_divide_has_no_fresh_half(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = controls(monkeypatch, plain_samples(tied(80, 1), tied(19, 2), tied(80, 3)))
    assert list(found) == [COPY, JITTERED, SHUFFLED]


@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "UNDERPOWERED"])
def test_labels_that_mean_nothing_must_not_pass_utility(
    monkeypatch: pytest.MonkeyPatch, labelled: Samples, verdict: Verdict
) -> None:
    found, _ = controls(monkeypatch, labelled, utility=verdict)
    for name in (PERMUTED, SHUFFLED):
        assert found[name].got["utility"] == verdict
        assert found[name].ok == (verdict != "PASS")


# ---------------------------------------------------------------- what cannot be asked


def test_of_coarse_data_no_copy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    coarse = plain_samples(coins(80, 1), coins(80, 2), coins(80, 3))
    found, _ = controls(monkeypatch, coarse, privacy="PASS")
    for name in (COPY, JITTERED, MIXED):
        assert found[name].must == "nothing"
        assert found[name].ok
        assert found[name].note.startswith("100% of unseen patients equal a training row")


def test_noise_that_hides_whose_record_it_was_is_asked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single number: neighbours lie closer together than the noise moves anybody."""
    crowded = plain_samples(*(normals(200, 1, seed) for seed in (1, 2, 3)))
    found, _ = controls(monkeypatch, crowded, privacy="PASS")
    assert found[JITTERED].must == "nothing"
    assert found[JITTERED].ok
    assert "cannot be told whose it was" in found[JITTERED].note
    assert found[COPY].must == "fail privacy"
    assert not found[COPY].ok


def test_shuffling_independent_columns_changes_nothing_and_is_excused(monkeypatch: pytest.MonkeyPatch) -> None:
    loose = plain_samples(*(normals(150, 10, seed) for seed in (1, 2, 3)))
    found, _ = controls(monkeypatch, loose, fidelity="PASS", together=True)
    assert found[SHUFFLED].ok
    assert found[SHUFFLED].note.startswith("The real columns hang together no more than shuffled ones")


def test_shuffling_dependent_columns_must_be_seen(monkeypatch: pytest.MonkeyPatch, samples: Samples) -> None:
    for verdict in ("PASS", "FAIL"):
        found, _ = controls(monkeypatch, samples, fidelity=verdict, together=True)
        assert found[SHUFFLED].ok == (verdict != "PASS")
        assert found[SHUFFLED].note == ""
        assert found[SHUFFLED].must == "fail fidelity, or be UNDERPOWERED"


# ---------------------------------------------------------------- a fresh draw


def test_without_an_oracle_half_of_the_holdout_must_fail_nothing(
    monkeypatch: pytest.MonkeyPatch, labelled: Samples
) -> None:
    found, _ = controls(monkeypatch, labelled, privacy="UNDERPOWERED", fidelity="PASS")
    assert found[HALF].got == {"privacy": "UNDERPOWERED", "fidelity": "PASS"}
    assert found[HALF].ok
    found, _ = controls(monkeypatch, labelled, privacy="UNDERPOWERED", fidelity="FAIL")
    assert not found[HALF].ok


def test_an_oracle_is_judged_in_every_dimension_in_the_place_of_half_of_the_holdout(
    monkeypatch: pytest.MonkeyPatch, labelled: Samples
) -> None:
    oracle = labelled.schema.conform(ill(tied(60, 9)))
    found, seen = controls(
        monkeypatch,
        labelled,
        privacy="PASS",
        fidelity="PASS",
        utility="PASS",
        oracle=oracle,
    )
    assert HALF not in found
    assert found[ORACLE].got == {"utility": "PASS", "privacy": "PASS", "fidelity": "PASS"}
    assert found[ORACLE].ok
    assert found[ORACLE].note == "60 unseen real patients."
    assert seen.utility[2].synthetic.equals(oracle)
    fresh, mixed = seen.privacy[2:]
    assert fresh.synthetic.equals(oracle)
    assert fresh.holdout.equals(labelled.holdout)
    assert mixed.synthetic["x0"].isin(set(oracle["x0"])).sum() == 48
    assert mixed.synthetic["x0"].isin(set(labelled.train["x0"])).sum() == 12


def test_an_oracle_that_fails_utility_is_a_control_that_misbehaves(
    monkeypatch: pytest.MonkeyPatch, labelled: Samples
) -> None:
    oracle = labelled.schema.conform(ill(tied(60, 9)))
    found, _ = controls(
        monkeypatch,
        labelled,
        privacy="PASS",
        fidelity="PASS",
        utility="FAIL",
        oracle=oracle,
    )
    assert not found[ORACLE].ok


# ---------------------------------------------------------------- the report


@pytest.mark.parametrize(("silent", "valid"), [(False, True), (True, False)])
def test_a_control_that_stays_silent_makes_the_report_invalid(
    monkeypatch: pytest.MonkeyPatch, silent: bool, valid: bool
) -> None:
    train, holdout, made = (tied(60, seed) for seed in (1, 2, 3))

    def deaf(asked: Samples, cohort: Cohort, sensitive: Sequence[str]) -> Privacy:
        found = measure_privacy(asked, cohort, sensitive)
        return replace(found, verdict="PASS") if silent else found

    monkeypatch.setattr(selftest, "measure_privacy", deaf)
    report = evaluate(train, holdout, made, plain_schema(train))
    assert {one.name: one.ok for one in report.controls}[COPY] == (not silent)
    assert report.valid == valid


def test_an_oracle_is_handed_on_and_checked_like_every_frame() -> None:
    train, holdout, made = (tied(60, seed) for seed in (1, 2, 3))
    report = evaluate(train, holdout, made, plain_schema(train), extras=Extras(oracle=tied(70, 4)))
    (fresh,) = [one for one in report.controls if one.name == ORACLE]
    assert fresh.note == "70 unseen real patients."
    assert fresh.got["utility"] == "UNDERPOWERED"
    assert fresh.ok
