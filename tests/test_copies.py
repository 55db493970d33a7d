"""Copies and guessed attributes: coarse data are no leak, copies are one, and baselines are what a hand computes."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest

from fhirsynth.trilemma.attributes import _relabelled, difference, measure_attributes
from fhirsynth.trilemma.intervals import PERMUTATIONS, Bools, Floats
from fhirsynth.trilemma.measure import Measure
from fhirsynth.trilemma.neighbours import measure_neighbours
from fhirsynth.trilemma.samples import Samples
from fhirsynth.trilemma.world import World
from tests.plain import called, figure, normals, plain_samples


def neighbours(samples: Samples) -> list[Measure]:
    return measure_neighbours(World.of(samples, "overall"))[0]


def coins(rows: int, seed: int) -> pd.DataFrame:
    """Three fair flags: eight different rows, each of them many times."""
    return pd.DataFrame(np.random.default_rng(seed).random((rows, 3)) < 0.5, columns=["a", "b", "c"])


def mixed(copied: int, seed: int = 0) -> Samples:
    """A fresh draw of 300 normal rows, of which ``copied`` are replaced by training rows."""
    train, holdout, honest = (normals(300, 4, 10 * seed + part) for part in range(3))
    made = pd.concat([honest.iloc[copied:], train.iloc[:copied]], ignore_index=True)
    return plain_samples(train, holdout, made)


# ---------------------------------------------------------------- copies


@pytest.mark.parametrize("rows", [(300, 300), (400, 150)], ids=["as many", "fewer unseen"])
def test_equal_rows_of_coarse_data_favour_nobody(rows: tuple[int, int]) -> None:
    """Every synthetic row equals rows of both sides; none of them is there because it was trained on."""
    measures = neighbours(plain_samples(coins(rows[0], 1), coins(rows[1], 2), coins(300, 3)))
    share = called(measures, "copied_share")
    assert share.value == pytest.approx(0, abs=0.05)
    assert share.p is not None
    assert share.p > 0.01
    assert share.verdict == "PASS"
    exact = called(measures, "exact_copies")
    assert exact.value == exact.baseline == 1
    assert exact.met
    assert exact.verdict is None


@pytest.mark.parametrize("copied", [30, 100])
def test_the_share_of_copies_among_continuous_rows_is_found(copied: int) -> None:
    found = called(neighbours(mixed(copied)), "copied_share")
    assert found.value == pytest.approx(copied / 300, abs=0.03)
    assert found.verdict == "FAIL"
    assert found.low is not None
    assert found.high is not None
    assert found.low < copied / 300 < found.high


def test_no_copies_are_none() -> None:
    found = called(neighbours(mixed(0)), "copied_share")
    assert found.verdict == "PASS"
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high


@pytest.mark.parametrize("samples", [mixed(30), plain_samples(*(coins(200, seed) for seed in (1, 2, 3)))])
def test_the_order_of_rows_does_not_matter(samples: Samples) -> None:
    draw = np.random.default_rng(3)
    train, holdout, made = (
        frame.iloc[draw.permutation(len(frame))].reset_index(drop=True)
        for frame in (samples.train, samples.holdout, samples.synthetic)
    )
    one, other = neighbours(samples), neighbours(replace(samples, train=train, holdout=holdout, synthetic=made))
    for name in ("exact_copies", "nearest_below_5th_percentile"):
        assert figure(one, name) == pytest.approx(figure(other, name))
    # What chance has is known from relabellings, to within their spread over the root of their number.
    assert figure(one, "copied_share") == pytest.approx(figure(other, "copied_share"), abs=0.002)


def test_distances_of_copies_end_in_the_lowest_bin() -> None:
    world = World.of(mixed(300), "overall")
    shares = measure_neighbours(world)[1].series
    assert shares["synthetic to train"][0] == 1
    assert shares["holdout to train"][0] < 0.2


# ---------------------------------------------------------------- attributes


def tiny(train: str, holdout: str, synthetic: str, at: dict[str, list[float]]) -> World:
    """Rows with a place ``x`` and a hidden letter each; ``.`` is an unknown letter."""
    letters = {"train": train, "holdout": holdout, "synthetic": synthetic}
    frames = [
        pd.DataFrame({"x": at[name], "secret": [None if one == "." else one for one in text]})
        for name, text in letters.items()
    ]
    return World.of(plain_samples(*frames), "overall")


PAIRS = [0, 0.1, 10, 10.1, 20, 20.1, 30, 30.1, 40, 40.1]


def test_baselines_are_what_a_hand_computes() -> None:
    """Synthetic rows equal the training rows; holdout rows lie in pairs, each the other's nearest."""
    places = {
        "train": [9.0 * one for one in range(10)],
        "holdout": PAIRS,
        "synthetic": [9.0 * one for one in range(10)],
    }
    world = tiny("aaaaaabbbb", "aaabbbaaaa", "aaaaaabbbb", places)
    _, (row,) = measure_attributes(world, ["secret"])
    # Train: a 6, b 4. Holdout: a 7, b 3.
    assert row.random == pytest.approx(0.6 * 0.7 + 0.4 * 0.3)
    assert row.majority == pytest.approx(0.7)
    assert row.members == 1
    # Synthetic rows up to 45 say a, and no holdout row lies above 40.1.
    assert row.non_members == pytest.approx(0.7)
    # Pairs of the holdout: aa, ab, bb, aa, aa: all but the second guess each other right.
    assert row.real_trained == pytest.approx(0.8)
    assert row.leak == pytest.approx(0.3)
    assert row.n == 20


def test_unknown_values_are_nobodys_and_guess_nothing() -> None:
    places = {"train": PAIRS, "holdout": [one + 0.01 for one in PAIRS], "synthetic": PAIRS}
    world = tiny("aabb.aabbb", "aabbaaab..", "aabbaa.abb", places)
    _, (row,) = measure_attributes(world, ["secret"])
    # Rows 4 of train, 8 and 9 of the holdout are unknown; synthetic row 6 guesses nothing, its neighbour at 7 does.
    assert row.n == 17
    assert row.members == pytest.approx(8 / 9)
    assert row.majority == pytest.approx(3 / 8)


def test_a_column_that_nobody_knows_is_said_to_be_so() -> None:
    world = tiny("aabbaabbaa", "..........", "aabbaabbaa", dict.fromkeys(("train", "holdout", "synthetic"), PAIRS))
    (nothing,), rows = measure_attributes(world, ["secret"])
    assert rows == []
    assert nothing.value is None
    assert nothing.note == "Of secret no value is known on both sides, or none in the synthetic rows."


def test_a_number_is_guessed_by_its_side_of_the_median() -> None:
    frames = [normals(60, 2, seed) for seed in range(3)]
    _, (row,) = measure_attributes(World.of(plain_samples(*frames), "overall"), ["x1"])
    assert row.title == "The x1 above its median"
    assert 0.4 <= row.majority <= 0.6


def everyway(member: Bools, strata: Bools) -> list[Bools]:
    """All ways to call as many rows of each stratum members."""
    ways = []
    for level in (False, True):
        rows = np.flatnonzero(strata == level)
        ways.append(list(combinations(rows, int(member[rows].sum()))))
    return [np.isin(np.arange(len(member)), [*one, *two]) for one, two in product(*ways)]


@pytest.mark.parametrize("two_strata", [False, True])
def test_p_by_relabelling_is_that_of_all_relabellings(two_strata: bool) -> None:
    draw = np.random.default_rng(8)
    member = np.array([True] * 4 + [False] * 4 + [True] * 3 + [False] * 3)
    strata = (np.arange(14) >= 8) & two_strata
    person: Floats = np.round(draw.random(14), 1) + 0.25 * member
    seen = difference(person, member, strata)[0]
    every = [difference(person, one, strata)[0] for one in everyway(member, strata)]
    exact = float(np.mean(np.array(every) >= seen - 1e-9))
    assert 0.005 < exact < 0.3
    got = _relabelled(person, member, strata, np.random.default_rng(1))
    assert got == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / PERMUTATIONS) + 1 / PERMUTATIONS)


def test_a_different_mix_of_strata_is_no_leak_of_attributes() -> None:
    """Nine of ten cases are guessed right and one of two others; four of five members are cases, one of five others."""
    sizes = {(True, True): 160, (True, False): 40, (False, True): 40, (False, False): 160}
    member, strata = (np.repeat([key[side] for key in sizes], list(sizes.values())) for side in (0, 1))
    order = np.concatenate([np.arange(size) for size in sizes.values()])
    person = np.where(strata, order % 10 != 0, order % 2 == 0).astype(np.float64)
    assert person[member].mean() - person[~member].mean() == pytest.approx(0.24)
    value, _ = difference(person, member, strata)
    assert value == pytest.approx(0)
    assert _relabelled(person, member, strata, np.random.default_rng(2)) > 0.4
