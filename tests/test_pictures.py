"""Aggregates to draw: nobody can be pointed at, bands hold what they say, the same data give the same picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fhirsynth.trilemma.intervals import Floats
from fhirsynth.trilemma.measure import Marginal, PcaMap
from fhirsynth.trilemma.pictures import band, marginals, pca_map
from fhirsynth.trilemma.samples import Samples
from tests.plain import normals, plain_samples


def tied(rows: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    """Three numbers that rise together, and one of its own."""
    frame = normals(rows, 4, seed)
    return frame.assign(
        **{f"x{one}": frame["x0"] + 0.4 * frame[f"x{one}"] + shift for one in (1, 2)}, x0=frame["x0"] + shift
    )


def drawn(samples: Samples) -> PcaMap:
    found = pca_map(samples, "overall")
    assert found is not None
    return found


def shown(samples: Samples, name: str) -> Marginal:
    (found,) = [one for one in marginals(samples, "overall") if one.name == name]
    return found


def letters(counts: dict[str, int]) -> pd.DataFrame:
    """A category with so many rows of each value, and a number that makes rows differ."""
    values = np.repeat(list(counts), list(counts.values()))
    return pd.DataFrame({"kind": values, "x": np.random.default_rng(len(values)).normal(size=len(values))})


# ---------------------------------------------------------------- the map


@pytest.mark.parametrize(("rows", "made"), [(300, 300), (500, 120), (60, 2000)])
def test_no_cell_of_the_map_tells_of_one_to_four_patients(rows: int, made: int) -> None:
    found = drawn(plain_samples(tied(rows, 1), tied(rows, 2), tied(made, 3)))
    for grid, size in ((found.real, rows), (found.synthetic, made)):
        counts = np.array(grid) * size
        whole = np.round(counts)
        # Shares are rounded to four digits.
        assert np.abs(counts - whole).max() <= 5e-5 * size + 1e-9
        assert not ((whole > 0) & (whole < 5)).any()
        assert 5 <= whole.sum() <= size
    # Some patients are alone in their cell, so some are not drawn.
    assert np.array(found.real).sum() < 0.999


def test_the_map_has_a_share_for_every_cell_and_the_middle_of_the_crowd() -> None:
    found = drawn(plain_samples(tied(400, 1), tied(400, 2), tied(400, 3)))
    assert np.shape(found.real) == np.shape(found.synthetic) == (len(found.edges_y) - 1, len(found.edges_x) - 1)
    assert list(found.edges_x) == sorted(found.edges_x)
    assert 0.5 < found.explained[0] < 1
    assert 0 < found.explained[1] < found.explained[0]
    assert sum(found.explained) <= 1


def across(found: PcaMap) -> tuple[float, float]:
    """Where real and synthetic rows lie on average from left to right."""
    middles = (np.array(found.edges_x)[1:] + np.array(found.edges_x)[:-1]) / 2
    sides = [np.array(grid).sum(axis=0) for grid in (found.real, found.synthetic)]
    real, made = (float(side @ middles / side.sum()) for side in sides)
    return real, made


@pytest.mark.parametrize("seed", range(4))
def test_more_of_what_counts_most_is_always_to_the_right(seed: int) -> None:
    """Negate everything: components are the same up to their sign, which must not turn the picture round."""
    train, holdout, made = tied(300, 10 * seed), tied(300, 10 * seed + 1), tied(300, 10 * seed + 2, shift=1.5)
    real, shifted = across(drawn(plain_samples(train, holdout, made)))
    assert shifted > real + 1
    real, shifted = across(drawn(plain_samples(-train, -holdout, -made)))
    assert shifted < real - 1


def test_the_order_of_rows_and_the_seed_do_not_change_the_map() -> None:
    samples = plain_samples(tied(300, 1), tied(300, 2), tied(300, 3))
    other = replace(samples, holdout=samples.holdout.iloc[::-1].reset_index(drop=True), seed=9)
    one, two = drawn(samples), drawn(other)
    assert np.allclose(one.edges_x, two.edges_x, atol=2e-3)
    assert np.allclose(one.real, two.real, atol=2 / 300)
    assert drawn(samples) == one


def test_a_far_row_does_not_stretch_the_map() -> None:
    made = tied(300, 3)
    made.iloc[0] = 1e9
    found = drawn(plain_samples(tied(300, 1), tied(300, 2), made))
    assert max(found.edges_x) < 20


def test_few_rows_or_a_single_direction_have_no_map() -> None:
    assert pca_map(plain_samples(tied(300, 1), tied(49, 2), tied(300, 3)), "overall") is None
    assert pca_map(plain_samples(*(normals(300, 1, seed) for seed in (1, 2, 3))), "overall") is None


# ---------------------------------------------------------------- bands


def every_kind(rows: int, *seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    known = draw.random(rows) < 0.85
    return pd.DataFrame(
        {
            "x": np.where(known, draw.normal(size=rows), np.nan),
            "f": draw.random(rows) < 0.15,
            "k": draw.choice(list("abcd"), rows, p=[0.6, 0.25, 0.1, 0.05]),
        }
    )


@pytest.mark.parametrize("made", [150, 400, 4000])
def test_ninety_five_of_a_hundred_shares_of_a_fresh_draw_lie_in_the_band(made: int) -> None:
    """However many synthetic rows there are: the real shares are only known from a few hundred rows."""
    inside: list[bool] = []
    for seed in range(24):
        frames = [every_kind(rows, seed, part) for part, rows in enumerate((400, 200, made))]
        for one in marginals(plain_samples(*frames), "overall"):
            ends = zip(one.low, one.synthetic, one.high, strict=True)
            inside += [low - 1e-4 <= share <= high + 1e-4 for low, share, high in ends]
            inside.append(one.missing_low - 1e-4 <= one.missing_synthetic <= one.missing_high + 1e-4)
    assert len(inside) > 300
    assert np.mean(inside) == pytest.approx(0.955, abs=0.02)


def test_a_band_is_as_wide_as_the_binomial_where_the_share_is_known_and_never_without_end() -> None:
    low, high = band((0.2,), 400, 10**9)
    assert (low[0], high[0]) == pytest.approx((0.16, 0.24), abs=0.003)
    assert band((0.2, 0.8), 0, 100) == band((0.2, 0.8), 100, 0) == ((0.0, 0.0), (1.0, 1.0))
    low, high = band((0.0,), 500, 500)
    assert low == (0.0,)
    assert 0 < high[0] < 0.01


# ---------------------------------------------------------------- values that are named


def test_a_value_of_fewer_than_five_real_patients_is_not_named() -> None:
    samples = plain_samples(
        letters({"common": 50, "four": 2, "five": 3}),
        letters({"common": 60, "four": 2, "five": 2}),
        letters({"common": 50, "four": 10, "five": 5, "invented": 3}),
    )
    found = shown(samples, "kind")
    assert "four" not in found.labels
    assert set(found.labels) == {"common", "five", "invented", "others"}
    assert found.labels[-1] == "others"
    assert found.real[-1] == pytest.approx(2 / 64, abs=1e-4)
    assert found.synthetic[-1] == pytest.approx(10 / 68, abs=1e-4)
    for side in (found.real, found.synthetic):
        assert sum(side) == pytest.approx(1, abs=3e-4)


def test_within_the_cohort_its_own_patients_count() -> None:
    """Ten patients have the value, three of them in the cohort: of these three nobody is to be named."""
    frames = [
        pd.DataFrame(
            {
                "kind": np.where(np.arange(80) % 40 < few, "rare", "common"),
                "case": np.arange(80) < 40,
                "x": normals(80, 1, seed)["x0"],
            }
        )
        for seed, few in ((1, 2), (2, 1), (3, 1))
    ]
    frames[0].loc[41:48, "kind"] = "rare"
    samples = plain_samples(*frames, target="case")
    by_name = {one.name: one for one in marginals(samples, "rare")}
    assert by_name["kind"].labels == ("common", "others")
    assert "rare" in shown(samples, "kind").labels
    assert "case" not in by_name


def test_of_many_values_eight_are_drawn_and_long_ones_are_cut() -> None:
    counts = {f"{'a very long name of a place ' * 2}{number}": 40 - number for number in range(12)}
    found = shown(plain_samples(*(letters(counts).assign(x=normals(414, 1, seed)["x0"]) for seed in (1, 2, 3))), "kind")
    assert len(found.labels) == 9
    assert max(map(len, found.labels)) <= 32
    assert found.labels[0].endswith("…")


# ---------------------------------------------------------------- missing values


def flags(yes: int, no: int, gone: int) -> pd.DataFrame:
    values = pd.array([True] * yes + [False] * no + [None] * gone, dtype="boolean")
    return pd.DataFrame({"f": values, "x": normals(len(values), 1, yes)["x0"]})


def test_missing_flags_are_apart_and_no_noes() -> None:
    found = shown(plain_samples(flags(20, 20, 20), flags(21, 21, 18), flags(10, 30, 40)), "f")
    assert found.labels == ("no", "yes")
    assert found.real == (0.5, 0.5)
    assert found.synthetic == (0.75, 0.25)
    assert found.missing_synthetic == 0.5


def test_columns_without_a_known_value_have_no_shares() -> None:
    real = letters({"a": 30, "b": 20, "c": 2, "d": 2})
    made = real.assign(kind=pd.Series([None] * len(real), dtype="string"), x=np.nan)
    samples = plain_samples(real, real.assign(x=real["x"] + 1), made)
    for name in ("kind", "x"):
        found = shown(samples, name)
        assert set(found.synthetic) == {0}
        assert found.missing_synthetic == 1
        assert sum(found.real) == pytest.approx(1, abs=1e-3)
    samples = plain_samples(flags(20, 20, 0), flags(21, 21, 0), flags(0, 0, 40))
    assert shown(samples, "f").synthetic == (0, 0)


def test_end_bins_hold_what_lies_beyond() -> None:
    values: Floats = normals(500, 1, 1)["x0"].to_numpy()
    far = pd.DataFrame({"x": np.append(values, [1e6, -1e6])})
    found = shown(plain_samples(normals(500, 1, 2).set_axis(["x"], axis=1), far, far), "x")
    assert sum(found.real) == pytest.approx(1, abs=1e-3)
    assert all(abs(float(label)) < 5 for label in found.labels)
