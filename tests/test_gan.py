"""CTGAN for rare cohorts: what its encodings give back, and what each switch is for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirsynth.augment.gan.columns import Columns, Scale
from fhirsynth.augment.gan.settings import Settings
from fhirsynth.seeds import rng
from synthea_bridge.progress import silent
from tests.frames import example_features, example_schema

SCHEMA = example_schema()
NUMBERS = st.lists(st.integers(-1000, 1000).map(lambda n: n / 4), min_size=2, max_size=60)


def rows(count: int = 200, cases: float = 0.3) -> pd.DataFrame:
    return SCHEMA.conform(example_features(count, cases=cases))[SCHEMA.columns]


@settings(deadline=None)
@given(NUMBERS, st.booleans(), st.booleans())
def test_a_score_gives_back_a_value_within_what_was_seen(numbers: list[float], hurdle: bool, normal: bool) -> None:
    values = np.array(numbers)
    scale = Scale.learn(values, Settings(hurdle=hurdle, normal_scores=normal))
    scores = scale.encode(values, rng(1, "scores"), normal=normal)
    again = scale.decode(scores, normal=normal)
    assert np.isfinite(scores).all()
    assert (np.abs(scores) <= 1).all()
    assert (again >= min(scale.quantiles)).all()
    assert (again <= max(scale.quantiles)).all()


def test_normal_scores_are_normal_whatever_the_column_is() -> None:
    values = np.exp(2 * rng(0, "skewed").standard_normal(2000))
    scores = Scale.learn(values, Settings()).encode(values, rng(1, "scores"), normal=True) * 4
    assert abs(scores.mean()) < 0.02
    assert abs(scores.std() - 1) < 0.03


def test_a_commonest_value_is_a_flag_and_comes_back_exactly() -> None:
    frame = rows()
    columns = Columns.learn(frame, SCHEMA, Settings(), 0)
    matrix = columns.encode(frame, rng(0, "encode"))
    again = columns.decode(matrix, frame["has_cystic_fibrosis"].to_numpy(dtype=bool))
    assert columns.scales["prior_admissions_12m"].hurdle == 0
    assert (again["prior_admissions_12m"] == 0).eq(frame["prior_admissions_12m"] == 0).all()
    for name in ("sex", "race", "has_diabetes", "has_cystic_fibrosis"):
        assert again[name].eq(frame[name]).all()
    for name in ("creatinine", "hba1c", "length_of_stay"):
        assert again[name].isna().eq(frame[name].isna()).all()


def test_without_hurdles_there_are_none() -> None:
    columns = Columns.learn(rows(), SCHEMA, Settings(hurdle=False), 0)
    assert all(scale.hurdle is None for scale in columns.scales.values())


@pytest.mark.slow
def test_a_batch_of_cases_alone_stays_a_batch_of_cases_only_when_normalisation_is_settled() -> None:
    from fhirsynth.augment._scope import seeded
    from fhirsynth.augment.gan.training import Networks, Pool

    made = {}
    for settled in (True, False):
        random = rng(0, "batches")
        options = Settings(settled=settled, width=64, noise=16, rate=1e-3)
        with seeded(1):
            networks = Networks(1, (), options)
            level = {case: (random.normal(0.5 if case else -0.5, 0.1, (100, 1))).astype(np.float32) for case in (0, 1)}
            pools = [Pool(level[case], bool(case), 0.5) for case in (0, 1)]
            networks.train(pools, 400, random, lambda _: None)
            made[settled] = float(networks.make(np.ones(500, dtype=bool)).mean())
    assert made[True] > 0.3
    assert made[False] < made[True] - 0.2


@pytest.mark.slow
def test_a_prior_without_cases_is_learned_from_and_said() -> None:
    from fhirsynth.augment.gan.model import Ctgan

    prior = rows(300, cases=0)
    seen: list[str] = []
    model = Ctgan()
    model.fit(rows(), SCHEMA, seed=1, steps=20, progress=lambda _, __, what: seen.append(what), prior=prior)
    assert seen.count("learn from the prior") == 10
    assert seen.count("train") == 20
    assert model.parameters()["prior_rows"] == 300
    assert model.sample(5, {"has_cystic_fibrosis": True}, seed=2)["has_cystic_fibrosis"].all()
    assert 0.1 < model.sample(300, seed=2)["has_cystic_fibrosis"].mean() < 0.5


@pytest.mark.slow
def test_the_number_of_steps_can_be_chosen_on_rows_held_back(tmp_path: Path) -> None:
    from fhirsynth.augment.gan.model import Ctgan
    from fhirsynth.augment.gan.stopping import best, held_back, usefulness

    cases = np.arange(30) < 9
    held = held_back(cases, rng(0, "held"))
    assert (held[cases].sum(), held[~cases].sum()) == (3, 7)
    assert best({250: 0.5, 500: 0.9, 750: 0.9, 1000: 0.8, 1250: 0.2}) == 750
    point = rng(0, "points").standard_normal((60, 1)).astype(np.float32)
    assert usefulness(point, point[:, 0] > 0, point, point[:, 0] > 0) == 1
    assert usefulness(point, point[:, 0] > 0, point, point[:, 0] <= 0) == 0
    assert usefulness(point, np.ones(60, bool), point + 9, np.ones(60, bool)) < 0.1

    model = Ctgan(Settings(stopping=True))
    model.fit(rows(), SCHEMA, seed=1, steps=300, progress=silent)
    assert model.parameters()["steps"] in {250, 300}
    model.save(tmp_path)
    pd.testing.assert_frame_equal(Ctgan.load(tmp_path).sample(9, seed=3), model.sample(9, seed=3))


def test_missing_values_are_filled_only_where_they_are_no_flag() -> None:
    frame = rows()
    cases = frame["has_cystic_fibrosis"].to_numpy(dtype=bool)
    gone = {}
    for flagged in (True, False):
        columns = Columns.learn(frame, SCHEMA, Settings(flagged=flagged), 0)
        again = columns.decode(columns.encode(frame, rng(0, "encode")), cases)
        gone[flagged] = [int(again[name].isna().sum()) for name in ("creatinine", "hba1c")]
    assert all(gone[True])
    assert not any(gone[False])


@pytest.mark.slow
def test_untold_networks_make_the_condition_like_any_column() -> None:
    from fhirsynth.augment.gan.model import Ctgan

    with pytest.raises(ValueError, match="stopping needs"):
        Settings(told=False, stopping=True)
    model = Ctgan(Settings(told=False))
    model.fit(rows(), SCHEMA, seed=1, steps=60, progress=silent)
    made = model.make(np.ones(300, dtype=bool))
    assert 0 < made["has_cystic_fibrosis"].mean() < 1
    assert model.sample(9, {"has_cystic_fibrosis": True}, seed=2)["has_cystic_fibrosis"].all()
