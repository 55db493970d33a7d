"""Columns, pairs and triples: what matters is named, what does not is no failure, and few rows are no pass."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, fisher_exact, ks_2samp

from fhirsynth.trilemma.columns import compare_columns, unlike
from fhirsynth.trilemma.intervals import Floats
from fhirsynth.trilemma.measure import ColumnFidelity, Measure
from fhirsynth.trilemma.pairs import compare_pairs, compare_triples
from fhirsynth.trilemma.view import View
from tests.plain import called, figure, normals, plain_samples


def view(train: pd.DataFrame, holdout: pd.DataFrame, synthetic: pd.DataFrame) -> View:
    samples = plain_samples(train, holdout, synthetic)
    return View.of(samples, samples.synthetic, "overall")


def compared(
    holdout: pd.DataFrame, synthetic: pd.DataFrame, train: pd.DataFrame
) -> tuple[dict[str, ColumnFidelity], list[Measure]]:
    columns, measures = compare_columns(view(train, holdout, synthetic))
    return {one.name: one for one in columns}, measures


def even(rows: int, shift: float = 0.0) -> Floats:
    """Normal values without chance: the quantiles of the distribution."""
    return np.array([NormalDist().inv_cdf((index + 0.5) / rows) for index in range(rows)]) + shift


def first(count: int, rows: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.arange(rows) < count


def mixture(counts: dict[str, int]) -> pd.DataFrame:
    return pd.DataFrame({"kind": np.repeat(list(counts), list(counts.values()))})


# ---------------------------------------------------------------- what must be found


def test_a_rare_flag_that_doubled_is_named_with_its_ratio() -> None:
    """1.5 % against 3 % of 5,000: a distance of 0.015, which is nothing, and twice as many patients, which is not."""
    frames = [normals(5000, 2, part).assign(rare=first(count, 5000)) for part, count in enumerate((75, 75, 150))]
    columns, measures = compared(frames[1], frames[2], frames[0])
    assert columns["rare"].distance == pytest.approx(0.015)
    assert columns["rare"].ratio == pytest.approx(2, abs=0.02)
    shifted = called(measures, "columns_shifted")
    assert shifted.verdict == "FAIL"
    assert shifted.value == 1
    assert shifted.note.startswith("The rare (distance 0.02, a value 1.99 times as frequent).")
    assert called(measures, "marginal_distance").verdict == "PASS"
    assert [name for name, one in columns.items() if one.beyond] == ["rare"]


def test_a_tiny_shift_of_many_rows_is_significant_and_no_failure() -> None:
    """0.05 SD of 20,000: the p-value is tiny, and one patient in fifty would have to move."""
    n = 20_000
    frames = [pd.DataFrame({"x": even(n, shift)}) for shift in (0, 0, 0.05)]
    columns, measures = compared(frames[1], frames[2], frames[0].iloc[::10])
    assert columns["x"].p < 0.001
    assert columns["x"].p == pytest.approx(ks_2samp(frames[1]["x"], frames[2]["x"], method="asymp").pvalue)
    assert columns["x"].distance == pytest.approx(0.02, abs=0.001)
    assert not columns["x"].beyond
    assert called(measures, "columns_shifted").verdict == "PASS"
    assert called(measures, "ks_columns_passing").value == 0


def test_a_shift_that_matters_fails_whatever_its_sign() -> None:
    for shift in (-0.4, 0.4):
        frames = [pd.DataFrame({"x": even(600, by)}) for by in (0.001, 0, shift)]
        columns, measures = compared(frames[1], frames[2], frames[0])
        assert columns["x"].beyond
        assert called(measures, "columns_shifted").verdict == "FAIL"


def test_values_that_are_missing_twice_as_often_are_found() -> None:
    n = 3000
    frames = [
        pd.DataFrame({"x": np.where(first(gone, n), np.nan, np.random.default_rng(part).normal(size=n))})
        for part, gone in enumerate((150, 150, 300))
    ]
    columns, measures = compared(frames[1], frames[2], frames[0])
    assert columns["x"].ratio == pytest.approx(2, abs=0.02)
    assert columns["x"].distance < 0.1
    assert columns["x"].beyond
    assert called(measures, "columns_shifted").verdict == "FAIL"


def test_a_value_that_vanished_is_found() -> None:
    real, made = mixture({"a": 900, "b": 70, "c": 30}), mixture({"a": 925, "b": 75})
    columns, _ = compared(real, made, real.iloc[:950])
    assert columns["kind"].ratio == pytest.approx(0.5 / 30.5, rel=0.01)
    assert columns["kind"].distance == pytest.approx(0.03)
    assert columns["kind"].beyond


def test_a_value_of_which_there_were_four_may_vanish() -> None:
    real, made = mixture({"a": 900, "b": 96, "c": 4}), mixture({"a": 900, "b": 100})
    columns, measures = compared(real, made, real.iloc[:950])
    assert not columns["kind"].beyond
    assert columns["kind"].ratio is None
    assert called(measures, "columns_shifted").verdict == "PASS"


# ---------------------------------------------------------------- p-values


@pytest.mark.parametrize(("real", "made"), [(0, 1), (1, 1), (1, 2), (2, 1)])
def test_a_column_of_almost_no_values_has_a_p_value(real: int, made: int) -> None:
    frames = [
        normals(60, 1, part).assign(scarce=np.where(first(count, 60), 1.0 + part, np.nan))
        for part, count in enumerate((3, real, made))
    ]
    columns, _ = compared(frames[1], frames[2], frames[0])
    assert columns["scarce"].p > 0.1
    assert not columns["scarce"].beyond


def test_p_of_a_flag_is_that_of_scipy() -> None:
    for real, made, rows in ((75, 150, 5000), (40, 46, 200), (2, 9, 300), (0, 4, 100)):
        frames = [pd.DataFrame({"flag": first(count, rows)}) for count in (real + 1, real, made)]
        columns, _ = compared(frames[1], frames[2], frames[0])
        table = np.array([[real, rows - real], [made, rows - made]])
        few = (real + made) / 2 < 5
        expected = fisher_exact(table).pvalue if few else chi2_contingency(table, correction=False).pvalue
        assert columns["flag"].p == pytest.approx(expected), (real, made)
        assert columns["flag"].test == "chi-square"


def test_p_of_a_category_is_the_smallest_of_its_values_times_their_number() -> None:
    counts = [{"a": 500, "b": 300, "c": 200}, {"a": 500, "b": 240, "c": 260}]
    columns, _ = compared(mixture(counts[0]), mixture(counts[1]), mixture(counts[0]).iloc[:-1])
    each = [chi2_contingency([[one[key], 1000 - one[key]] for one in counts], correction=False).pvalue for key in "abc"]
    assert columns["kind"].p == pytest.approx(3 * min(each))


def test_adjusted_p_values_keep_the_order_and_are_no_smaller() -> None:
    columns, _ = compared(normals(200, 12, 1), normals(200, 12, 2), normals(200, 12, 3))
    p, adjusted = (np.array([getattr(one, name) for one in columns.values()]) for name in ("p", "p_holm"))
    order = np.argsort(p)
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (adjusted >= p).all()
    assert adjusted.min() == pytest.approx(min(1, 12 * p.min()))


@pytest.mark.slow
def test_fresh_draws_hardly_ever_fail() -> None:
    """Forty fresh draws of numbers, a flag and a category; at 2 % a draw, four alarms would be one time in 600."""
    alarms = 0
    for seed in range(40):
        frames = []
        for part in range(3):
            draw = np.random.default_rng([seed, part])
            rows = normals(250, 3, 1000 + 3 * seed + part)
            frames.append(
                rows.assign(f=draw.random(250) < 0.06, k=draw.choice(["a", "b", "c"], 250, p=[0.8, 0.15, 0.05]))
            )
        alarms += called(compared(*frames)[1], "columns_shifted").verdict == "FAIL"
    assert alarms <= 3


# ---------------------------------------------------------------- too few rows


def test_few_rows_are_underpowered_and_the_smallest_shift_noticed_falls_with_their_number() -> None:
    noticed = []
    for rows in (20, 60, 240, 960):
        frames = [pd.DataFrame({f"x{column}": even(rows, by) for column in range(4)}) for by in (0.001, 0, 0)]
        shifted = called(compared(frames[1], frames[2], frames[0])[1], "columns_shifted")
        assert shifted.detectable is not None
        noticed.append(shifted.detectable)
        assert shifted.verdict == ("PASS" if shifted.detectable <= 0.25 else "UNDERPOWERED")
        assert shifted.met
    assert noticed == sorted(noticed, reverse=True)
    assert noticed[0] > 0.25 > noticed[-1]
    assert noticed[2] / noticed[3] == pytest.approx(2)


def test_the_shift_that_is_said_to_be_noticed_is_noticed_and_half_of_it_is_not() -> None:
    """The report claims four times of five; a shift of all values, beyond the curve's highest point, shows oftener."""
    rows = 160
    holdout, made, train = (pd.DataFrame({"x": even(rows, by)}) for by in (0, 0, 0.001))
    claimed = called(compared(holdout, made, train)[1], "columns_shifted").detectable
    assert claimed is not None
    draw = np.random.default_rng(5)
    power = []
    for distance in (claimed, claimed / 2):
        shift = 2 * NormalDist().inv_cdf(0.5 + distance / 2)
        pairs = [(draw.normal(size=rows), draw.normal(shift, size=rows)) for _ in range(300)]
        power.append(np.mean([ks_2samp(*pair, method="asymp").pvalue <= 0.02 for pair in pairs]))
    assert power[0] >= 0.8
    assert power[1] < 0.5


# ---------------------------------------------------------------- train and holdout


def test_a_column_on_which_train_and_holdout_differ_is_named() -> None:
    train, holdout = normals(400, 3, 1), normals(400, 3, 2)
    assert unlike(view(holdout, holdout.iloc[::-1] + 1e-6, train)) == []
    later = train.assign(x1=train["x1"] + 0.6)
    assert unlike(view(holdout + 1e-6, holdout, later)) == ["The x1"]


# ---------------------------------------------------------------- pairs and triples


def exclusive(rows: int, seed: int, *, tied: bool) -> pd.DataFrame:
    """Three fair coins, any two of which are independent; ``tied``: the third says whether the others differ."""
    coins = np.random.default_rng(seed).random((rows, 3)) < 0.5
    third = coins[:, 0] ^ coins[:, 1] if tied else coins[:, 2]
    return pd.DataFrame({"one": coins[:, 0], "two": coins[:, 1], "three": third})


def test_what_only_three_columns_show_is_seen_by_triples() -> None:
    train, holdout, honest = (exclusive(600, seed, tied=True) for seed in (1, 2, 3))
    apart, fresh = view(train, holdout, exclusive(600, 4, tied=False)), view(train, holdout, honest)
    spoilt, usual = (called(compare_triples(one), "three_way_distance") for one in (apart, fresh))
    # Half of the rows lie in cells that no real patient is in.
    assert spoilt.value == pytest.approx(0.5, abs=0.05)
    assert spoilt.verdict == "FAIL"
    assert figure([usual], "three_way_distance") == pytest.approx(0, abs=0.02)
    assert usual.verdict == "PASS"
    assert called(compare_columns(apart)[1], "columns_shifted").verdict == "PASS"
    found = compare_pairs(apart)[0]
    assert found is not None
    gaps = np.abs(np.subtract(found.real, found.synthetic))
    assert gaps.max() < 0.15


def test_columns_shuffled_on_their_own_fail_by_pairs_and_triples() -> None:
    def tied(seed: int) -> pd.DataFrame:
        rows = normals(500, 3, seed)
        return rows.assign(x1=rows["x0"] + 0.3 * rows["x1"], x2=rows["x0"] - 0.3 * rows["x2"])

    made, draw = tied(3), np.random.default_rng(6)
    shuffled = pd.DataFrame({name: draw.permutation(made[name].to_numpy()) for name in made})
    spoilt, honest = view(tied(1), tied(2), shuffled), view(tied(1), tied(2), made)
    for seen, verdict in ((spoilt, "FAIL"), (honest, "PASS")):
        assert called(compare_pairs(seen)[1], "association_error").verdict == verdict
        assert called(compare_triples(seen), "three_way_distance").verdict == verdict
    assert figure(compare_pairs(spoilt)[1], "association_error") > 0.7


def test_the_noise_of_pairs_is_symmetric_and_shrinks_with_more_rows() -> None:
    sizes = []
    for rows in (100, 400):
        frames = [
            exclusive(rows, seed, tied=False).assign(**normals(rows, 1, seed), k=["a", "b"] * (rows // 2))
            for seed in (1, 2, 3)
        ]
        found, _ = compare_pairs(view(*frames))
        assert found is not None
        noise = np.array(found.noise)
        assert found.labels == ("The one", "The two", "The three", "The x0", "The k")
        assert noise.shape == np.shape(found.real) == np.shape(found.synthetic) == (5, 5)
        assert np.array_equal(noise, noise.T)
        assert not np.diag(noise).any()
        assert (noise[np.triu_indices(5, 1)] > 0).all()
        sizes.append(noise.mean())
    assert sizes[1] == pytest.approx(sizes[0] / 2, rel=0.3)


def test_pairs_of_a_fresh_draw_stay_within_their_noise() -> None:
    found, _ = compare_pairs(view(*(normals(300, 8, seed) for seed in (1, 2, 3))))
    assert found is not None
    upper = np.triu_indices(8, 1)
    beyond = (np.abs(np.subtract(found.real, found.synthetic)) > np.array(found.noise))[upper]
    # 28 pairs at 5 % each.
    assert beyond.sum() <= 5


def test_one_column_has_no_pairs_and_two_have_no_triples() -> None:
    assert compare_pairs(view(*(normals(50, 1, seed) for seed in (1, 2, 3)))) == (None, [])
    assert compare_triples(view(*(normals(50, 2, seed) for seed in (1, 2, 3)))) == []
