"""What tables were made with is learned from them: paces, rhythms, cycles, levels, orders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhirsynth.assemble import Timeline, learn
from fhirsynth.assemble.telling import tell
from fhirsynth.assemble.timeline import BANDS, Content, Kind
from fhirsynth.schema import FeatureSchema, build_schema
from fhirsynth.seeds import rng
from synthea_bridge.tables import LOINC, RXNORM, SNOMED, TABLES
from tests.frames import CYSTIC_FIBROSIS, example_features, example_schema
from tests.told import INDEX, Rows, at, names, save

PEOPLE = 40
LAST = 5780
"""Days from the first visits to the index date."""
GAP = 365.25 / 4
PLAIN = build_schema(INDEX)


def nobody() -> Rows:
    return {table.name: [] for table in TABLES}


def lives(people: int = PEOPLE, prefix: str = "p") -> Rows:
    """Women and men of fifty."""
    rows = nobody()
    for place, name in enumerate(names(0, people, prefix)):
        sex = ("female", "male")[place % 2]
        rows["patients"].append({"patient_id": name, "birth_date": "1968-06-15", "gender": sex})
    return rows


def visit(rows: Rows, patient: str, day: float, kind: str = "check-up", class_code: str = "AMB", **more: Any) -> str:
    name = f"{patient}-{kind}-{len(rows['encounters'])}"
    coded = {"type_system": SNOMED, "type_code": kind, "type_display": kind, "class_code": class_code}
    times = {"start": at(day), "end": at(day + 0.02), "status": "finished"}
    rows["encounters"].append({"encounter_id": name, "patient_id": patient, **coded, **times, **more})
    return name


def entry(rows: Rows, table: str, patient: str, code: str, **more: Any) -> None:
    system = {"observations": LOINC, "medications": RXNORM}.get(table, SNOMED)
    status = "final" if table == "observations" else "completed"
    usual = {"patient_id": patient, "system": system, "code": code, "display": code, "status": status}
    if table == "conditions":
        usual |= {"verification_status": "confirmed", "recorded": more["onset"]}
        del usual["status"]
    rows[table].append({**usual, **more})


def value(rows: Rows, patient: str, encounter: str, day: float, code: str, number: float, unit: str = "1") -> None:
    more = {"encounter_id": encounter, "effective": at(day + 0.01), "category": "laboratory"}
    entry(rows, "observations", patient, code, value_type="quantity", value_number=number, value_unit=unit, **more)


def check_ups(rows: Rows, random: np.random.Generator) -> list[tuple[str, str, float, int]]:
    """Four a year of everybody: patient, encounter, day and number of each."""
    found = []
    for patient in rows["patients"]:
        name = patient["patient_id"]
        for number, day in enumerate(np.arange(random.uniform(0, GAP), LAST, GAP)):
            moved = float(day + random.normal(0, 2))
            found.append((name, visit(rows, name, moved), moved, number))
    return found


def learned(folder: Path, rows: Rows, schema: FeatureSchema = PLAIN) -> Timeline:
    return learn(save(folder, rows), [row["patient_id"] for row in rows["patients"]], schema)


def kind(timeline: Timeline, code: str) -> Kind:
    return next(one for one in timeline.kinds if one.concept.code == code)


def mean(quantiles: tuple[float, ...]) -> float:
    return float(np.trapezoid(quantiles, dx=0.1))


def test_paces_rhythms_and_seasons(tmp_path: Path) -> None:
    rows, random = lives(), np.random.default_rng(1)
    check_ups(rows, random)
    for place, name in enumerate(names(0, PEOPLE)):
        for year in range(15):
            visit(rows, name, year * 365.25 + 320 + random.uniform(0, 20), "winter")
        # Half of the women, now and then.
        if place % 4 == 0:
            for day in random.uniform(0, LAST, random.poisson(2 * LAST / 365.25)):
                visit(rows, name, day, "sometimes")
    timeline = learned(tmp_path, rows)
    for code, rate, makes in (("check-up", 4, (1, 1)), ("winter", 1, (1, 1)), ("sometimes", 2, (0.5, 0))):
        pace = kind(timeline, code).paces[40]
        assert (pace.makes["female"], pace.makes["male"]) == pytest.approx(makes, abs=0.02)
        assert mean(pace.rates) == pytest.approx(rate, rel=0.15)
    assert np.ptp(kind(timeline, "check-up").rhythm) < 0.3
    assert np.ptp(kind(timeline, "sometimes").rhythm) > 1.5
    assert np.argmax(kind(timeline, "winter").months) in (0, 1)
    assert max(kind(timeline, "winter").months) > 6
    assert max(kind(timeline, "check-up").months) < 1.3


@pytest.mark.parametrize("having", [6, PEOPLE])
def test_what_needs_a_condition_has_a_pace_whether_few_or_many_have_it(tmp_path: Path, having: int) -> None:
    rows, random = lives(), np.random.default_rng(7)
    because = {"reason_system": SNOMED, "reason_code": "lasting", "reason_display": "lasting"}
    for name in names(0, having):
        # At 22, with visits from then on.
        entry(rows, "conditions", name, "lasting", onset=at(-7200), condition_id=f"{name}-c")
        for day in np.arange(-7190 + random.uniform(0, GAP), LAST, GAP):
            visit(rows, name, float(day), "clinic", **because)
    own = kind(learned(tmp_path, rows), "clinic")
    assert own.needs == "lasting"
    assert [mean(own.paces[low].rates) for low in (18, 40)] == pytest.approx([4, 4], rel=0.05)


def test_cycles_splits_and_turns(tmp_path: Path) -> None:
    rows, random = lives(), np.random.default_rng(2)
    for place, name in enumerate(names(0, PEOPLE)):
        if place < PEOPLE / 2:
            entry(rows, "conditions", name, "lasting", onset=at(-1000), condition_id=f"{name}-c")
    for name, encounter, day, number in check_ups(rows, random):
        has = int(name[1:]) < PEOPLE / 2
        done = {"always": 0.002, "yearly": 0.006, "for it": 0.01}
        for code in ("always", *(["yearly"] if number % 4 == 1 else []), *(["for it"] if has else [])):
            later = done[code]
            times = {"start": at(day + later), "end": at(day + later + 0.003)}
            why = {"reason_id": f"{name}-c"} if code == "for it" else {}
            entry(rows, "procedures", name, code, encounter_id=encounter, **times, **why)
    timeline = learned(tmp_path, rows)
    own = kind(timeline, "check-up")
    items = {one.concept.code: place for place, one in enumerate(timeline.items)}
    batch = {code: next(at for at, one in enumerate(timeline.batches) if items[code] in one) for code in items}
    (cycle,) = own.cycles
    assert cycle.batches == (batch["yearly"],)
    assert mean(cycle.gaps) == pytest.approx(365, abs=5)
    assert own.split == "lasting"
    assert [batch["for it"] in every(own.given[0]), batch["for it"] in every(own.contents[0])] == [True, False]
    assert timeline.items[items["for it"]].reason == "lasting"
    turns = [timeline.items[items[code]].turn for code in ("always", "yearly", "for it")]
    assert turns == sorted(turns)
    assert mean(timeline.items[items["always"]].span) == pytest.approx(0.003 * 1440, abs=0.1)
    (lasting,) = timeline.lasting
    assert {pair for cells in lasting.share.values() for pair in cells.values()} == {(0.5, 0.5)}
    assert mean(lasting.onset[40]) == pytest.approx(39, abs=0.2)


def every(content: Content) -> set[int]:
    return {batch for one in content.sets for batch in one.batches} | set(content.alone)


def test_the_same_again(tmp_path: Path) -> None:
    rows, random, last = lives(), np.random.default_rng(3), dict[str, str]()
    for name, encounter, day, _ in check_ups(rows, random):
        if name not in last or random.random() >= 0.7:
            last[name] = str(random.choice(["one", "other"]))
        entry(rows, "procedures", name, last[name], encounter_id=encounter, start=at(day), end=at(day + 0.01))
    assert kind(learned(tmp_path, rows), "check-up").again == pytest.approx(0.7, abs=0.05)


def test_levels_steadiness_memory_drift_and_relations(tmp_path: Path) -> None:
    rows, random = lives(), np.random.default_rng(4)
    level = {name: random.normal(size=3) for name in names(0, PEOPLE)}
    before: dict[str, tuple[float, float]] = {}
    for name, encounter, day, _ in check_ups(rows, random):
        own, slope, _ = level[name]
        gone, beside = before.get(name, (-1e6, 0.0))
        kept = np.exp(-(day - gone) / 365.25 / 0.5)
        beside = kept * beside + np.sqrt(1 - kept**2) * random.normal()
        before[name] = day, beside
        still = int(name[1:]) < 0.3 * PEOPLE
        years = (day - LAST / 2) / 365.25
        made = {
            "own": np.sqrt(0.5) * own + np.sqrt(0.5) * random.normal(),
            "chance": random.normal(),
            "steady": own if still else random.normal(),
            "memory": beside,
            "drift": 0.3 * slope * years + 0.3 * random.normal(),
            "against": -0.8 * own + 0.6 * level[name][2],
        }
        for code, one in made.items():
            value(rows, name, encounter, day, code, 100 + 10 * float(one))
        value(rows, name, encounter, day, "718-7", 130 + 10 * made["own"], "g/L")
    timeline = learned(tmp_path, rows)
    known = timeline.measures
    assert known["own"].own == pytest.approx(0.5, abs=0.12)
    assert known["own"].memory == known["chance"].memory == known["own"].steady == 0
    assert known["chance"].own == pytest.approx(0, abs=0.1)
    assert known["steady"].steady == pytest.approx(0.3, abs=0.03)
    assert known["memory"].memory == 0.5
    assert known["memory"].own < 0.3
    # A standard deviation of all values is 1.4 of them.
    assert known["drift"].drift == pytest.approx(0.3 / 1.42, abs=0.08)
    assert known["own"].drift < 0.03
    assert (known["against"].own, known["against"].steady) == (1, 1)
    place = {code: at for at, code in enumerate(timeline.related.codes)}
    assert -0.85 < timeline.related.rows[place["own"]][place["against"]] < -0.4
    assert known["own"].unit == "1"
    # What is measured in another unit keeps its level as in the row's own.
    assert known["718-7"].unit == "g/dL"
    assert 12.5 < known["718-7"].curves["female"].quantiles[-1][5] < 13.5
    assert known["718-7"].own == pytest.approx(known["own"].own, abs=0.05)
    assert timeline.related.rows[place["own"]][place["718-7"]] > 0.7


def test_orders_that_are_taken_again_and_again(tmp_path: Path) -> None:
    rows, random = lives(), np.random.default_rng(5)
    for name in names(0, PEOPLE):
        entry(rows, "conditions", name, "lasting", onset=at(-100), condition_id=f"{name}-c")
    seen = check_ups(rows, random)
    # Three in four take it to this day, the next six until two years ago, and the rest never did.
    taken = [one for one in seen if one[3] % 2 == 0 and int(one[0][1:]) < 36]
    taken = [one for one in taken if int(one[0][1:]) < 30 or one[2] < LAST - 730]
    latest = {name: encounter for name, encounter, _, _ in taken}
    for name, encounter, day, _ in taken:
        now = latest[name] == encounter and int(name[1:]) < 30
        more = {"encounter_id": encounter, "authored": at(day + 0.001), "reason_id": f"{name}-c"}
        entry(rows, "medications", name, "statin", **{**more, "status": "active" if now else "stopped"})
    timeline = learned(tmp_path, rows)
    (order,) = timeline.orders
    own = timeline.kinds.index(kind(timeline, "check-up"))
    assert order.weight == pytest.approx(0.75, abs=0.02)
    assert order.without < 0.05
    assert order.reason == "lasting"
    assert order.stopped == pytest.approx(6 / PEOPLE, abs=0.001)
    assert order.at == {own: pytest.approx(0.5, abs=0.05)}
    assert 0 <= order.last[0] <= order.last[-1] < 2.1 * GAP
    assert mean(order.last) == pytest.approx(GAP, abs=25)


def test_how_many_take_it_is_counted_among_those_that_are_learned_from(tmp_path: Path) -> None:
    rows = lives(130)
    for place, name in enumerate(names(0, 130)):
        encounter = visit(rows, name, LAST - 100)
        if place < 30:
            entry(rows, "conditions", name, CYSTIC_FIBROSIS.snomed, onset=at(0), condition_id=f"{name}-c")
        for code, takes in (("common", place % 5 != 0), ("theirs", place < 15)):
            if takes:
                more = {"encounter_id": encounter, "authored": at(LAST - 100), "status": "active"}
                entry(rows, "medications", name, code, **more)
    weights = {one.concept.code: one.weight for one in learned(tmp_path, rows, example_schema()).orders}
    assert weights["common"] == pytest.approx(0.8, abs=0.02)
    assert weights["theirs"] == pytest.approx(0.5, abs=0.02)


def test_episodes_and_the_visits_that_follow_them(tmp_path: Path) -> None:
    rows, random = lives(), np.random.default_rng(6)
    coded = {"reason_system": SNOMED, "reason_code": "cold", "reason_display": "cold"}
    for name in names(0, PEOPLE):
        for day in np.arange(random.uniform(0, 300), LAST - 100, 400):
            encounter = visit(rows, name, float(day), "illness", **coded)
            times = {"onset": at(float(day)), "abatement": at(float(day) + 10)}
            entry(rows, "conditions", name, "cold", encounter_id=encounter, **times)
            if random.random() < 0.5:
                visit(rows, name, float(day) + random.uniform(5, 9), "illness", **coded)
    timeline = learned(tmp_path, rows)
    own = kind(timeline, "illness")
    (follow,) = timeline.follows["cold"]
    assert timeline.kinds[follow.kind] == own
    assert follow.count == pytest.approx(0.5, abs=0.06)
    assert 5 <= follow.delays[0] <= follow.delays[-1] <= 9
    assert mean(own.paces[40].rates) == pytest.approx(365.25 / 400, rel=0.1)
    (item,) = timeline.items
    assert (item.table, item.ends, set(item.span)) == ("conditions", 1, {10})
    assert not timeline.lasting


def test_of_few_patients_or_emergencies_alone_a_life_can_be_told(tmp_path: Path) -> None:
    rows = lives(4)
    for name in names(0, 4):
        for day in (100, 200, LAST - 1):
            encounter = visit(rows, name, day, "help", "EMER")
            value(rows, name, encounter, day, "k", 4.0, "mmol/L")
    timeline = learned(tmp_path, rows)
    assert timeline.related.codes == ()
    usual = next(one for one in timeline.kinds if one.group == "routine")
    assert set(usual.paces) == set(BANDS)
    row = {str(name): value for name, value in example_features(1).to_dict("records")[0].items()}
    row |= {"age": 50, "num_medications": 0, "prior_admissions_12m": 0, "length_of_stay": None, "readmitted_30d": False}
    chart = tell("run", "p", row, PLAIN, timeline, rng(1, "life", "p"))
    assert 25 < sum(one.class_code == "AMB" for one in chart.encounters) < 75
