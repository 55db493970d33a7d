"""The choice of a model: copies are out, what teaches more is taken, and only training patients decide."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from fhirsynth.augment import augment, registry, resample
from fhirsynth.augment.baselines import Bootstrap
from fhirsynth.augment.store import load_model, save_model
from fhirsynth.choice import auto, trial
from fhirsynth.choice.auto import Auto
from fhirsynth.choice.decision import Tried, choose
from fhirsynth.choice.remembering import Remembered
from fhirsynth.choice.trial import Trial
from fhirsynth.choice.usefulness import Reached, Share
from fhirsynth.constraints import ConstraintSet
from fhirsynth.errors import AugmentError, CohortError, UsageError
from fhirsynth.trilemma.encode import flags
from synthea_bridge.progress import silent
from tests.frames import example_features, example_schema

pytestmark = pytest.mark.slow

CASE = "has_cystic_fibrosis"
NAMES = {"systolic_bp", "heart_rate", "wbc", CASE}
SCHEMA = example_schema().model_copy(
    update={"features": tuple(one for one in example_schema().features if one.name in NAMES)}
)


def patients(rows: int, cases: int, seed: int) -> pd.DataFrame:
    """Two numbers rise together in cases and apart in others: no column tells anything by itself."""
    draw = np.random.default_rng(seed)
    case = draw.permutation(np.arange(rows) < cases)
    first, noise = draw.normal(size=(2, rows))
    second = 0.95 * np.where(case, first, -first) + np.sqrt(1 - 0.95**2) * noise
    frame = {"heart_rate": 80 + 10 * first, "wbc": 9 + 1.5 * second, "systolic_bp": draw.normal(120, 10, rows)}
    return SCHEMA.conform(pd.DataFrame({**frame, CASE: case}))


class Fresh(Bootstrap):
    """Draws from the truth, whatever it is given."""

    name: ClassVar[str] = "fresh"

    def _draw(self, pool: pd.DataFrame, size: int, random: np.random.Generator) -> pd.DataFrame:
        return patients(size, round(size * flags(pool[CASE]).mean()), int(random.integers(2**31)))


class Spy(Fresh):
    """Notes what it is fitted to."""

    name: ClassVar[str] = "spy"
    default_steps: ClassVar[int] = 3000
    seen: ClassVar[list[dict[str, Any]]] = []

    def fit(self, features: pd.DataFrame, schema: Any, **options: Any) -> None:
        type(self).seen.append({"rows": features, **options})
        super().fit(features, schema, **options)


class Fussy(Fresh):
    """Fails where there are more rows than in a trial."""

    name: ClassVar[str] = "fussy"

    def fit(self, features: pd.DataFrame, schema: Any, **options: Any) -> None:
        if len(features) > 100:
            raise AugmentError("these are too many")
        super().fit(features, schema, **options)


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for one in (Fresh, Spy, Fussy):
            patch.setitem(registry.MODELS, one.name, f"tests.test_auto:{one.__name__}")
        yield


TRAIN = patients(120, 48, 0)


def fitted(*names: str, seed: int = 0, **options: Any) -> Auto:
    model = Auto(names)
    settings: dict[str, Any] = {"steps": None, "progress": silent, **options}
    model.fit(settings.pop("train", TRAIN), settings.pop("schema", SCHEMA), seed=seed, **settings)
    return model


def entry(model: Auto, name: str) -> Mapping[str, Any]:
    return next(one for one in model.parameters()["candidates"] if one["name"] == name)


def told(rows: pd.DataFrame) -> list[tuple[Any, ...]]:
    """The rows in an order of their own."""
    return sorted(map(tuple, rows[SCHEMA.columns].to_numpy()))


@pytest.fixture(scope="module")
def chosen() -> Auto:
    return fitted("bootstrap", "marginals", "fresh")


def test_copies_are_out_and_it_says_why(chosen: Auto) -> None:
    copies = entry(chosen, "bootstrap")
    assert copies["verdict"] == "FAIL"
    assert copies["privacy"] > 0.8
    assert "100% of its rows equal a patient who was learned from" in copies["reason"]
    assert "left out: bootstrap remembers patients: " in chosen.parameters()["why"]
    assert "reason" not in entry(chosen, "marginals")


def test_what_teaches_more_is_taken(chosen: Auto) -> None:
    said = chosen.parameters()
    assert said["chosen"] == "fresh"
    assert said["why"].startswith("chose fresh: its cases teach ")
    assert "the most of 2" in said["why"]
    assert "whether it remembers patients cannot be told from so few (membership AUC 0." in said["why"]
    assert "\n" not in said["why"]
    better, worse = entry(chosen, "fresh"), entry(chosen, "marginals")
    assert better["low"] <= better["utility"] <= better["high"]
    assert better["utility"] > worse["utility"] + 0.1
    assert better["auroc"] > worse["auroc"]
    assert (said["rows"], said["trial"]["figure"]) == (120, "average precision")


def test_the_same_seed_makes_the_same_choice_and_the_same_rows(chosen: Auto) -> None:
    again = fitted("bootstrap", "marginals", "fresh")
    assert again.parameters() == chosen.parameters()
    first, second = (one.sample(20, {CASE: True}, seed=4) for one in (chosen, again))
    pd.testing.assert_frame_equal(first, second)
    assert again.tally.drawn >= 20
    assert entry(fitted("fresh", seed=1), "fresh") != entry(chosen, "fresh")


def test_a_saved_model_is_the_chosen_one(chosen: Auto, tmp_path: Path) -> None:
    save_model(tmp_path / "model", chosen, SCHEMA, ConstraintSet.load().for_training(TRAIN), {})
    stored = load_model(tmp_path / "model").synthesizer
    assert isinstance(stored, Auto)
    assert stored.parameters() == chosen.parameters()
    pd.testing.assert_frame_equal(stored.sample(9, seed=2), chosen.sample(9, seed=2))


def test_candidates_learn_from_thirds_and_the_chosen_one_from_all() -> None:
    Spy.seen.clear()
    fitted("spy")
    assert [len(one["rows"]) for one in Spy.seen] == [80, 80, 80, 120]
    assert [int(one["rows"][CASE].sum()) for one in Spy.seen] == [32, 32, 32, 48]
    assert [one["steps"] for one in Spy.seen] == [None] * 4
    looked = Trial.of(TRAIN, SCHEMA, 0).splits
    everybody = pd.concat([split.look for split in looked])
    assert told(everybody) == told(TRAIN)
    assert len(set(told(TRAIN))) == 120
    for split in looked:
        assert not set(told(split.learn)) & set(told(split.look))


def test_fewer_steps_are_passed_on() -> None:
    Spy.seen.clear()
    fitted("spy", steps=50)
    assert [one["steps"] for one in Spy.seen] == [50] * 4


def test_a_prior_goes_to_those_that_take_one(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = patients(30, 0, 5)
    Spy.seen.clear()
    unused = fitted("spy", prior=prior)
    assert [one["prior"] for one in Spy.seen] == [None] * 4
    assert unused.parameters()["why"].endswith("; the prior was not used, as spy learns from none")
    monkeypatch.setattr(trial, "TAKE_PRIOR", ("spy",))
    monkeypatch.setattr(auto, "TAKE_PRIOR", ("spy",))
    Spy.seen.clear()
    assert "prior" not in fitted("spy", prior=prior).parameters()["why"]
    assert all(one["prior"] is prior for one in Spy.seen)


def test_models_that_are_not_installed_are_skipped_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sdv", None)
    model = fitted("gaussian-copula", "marginals")
    assert model.parameters()["chosen"] == "marginals"
    assert entry(model, "gaussian-copula")["reason"] == (
        "is not installed (install it with: pip install 'fhirsynth[ctgan]')"
    )
    assert "and no other model is left" in model.parameters()["why"]


def test_the_next_one_is_taken_where_the_chosen_one_fails_on_everybody() -> None:
    model = fitted("fussy", "marginals")
    assert model.parameters()["chosen"] == "marginals"
    assert entry(model, "fussy")["reason"] == "failed: these are too many"


def test_nothing_is_chosen_where_all_remember_patients() -> None:
    with pytest.raises(
        AugmentError, match="none of the models that were tried can be chosen: bootstrap remembers"
    ) as e:
        fitted("bootstrap")
    assert "give more patients, or name one with --model" in str(e.value)
    assert "\n" not in str(e.value)


def test_without_a_condition_it_counts_how_real_rows_look() -> None:
    plain = SCHEMA.model_copy(update={"condition": None})
    model = fitted("marginals", "fresh", "bootstrap", schema=plain, train=patients(240, 48, 0))
    said = model.parameters()
    assert said["chosen"] == "fresh"
    assert said["trial"]["figure"] == "two-sample test"
    assert "a classifier tells its rows from real ones with an AUC of 0." in said["why"]
    assert entry(model, "bootstrap")["verdict"] == "FAIL"
    assert entry(model, "fresh")["auroc"] < entry(model, "marginals")["auroc"]


def test_patients_of_one_class_are_judged_by_how_real_they_look() -> None:
    assert Trial.of(patients(70, 66, 0), SCHEMA, 0).target is None


def test_the_rows_of_a_trial_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "CASES", 30)
    monkeypatch.setattr(trial, "OTHERS", 45)
    used = pd.concat([split.look for split in Trial.of(TRAIN, SCHEMA, 0).splits])
    assert (len(used), int(used[CASE].sum())) == (75, 30)


def test_progress_counts_trials() -> None:
    seen: list[tuple[int, int | None, str]] = []
    fitted("marginals", "fresh", progress=lambda done, total=None, note="": seen.append((done, total, note)))
    tries = [one for one in seen if one[2].startswith("try")]
    assert [(done, total) for done, total, _ in tries] == [(number, 6) for number in range(6)]
    assert tries[4][2] == "try fresh, 2 of 3"


@pytest.mark.parametrize(
    ("rows", "cases", "words"), [(50, 5, "5 cases to learn from"), (40, 40, "40 patients to learn from")]
)
def test_too_few_to_try_anything_are_one_clear_line(rows: int, cases: int, words: str) -> None:
    with pytest.raises(CohortError, match=f"{words}.*: name one with --model"):
        fitted("marginals", train=patients(rows, cases, 0))


@pytest.mark.parametrize("names", [(), ("auto",), ("marginals", "oracle"), ("cart", "private")])
def test_wrong_candidates_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"auto cannot choose among .*; give some of: ctgan"):
        Auto(names)


class Plain:
    """A judge for whom the figure is the share."""

    where = None

    def size(self, number: int) -> int:
        return 1

    def reached(self, number: int, sets: Any) -> Reached:
        raise AssertionError

    def share(self, found: Reached) -> Share:
        return Share(found.value, found.value, found.value)

    def words(self, found: Reached) -> str:
        return f"it reaches {found.value:.2f}"


def one(name: str, value: float, area: float, verdict: Any = "UNDERPOWERED", error: float = 0.1) -> Tried:
    """A trial with a standard error of ``error`` against any other of this sort."""
    draws = value + error * np.where(np.arange(1000) % 2, 1, -1) * (1 if name == "plain" else 0)
    reached = Reached(np.full(3, value), np.full(3, value), np.tile(draws, (3, 1)))
    return Tried(name, reached, Remembered(area, 0.03, verdict, ""))


@pytest.mark.parametrize(
    ("first", "second", "taken", "words"),
    [
        ((0.70, 0.50), (0.85, 0.58), "other", "the most of 2"),
        ((0.80, 0.58), (0.85, 0.50), "other", "no clear difference to plain, and it keeps patients apart better"),
        ((0.80, 0.50), (0.85, 0.58), "plain", "no clear difference to other, and it keeps patients apart better"),
        ((0.80, 0.52), (0.85, 0.50), "plain", "no clear difference to other, and it is the simplest of them"),
        ((0.80, 0.58, "PASS"), (0.85, 0.50), "plain", "keeps patients apart better; who was learned from cannot"),
    ],
)
def test_utility_then_privacy_then_simplicity(first: Any, second: Any, taken: str, words: str) -> None:
    found = choose([one("plain", *first), one("other", *second)], Plain())
    assert found.name == taken
    assert words in found.why


def test_the_real_list_through_the_command_of_the_library(tmp_path: Path) -> None:
    train = example_features(240, cases=0.25)
    result = augment(train, example_schema(), model="auto", n=30, out=tmp_path, steps=100, seed=2)
    said = result.outcome["model"]["parameters"]
    assert said["chosen"] in auto.CANDIDATES
    assert [one["name"] for one in said["candidates"]] == list(auto.CANDIDATES)
    assert entry_of(said, "smote-nc")["verdict"] == "FAIL"
    again = resample(tmp_path / "model", n=30, out=tmp_path, seed=2)
    pd.testing.assert_frame_equal(again.frame, result.frame)


def entry_of(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next(one for one in said["candidates"] if one["name"] == name)
