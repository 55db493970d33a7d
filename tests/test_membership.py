"""Membership inference: honest attackers, a p-value that is one, and leaks that only one of them sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_curve

from fhirsynth.trilemma import learning, membership
from fhirsynth.trilemma.intervals import Floats
from fhirsynth.trilemma.measure import Measure, Roc
from fhirsynth.trilemma.membership import attack, measure_membership
from fhirsynth.trilemma.threads import threads_for
from fhirsynth.trilemma.world import ALPHA, AUC_FAIL, World, nearest
from tests.frames import example_features
from tests.plain import called, figure, normals, plain_samples

ALL = ["distance", "density", "classifier"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As :func:`measure_privacy` has it for so few rows."""
    with threads_for(1):
        yield


@cache
def fresh(train: int = 240, holdout: int = 240, synthetic: int = 240, columns: int = 4, seed: int = 0) -> World:
    """Nothing was copied: three draws of one population."""
    frames = [normals(rows, columns, 3 * seed + part) for part, rows in enumerate((train, holdout, synthetic))]
    return World.of(plain_samples(*frames, seed=seed), "overall")


def made_of(rows: pd.DataFrame, world: World) -> World:
    samples = replace(world.samples, synthetic=rows[world.samples.schema.columns].reset_index(drop=True))
    return World.of(samples, "overall")


@cache
def found(world_of: Any, *given: int) -> tuple[list[Measure], list[Roc]]:
    """Measures of a world that several tests look at."""
    return measure_membership(world_of(*given))


# ---------------------------------------------------------------- whom attackers learn from


def test_attackers_learn_only_from_holdout_rows_that_are_not_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    world, learned = fresh(), []

    def spy(name: str, features: Floats, labels: np.ndarray, *given: Any, **more: Any) -> Any:
        learned.append(features[~labels])
        return genuine(name, features, labels, *given, **more)

    genuine = learning.fit
    monkeypatch.setattr(membership, "fit", spy)
    attacked = attack(world)
    reference = ~attacked.asked
    assert list(attacked.scores) == ALL
    assert not (reference & world.member).any()
    assert reference.sum() == 80
    assert [len(scores) for scores in attacked.scores.values()] == [attacked.asked.sum()] * 3
    (others,) = learned
    assert np.array_equal(others, world.real[reference])


def test_an_asked_row_has_no_say_in_the_scores_of_others() -> None:
    """Move one member and one non-member far away: no attacker scores anybody else otherwise."""
    world = fresh()
    before = attack(world)
    stranger = int(np.flatnonzero(before.asked & ~world.member)[3])
    train, holdout = world.train.copy(), world.holdout.copy()
    train[5] += 3
    holdout[stranger - len(train)] += 3
    after = attack(replace(world, train=train, holdout=holdout))
    assert np.array_equal(before.asked, after.asked)
    others = ~np.isin(np.flatnonzero(before.asked), [5, stranger])
    for name in ALL:
        assert np.array_equal(before.scores[name][others], after.scores[name][others])
        assert not np.array_equal(before.scores[name], after.scores[name])


def test_what_reference_rows_hold_does_not_change_who_is_asked() -> None:
    world = fresh()
    before = attack(world)
    holdout = world.samples.holdout.copy()
    unasked = np.flatnonzero(~before.asked) - len(world.train)
    holdout.iloc[unasked] = normals(len(unasked), 4, seed=99).to_numpy() + 1
    after = attack(World.of(replace(world.samples, holdout=holdout), "overall"))
    assert np.array_equal(before.asked, after.asked)
    assert not np.allclose(before.scores["density"], after.scores["density"])


def test_reference_rows_are_drawn_from_the_cohort_and_from_outside_of_it() -> None:
    frames = [example_features(rows, seed=seed)[["age", "spo2", "has_chf"]] for rows, seed in ((90, 1), (210, 2))]
    for frame in frames:
        frame["has_chf"] = pd.array(np.arange(len(frame)) % 7 == 0, dtype="boolean")
    world = World.of(plain_samples(frames[0], frames[1], frames[0], target="has_chf"), "overall")
    asked = attack(world).asked
    assert (~asked[world.strata]).sum() == 10
    assert (~asked[~world.strata]).sum() == 60


@pytest.mark.parametrize(("holdout", "attacks"), [(149, ["distance"]), (150, ALL)])
def test_a_small_holdout_is_asked_whole_and_attacked_by_distance_alone(holdout: int, attacks: list[str]) -> None:
    world = fresh(60, holdout, 60)
    attacked = attack(world)
    assert list(attacked.scores) == attacks
    assert attacked.asked.all() == (attacks == ["distance"])
    lead = called(measure_membership(world)[0], "membership_auc")
    assert ("too small to divide" in lead.note) == (attacks == ["distance"])


# ---------------------------------------------------------------- chance


@pytest.mark.slow
def test_without_a_leak_p_is_spread_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty fresh draws: the share below each level is the level, within what sixty draws can tell."""
    monkeypatch.setattr(membership, "ROUNDS", 4)
    monkeypatch.setattr(membership, "_curves", lambda *_: [])
    monkeypatch.setattr(membership, "_exposed", lambda *_: [])
    monkeypatch.setattr(membership, "_interval", lambda *_: (0.4, 0.6))
    leads = []
    for seed in range(60):
        frames = [normals(rows, 3, 1000 + 3 * seed + part) for part, rows in enumerate((100, 150, 100))]
        leads.append(measure_membership(World.of(plain_samples(*frames, seed=seed), "overall"))[0][0])
    p = np.array([one.p for one in leads], dtype=np.float64)
    for level in (0.1, 0.25, 0.5, 0.75):
        assert binomtest(int((p <= level).sum()), len(p), level).pvalue > 0.01, level
    assert [one.verdict for one in leads if one.verdict == "FAIL"] == []


# ---------------------------------------------------------------- the strongest of several


def lattice(rows: int = 150) -> World:
    """Everybody has one synthetic row as near as anybody's, members have four more a little further off.

    Real rows lie one apart on a line. Who sees only the nearest synthetic row sees nothing.
    """
    draw = np.random.default_rng(11)
    sites = np.column_stack([draw.permutation(2 * rows).astype(np.float64), np.zeros((2 * rows, 2))])
    nearby = np.column_stack([np.zeros(2 * rows), *_ring(draw.uniform(0.1, 0.2, 2 * rows), draw)])
    more = np.column_stack([np.zeros(4 * rows), *_ring(np.full(4 * rows, 0.3), draw)])
    synthetic = np.vstack([sites + nearby, np.repeat(sites[:rows], 4, axis=0) + more])
    world = fresh(rows, rows, rows, 3)
    return replace(world, train=sites[:rows], holdout=sites[rows:], synthetic=synthetic, loo=np.ones(rows))


def _ring(radius: Floats, draw: np.random.Generator) -> tuple[Floats, Floats]:
    angle = draw.uniform(0, 2 * np.pi, len(radius))
    return radius * np.cos(angle), radius * np.sin(angle)


def test_a_leak_that_only_the_ratio_of_densities_sees_is_found() -> None:
    measures, _ = found(lattice)
    blind = called(measures, "attack_auc_distance")
    assert blind.met
    assert figure(measures, "attack_auc_density") > 0.9
    lead = called(measures, "membership_auc")
    assert lead.value == figure(measures, "attack_auc_density")
    assert "Strongest: ratio of densities." in lead.note
    assert lead.p is not None
    assert lead.p < ALPHA
    assert lead.verdict == "FAIL"


def few_copied() -> World:
    """A single copy of every fourth training row, among as many fresh rows as there are copies, three times over."""
    copied = pd.concat([normals(180, 4, 2), normals(240, 4, 0).iloc[:60]], ignore_index=True)
    return made_of(copied, fresh())


def test_single_copies_that_the_ratio_of_densities_hardly_sees_are_found_by_distance() -> None:
    measures, _ = found(few_copied)
    lead = called(measures, "membership_auc")
    assert "Strongest: distance to the nearest synthetic row." in lead.note
    assert figure(measures, "attack_auc_density") < AUC_FAIL + 0.03
    assert lead.value == figure(measures, "attack_auc_distance")
    assert lead.verdict == "FAIL"


def test_the_combined_p_is_no_smaller_than_that_of_the_best_attack_alone() -> None:
    """Looking three times must cost something: the null of the largest is further out than that of one."""
    world = fresh(120, 180, 120, 3, 7)
    attacked = attack(world)
    groups = membership._usable(attacked)
    every = membership._calibrate(attacked, groups, np.random.default_rng(0))
    best = ALL[every.strongest]
    alone = replace(attacked, scores={best: attacked.scores[best]})
    assert every.p > membership._calibrate(alone, groups, np.random.default_rng(0)).p


# ---------------------------------------------------------------- few false positives


def test_true_positives_at_few_false_ones_are_what_scikit_learn_reads_off_the_curve() -> None:
    world = few_copied()
    measures, _ = found(few_copied)
    attacked = attack(world)
    fpr, tpr, _ = roc_curve(attacked.member, attacked.scores["distance"], drop_intermediate=False)
    shown = called(measures, "membership_tpr_10")
    assert shown.value is not None
    assert shown.low is not None
    assert shown.high is not None
    assert shown.value == pytest.approx(np.interp(0.10, fpr, tpr))
    assert shown.low <= shown.value <= shown.high
    assert not shown.met


def test_a_rate_that_the_non_members_cannot_resolve_has_no_value_but_a_sentence() -> None:
    shown = called(found(few_copied)[0], "membership_tpr_1")
    assert shown.value is None
    assert shown.verdict is None
    assert shown.note == "160 non-members cannot resolve 1% false positives; 1,000 could."
    few, _ = found(fresh, 60, 60, 60)
    assert called(few, "membership_tpr_10").note == "60 non-members cannot resolve 10% false positives; 100 could."


def test_ties_are_shared_out_evenly_at_a_rate() -> None:
    """All scores equal: whoever calls 10 % of non-members members calls 10 % of members so."""
    member = np.arange(100) < 40
    assert membership._tpr(member, np.zeros(100), 0.1) == pytest.approx(0.1)


# ---------------------------------------------------------------- those who stand out


def test_copies_of_those_who_stand_out_are_found_apart() -> None:
    """Forty of 400 training rows are copied, all of them far from everybody: the average over all hardly shows it."""
    train, holdout, honest = (normals(400, 5, seed) for seed in (1, 2, 3))
    world = World.of(plain_samples(train, holdout, honest), "overall")
    alone = nearest(world.real)[0][: len(train), 0]
    furthest = np.argsort(-alone)[:40]
    mixed = pd.concat([honest.iloc[40:], train.iloc[furthest]], ignore_index=True)
    spoilt, usual = (measure_membership(one)[0] for one in (made_of(mixed, world), world))
    assert called(spoilt, "exposed_auc").verdict == "FAIL"
    assert figure(spoilt, "exposed_auc") > 0.95
    assert figure(spoilt, "membership_auc") < 0.65
    assert called(usual, "exposed_auc").verdict is None
    assert called(usual, "exposed_auc").met


# ---------------------------------------------------------------- curves


def test_bands_of_shuffled_membership_hold_the_diagonal_and_narrow_with_more_rows() -> None:
    widths = []
    for rows in (60, 240):
        curves = found(fresh, rows, rows, rows)[1]
        assert len(curves) == (1 if rows == 60 else 3)
        for curve in curves:
            low, high, fpr = np.array(curve.low), np.array(curve.high), np.array(curve.fpr)
            assert (low <= fpr + 1e-9).all()
            assert (high >= fpr - 1e-9).all()
            assert low.shape == high.shape == fpr.shape
        widths.append(float(np.mean(np.subtract(curves[0].high, curves[0].low))))
    # Half as wide with four times the rows, of which a third of the non-members is put aside.
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.25)


def test_the_curve_of_a_leak_leaves_the_band() -> None:
    curve = next(one for one in found(few_copied)[1] if "distance" in one.name)
    assert (np.array(curve.tpr) > np.array(curve.high)).any()
    quiet = next(one for one in found(lattice)[1] if "distance" in one.name)
    assert not (np.array(quiet.tpr) > np.array(quiet.high) + 0.05).any()
