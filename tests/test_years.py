"""Histories over the last years alone: what is left of them, that both sides are cut alike, and what a report says."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fhirsynth.cli import cli
from fhirsynth.errors import UsageError
from fhirsynth.guess import guess_schema
from fhirsynth.trilemma.lives.charts import example_charts
from fhirsynth.trilemma.lives.copies import measure_copies
from fhirsynth.trilemma.lives.histories import Histories, Lives
from fhirsynth.trilemma.lives.order import order_in_time
from fhirsynth.trilemma.lives.timeline import measure_histories
from fhirsynth.trilemma.page import lived
from fhirsynth.trilemma.page.drawing.chart import GUTTER, alone
from tests.evaluating import caller, options, patients, refused, saved
from tests.told import INDEX, Rows, names, of, save, told

SINCE = datetime(2023, 1, 1, tzinfo=UTC)
"""Three years, of 365.25 days, before the index date, from the beginning of that day."""

BEFORE, AFTER = (SINCE - timedelta(seconds=1)).isoformat(), SINCE.isoformat()
LATER = (SINCE + timedelta(days=400)).isoformat()
OWN = {"patient_id": "q", "status": "final", "verification_status": "confirmed"}


def entry(code: str, encounter: str | None = None, **more: Any) -> dict[str, Any]:
    return {**OWN, "code": code, "encounter_id": encounter, **more}


ROWS: Rows = {
    "patients": [{"patient_id": "q", "birth_date": "1980-01-01"}],
    "encounters": [
        {**OWN, "encounter_id": key, "class_code": "AMB", "start": start, "end": LATER}
        for key, start in (("out", BEFORE), ("in", AFTER), ("undated", None))
    ],
    "conditions": [
        entry("over", condition_id="over", onset="2001-01-01", abatement=BEFORE),
        entry("ended since", onset="2001-01-01", abatement=AFTER),
        entry("lasting", condition_id="lasting", onset="2001-01-01"),
        entry("new", onset=AFTER, abatement=LATER),
        entry("undated and over", abatement=BEFORE),
    ],
    "observations": [
        entry("before", "out", effective=BEFORE),
        entry("during a visit from before", "out", effective=AFTER),
        entry("after", "in", effective=AFTER),
        entry("part", "in", effective=AFTER, component=1),
        entry("undated", "in"),
    ],
    "medications": [
        entry("before", "out", authored=BEFORE, reason_id="over"),
        entry("of what is over", None, authored=AFTER, reason_id="over"),
        entry("of what lasts", "in", authored=LATER, reason_id="lasting"),
        entry("without a reason", "in", authored=LATER),
    ],
    "procedures": [entry("before", "out", start=BEFORE, end=LATER), entry("after", "in", start=AFTER)],
}
KEPT = {
    "encounters": ["AMB"],
    "conditions": ["ended since", "lasting", "new"],
    "observations": ["during a visit from before", "after", "part"],
    "medications": ["of what is over", "of what lasts", "without a reason"],
    "procedures": ["after"],
}


def codes(lives: Lives) -> dict[str, list[str]]:
    """The codes of each table, of encounters the classes, in the order of rows."""
    return {
        name: getattr(lives, name)["class_code" if name == "encounters" else "code"].astype(str).tolist()
        for name in KEPT
    }


def test_exactly_what_happened_in_the_years_is_left(tmp_path: Path) -> None:
    lives = Lives.read(save(tmp_path, ROWS), years=3, index_date=INDEX)
    assert codes(lives) == KEPT
    assert lives.observations["encounter"].tolist() == [-1, 0, 0]
    assert lives.medications["reason"].tolist() == [-2, 1, -1]
    assert lives.since == SINCE.timestamp() / 86400
    whole = Lives.read(tmp_path)
    assert {name: len(some) for name, some in codes(whole).items()} == {name: len(ROWS[name]) for name in KEPT}
    assert codes(Lives.read(tmp_path, years=0.01, index_date=INDEX))["encounters"] == []


def test_without_an_index_date_years_count_from_the_latest_encounter(tmp_path: Path) -> None:
    last = {**OWN, "encounter_id": "last", "class_code": "EMER", "start": "2026-01-01T23:00:00Z"}
    save(tmp_path, {**ROWS, "encounters": [*ROWS["encounters"], last]})
    found = codes(Lives.read(tmp_path, years=3))
    assert found == {**KEPT, "encounters": ["AMB", "EMER"]}
    nobody = save(tmp_path / "nobody", {**ROWS, "encounters": []})
    with pytest.raises(UsageError, match="no encounter has a date to count years from"):
        Lives.read(nobody, years=3)
    with pytest.raises(UsageError, match="over the last 0 years are none"):
        Lives.read(tmp_path, years=0)


def test_an_order_of_a_visit_from_before_is_not_before_the_first(tmp_path: Path) -> None:
    found = []
    for years in (None, 3.0):
        lives = Lives.read(save(tmp_path, ROWS), years=years, index_date=INDEX)
        rules = {one.name: one for one in order_in_time(lives, lives, INDEX)}
        found.append((len(lives.medications), rules["medication-first"].real_broken))
    assert found == [(4, 0), (3, 0)]


def recent(rows: Rows, years: float) -> Rows:
    """What a generator makes that tells the last years alone; written by another rule than what is tested."""
    first = (INDEX - timedelta(days=ceil(365.25 * years))).isoformat()
    times = {"encounters": "start", "observations": "effective", "medications": "authored", "procedures": "start"}
    told_ = {name: [row for row in rows[name] if row[time] >= first] for name, time in times.items()}
    lasting = [row for row in rows["conditions"] if row["onset"] >= first or (row["abatement"] or "9") >= first]
    return {**rows, **told_, "conditions": lasting}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("real"), told(160, 13))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("short"), recent(told(80, 3, prefix="s"), 5))


def test_histories_of_a_few_years_are_held_against_as_few(real: Path, short: Path) -> None:
    found = {}
    for years in (None, 5.0):
        both = Histories.read(real, names(0, 70), short, names(70, 160), years=years, index_date=INDEX)
        found[years] = {one.name: one for one in measure_histories(both, index_date=INDEX, seed=1)[0]}
        assert both.years == years
        assert [one.name for one in measure_copies(both, index_date=INDEX, seed=1).measures] == [
            "history_copies",
            "history_auc",
        ]
    length = ("encounters_per_patient", "history_length", "code_frequency_conditions", "encounters_by_class")
    assert [found[None][name].within for name in length] == [False] * 4
    beyond = [name for name, one in found[5.0].items() if one.within is False]
    # One in twenty by chance.
    assert set(beyond).isdisjoint(length)
    assert len(beyond) <= 3


def test_what_was_before_is_no_copy(tmp_path: Path) -> None:
    rows, other = told(120, 1), told(60, 9, prefix="s")
    times = {"encounters": "start", "procedures": "start", "observations": "effective"}
    # Training patients' lives until the years begin, and others' from then on.
    made: Rows = {"patients": other["patients"]}
    for name, time in times.items():
        stolen = [row for row in of(rows, set(names(0, 60)), "s")[name] if row[time] < "2018"]
        for row in stolen:
            row["patient_id"] = row["patient_id"].replace("sp", "s")
        made[name] = stolen + [row for row in other[name] if row[time] >= "2018"]
    for number, row in enumerate(made["encounters"]):
        row["encounter_id"] = f"e{number}"
    real, copied = save(tmp_path / "real", rows), save(tmp_path / "made", made)
    verdicts = []
    for years in (None, 8.0):
        both = Histories.read(real, names(60, 120), copied, names(0, 60), years=years, index_date=INDEX)
        verdicts.append([one.verdict for one in measure_copies(both, index_date=INDEX, seed=1).measures])
    assert "FAIL" in verdicts[0]
    assert "FAIL" not in verdicts[1]


def test_charts_begin_with_the_years(tmp_path: Path) -> None:
    rows = told(41, 2, prefix="s")
    old = [
        {"patient_id": name, "verification_status": "confirmed", "code": "o", "display": "Old", "onset": "1999-05-01"}
        for name in names(0, 41, "s")
    ]
    made = save(tmp_path, {**rows, "conditions": [*rows["conditions"], *old]})
    both = Histories.read(made, names(0, 20, "s"), made, years=5, index_date=INDEX)
    found = example_charts(both, INDEX)
    assert {one.start for one in found.charts} == {2021.0}
    for one in found.charts:
        lane = next(lane for lane in one.conditions if lane.title == "Old")
        assert lane.spans == ((1999.33, None),)
        # The bar begins at the left end of the axis, where names end.
        places = [float(place) for place in re.findall(r"M([\d.]+) ", alone(one))]
        assert min(places) >= GUTTER


# ---------------------------------------------------------------- the report


def arguments(folder: Path, real: Path, made: Path) -> list[str]:
    rows = {name: frame.assign(patient_id="s0") for name, frame in patients(30).items()}
    rows["train"]["patient_id"], rows["holdout"]["patient_id"] = names(0, 30), names(30, 60)
    schema = guess_schema([frame.drop(columns="patient_id") for frame in rows.values()]).schema
    schema.model_copy(update={"index_date": INDEX}).save(folder / "schema.json")
    return [*options(saved(folder, rows)), "--tables", str(real), "--synthetic-tables", str(made)]


@pytest.mark.parametrize(
    ("asked", "said", "years"),
    [(("--years", "5"), 3, 5), pytest.param((), 5, 5, marks=pytest.mark.slow), ((), None, None)],
)
def test_a_report_over_some_years_says_so(
    tmp_path: Path,
    real: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    asked: tuple[str, ...],
    said: float | None,
    years: float | None,
) -> None:
    made = save(tmp_path / "made", recent(told(30, 2, prefix="s"), 5))
    (made / "manifest.json").write_text(json.dumps({"stage": "tables", "years": said}))
    result = caller(monkeypatch, capsys)(*arguments(tmp_path, real, made), *asked)
    assert result.code == 0, result.err
    assert json.loads((tmp_path / "report" / "report.json").read_bytes())["years"] == years
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    clause = "over the last 5 years alone (and conditions that last, whenever they began)"
    assert page.count(clause) == (1 if years else 0)
    assert ("Whole histories" in page) == (years is None)


def test_years_without_tables_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call = caller(monkeypatch, capsys)
    refused(call(*options(saved(tmp_path, patients(30))), "--years", "3"), 2, "--years", "--synthetic-tables")


def test_years_in_words() -> None:
    assert lived.over(None) == ""
    assert lived.over(1).startswith(", over the last year alone")
    assert lived.over(2.5).startswith(", over the last 2.5 years alone")


def test_flatten_hands_on_over_which_years_its_source_tells(tmp_path: Path) -> None:
    for name, manifest in (("some", {"years": 3}), ("whole", {"years": None}), ("none", None)):
        source = tmp_path / name
        source.mkdir()
        born = {"resourceType": "Patient", "id": "q", "birthDate": "1980-01-01"}
        (source / "q.json").write_text(json.dumps(born))
        if manifest is not None:
            (source / "manifest.json").write_text(json.dumps(manifest))
        call = ["flatten", str(source), "--out", str(tmp_path / f"{name}-tables"), "--index-date", "2026-01-01"]
        assert CliRunner().invoke(cli, [*call, "--json"]).exit_code == 0
    found = [json.loads((tmp_path / f"{name}-tables" / "manifest.json").read_bytes()) for name in ("some", "whole")]
    assert [one.get("years") for one in found] == [3, None]
    assert "years" not in json.loads((tmp_path / "none-tables" / "manifest.json").read_bytes())
