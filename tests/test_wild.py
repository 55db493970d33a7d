"""Rows of any kind give a report that is whole, or one plain error: no traceback, no warning, no NaN."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirsynth.constraints import ConstraintSet
from fhirsynth.errors import FhirsynthError
from fhirsynth.guess import guess_schema
from fhirsynth.trilemma import Report, evaluate
from fhirsynth.trilemma.documents.report import write_report
from fhirsynth.trilemma.lives.timeline import Histories, measure_histories
from tests.evaluating import NAMES, Frames, changed, patients
from tests.test_timeline import population, write

MAKERS: dict[str, Callable[[np.random.Generator, int], Any]] = {
    "normal": lambda rng, n: rng.normal(50, 10, n),
    "count": lambda rng, n: rng.poisson(2, n),
    "wide": lambda rng, n: rng.lognormal(0, 12, n).clip(0, 1e14),
    "small": lambda rng, n: rng.normal(0, 1e-12, n),
    "huge": lambda rng, n: rng.normal(0, 1e20, n),
    "infinite": lambda rng, n: np.where(rng.random(n) < 0.2, np.inf, 1.0),
    "flag": lambda rng, n: rng.random(n) < 0.3,
    "rare": lambda rng, n: rng.random(n) < 0.05,
    "yes": lambda rng, n: rng.choice(["Yes", "no"], n),
    "words": lambda rng, n: rng.choice(["a", "b", "<i>c</i>"], n, p=[0.8, 0.15, 0.05]),
    "many": lambda rng, n: [f"w{one}" for one in rng.integers(0, 300, n)],
    "constant": lambda rng, n: np.full(n, 7.5),
    "zero": lambda rng, n: np.zeros(n),
    "nothing": lambda rng, n: np.full(n, np.nan),
    "date": lambda rng, n: pd.Timestamp("2021-03-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D"),
    "comma": lambda rng, n: [f"{one:.1f}".replace(".", ",") for one in rng.normal(50, 10, n)],
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[Frames, str | None]:
    """Three tables of the same columns, some of another kind or partly missing in one of them; and a target."""
    kinds = draw(st.lists(st.sampled_from(sorted(MAKERS)), min_size=1, max_size=4))
    other = draw(st.none() | st.tuples(st.sampled_from(NAMES), st.sampled_from(sorted(MAKERS))))
    gaps = draw(st.sampled_from([0.0, 0.0, 0.3, 1.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    made = {}
    for name in NAMES:
        rows = draw(st.integers(10, 40))
        columns = {f"{kind} {place}": MAKERS[kind](rng, rows) for place, kind in enumerate(kinds)}
        if other is not None and other[0] == name:
            columns[next(iter(columns))] = MAKERS[other[1]](rng, rows)
        frame = pd.DataFrame(columns)
        frame["ill"] = rng.random(rows) < draw(st.sampled_from([0.0, 0.2, 0.5, 1.0]))
        last = frame.columns[len(kinds) - 1]
        made[name] = frame.assign(**{last: frame[last].mask(rng.random(rows) < gaps)})
    return made, draw(st.sampled_from(["ill", None]))


def judged(frames: Frames, target: str | None) -> Report:
    parts = [frames[name] for name in NAMES]
    guess = guess_schema(parts, target)
    train, holdout, synthetic = map(guess.read, parts)
    return evaluate(train, holdout, synthetic, guess.schema, target=target)


def attempted(frames: Frames, target: str | None) -> Report | str:
    """The report, or what the error says."""
    try:
        return judged(frames, target)
    except FhirsynthError as error:
        return str(error)


def whole(report: Report, folder: Path) -> dict[str, Any]:
    """The report as it was written, if its files hold what they must."""
    write_report(report, {}, folder)
    schema = json.loads(resources.files("fhirsynth.trilemma.documents").joinpath("report.schema.json").read_text())
    body: dict[str, Any] = json.loads((folder / "report.json").read_text(), parse_constant=pytest.fail)
    assert [error.json_path for error in jsonschema.Draft202012Validator(schema).iter_errors(body)] == []
    for name in ("report.json", "report.html", "datasheet.md"):
        assert not re.search(r"\b(nan|inf|NaN|Infinity)\b", (folder / name).read_text()), name
    return body


@pytest.mark.slow
@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(drawn=tables())
def test_any_tables_give_a_whole_report_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[Frames, str | None]
) -> None:
    outcome = attempted(*drawn)
    if isinstance(outcome, str):
        assert "\n" not in outcome
        assert re.search(r"column \w+|target|share no column|rows", outcome)
    else:
        whole(outcome, tmp_path_factory.mktemp("report"))


CHANGES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str | None]] = {
    "one class in train": (lambda f: f.assign(relapse=0), "train"),
    "one class in holdout": (lambda f: f.assign(relapse=1), "holdout"),
    "no cases in synthetic": (lambda f: f.assign(relapse=0), "synthetic"),
    "cases only in synthetic": (lambda f: f.assign(relapse=1), "synthetic"),
    "one class everywhere": (lambda f: f.assign(relapse=1), None),
    "nothing varies": (lambda f: f.assign(age=40, bmi=25.5, sex="f"), None),
    "nothing known": (lambda f: f.assign(bmi=np.nan, sex=None), None),
    "nothing known in synthetic": (lambda f: f.assign(age=np.nan, bmi=np.nan, sex=None), "synthetic"),
    "target partly unknown": (lambda f: f.assign(relapse=f["relapse"].mask(f.index % 3 == 0)), None),
    "ten rows": (lambda f: f.head(10), None),
    "ages in words": (lambda f: f.assign(age=f["age"].map(lambda one: f"{one // 10 * 10}+")), None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_tables_that_lack_something_are_judged(tmp_path: Path, name: str) -> None:
    change, only = CHANGES[name]
    body = whole(judged(changed(change, only, rows=20), "relapse"), tmp_path)
    found = {(one["dimension"], one["cohort"]) for one in body["findings"]}
    assert found == {(one, who) for one in ("utility", "privacy", "fidelity") for who in ("overall", "rare")}
    assert body["verdicts"]["utility"] != "PASS"


@pytest.mark.parametrize(
    ("table", "change", "words"),
    [
        ("patients", lambda f: f.assign(birth_date="soon"), "column birth_date holds text, not times"),
        ("encounters", lambda f: f.assign(start=5), "column start holds other values, not times"),
        ("conditions", lambda f: f.assign(code=None), "column code holds nothing, not text"),
        ("patients", lambda f: pd.concat([f, f]), "patient 'p0' is there twice"),
        ("encounters", lambda f: pd.concat([f, f.head(1)]), "encounter 'p0-0' is there twice"),
        ("observations", lambda f: f.drop(columns="code"), "lacks the columns code"),
    ],
)
def test_tables_of_histories_that_are_none(
    tmp_path: Path, table: str, change: Callable[[pd.DataFrame], pd.DataFrame], words: str
) -> None:
    folder = write(tmp_path, population(12, 1))
    change(pd.read_parquet(folder / f"{table}.parquet")).to_parquet(folder / f"{table}.parquet")
    with pytest.raises(FhirsynthError, match=words):
        Histories.read(folder, [f"p{one}" for one in range(6)], folder)


def test_histories_before_any_visit_are_measured(tmp_path: Path) -> None:
    folder = write(tmp_path, population(12, 1))
    histories = Histories.read(folder, [f"p{one}" for one in range(12)], folder)
    measures, _, _ = measure_histories(histories, index_date=date(1970, 1, 1), seed=0)
    assert {one.distance for one in measures if one.name == "history_length"} == {None}


def test_names_that_are_markup_stay_text(tmp_path: Path) -> None:
    odd = {"sex": "<script>alert(1)</script>", "bmi": '{{ bmi }} & "co"', "age": "a'ge"}
    frames = {name: frame.rename(columns=odd) for name, frame in patients(20).items()}
    body = whole(judged(frames, "relapse"), tmp_path)
    assert odd["sex"] in {one["name"] for one in body["columns"]}
    assert "<script>alert" not in (tmp_path / "report.html").read_text()


def test_constraints_ask_for_numbers_and_leave_words_alone() -> None:
    rows = pd.DataFrame({"age": ["30-39", "40-49"], "creatinine": [0.1, 1.0]})
    asked = ConstraintSet.load().for_training(rows.astype({"age": "string"}))
    assert {"creatinine-of-adults", "adult-cohort"} <= set(asked.not_applicable)
