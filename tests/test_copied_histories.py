"""Privacy of histories: copies and near copies of training patients are found, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from fhirsynth.trilemma.lives import copies
from fhirsynth.trilemma.lives.copies import likeness, measure_copies
from fhirsynth.trilemma.lives.histories import Histories, Lives
from fhirsynth.trilemma.measure import Measure
from fhirsynth.trilemma.privacy import measure_privacy
from tests.plain import normals, plain_samples
from tests.told import INDEX, joined, moved, names, of, save, told

REAL = 160


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lives, Lives]:
    """Holdout and training patients."""
    real = save(tmp_path_factory.mktemp("real"), told(REAL, 1))
    return Lives.read(real, names(0, 70)), Lives.read(real, names(70, REAL))


def judged(sides: tuple[Lives, Lives], folder: Path) -> dict[str, Measure]:
    found = measure_copies(Histories(sides[0], Lives.read(folder), sides[1]), index_date=INDEX, seed=1)
    assert all(one.ok for one in found.controls), found.controls
    return {one.name: one for one in found.measures}


@pytest.fixture(scope="module")
def mixed() -> tuple[Any, Any]:
    """Sixteen training patients, and 64 unseen ones: a fifth of 80 are copies."""
    return of(told(REAL, 1), set(names(70, 86)), "copy-"), told(64, 9, prefix="s")


def test_unseen_patients_fail_nothing(sides: tuple[Lives, Lives], tmp_path: Path) -> None:
    for seed in range(2, 8):
        found = judged(sides, save(tmp_path / str(seed), told(80, seed, prefix="s")))
        assert "FAIL" not in {one.verdict for one in found.values()}
        assert found["history_copies"].value == pytest.approx(0, abs=0.1)
    again = judged(sides, tmp_path / "7")
    assert again == found


def test_a_fifth_of_copies_fails(sides: tuple[Lives, Lives], tmp_path: Path, mixed: tuple[Any, Any]) -> None:
    found = judged(sides, save(tmp_path, joined(*mixed)))
    copied = found["history_copies"]
    assert copied.verdict == "FAIL"
    assert copied.value == pytest.approx(0.2, abs=0.06)
    assert copied.p is not None
    assert copied.p < 0.0025


def test_near_copies_fail(sides: tuple[Lives, Lives], tmp_path: Path, mixed: tuple[Any, Any]) -> None:
    """Every time is moved a little and a tenth of the procedures is gone; the codes are mostly as they were."""
    found = judged(sides, save(tmp_path, joined(moved(mixed[0], 0.01), mixed[1])))
    assert found["history_copies"].verdict == "FAIL"


def test_copies_of_holdout_patients_are_no_leak(sides: tuple[Lives, Lives], tmp_path: Path) -> None:
    """They were not learned from, so nothing was remembered."""
    unseen = of(told(REAL, 1), set(names(0, 16)), "copy-")
    found = judged(sides, save(tmp_path, joined(unseen, told(64, 9, prefix="s"))))
    assert "FAIL" not in {one.verdict for one in found.values()}


def test_all_of_the_training_data_fail_both_ways(sides: tuple[Lives, Lives]) -> None:
    found = measure_copies(Histories(sides[0], sides[1], sides[1]), index_date=INDEX, seed=1)
    assert {one.verdict for one in found.measures} == {"FAIL"}
    assert found.measures[0].value == pytest.approx(1, abs=0.01)
    assert found.measures[1].value == 1


def test_the_controls_say_whether_copies_would_be_noticed(sides: tuple[Lives, Lives], tmp_path: Path) -> None:
    made = Lives.read(save(tmp_path, told(80, 2, prefix="s")))
    half, mixed_ = measure_copies(Histories(sides[0], made, sides[1]), index_date=INDEX, seed=1).controls
    assert (half.must, half.ok) == ("fail nothing", True)
    assert mixed_.must.startswith("fail privacy")
    assert (mixed_.got, mixed_.ok) == ({"privacy": "FAIL"}, True)


def test_a_silent_measure_is_seen_by_its_control(
    sides: tuple[Lives, Lives], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If nothing is ever a leak, the control that holds copies does not answer as it must."""
    monkeypatch.setattr(copies, "leak_verdict", lambda *_: "PASS")
    monkeypatch.setattr(copies, "AUC_FAIL", 1.1)
    monkeypatch.setattr(copies, "AUC_PASS", 1.1)
    made = Lives.read(save(tmp_path, told(80, 2, prefix="s")))
    controls = measure_copies(Histories(sides[0], made, sides[1]), index_date=INDEX, seed=1).controls
    assert [one.ok for one in controls] == [True, False]


def test_likeness_is_weighted_jaccard() -> None:
    one = csr_matrix(np.array([[1, 1, 1, 0], [0, 0, 0, 1]], dtype=np.float32))
    other = csr_matrix(np.array([[1, 1, 0, 0], [0, 0, 0, 1], [1, 1, 1, 0]], dtype=np.float32))
    assert likeness(one, other) == pytest.approx(np.array([[2 / 3, 0, 1], [0, 1, 0]]))


def test_short_histories_are_counted_and_left_out(sides: tuple[Lives, Lives], tmp_path: Path) -> None:
    rows = joined(told(80, 2, prefix="s"), {"patients": [{"patient_id": f"e{number}"} for number in range(3)]})
    found = measure_copies(Histories(sides[0], Lives.read(save(tmp_path, rows)), sides[1]), index_date=INDEX, seed=1)
    assert found.measures[0].n == 80
    assert "3 synthetic histories with fewer than three events are left out." in found.measures[0].note


def test_too_few_histories_are_underpowered_and_none_is_nothing(sides: tuple[Lives, Lives], tmp_path: Path) -> None:
    made = Lives.read(save(tmp_path, told(6, 2, prefix="s")))
    found = measure_copies(Histories(sides[0], made, sides[1]), index_date=INDEX, seed=1)
    (one,) = found.measures
    assert (one.verdict, one.value, found.controls) == ("UNDERPOWERED", None, ())
    assert "Only 6 synthetic histories" in one.note
    assert measure_copies(Histories(sides[0], made), index_date=INDEX, seed=1) == copies.Copies()


def test_copied_histories_decide_the_verdict_on_privacy(sides: tuple[Lives, Lives]) -> None:
    samples = plain_samples(*(normals(40, 4, seed) for seed in (1, 2, 3)))
    found = measure_copies(Histories(sides[0], sides[1], sides[1]), index_date=INDEX, seed=1)
    assert measure_privacy(samples, "overall", ()).verdict != "FAIL"
    leaking = measure_privacy(samples, "overall", (), found.measures)
    assert leaking.verdict == "FAIL"
    assert "100% of synthetic histories nearly equal a training patient's" in leaking.sentence
