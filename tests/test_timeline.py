"""Histories and plausibility: what is alike lies within the band, what is not is seen, and each rule can be broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import ks_2samp

from fhirsynth.constraints import ConstraintSet
from fhirsynth.errors import EvaluateError, UsageError
from fhirsynth.trilemma.lives.order import order_in_time
from fhirsynth.trilemma.lives.properties import PROPERTIES, View
from fhirsynth.trilemma.lives.timeline import Histories, alike, measure_histories, read_histories
from fhirsynth.trilemma.measure import Rule, TimelineMeasure
from fhirsynth.trilemma.rules import Tally, judged, plausibility
from fhirsynth.trilemma.samples import prepare
from synthea_bridge.dates import day_of, instant_of
from synthea_bridge.tables import LOINC, TABLES
from tests.frames import example_features, example_schema

INDEX = date(2026, 1, 1)
BEGIN = datetime(2010, 3, 1, 9, tzinfo=UTC)
Rows = dict[str, list[dict[str, Any]]]
KEYS = {table.name: table.key[0] for table in TABLES}


def at(days: float) -> str:
    """So many days after :data:`BEGIN`."""
    return (BEGIN + timedelta(days=days)).isoformat()


def write(folder: Path, rows: Rows) -> Path:
    """The tables of a folder; times are given as text, and ids are filled in."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        made = []
        for number, given in enumerate(rows.get(table.name, [])):
            row = {KEYS[table.name]: f"{table.name}-{number}", "component": 0, "deceased": False, **given}
            for name in [name for name in row if f"{name}_text" in table.names and isinstance(row[name], str)]:
                row[f"{name}_text"] = row[name]
                row[name] = day_of(row[name]) if name == "birth_date" else instant_of(row[name])
            made.append({name: row.get(name) for name in table.names})
        pq.write_table(pa.Table.from_pylist(made, table.schema), folder / f"{table.name}.parquet")
    return folder


def visit(patient: str, name: str, start: float, days: float = 0.02, **more: Any) -> dict[str, Any]:
    encounter = {"encounter_id": name, "patient_id": patient, "class_code": "AMB", "status": "finished"}
    return {**encounter, "start": at(start), "end": at(start + days), **more}


def entry(patient: str, encounter: str | None, code: str = "1-1", **more: Any) -> dict[str, Any]:
    return {"patient_id": patient, "encounter_id": encounter, "code": code, "system": LOINC, "status": "final", **more}


def population(
    patients: int, seed: int, *, pace: float = 1.0, stay: float = 3.0, prefix: str = "p", spread: float = 0.8
) -> Rows:
    """Patients of very different pace, each with visits, a stay, measurements, a condition and orders."""
    random = np.random.default_rng(seed)
    rows: Rows = {table.name: [] for table in TABLES}
    for number in range(patients):
        name = f"{prefix}{number}"
        rows["patients"].append({"patient_id": name, "birth_date": f"{random.integers(1940, 2005)}-06-15"})
        gap, day = 60 * pace * float(random.lognormal(0, spread)), 0.0
        for count in range(int(random.integers(5, 30))):
            day += float(random.exponential(gap)) + 0.5
            if day > 5700:
                break
            encounter = f"{name}-{count}"
            rows["encounters"].append(visit(name, encounter, day))
            for code in range(int(random.integers(0, 4))):
                rows["observations"].append(entry(name, encounter, f"{code}-0", effective=at(day + 0.01)))
        rows["encounters"].append(
            visit(name, f"{name}-stay", 5750, float(random.exponential(stay)) + 0.1, class_code="IMP")
        )
        onset = at(float(random.integers(0, 5000)))
        rows["conditions"].append(entry(name, None, "c", onset=onset, recorded=onset))
        rows["medications"] += [entry(name, f"{name}-stay", "m", authored=at(5750))] * int(random.integers(0, 5))
    return rows


def compared(
    real: Path, made: Path, seed: int = 1
) -> tuple[dict[str, TimelineMeasure], dict[str, Rule], dict[str, Any]]:
    ids = pq.read_table(real / "patients.parquet")["patient_id"].to_pylist()
    measures, pictures, rules = measure_histories(Histories.read(real, ids, made), index_date=INDEX, seed=seed)
    return (
        {one.name: one for one in measures},
        {one.name: one for one in rules},
        {one.name: one for one in pictures},
    )


def beyond(measures: dict[str, TimelineMeasure]) -> set[str]:
    return {name for name, one in measures.items() if one.distance is not None and one.band and one.distance > one.band}


NOBODY_HAS = {
    "reason_gap",
    "reason_first",
    "condition_duration",
    "within_patient_variation",
    "code_frequency_procedures",
}
"""What nobody of :func:`population` has any of."""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("real"), population(120, 1))


def test_fresh_draws_lie_within_the_bands(real: Path, tmp_path: Path) -> None:
    found = [compared(real, write(tmp_path / str(seed), population(150, seed))) for seed in range(2, 7)]
    measures = [one for side in found for one in side[0].values() if one.name not in NOBODY_HAS]
    assert all(one.distance is not None for one in measures)
    # One in twenty by chance; five draws against one holdout are not independent.
    assert sum(len(beyond(side[0])) for side in found) <= 0.15 * len(measures)
    assert all(rule.verdict in ("PASS", None) for side in found for rule in side[1].values())
    assert found[0][1]["observation-encounter"].verdict == "PASS"
    bins = [
        low <= share <= high
        for side in found
        for one in side[2].values()
        for low, share, high in zip(one.low, one.synthetic, one.high, strict=True)
    ]
    assert np.mean(bins) > 0.85
    assert found[0] == compared(real, tmp_path / "2")


def test_pictures_are_whole(real: Path, tmp_path: Path) -> None:
    pictures = compared(real, write(tmp_path / "made", population(150, 2)))[2]
    assert 6 <= len(pictures) <= 11
    for one in pictures.values():
        assert len(one.labels) == len(one.real) == len(one.synthetic) == len(one.low) == len(one.high)
        assert sum(one.real) == pytest.approx(1, abs=1e-3)
        assert sum(one.synthetic) == pytest.approx(1, abs=1e-3)
        assert all(0 <= low <= high <= 1 for low, high in zip(one.low, one.high, strict=True))
        assert one.missing_low <= one.missing_real <= one.missing_high


def test_what_differs_is_beyond_its_band_and_the_rest_is_as_it_was(real: Path, tmp_path: Path) -> None:
    plain, _, _ = compared(real, write(tmp_path / "plain", population(150, 2)))
    long, _, pictures = compared(real, write(tmp_path / "long", population(150, 2, stay=12)))
    assert "stay_length" not in beyond(plain)
    assert beyond(long) == beyond(plain) | {"stay_length"}
    assert pictures["stay_length"].synthetic[-1] > pictures["stay_length"].high[-1]
    slow, _, _ = compared(real, write(tmp_path / "slow", population(150, 2, pace=3)))
    assert "encounter_gap" in beyond(slow)
    assert "stay_length" not in beyond(slow)


def test_the_band_counts_patients_and_not_their_visits(tmp_path: Path) -> None:
    """Draws of the same population, each patient with a pace of their own: a test of single gaps sees differences."""
    gaps = next(one for one in PROPERTIES if one.name == "encounter_gap")
    single = together = 0
    for seed in range(10, 22, 2):
        sides = [write(tmp_path / str(one), population(40, one, spread=1.5)) for one in (seed, seed + 1)]
        both = Histories.read(sides[0], [f"p{number}" for number in range(40)], sides[1])
        values = [gaps.values(View.of(lives, 30000)).value for lives in (both.real, both.synthetic)]
        measures = {one.name: one for one in measure_histories(both, index_date=INDEX, seed=3)[0]}
        test = ks_2samp(*values)
        assert measures["encounter_gap"].distance == pytest.approx(test.statistic, abs=2e-3)
        single += test.pvalue < 0.05
        together += "encounter_gap" in beyond(measures)
    assert single >= 4
    assert together <= 1


def alone(name: str, **more: Any) -> Rows:
    """One patient: three visits ten days apart, the second a stay of two days with two measurements."""
    rows: Rows = {
        "patients": [{"patient_id": name, "birth_date": "2000-03-01"}],
        "encounters": [
            visit(name, f"{name}-0", 5760),
            visit(name, f"{name}-1", 5770, 2, class_code="IMP"),
            visit(name, f"{name}-2", 5780),
            visit(name, f"{name}-void", 5781, status="entered-in-error"),
            visit(name, f"{name}-late", 5900),
        ],
        "observations": [
            entry(name, f"{name}-1", "a", effective=at(5770.1)),
            entry(name, f"{name}-1", "b", effective=at(5770.2), observation_id=f"{name}-bp"),
            entry(name, f"{name}-1", "c", effective=at(5770.2), observation_id=f"{name}-bp", component=1),
        ],
        "conditions": [entry(name, f"{name}-0", "c", onset="2010-03-01T09:00:00Z", verification_status="confirmed")],
        "medications": [entry(name, f"{name}-0", "m", authored=at(5760.01))],
    }
    return {table: [*rows.get(table, []), *more.get(table, [])] for table in {*rows, *more}}


def joined(parts: Sequence[Rows]) -> Rows:
    return {table.name: [row for part in parts for row in part.get(table.name, [])] for table in TABLES}


def test_medians_are_what_was_written(tmp_path: Path) -> None:
    folder = write(tmp_path / "same", joined([alone(f"p{number}") for number in range(12)]))
    measures, rules, pictures = compared(folder, folder)
    expected = {
        "encounters_per_patient": 3,
        "encounters_12m": 3,
        "encounter_gap": 10,
        "history_length": 20 / 365.25,
        "stay_length": 2,
        "observations_per_encounter": 0,
        "loinc_codes": 3,
        "conditions_per_patient": 1,
        "onset_age": 10.0,
        "onset_age_shared": 10.0,
        "medications_per_patient": 1,
        "procedures_per_patient": 0,
    }
    found = {name: measures[name].real for name in expected}
    assert found == pytest.approx(expected, abs=0.005)
    assert {measures[name].distance for name in expected} == {0.0}
    assert {one.distance for one in measures.values()} == {0.0, None}
    assert measures["encounter_gap"].n_real == 24
    assert measures["stay_length"].patients_synthetic == 12
    assert all("no verdict" in one.note for one in measures.values())
    assert rules["nothing-in-future"].real_broken == 12
    assert pictures["observations_per_encounter"].labels == ("0", "1", "≥2")
    assert pictures["observations_per_encounter"].real == pytest.approx((2 / 3, 0, 1 / 3), abs=1e-3)
    # Nobody waits for less than a week, so that there is no bin of it.
    assert pictures["encounter_gap"].labels == ("≥0",)


def test_what_few_have_is_not_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "few", joined([alone(f"p{number}") for number in range(9)]))
    measures, _, pictures = compared(folder, folder)
    assert {one.real for one in measures.values()} == {None}
    assert {one.band for one in measures.values()} == {None}
    assert "Fewer than 10 patients have any (real, synthetic)." in measures["encounter_gap"].note
    assert pictures == {}


BROKEN: dict[str, Rows] = {
    "nothing-before-birth": {"conditions": [entry("p", None, onset="1999-12-30")]},
    "nothing-in-future": {"procedures": [entry("p", None, start="2026-01-04")]},
    "encounter-end": {"encounters": [visit("p", "x", 100, -1)]},
    "discharge-after-admission": {"encounters": [visit("p", "x", 100, 0, class_code="ACUTE")]},
    "one-stay-at-a-time": {"encounters": [visit("p", "x", 5771, 3, class_code="IMP")]},
    "condition-end": {"conditions": [entry("p", None, onset=at(100), abatement=at(99))]},
    "condition-recorded": {"conditions": [entry("p", None, onset=at(100), recorded=at(99))]},
    "condition-encounter": {"conditions": [entry("p", "p-0", onset=at(5762))]},
    "observation-encounter": {"observations": [entry("p", "p-0", effective=at(5761))]},
    "medication-encounter": {"medications": [entry("p", "p-0", authored=at(5765))]},
    "medication-first": {"medications": [entry("p", None, authored=at(5700))]},
    "procedure-encounter": {"procedures": [entry("p", "p-0", start=at(5759))]},
    "procedure-end": {"procedures": [entry("p", None, start=at(100), end=at(99))]},
}


@pytest.mark.parametrize("name", [*BROKEN, "nothing-after-death"])
def test_each_rule_can_be_broken(tmp_path: Path, name: str) -> None:
    rows = alone("p", **BROKEN.get(name, {}))
    if name == "nothing-after-death":
        rows["patients"][0]["deceased_at"] = "2025-12-25"
    rows["encounters"] = [row for row in rows["encounters"] if row["encounter_id"] != "p-late"]
    ids = ["p"]
    lives = Histories.read(write(tmp_path / "real", rows), ids, tmp_path / "real").real
    rules = {one.name: one for one in order_in_time(lives, lives, INDEX)}
    assert rules[name].real_broken == 1
    others = {one.name for one in rules.values() if one.real_broken} - {name}
    # A stay without length is no stay, and an end before the begin is none either.
    assert others <= {"discharge-after-admission", "encounter-end"}


def test_a_date_counts_as_wrong_only_if_it_is_wrong_whatever_it_means(tmp_path: Path) -> None:
    rows = alone(
        "p",
        conditions=[
            entry("p", None, onset="2000-03-01", recorded="2000"),
            entry("p", None, onset="2000-02", recorded="1999-12-31"),
        ],
        observations=[entry("p", "p-0", effective=at(5760)[:10])],
        procedures=[entry("p", "p-0", start=at(5760)[:7], end=at(5760)[:4]), entry("p", None, start="2026-01-01")],
    )
    rows["encounters"] = [row for row in rows["encounters"] if row["encounter_id"] != "p-late"]
    rows["patients"][0] |= {"birth_date": "2000-03", "deceased_at": "2026"}
    folder = write(tmp_path / "real", rows)
    lives = Histories.read(folder, ["p"], folder).real
    broken = {one.name: one.real_broken for one in order_in_time(lives, lives, INDEX) if one.real_broken}
    assert broken == {"condition-recorded": 1}


def test_only_the_patients_asked_for_are_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "real", joined([alone(f"p{number}") for number in range(4)]))
    lives = Histories.read(folder, ["p3", "p1"], folder, ["p0"])
    assert lives.real.patients["patient_id"].tolist() == ["p1", "p3"]
    assert len(lives.synthetic) == 4
    assert lives.train is not None
    assert len(lives.train.encounters) == 4
    assert (lives.real.observations["encounter"] >= 0).all()


def test_like_is_compared_with_like(tmp_path: Path) -> None:
    schema, rows = example_schema(), example_features(40, 0.25, 3)
    cases = rows[rows["has_cystic_fibrosis"]]
    assert alike(rows, cases, schema) == cases["patient_id"].tolist()
    assert len(alike(rows, rows, schema)) == 40
    folder = write(tmp_path / "real", {"patients": [{"patient_id": one} for one in rows["patient_id"]]})
    found = read_histories(folder, folder, train=rows.head(30), holdout=rows.tail(10), made=cases, schema=schema)
    assert len(found.real) == int(rows.tail(10)["has_cystic_fibrosis"].sum())
    with pytest.raises(UsageError, match="no patient_id"):
        alike(rows.drop(columns="patient_id"), cases, schema)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    folder = write(tmp_path / "real", alone("p"))
    with pytest.raises(EvaluateError, match=r"real: lacks 1 of 2 patients, 'q' first; give the folder"):
        Histories.read(folder, ["p", "q"], folder)
    with pytest.raises(EvaluateError, match="has no patients"):
        Histories.read(folder, ["p"], write(tmp_path / "nobody", {}))
    (folder / "medications.parquet").unlink()
    with pytest.raises(UsageError, match=r"medications\.parquet: there is no such table"):
        Histories.read(folder, ["p"], folder)


def samples(broken: int, rows: int = 400) -> Any:
    train, holdout, made = (example_features(rows, seed=seed) for seed in (1, 2, 3))
    diabetic = made.index[made["has_diabetes"] & made["hba1c"].notna()][:broken]
    made.loc[diabetic, "has_diabetes"] = False
    made.loc[made.index[:broken], "heart_rate"] = 900.0
    return prepare(train, holdout, made, example_schema(), None, (), 0)


def test_rows_that_break_constraints_and_bounds_fail() -> None:
    clean = {one.name: one for one in plausibility(samples(0))}
    assert {one.verdict for one in clean.values() if one.group == "range"} == {"PASS", None}
    assert clean["range-heart_rate"].title == "Heart rate: from 20 to 300 /min"
    assert clean["range-sex"].title.endswith("one of female, male, other, unknown, never missing")
    adult = clean["adult-cohort"]
    assert adult.verdict is None
    assert "not asked: " in adult.title
    assert adult.real_broken > 0
    wrong = {one.name: one for one in plausibility(samples(30))}
    assert wrong["range-heart_rate"].verdict == "FAIL"
    assert wrong["range-heart_rate"].synthetic_broken == 30
    rule = wrong["hba1c-means-diabetes"]
    assert rule.verdict == "FAIL"
    assert (rule.real_broken, rule.synthetic_broken) == (0, 30)
    assert 30 < rule.synthetic_checked < 100
    assert {one.verdict for one in plausibility(samples(0, 60))} == {None}


def test_a_constraint_of_other_columns_is_not_asked() -> None:
    ours = ConstraintSet.load()
    first = ours.enforced[0]
    other = first.model_copy(update={"id": "other", "then": first.then.model_copy(update={"column": "x"})})
    found = plausibility(samples(0), ConstraintSet(enforced=(other, ours.enforced[1])))
    assert [one.name for one in found if one.group == "constraint"] == [ours.enforced[1].id]


def test_cases_are_held_against_cases() -> None:
    everybody = samples(0)
    made = everybody.synthetic[everybody.cases(everybody.synthetic)].reset_index(drop=True)
    rules = {one.name: one for one in plausibility(replace(everybody, synthetic=made))}
    assert rules["range-age"].real_checked == int(everybody.cases(everybody.holdout).sum())


def tally(sizes: list[int], broken: list[int]) -> Tally:
    """Patients with so many entries each, of which so many are broken."""
    patient = np.repeat(np.arange(len(sizes)), sizes)
    wrong = np.concatenate([np.arange(size) < bad for size, bad in zip(sizes, broken, strict=True)])
    return Tally.of(np.ones(len(patient), dtype=bool), wrong, patient)


def test_one_strange_patient_is_no_failure() -> None:
    clean = tally([50] * 60, [0] * 60)
    spread = tally([50] * 60, [2] * 60)
    strange = tally([50] * 60, [50] + [0] * 59)
    assert judged(clean, clean) == "PASS"
    assert judged(clean, spread) == "FAIL"
    assert spread.effect == pytest.approx(1, abs=0.01)
    assert strange.effect == pytest.approx(50, rel=0.05)
    assert judged(clean, strange) != "FAIL"
    assert judged(strange, spread) == "PASS"
    assert judged(spread, clean) == "PASS"


def test_too_few_give_no_verdict() -> None:
    assert judged(tally([10] * 30, [0] * 30), tally([5] * 30, [0] * 30)) is None
    assert judged(tally([10] * 30, [0] * 30), tally([500], [0])) is None
    assert judged(tally([1], [0]), tally([10] * 30, [1] * 30)) is None
    assert judged(tally([1], [0]), tally([10] * 30, [0] * 30)) == "PASS"
    assert judged(tally([0], [0]), tally([0], [0])) is None
