"""Text that holds numbers, dates and flags: read as what it means, or left as text where that is not clear."""

from __future__ import annotations

import pandas as pd
import pytest

from fhirsynth.texts import as_days, as_flags, as_numbers, as_text, date_form, decimal_sign


@pytest.mark.parametrize(
    ("text", "sign"),
    [(["1.5", "2"], "."), (["1,5", "2"], ","), (["0,875"], ","), (["1,234", "12,345"], None), (["1,5", "1.5"], None)],
)
def test_the_decimal_sign(text: list[str], sign: str | None) -> None:
    assert decimal_sign(pd.Series(text, dtype="string")) == sign


def test_numbers_and_text_of_any_type() -> None:
    assert as_text(pd.Series([1.0, "1", 1, " 1 ", "", None], dtype=object)).tolist()[:4] == ["1"] * 4
    assert as_numbers(pd.Series(["1e3", ".5", "x"])).dropna().tolist() == [1000, 0.5]
    assert as_numbers(pd.Series(["-2,5", "3"])).tolist() == [-2.5, 3]
    assert as_numbers(pd.Series(["007", "12"])).isna().all()


@pytest.mark.parametrize(
    ("dates", "form"),
    [(["2020-01-02"], "ISO8601"), (["13/01/2020"], "%d/%m/%Y"), (["01/13/2020"], "%m/%d/%Y"), (["01/02/2020"], None)],
)
def test_the_form_of_dates(dates: list[str], form: str | None) -> None:
    assert date_form(pd.Series(dates)) == form


def test_days_are_since_1970_and_know_zones() -> None:
    found = as_days(pd.Series(["1970-01-02", None, "1970-01-01T00:00:00+12:00"]))
    assert found is not None
    assert found.dropna().tolist() == [1.0, -0.5]
    assert as_days(pd.Series(["1970-01-02", "later"])) is None
    assert as_days(pd.Series([1.0, 2.0])) is None


def test_flags_of_any_type() -> None:
    found = as_flags(pd.Series([True, "no", 1, 0.0, "YES", None], dtype=object))
    assert found is not None
    assert found.dropna().tolist() == [True, False, True, False, True]
    assert as_flags(pd.Series(["yes", "perhaps"])) is None
