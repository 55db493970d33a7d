"""What is said of the rows before any figure, and rows that are refused: one line each, by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from fhirsynth.errors import EvaluateError
from fhirsynth.tables import conform
from fhirsynth.trilemma.columns import compare_columns
from fhirsynth.trilemma.notices import MOST_LEVELS, OTHERS
from fhirsynth.trilemma.samples import Samples
from fhirsynth.trilemma.view import View
from tests.plain import normals, plain_samples, plain_schema


def three(**columns: Any) -> list[pd.DataFrame]:
    """Train, holdout and synthetic rows with two numbers and these columns."""
    return [normals(60, 2, part).assign(**columns) for part in range(3)]


def said(*frames: pd.DataFrame, target: str | None = None) -> tuple[str, ...]:
    return plain_samples(*frames, target=target).notices


def coins(rows: int, seed: int) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).random((rows, 3)) < 0.5, columns=["a", "b", "c"])


# ---------------------------------------------------------------- columns that say nothing


def test_of_ordinary_rows_nothing_is_said() -> None:
    assert said(*three(kind=["a", "b", "c"] * 20)) == ()


def test_a_column_with_one_value_is_named() -> None:
    assert said(*three(unit=3.5)) == (
        "The unit has one value in every real row; only whether synthetic rows differ is compared.",
    )


def test_a_column_without_any_real_value_is_named_and_compared_by_that() -> None:
    train, holdout, made = three(gone=np.nan)
    expected = ("The gone has no value in any real row; only whether synthetic rows have one is compared.",)
    assert said(train, holdout, made) == expected
    invented = plain_samples(train, holdout, made.assign(gone=1.0))
    assert invented.notices == expected
    columns = {one.name: one for one in compare_columns(View.of(invented, invented.synthetic, "overall"))[0]}
    assert columns["gone"].beyond


def test_several_columns_share_a_line_and_more_than_three_are_counted() -> None:
    (line,) = said(*three(p=1.0, q=2.0, r=3.0, s=4.0, t=5.0))
    assert line.startswith("The p, The q, The r and 2 more have one value in every real row;")


def test_a_single_synthetic_value_is_told_where_real_rows_vary() -> None:
    train, holdout, made = three()
    assert said(train, holdout, made.assign(x1=0.25)) == (
        "The x1 has a single value in every synthetic row, though real rows vary.",
    )


def test_cases_alone_are_no_single_value_worth_a_line() -> None:
    frames = three(case=[True, False] * 30)
    assert said(frames[0], frames[1], frames[2].assign(case=True), target="case") == ()


# ---------------------------------------------------------------- categories


def test_values_that_no_real_row_has_are_counted_and_named() -> None:
    train, holdout, made = three(kind=["a", "b", "c"] * 20)
    invented = made.assign(kind=["a"] * 50 + ["x"] * 6 + ["y"] * 4)
    assert said(train, holdout, invented) == (
        "The kind: 10 synthetic rows hold a value that no real row has (“x”, “y”); it counts as a value of its own.",
    )


def test_an_unknown_value_is_one_and_a_missing_one_is_none() -> None:
    train, holdout, made = three(kind=["a", "b", "c"] * 20)
    made.loc[10:20, "kind"] = None
    assert said(train, holdout, made) == ()


def wide() -> Samples:
    """150 values; train has the first 120, the holdout all of them, synthetic rows a value of their own besides."""
    names = [f"v{number:03d}" for number in range(150)]
    counts = ([*[8] * 60, *[1] * 60, *[0] * 30], [*[8] * 60, *[1] * 90], [*[8] * 60, *[2] * 30, *[0] * 60])
    frames = [pd.DataFrame({"kind": np.repeat(names, one)}) for one in counts]
    frames[2].loc[0, "kind"] = "new"
    frames[2].loc[1, "kind"] = None
    return plain_samples(*(frame.assign(**normals(len(frame), 1, part)) for part, frame in enumerate(frames)))


def test_more_than_a_hundred_values_are_lumped_alike_in_all_frames() -> None:
    samples = wide()
    kept = [set(frame["kind"].dropna()) for frame in (samples.train, samples.holdout, samples.synthetic)]
    assert len(set.union(*kept)) == MOST_LEVELS
    assert all(OTHERS in one for one in kept[:2])
    assert {f"v{number:03d}" for number in range(60)} <= set.intersection(*kept)
    # What is taken together is so in every frame: no value is told apart here and lumped there.
    assert "v149" not in set.union(*kept)
    assert (samples.holdout["kind"] == OTHERS).sum() > (samples.train["kind"] == OTHERS).sum() > 0
    assert samples.synthetic["kind"].isna().sum() == 1
    assert samples.notices[-1].startswith("The kind has 151 values; the 99 commonest are told apart")


def test_a_hundred_values_are_left_as_they_are() -> None:
    names = [f"v{number:02d}" for number in range(100)]
    frames = [normals(200, 1, part).assign(kind=names * 2) for part in range(3)]
    samples = plain_samples(*frames)
    assert samples.notices == ()
    assert samples.train["kind"].nunique() == 100


# ---------------------------------------------------------------- patients on both sides


def test_identical_sides_are_refused_in_any_order() -> None:
    train, _, made = three()
    with pytest.raises(EvaluateError, match=r"train and holdout are the same 60 rows.*split by patient"):
        said(train, train.iloc[::-1], made)


@pytest.mark.parametrize(("shared", "line"), [(0, ""), (1, ""), (6, "10.0% of the holdout rows equal a training row")])
def test_a_few_rows_on_both_sides_are_told(shared: int, line: str) -> None:
    train, holdout, made = three()
    holdout.iloc[:shared] = train.iloc[:shared]
    found = said(train, holdout, made)
    assert len(found) == (1 if line else 0)
    assert "".join(found).startswith(line)


@pytest.mark.parametrize("shared", [30, 45, 59])
def test_a_holdout_of_which_half_was_seen_is_refused(shared: int) -> None:
    train, holdout, made = three()
    holdout.iloc[:shared] = train.iloc[:shared]
    with pytest.raises(EvaluateError, match=rf"{shared / 60:.0%} of the holdout rows equal a training row.*train anew"):
        said(train, holdout, made)


def test_a_holdout_inside_of_larger_training_data_is_refused() -> None:
    train = normals(300, 2, 1)
    with pytest.raises(EvaluateError, match="100% of the holdout rows"):
        said(train, train.iloc[100:160], normals(60, 2, 3))


def test_rows_that_are_equal_by_chance_are_no_leak_but_said_to_tell_little() -> None:
    """Eight different rows: everybody equals somebody on the other side."""
    (line,) = said(coins(100, 1), coins(100, 2), coins(100, 3))
    assert line.startswith("100% of the training rows equal another one in every column")
    assert "neither a copy nor a patient on both sides can be noticed" in line


def test_coarse_sides_that_happen_to_agree_are_no_error() -> None:
    train = coins(80, 1)
    (line,) = said(train, train.iloc[::-1], coins(80, 3))
    assert "coarse" in line


# ---------------------------------------------------------------- numbers that cannot be compared


@pytest.mark.parametrize("value", [1.1e15, -3e20, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_numbers_beyond_measure_are_refused_by_frame_and_column(value: float, place: int) -> None:
    frames = three()
    frames[place].loc[7, "x1"] = value
    name = ("train", "holdout", "synthetic")[place]
    with pytest.raises(EvaluateError, match=rf"^{name}, column x1: holds values beyond 1e\+15, or infinite ones;"):
        said(*frames)


def test_a_count_beyond_measure_is_refused_like_a_number() -> None:
    frames = three(n=range(60))
    frames[2].loc[7, "n"] = 2 * 10**15
    with pytest.raises(EvaluateError, match=r"^synthetic, column n: holds values beyond 1e\+15"):
        said(*frames)


@pytest.mark.parametrize("value", [10**30, float("inf"), 1e300, 1.5, "many"])
def test_what_no_count_can_be_is_one_line(value: object) -> None:
    schema = plain_schema(pd.DataFrame({"n": [1]}))
    with pytest.raises(EvaluateError, match=r"^oracle, column n: is not a count"):
        conform("oracle", pd.DataFrame({"n": [value] * 20}), schema)


def test_the_largest_numbers_and_missing_ones_are_taken() -> None:
    frames = three(n=range(60))
    for frame in frames:
        frame.loc[3, "x0"], frame.loc[4, "x0"], frame.loc[5, "n"] = 1e15, np.nan, 10**15
    samples = plain_samples(*frames)
    assert samples.train["x0"].isna().sum() == 1
    assert samples.train["n"].max() == 10**15
