"""Histories: what is alike lies within its band and what differs is named, copies are found, and charts show nobody."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from fhirsynth.guess import guess_schema
from fhirsynth.trilemma import Extras, evaluate
from fhirsynth.trilemma.documents.report import write_report
from fhirsynth.trilemma.lives.histories import Histories, Lives, Oracle, read_histories
from fhirsynth.trilemma.lives.shown import TimelineMeasure
from fhirsynth.trilemma.lives.timeline import frequencies, measure_histories
from fhirsynth.trilemma.page import drawing, lived
from tests.evaluating import caller, options, patients, saved
from tests.told import INDEX, at, names, save, told

REAL = 160
ASPECTS = {
    "encounters_by_class", "seasonality", "code_frequency_conditions", "code_frequency_observations",
    "code_frequency_medications", "code_frequency_procedures", "panel_cooccurrence", "sequences_of_2",
    "sequences_of_3", "onset_by_condition", "abatement_share", "condition_duration", "reason_named", "reason_first",
    "within_patient_variation", "reason_gap",
}  # fmt: skip


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("real"), told(REAL, 1))


@pytest.fixture(scope="module")
def sides(real: Path) -> tuple[Lives, Lives]:
    """Holdout and training patients."""
    return Lives.read(real, names(0, 70)), Lives.read(real, names(70, REAL))


def measured(sides: tuple[Lives, Lives], folder: Path, seed: int = 1) -> dict[str, TimelineMeasure]:
    both = Histories(sides[0], Lives.read(folder), sides[1])
    return {one.name: one for one in measure_histories(both, index_date=INDEX, seed=seed)[0]}


@pytest.fixture(scope="module")
def plain(sides: tuple[Lives, Lives], tmp_path_factory: pytest.TempPathFactory) -> dict[str, TimelineMeasure]:
    """What a draw comes to in which nothing is changed."""
    return measured(sides, save(tmp_path_factory.mktemp("plain"), told(80, 2)))


def apart(measures: dict[str, TimelineMeasure]) -> set[str]:
    return {name for name, one in measures.items() if one.within is False}


# ---------------------------------------------------------------- what is alike and what is not


def test_fresh_draws_are_within(sides: tuple[Lives, Lives], tmp_path: Path) -> None:
    found = [measured(sides, save(tmp_path / str(seed), told(80, seed))) for seed in range(2, 6)]
    assert set(found[0]) >= ASPECTS
    some = [one for each in found for name, one in each.items() if name in ASPECTS]
    assert all(one.distance is not None and one.fresh is not None for one in some)
    # One in twenty by chance; four draws against one holdout are not independent.
    assert sum(one.within is False for one in some) <= 0.15 * len(some)
    assert found[0] == measured(sides, tmp_path / "2")


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "encounters_by_class": ({"emergencies": 0.6}, "EMER"),
    "seasonality": ({"summer": 0.4}, "Jul"),
    "code_frequency_conditions": ({"illnesses": 0.6}, "Infection"),
    "code_frequency_procedures": ({"rare": 0.02}, "Test"),
    "panel_cooccurrence": ({"whole_panel": 0.5}, "Hemoglobin with Platelets"),
    "sequences_of_2": ({"shuffled": True}, "Test"),
    "sequences_of_3": ({"shuffled": True}, "→"),
    "onset_by_condition": ({"onset": -15.0}, "Infection"),
    "abatement_share": ({"ends": 0.3}, "Infection"),
    "condition_duration": ({"lasts": 80.0}, "Infection"),
    "reason_named": ({"reason": 0.1}, ""),
    "reason_first": ({"early": 0.5}, ""),
    "within_patient_variation": ({"swing": 0.1}, "Hemoglobin"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_differs_is_beyond_its_band_and_is_named(
    sides: tuple[Lives, Lives], plain: dict[str, TimelineMeasure], tmp_path: Path, name: str
) -> None:
    changed, title = CHANGES[name]
    other = measured(sides, save(tmp_path, told(80, 2, **changed)))
    assert name in apart(other) - apart(plain)
    if title:
        furthest = other[name].furthest
        assert all(one.beyond for one in furthest)
        assert any(title in one.title for one in furthest)
        assert title.split(" ")[0] in lived.furthest(other[name])
    assert other[name].title in lived.timeline(tuple(other.values()))


def test_a_table_that_is_empty_on_one_side_is_compared(sides: tuple[Lives, Lives], tmp_path: Path) -> None:
    bare = told(80, 2) | {"procedures": [], "medications": []}
    found = measured(sides, save(tmp_path, bare))
    assert {"code_frequency_procedures", "code_frequency_medications"} <= apart(found)
    assert found["code_frequency_procedures"].synthetic == 0
    assert found["reason_named"].within is None
    assert "Fewer than 10 patients have any (synthetic)." in found["reason_named"].note
    said = lived.timeline(tuple(found.values()))
    assert "Not compared, as too few patients have any: " in said
    assert said.index(found["reason_named"].title) > said.index("Not compared")


def test_too_few_patients_are_not_compared(real: Path, tmp_path: Path) -> None:
    few = save(tmp_path, told(8, 2))
    both = Histories(Lives.read(real, names(0, 9)), Lives.read(few))
    measures = measure_histories(both, index_date=INDEX, seed=1)[0]
    assert {one.within for one in measures} == {None}
    assert all(one.real is None and one.furthest == () for one in measures)


def test_a_fresh_draw_is_what_a_perfect_generator_comes_to(
    real: Path, sides: tuple[Lives, Lives], tmp_path: Path
) -> None:
    made, fresh = (save(tmp_path / str(seed), told(80, seed, prefix=prefix)) for seed, prefix in ((2, "s"), (3, "f")))
    rows = {name: pd.DataFrame({"patient_id": some}) for name, some in (("f", names(0, 80, "f")), ("h", names(0, 70)))}
    schema = guess_schema([patients(20)["train"]]).schema
    train = pd.DataFrame({"patient_id": names(70, REAL)})
    parts = {"train": train, "holdout": rows["h"], "made": pd.DataFrame({"x": range(80)})}
    without = read_histories(real, made, **parts, schema=schema)
    found = read_histories(real, made, **parts, schema=schema, oracle=Oracle(fresh, rows["f"]))
    assert found.fresh is not None
    assert len(found.fresh) == 80
    with_one, none = (
        {one.name: one for one in measure_histories(some, index_date=INDEX, seed=1)[0]} for some in (found, without)
    )
    assert {one.fresh for one in with_one.values()} != {one.fresh for one in none.values()}
    # The fresh draw as the synthetic one is as far away as it says, but for which codes are then the commonest.
    swapped = {
        one.name: one for one in measure_histories(replace(without, synthetic=found.fresh), index_date=INDEX, seed=1)[0]
    }
    for name in ASPECTS:
        assert swapped[name].distance == pytest.approx(with_one[name].fresh, abs=0.01)


# ---------------------------------------------------------------- what is shown of codes


def test_codes_of_one_to_four_real_patients_are_not_shown(tmp_path: Path) -> None:
    rows = told(60, 1)
    for patients_, code in ((4, "four"), (12, "many")):
        for name in names(0, patients_):
            more = {"patient_id": name, "code": code, "display": code.capitalize(), "onset": at(10)}
            rows["conditions"].append({**more, "verification_status": "confirmed"})
    # Words that one patient alone has for a code that many have.
    rows["conditions"][0]["display"] = "Quillonish"
    both = Histories(*(Lives.read(save(tmp_path / str(seed), some)) for seed, some in ((0, rows), (1, told(60, 2)))))
    found = frequencies(both, INDEX)
    assert found is not None
    titles = {one.title for one in found.points}
    assert "Many" in titles
    assert titles.isdisjoint({"Four", "four", "Quillonish"})
    assert found.hidden == 1
    assert "1 codes that one to four real patients have are not shown" in lived.codes(found)
    many = next(one for one in found.points if one.title == "Many")
    assert (many.real, many.synthetic, many.beyond) == (0.2, 0, True)
    measures = measure_histories(both, index_date=INDEX, seed=1)[0]
    named = {part.title for one in measures for part in one.furthest}
    assert not [one for one in named if "our" in one or "Quillonish" in one]


def test_marks_are_filled_beyond_the_band_alone(sides: tuple[Lives, Lives], tmp_path: Path) -> None:
    found = frequencies(Histories(sides[0], Lives.read(save(tmp_path, told(80, 2, rare=0.01)))), INDEX)
    assert found is not None
    made = drawing.codes(found)
    beyond = sum(one.beyond for one in found.points)
    assert beyond >= 1
    assert made.count('class="code beyond"') == beyond + 4
    assert made.count('class="code"') == len(found.points) - beyond + 4
    assert "Test" in lived.codes_alternative(found)


# ---------------------------------------------------------------- the whole report

PLANTED = ("Quillonish", "Zq-91733107", "7319.402857")


def planted(folder: Path, origin: str | None) -> Path:
    """Tables in which one patient has words, an id and a value that nobody else has."""
    rows = told(60, 1, origin=origin)
    own = {"patient_id": "p1", "status": "final", "verification_status": "confirmed"}
    own |= {"onset": at(3), "effective": at(3), "authored": at(3), "start": at(3)}
    for table in ("conditions", "observations", "medications", "procedures"):
        rows[table].append({**own, "code": "Zq-91733107", "display": "Quillonish", "value_number": 7319.402857})
    rows["conditions"][0]["display"] = "Quillonish"
    return save(folder, rows)


@pytest.mark.parametrize("origin", [pytest.param(None, marks=pytest.mark.slow), "simulated"])
def test_no_real_patient_is_in_the_report(tmp_path: Path, origin: str | None) -> None:
    real, made = planted(tmp_path / "real", origin), save(tmp_path / "made", told(30, 2, prefix="s"))
    rows = {name: frame.assign(patient_id="") for name, frame in patients(30).items()}
    rows["train"]["patient_id"], rows["holdout"]["patient_id"] = names(0, 30), names(30, 60)
    schema = guess_schema([frame.drop(columns="patient_id") for frame in rows.values()]).schema
    schema = schema.model_copy(update={"index_date": INDEX})
    parts = {"train": rows["train"], "holdout": rows["holdout"], "made": rows["synthetic"]}
    histories = read_histories(real, made, **parts, schema=schema)
    report = evaluate(*rows.values(), schema, target="relapse", seed=1, extras=Extras(histories=histories))
    write_report(report, {}, tmp_path / "report", schema=schema)
    for path in (tmp_path / "report").iterdir():
        text = path.read_text(encoding="utf-8")
        assert [one for one in PLANTED if one in text] == [], path
        assert "Quillonish" in pq.read_table(real / "conditions.parquet")["display"].to_pylist()
    body = json.loads((tmp_path / "report" / "report.json").read_bytes())
    shown = [one["origin"] for one in body["pictures"]["charts"]]
    assert shown == (["real"] if origin else []) + ["synthetic"] * 2
    assert {one["name"] for one in body["timeline"]} >= ASPECTS
    assert {"history_copies", "history_auc"} <= {one["name"] for one in body["measures"]}
    assert any("a fifth replaced by training patients'" in one["name"] for one in body["controls"])
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert page.count('<figure class="chart">') == len(shown)
    assert ("No real patient is shown beside them" in page) == (origin is None)


@pytest.mark.slow
def test_the_command_takes_an_oracle_among_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, made = save(tmp_path / "real", told(60, 1)), save(tmp_path / "made", told(30, 2, prefix="s"))
    fresh = save(tmp_path / "fresh", told(30, 3, prefix="f"))
    rows = {name: frame.assign(patient_id="s0") for name, frame in patients(30).items()}
    rows["train"]["patient_id"], rows["holdout"]["patient_id"] = names(0, 30), names(30, 60)
    schema = guess_schema([frame.drop(columns="patient_id") for frame in rows.values()]).schema
    schema.model_copy(update={"index_date": INDEX}).save(tmp_path / "schema.json")
    arguments = [*options(saved(tmp_path, rows)), "--tables", real, "--synthetic-tables", made]
    drawn = patients(40)["train"].head(30).assign(patient_id=names(0, 30, "f"))
    found = []
    for folder in (tmp_path, fresh):
        drawn.to_csv(folder / "oracle.csv", index=False)
        result = caller(monkeypatch, capsys)(*arguments, "--oracle", folder / "oracle.csv")
        assert result.code == 0, result.err
        body = json.loads((tmp_path / "report" / "report.json").read_bytes())
        found.append({one["name"]: one["fresh"] for one in body["timeline"]})
        assert len(body["pictures"]["charts"]) == 2
    assert found[0]["encounter_gap"] != found[1]["encounter_gap"]


def test_histories_of_cases_are_about_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhirsynth.trilemma.judging.self_test", lambda *_: ())
    real, made = save(tmp_path / "real", told(60, 1)), save(tmp_path / "made", told(30, 2, prefix="s"))
    rows = {name: frame.assign(patient_id="s0") for name, frame in patients(30).items()}
    rows["train"]["patient_id"], rows["holdout"]["patient_id"] = names(0, 30), names(30, 60)
    rows["synthetic"]["relapse"] = 1
    schema = guess_schema([frame.drop(columns="patient_id") for frame in rows.values()]).schema
    parts = {"train": rows["train"], "holdout": rows["holdout"], "made": rows["synthetic"]}
    histories = read_histories(real, made, **parts, schema=schema)
    report = evaluate(*rows.values(), schema, target="relapse", seed=1, extras=Extras(histories=histories))
    assert {one.cohort for one in report.measures if one.name.startswith("history_")} == {"rare"}
