"""What a timeline says of lives is told of them: pace, rhythm, episodes, orders and values, each by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri

from fhirsynth.assemble.chart import Chart
from fhirsynth.assemble.telling import tell
from fhirsynth.assemble.telling.formulas import FORMULAS
from fhirsynth.assemble.timeline import (
    Concept,
    Content,
    Curve,
    Cycle,
    Flagged,
    Follow,
    Item,
    Kind,
    Lasting,
    Measure,
    Order,
    Pace,
    Related,
    Timeline,
)
from fhirsynth.seeds import rng
from synthea_bridge.tables import RXNORM
from tests.frames import CYSTIC_FIBROSIS, example_features, example_schema
from tests.lives import (
    BANDS,
    CREATININE,
    DIASTOLIC,
    EGFR,
    GROWTH,
    HEIGHT,
    HYPERTENSION,
    PANEL,
    SINUSITIS,
    SMOKING,
    SYSTOLIC,
    contents,
    example_timeline,
    loinc,
    number,
    pace,
    snomed,
    spread,
)

SCHEMA = example_schema()
TODAY = datetime(2026, 1, 1, tzinfo=UTC)
FIBROSIS = CYSTIC_FIBROSIS.snomed
CF = CYSTIC_FIBROSIS.column
NOTHING: dict[str, Any] = {
    **{feature.name: None for feature in SCHEMA.features},
    "age": 50,
    "sex": "female",
    "prior_admissions_12m": 0,
    "ed_visits_12m": 0,
    "num_medications": 0,
    "readmitted_30d": False,
}
"""Somebody of whom nothing is known, and who has nothing."""


def chart(timeline: Timeline, seed: int = 0, years: float | None = 10, **changes: Any) -> Chart:
    return tell("run", "p", {**NOTHING, **changes}, SCHEMA, timeline, rng(seed, "life", "p"), years=years)


def charts(timeline: Timeline, many: int, years: float | None = 10, **changes: Any) -> list[Chart]:
    return [chart(timeline, seed, years, **changes) for seed in range(many)]


def at(text: str | None) -> datetime:
    assert text is not None
    return datetime.fromisoformat(text)


def visits(one: Chart, code: str) -> list[datetime]:
    """When visits of a type began."""
    return [at(visit.start) for visit in one.encounters if visit.type is not None and visit.type.code == code]


def days(times: Sequence[datetime]) -> list[float]:
    return [(later - earlier) / timedelta(days=1) for earlier, later in pairwise(times)]


def age(one: Chart, moment: datetime) -> float:
    return (moment.date() - date.fromisoformat(one.person.birth_date or "")).days / 365.25


def series(one: Chart, code: str) -> list[float]:
    """Numbers of a code, in order of time."""
    parts = [(found.effective, found.code, found.value) for found in one.observations]
    parts += [(found.effective, part.code, part.value) for found in one.observations for part in found.components]
    return [
        value.number
        for _, said, value in sorted(parts, key=lambda part: str(part[0]))
        if said.code == code and value is not None and value.number is not None
    ]


def kind(code: str, rate: float | None = None, **more: Any) -> Kind:
    """Visits of a type of its own, so many a year."""
    return Kind(
        **{
            "group": "routine",
            "class_code": "AMB",
            "concept": snomed(code, code),
            "minutes": spread(30, 60),
            "paces": dict.fromkeys(BANDS, pace(rate)) if rate else {},
            **more,
        }
    )


def same_pace(rate: float) -> dict[int, Pace]:
    """So many visits a year of everybody."""
    return dict.fromkeys(BANDS, Pace(makes={"female": 1, "male": 1}, rates=(rate,) * 11))


def item(code: str, table: Any = "procedures", **more: Any) -> Item:
    concept = loinc(code, code) if table == "observations" else snomed(code, code)
    return Item(table=table, concept=concept, **more)


def order(code: str, weight: float = 0.5, **more: Any) -> Order:
    return Order(concept=Concept(system=RXNORM, code=code, display=code), weight=weight, **more)


def timeline(*kinds: Kind, items: Sequence[Item] = (), **more: Any) -> Timeline:
    """Kinds of visits after check-ups of no content; each item is a batch of its own."""
    return Timeline(
        **{
            "patients": 100,
            "kinds": (kind("usual", 1), *kinds),
            "items": tuple(items),
            "batches": tuple((place,) for place in range(len(items))),
            "orders": (),
            "hispanic": 0.0,
            **more,
        }
    )


# ---------------------------------------------------------------- visits


@pytest.mark.parametrize(("sex", "makes"), [("female", 0.5), ("male", 1.0)])
def test_visits_are_made_at_their_pace(sex: str, makes: float) -> None:
    rates = spread(2, 6)
    own = Pace(makes={"female": 0.5, "male": 1.0}, rates=rates)
    told = charts(timeline(kind("own", paces=dict.fromkeys(BANDS, own), rhythm=spread(0.5, 1.5))), 150, sex=sex)
    often = np.array([len(visits(one, "own")) / 10 for one in told])
    assert (often > 0).mean() == pytest.approx(makes, abs=4 * np.sqrt(0.25 / 150))
    assert often.mean() == pytest.approx(4 * makes, abs=4 * often.std() / np.sqrt(150))
    # Who makes them makes between 2 and 6 a year.
    assert np.quantile(often[often > 0], [0.05, 0.95]) == pytest.approx([2.2, 5.8], abs=0.4)


def test_emergencies_and_stays_of_the_twelve_months_are_the_rows_and_those_before_have_a_pace() -> None:
    kinds = (
        kind("help", 2, group="emergency", class_code="EMER"),
        kind("ward", 1, group="stay", class_code="IMP", minutes=spread(2 * 1440, 20 * 1440)),
    )
    row = {"ed_visits_12m": 3, "prior_admissions_12m": 2, "length_of_stay": 4.0, "readmitted_30d": False}
    told = charts(timeline(*kinds), 100, 11, **row)
    for code, rows, rate in (("help", 3, 2.0), ("ward", 2, 1.0)):
        late = [[when > TODAY - timedelta(days=365) for when in visits(one, code)] for one in told]
        assert {sum(one) for one in late} == {rows}
        before = np.array([len(one) - sum(one) for one in late]) / 10
        # Some would begin within a stay.
        assert 0.8 * rate < before.mean() < 1.2 * rate


def test_nobody_is_elsewhere_during_a_stay() -> None:
    kinds = (
        kind("often", 12),
        kind("help", 3, group="emergency", class_code="EMER"),
        kind("ward", 1, group="stay", class_code="IMP", minutes=spread(2 * 1440, 40 * 1440)),
    )
    again = (Follow(kind=3, count=1.0, delays=spread(1, 30)),)
    begins = item("episode", "conditions", span=spread(7, 14))
    kinds = (kinds[0].model_copy(update={"contents": contents(((0,), 1), ((), 9))}), *kinds[1:])
    told = charts(timeline(*kinds, items=[begins], follows={"episode": again}), 15, None, ed_visits_12m=2)
    stays = 0
    for one in told:
        spans = [(at(visit.start), at(visit.end), visit.id) for visit in one.encounters]
        for begin, end, stay in [span for span in spans if (span[1] - span[0]) > timedelta(days=1)]:
            assert not [span for span in spans if begin <= span[0] <= end and span[2] != stay]
            stays += 1
    assert stays > 100


def test_what_needs_a_condition_is_done_from_its_onset_on() -> None:
    flagged = {CF: Flagged(onset={0: spread(5, 40)}, kinds={0: 1.0})}
    test = item("test", reason=FIBROSIS, span=spread(5, 10))
    clinic = kind("clinic", 4, needs=FIBROSIS, contents=contents(((0,), 1)))
    both = timeline(clinic, items=[test], flagged=flagged)
    often = []
    for one in charts(both, 40, None, **{CF: True}):
        (onset,) = [at(case.onset) for case in one.conditions]
        clinics = visits(one, "clinic")
        assert clinics
        assert min(clinics) >= onset
        assert {done.reason for done in one.procedures} == {one.conditions[0].id}
        assert len(one.procedures) == len(clinics)
        often.append(len(clinics) / ((TODAY - onset) / timedelta(days=365.25)))
    assert np.mean(often) == pytest.approx(4, abs=0.5)
    assert not [when for one in charts(both, 20, None) for when in visits(one, "clinic")]


def test_a_condition_is_found_at_visits_that_the_patient_can_make() -> None:
    flagged = {"has_diabetes": Flagged(onset={0: spread(30, 45)}, kinds={1: 1.0})}
    both = timeline(kind("clinic", 4, needs=FIBROSIS), flagged=flagged)
    for one in charts(both, 20, None, has_diabetes=True):
        assert not visits(one, "clinic")
        assert one.conditions[0].encounter is not None


def test_sex_and_ages_are_kept_to() -> None:
    months = (3.0, *(0.2,) * 10, 7.0)
    pregnancy = item("pregnancy", "conditions", only="female", ages=(15, 45), span=spread(270, 280))
    own = kind("prenatal", 2, ages=(15, 45), months=months, contents=contents(((0,), 1)))
    usual = kind("usual", 2, contents=contents(((0,), 1)))
    women, men = (
        charts(timeline(items=[pregnancy]).model_copy(update={"kinds": (usual, own)}), 15, None, sex=sex, age=60)
        for sex in ("female", "male")
    )
    ages = [age(one, at(case.onset)) for one in women for case in one.conditions]
    assert len(ages) > 300
    assert min(ages) >= 15
    assert max(ages) <= 45.01
    assert not [case for one in men for case in one.conditions]
    made = [age(one, when) for one in [*women, *men] for when in visits(one, "prenatal")]
    assert min(made) >= 15
    assert max(made) <= 45.01


def test_visits_are_made_in_their_season() -> None:
    months = tuple(float(1 + 0.8 * np.cos(2 * np.pi * month / 12)) for month in range(12))
    told = charts(timeline(kind("cold", 12, months=months)), 20, 20)
    count = Counter(when.month for one in told for when in visits(one, "cold"))
    share = np.array([count[month] for month in range(1, 13)]) / (sum(count.values()) / 12)
    assert sum(count.values()) == pytest.approx(20 * 20 * 12, rel=0.2)
    assert share == pytest.approx(months, abs=0.2)
    even = charts(timeline(kind("cold", 12)), 10, 20)
    count = Counter(when.month for one in even for when in visits(one, "cold"))
    assert np.array([count[month] for month in range(1, 13)]) / (sum(count.values()) / 12) == pytest.approx(1, abs=0.2)


def test_visits_have_their_rhythm() -> None:
    spreads = {}
    for name, rhythm in (("regular", spread(0.9, 1.1)), ("irregular", ())):
        told = charts(timeline(kind("own", rhythm=rhythm, paces=same_pace(6))), 40)
        gaps = np.array([gap for one in told for gap in days(visits(one, "own"))])
        assert gaps.mean() == pytest.approx(365.25 / 6, rel=0.1)
        spreads[name] = gaps.std() / gaps.mean()
    assert spreads["regular"] < 0.1
    assert 0.7 < spreads["irregular"] < 1.1


# ---------------------------------------------------------------- what happens at them


def test_what_has_a_cycle_is_done_in_it() -> None:
    own = kind("own", 12, contents=contents(((0,), 1)), cycles=(Cycle(batches=(1,), gaps=spread(365, 365)),))
    told = charts(timeline(own, items=[item("always"), item("yearly")]), 30)
    gaps = []
    for one in told:
        done = Counter(found.code.code for found in one.procedures)
        assert done["always"] == len(visits(one, "own"))
        yearly = [at(found.start) for found in one.procedures if found.code.code == "yearly"]
        gaps += days(yearly)
        assert 8 <= len(yearly) <= 12
    assert np.mean(gaps) == pytest.approx(365, abs=25)
    assert min(gaps) > 320


@pytest.mark.parametrize("again", [0.0, 0.8])
def test_the_same_is_done_again(again: float) -> None:
    own = kind("own", 12, contents=contents(((0,), 1), ((1,), 1)), again=again)
    told = charts(timeline(own, items=[item("one"), item("other")]), 30)
    same = [a.code == b.code for chart in told for a, b in pairwise(chart.procedures)]
    assert np.mean(same) == pytest.approx(again + (1 - again) / 2, abs=0.04)


def test_who_has_the_condition_has_other_things_done() -> None:
    own = kind("own", 4, contents=contents(((0,), 3), ((1,), 1)), split=FIBROSIS, given=contents(((2,), 1)))
    whole = timeline(own, items=[item("a"), item("b"), item("c")], flagged={CF: Flagged(onset={0: spread(20, 30)})})
    for one in charts(whole, 20, None, **{CF: True}):
        onset = at(one.conditions[0].onset)
        for done in one.procedures:
            assert (done.code.code == "c") == (at(done.start) >= onset)
    count = Counter(done.code.code for one in charts(whole, 30) for done in one.procedures)
    assert count["a"] / (count["a"] + count["b"]) == pytest.approx(0.75, abs=0.05)
    assert count["c"] == 0


def test_rare_sets_are_drawn_one_by_one_and_bands_have_contents_of_their_own() -> None:
    rare = Content(sets=contents(((0,), 3))[0].sets, rare=1, alone={1: 0.5, 2: 1.0})
    own = kind("own", 6, contents={0: Content(), 18: rare})
    told = charts(timeline(own, items=[item("a"), item("b"), item("c")]), 20, None)
    made = sum(age(one, when) >= 18.01 for one in told for when in visits(one, "own"))
    count = Counter(done.code.code for one in told for done in one.procedures)
    assert [count[code] / made for code in "abc"] == pytest.approx([0.75, 0.125, 0.25], abs=0.03)
    assert min(age(one, at(done.start)) for one in told for done in one.procedures) >= 17.99


def test_episodes_last_as_long_and_are_followed_as_often() -> None:
    cold = item(SINUSITIS, "conditions", span=spread(7, 20))
    kinds = kind("cold", 2, contents=contents(((0,), 1))), kind("after", contents=contents(((0,), 1)))
    follows = {SINUSITIS: (Follow(kind=2, count=1.5, delays=spread(5, 14)),)}
    told = charts(timeline(*kinds, items=[cold], follows=follows), 60)
    begun = [case for one in told for case in one.conditions]
    since = TODAY - timedelta(days=3650)
    old = [case for case in begun if since < at(case.onset) < TODAY - timedelta(days=30)]
    assert all(case.abatement for case in old)
    lasted = np.array([(at(case.abatement) - at(case.onset)) / timedelta(days=1) for case in begun if case.abatement])
    assert lasted.min() >= 6.99
    assert lasted.max() <= 20.01
    assert lasted.mean() == pytest.approx(13.5, abs=0.6)
    after = 0
    for one in told:
        seen = {case.encounter for case in one.conditions}
        for visit in one.encounters:
            if visit.type is not None and visit.type.code == "after":
                assert visit.id not in seen
                began = [at(case.onset) for case in one.conditions]
                since = [(at(visit.start) - onset) / timedelta(days=1) for onset in began]
                # Up to three days sooner where somebody else is seen, and at office hours.
                assert any(1 <= late <= 15 for late in since) or at(visit.start) < TODAY - timedelta(days=3640)
                after += 1
    assert after / len(old) == pytest.approx(1.5, abs=0.12)


def test_a_condition_that_goes_on_does_not_begin_again() -> None:
    cold = item(SINUSITIS, "conditions", span=spread(7, 20), ends=0.6)
    told = charts(timeline(kind("cold", 2, contents=contents(((0,), 1))), items=[cold]), 60)
    going_on = 0
    for one in told:
        begun = sorted(one.conditions, key=lambda case: at(case.onset))
        assert all(case.abatement and at(case.abatement) <= at(after.onset) for case, after in pairwise(begun))
        going_on += any(case.abatement is None for case in begun)
    assert going_on > 50


def test_procedures_come_in_turn_within_the_visit_and_orders_after_them() -> None:
    items = [
        item("last", turn=0.9, span=spread(10, 20)),
        item("first", turn=0.1, span=spread(10, 20)),
        item("middle", turn=0.5, span=spread(10, 20)),
        Item(table="medications", concept=Concept(system=RXNORM, code="late", display="late"), turn=1.0),
        Item(table="medications", concept=Concept(system=RXNORM, code="early", display="early"), turn=0.0),
        Item(table="medications", concept=Concept(system=RXNORM, code="half", display="half"), turn=0.6),
    ]
    own = kind("own", 4, minutes=spread(20, 40), contents=contents(((0, 1, 2, 3, 4, 5), 1)))
    for one in charts(timeline(own, items=items), 5):
        spans = {visit.id: (at(visit.start), at(visit.end)) for visit in one.encounters}
        ordered = {(found.encounter, found.code.code): at(found.authored) for found in one.medications}
        assert one.procedures
        for place in range(0, len(one.procedures), 3):
            three = one.procedures[place : place + 3]
            begin, end = spans[str(three[0].encounter)]
            assert [found.code.code for found in three] == ["first", "middle", "last"]
            times = [at(time) for found in three for time in (found.start, found.end)]
            assert [begin, *times, end] == sorted([begin, *times, end])
            assert times[1] > times[0]
            written = [ordered[three[0].encounter, code] for code in ("early", "half", "late")]
            assert written == [begin, times[3], times[5]]


# ---------------------------------------------------------------- conditions


def test_conditions_are_as_frequent_as_they_are_by_age_sex_and_flag() -> None:
    share = {"female": dict.fromkeys(BANDS, (0.2, 0.8)), "male": dict.fromkeys(BANDS, (0.0, 1.0))}
    one = Lasting(concept=snomed(HYPERTENSION, "?"), given=CF, share=share, onset={0: spread(20, 40)}, kinds={0: 1.0})
    whole = timeline(lasting=(one,))
    for sex, flag, wanted in (("female", False, 0.2), ("female", True, 0.8), ("male", False, 0), ("male", True, 1)):
        told = charts(whole, 100 if 0 < wanted < 1 else 10, 2, sex=sex, **{CF: flag})
        has = [HYPERTENSION in {case.code.code for case in found.conditions} for found in told]
        assert np.mean(has) == pytest.approx(wanted, abs=0.15 if 0 < wanted < 1 else 0)
    young = charts(whole, 20, 3, sex="male", age=19, **{CF: True})
    assert HYPERTENSION not in {case.code.code for found in young for case in found.conditions}


def test_conditions_begin_at_their_ages_and_those_that_ended_before_are_not_told() -> None:
    always: Any = {sex: dict.fromkeys(BANDS, (1.0, 1.0)) for sex in ("female", "male")}
    stays = Lasting(concept=snomed("stays", "?"), share=always, onset={0: spread(20, 40)})
    goes = stays.model_copy(update={"concept": snomed("goes", "?"), "ends": 1.0, "span": spread(3000, 4000)})
    told = charts(timeline(lasting=(stays, goes)), 60, 5)
    since = TODAY - timedelta(days=5 * 365.25)
    ages = [age(one, at(case.onset)) for one in told for case in one.conditions if case.code.code == "stays"]
    assert len(ages) == 60
    assert 19.9 <= min(ages) <= max(ages) <= 40.1
    assert np.mean(ages) == pytest.approx(30, abs=3)
    gone = [case for one in told for case in one.conditions if case.code.code == "goes"]
    assert 0 < len(gone) < 60
    assert all(case.abatement is None or at(case.abatement) >= since for case in gone)
    assert all(case.encounter is None for one in told for case in one.conditions)


# ---------------------------------------------------------------- orders


def test_just_so_many_medications_are_active_and_the_likely_ones_at_that() -> None:
    orders = tuple(order(str(place), weight) for place, weight in enumerate((0.9, 0.5, 0.5, 0.1, 0.1, 0.1)))
    count: Counter[str | None] = Counter()
    for many in (0, 2, 5):
        for one in charts(timeline(orders=orders), 60, 3, num_medications=many):
            active = [found.code.code for found in one.medications if found.status == "active"]
            assert len(active) == len(set(active)) == many
            if many == 2:
                count.update(active)
    assert count["0"] > 1.2 * count["1"]
    assert count["1"] > 2 * count["3"]


def test_who_should_not_have_it_has_no_order() -> None:
    orders = (order("pill", 0.99, only="female"), order("old", 0.99, ages=(60, 200)), order("other", 0.1))
    for sex, years, wanted in (("male", 50, "other"), ("male", 70, "old")):
        for one in charts(timeline(orders=orders), 15, 3, sex=sex, age=years, num_medications=1):
            assert [found.code.code for found in one.medications] == [wanted]


def test_what_is_taken_again_and_again_is_ordered_at_visits_from_the_reason_on() -> None:
    chronic = order("chronic", 0.9, reason=FIBROSIS, without=0.01, at={1: 0.5}, ages=(30, 200))
    once = order("once", 0.01)
    flagged = {CF: Flagged(onset={0: spread(20, 40)}, kinds={0: 1.0})}
    whole = timeline(kind("own", 6), orders=(chronic, once), flagged=flagged)
    shares = []
    for one in charts(whole, 30, None, num_medications=1, **{CF: True}):
        (case,) = one.conditions
        taken = [found for found in one.medications if found.code.code == "chronic"]
        if not taken:
            continue
        own = {visit.id: at(visit.start) for visit in one.encounters if visit.type and visit.type.code == "own"}
        assert {found.encounter for found in taken} <= set(own)
        assert {found.reason for found in taken} == {case.id}
        assert min(at(found.authored) for found in taken) >= at(case.onset)
        assert min(age(one, at(found.authored)) for found in taken) >= 29.99
        assert [found.status for found in taken] == ["stopped"] * (len(taken) - 1) + ["active"]
        able = [when for when in own.values() if when >= at(case.onset) and age(one, when) >= 30]
        shares.append(len(taken) / len(able))
    assert len(shares) >= 25
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05)


def test_some_have_taken_what_they_take_no_more() -> None:
    gone = order("gone", 0.001, stopped=0.4, at={1: 0.8})
    told = charts(timeline(kind("own", 6), orders=(gone, order("other", 0.99))), 100, 5)
    ever = [one for one in told if one.medications]
    assert {found.status for one in ever for found in one.medications} == {"stopped"}
    # Some stopped before what is told.
    assert 0.1 < len(ever) / len(told) < 0.4


def test_how_long_ago_it_was_ordered_and_at_a_visit_if_one_is_told() -> None:
    orders = (order("new", last=spread(100, 200)), order("old", last=spread(4000, 6000)))
    for one in charts(timeline(kind("own", 12), orders=orders), 30, 5, num_medications=2):
        found = {each.code.code: each for each in one.medications}
        ago = {code: (TODAY - at(each.authored)) / timedelta(days=1) for code, each in found.items()}
        assert 40 < ago["new"] < 260
        assert found["new"].encounter in {visit.id for visit in one.encounters}
        assert 3900 < ago["old"] < 6001
        assert found["old"].encounter is None


# ---------------------------------------------------------------- values


def measured(*measures: Measure, rate: float = 12, related: Related | None = None) -> Timeline:
    """All of these at every visit."""
    items = [item(one.concept.code, "observations", category="laboratory") for one in measures]
    own = kind(
        "own",
        paces=same_pace(rate),
        rhythm=spread(0.9, 1.1),
        contents=contents((tuple(range(len(items))), 1)),
    )
    return timeline(
        own, items=items, measures={one.concept.code: one for one in measures}, related=related or Related()
    )


def even(code: str, **more: float) -> Measure:
    """A value between 0 and 1, evenly."""
    return number(code, code, "1", 0, 1, 4, **more)


def scores(told: Sequence[Chart], code: str) -> list[Any]:
    """Standard normal scores of each patient."""
    return [ndtri(np.clip(series(one, code), 0.001, 0.999)) for one in told]


@pytest.mark.parametrize("own", [0.0, 0.3, 0.8])
def test_patients_keep_a_level_of_their_own(own: float) -> None:
    found = scores(charts(measured(even("k", own=own)), 60, 5), "k")
    within = np.mean([one.var(ddof=1) for one in found])
    between = np.var([one.mean() for one in found], ddof=1)
    assert within == pytest.approx(1 - own, abs=0.08)
    assert between == pytest.approx(own, abs=0.3)


@pytest.mark.parametrize(
    "given", [{"own": 1.0}, {"own": 0.0, "steady": 1.0}, {"own": 0.5, "steady": 1.0, "drift": 0.5}]
)
def test_what_does_not_change_is_the_same_all_the_time(given: dict[str, float]) -> None:
    found = [series(one, "k") for one in charts(measured(even("k", **given), rate=4), 40, 3)]
    assert {len(set(one)) for one in found} == {1}
    assert np.std([one[0] for one in found]) == pytest.approx(np.sqrt(1 / 12), abs=0.08)
    some = [series(one, "k") for one in charts(measured(even("k", own=0.5, steady=0.4), rate=4), 80, 3)]
    assert np.mean([len(set(one)) == 1 for one in some]) == pytest.approx(0.4, abs=0.16)


def test_values_near_in_time_are_alike_where_there_is_memory() -> None:
    alike = {}
    for memory in (0.0, 1.0):
        found = scores(charts(measured(even("k", own=0.0, memory=memory)), 20), "k")
        both = np.mean([np.mean(one[1:] * one[:-1]) for one in found])
        alike[memory] = both / np.mean([np.mean(one**2) for one in found])
    assert alike[0.0] == pytest.approx(0, abs=0.06)
    assert alike[1.0] == pytest.approx(np.exp(-1 / 12), abs=0.06)


def test_levels_drift() -> None:
    found = scores(charts(measured(even("k", own=0.9, drift=0.1), rate=4), 60), "k")
    slopes = [4 * np.polyfit(np.arange(len(one)), one, 1)[0] for one in found]
    assert np.std(slopes) == pytest.approx(0.1, abs=0.03)
    assert np.mean(slopes) == pytest.approx(0, abs=0.05)


def test_levels_go_together_as_they_are_related() -> None:
    for sign in (-1, 1):
        related = Related(codes=("k", "na"), rows=((1.0, 0.8 * sign), (0.8 * sign, 1.0)))
        told = charts(measured(even("k", own=1.0), even("na", own=1.0), related=related, rate=2), 60, 3)
        both = np.corrcoef([one[0] for one in scores(told, "k")], [one[0] for one in scores(told, "na")])
        assert both[0, 1] == pytest.approx(0.8 * sign, abs=0.16)


@pytest.mark.parametrize("related", [Related(), Related(codes=("8867-4", "k"), rows=((1.0, 0.8), (0.8, 1.0)))])
def test_values_before_are_about_the_rows(related: Related) -> None:
    rate = number("8867-4", "Heart rate", "/min", 50, 100, 0, own=0.9)
    whole = measured(rate, even("k", own=1.0), related=related)
    found, other = [], []
    values = np.linspace(55, 95, 40)
    for seed, value in enumerate(values):
        one = chart(whole, seed, 5, heart_rate=round(float(value)))
        assert series(one, "8867-4")[-1] == round(float(value))
        found.append(np.mean(series(one, "8867-4")[:-6]))
        other.append(series(one, "k")[0])
    assert np.corrcoef(values, found)[0, 1] > 0.85
    assert bool(related.codes) == (np.corrcoef(values, other)[0, 1] > 0.5)


def test_a_steady_value_is_the_rows_from_the_first_to_the_last() -> None:
    whole = measured(number("8867-4", "Heart rate", "/min", 50, 100, 0, own=0.6, steady=1.0))
    for seed, value in enumerate((52, 60, 75, 98)):
        assert set(series(chart(whole, seed, 5, heart_rate=value), "8867-4")) == {value}


def test_every_value_of_the_row_is_the_last_one() -> None:
    whole, rows = example_timeline(), example_features(25).to_dict("records")
    for years in (3, None):
        for given in rows[: 25 if years else 4]:
            row = {str(name): value for name, value in given.items()}
            one = tell("run", "p", row, SCHEMA, whole, rng(1, "life", "p"), years=years)
            for feature in SCHEMA.of_rule("latest"):
                found = [value for code in feature.source.codes for value in series(one, code)[-1:]]
                if np.isnan(row[feature.name]):
                    assert not found
                else:
                    assert found[-1] == pytest.approx(row[feature.name])


def test_height_does_not_fall_and_stays_in_adults() -> None:
    height = Measure(
        concept=loinc(HEIGHT, "?"), unit="cm", decimals=1, curves={"female": GROWTH, "male": GROWTH}, own=0.5
    )
    for one in charts(measured(height, rate=3), 10, None, age=30):
        timed = [(age(one, at(found.effective)), found.value.number) for found in one.observations if found.value]
        numbers = [number for _, number in timed if number is not None]
        assert numbers == sorted(numbers)
        assert len({number for years, number in timed if years > 20}) == 1
        assert numbers[0] < 90 < 149 < numbers[-1]


CONSTANT = {
    HEIGHT: 180,
    "29463-7": 81,
    "39156-5": 1,
    "2085-9": 50,
    "18262-6": 100,
    "2571-8": 150,
    "2093-3": 1,
    "718-7": 15,
    "789-8": 5,
    "4544-3": 1,
    "787-2": 1,
    "785-6": 1,
    "786-4": 1,
    CREATININE: 1,
    EGFR: 1,
}


@pytest.mark.parametrize(
    ("years", "sex", "kidney"), [(50, "male", 91.4), (50, "female", 68.4), (10, "female", 0.413 * 180)]
)
def test_what_follows_from_other_values_does(years: int, sex: str, kidney: float) -> None:
    flat = [number(code, code, "1", value, value, 2, own=1.0) for code, value in CONSTANT.items()]
    one = chart(measured(*flat, rate=1), 1, 2, age=years, sex=sex, creatinine=1.0, hemoglobin=15.0)
    value = {code: series(one, code)[-1] for code in CONSTANT}
    assert value["39156-5"] == 25
    assert value["2093-3"] == 180
    assert value["785-6"] == 30
    assert value["4544-3"] == pytest.approx(45, abs=2.5)
    assert value["787-2"] == pytest.approx(2 * value["4544-3"], abs=0.05)
    assert value["786-4"] == pytest.approx(1500 / value["4544-3"], abs=0.05)
    assert value[EGFR] == pytest.approx(kidney, abs=0.8)


def test_an_estimate_of_adults_needs_no_height() -> None:
    flat = [number(code, code, "1", value, value, 2, own=1.0) for code, value in ((CREATININE, 1), (EGFR, 1))]
    assert series(chart(measured(*flat, rate=1), 1, 2, sex="male", creatinine=1.0), EGFR)[-1] == pytest.approx(
        91.4, abs=0.8
    )
    assert set(series(chart(measured(*flat, rate=1), 1, 2, age=10, creatinine=1.0), EGFR)) == {1}


def test_what_the_row_says_is_not_replaced() -> None:
    flat = [number(code, code, "1", value, value, 2, own=1.0) for code, value in (("718-7", 15), ("4544-3", 1))]
    one = chart(measured(*flat, rate=2), 1, 2, hemoglobin=10.0)
    assert series(one, "718-7")[-1] == 10
    assert series(one, "4544-3")[-1] == pytest.approx(30, abs=2.5)
    assert {formula.code for formula in FORMULAS} >= {"39156-5", "2093-3", EGFR, DIASTOLIC}


def test_diastolic_pressure_is_below_systolic() -> None:
    parts = [number(code, "?", "mm[Hg]", low, 110, 0, own=0.1) for code, low in ((SYSTOLIC, 80), (DIASTOLIC, 70))]
    panel = Measure(concept=loinc(PANEL, "panel"), parts=(SYSTOLIC, DIASTOLIC))
    whole = measured(panel)
    whole = whole.model_copy(update={"measures": {one.concept.code: one for one in (panel, *parts)}})
    for one in charts(whole, 5, 5, systolic_bp=95):
        pairs = list(zip(series(one, SYSTOLIC), series(one, DIASTOLIC), strict=True))
        assert len(pairs) > 50
        assert all(lower <= upper - 15 for upper, lower in pairs)
        assert pairs[-1][0] == 95


def test_values_follow_age() -> None:
    curve = Curve(ages=(20, 60), quantiles=(spread(0, 1), spread(100, 101)))
    one = even("k", own=0.5).model_copy(update={"curves": {"female": curve, "male": curve}})
    for told in charts(measured(one, rate=2), 3, 30):
        numbers = series(told, "k")
        assert numbers[0] == pytest.approx(2.5, abs=4)
        assert numbers[-1] == pytest.approx(76, abs=4)


def test_answers_are_given_as_often_and_again() -> None:
    smoking = example_timeline().measures[SMOKING]
    for repeats in (0.0, 0.9):
        told = charts(measured(smoking.model_copy(update={"repeats": repeats}), rate=6), 30, 10)
        said = [[found.value.text for found in one.observations if found.value] for one in told]
        assert np.mean([text == "Never smoker" for one in said for text in one]) == pytest.approx(0.75, abs=0.1)
        same = np.mean([a == b for one in said for a, b in pairwise(one)])
        assert same == pytest.approx(repeats + (1 - repeats) * (0.75**2 + 0.25**2), abs=0.05)


# ---------------------------------------------------------------- the whole


def test_visits_of_the_last_years_alone_are_told() -> None:
    whole = example_timeline()
    for given in example_features(15).to_dict("records"):
        row = {str(name): value for name, value in given.items()}
        one = tell("run", "p", row, SCHEMA, whole, rng(1, "life", "p"), years=3)
        since = TODAY - timedelta(days=3 * 365.25)
        assert all(at(visit.start) >= since for visit in one.encounters)
        told = {visit.id for visit in one.encounters}
        for case in one.conditions:
            assert (case.encounter in told) == (at(case.onset) >= since)
            assert case.abatement is None or at(case.abatement) >= since
        for found in one.medications:
            assert found.encounter in told or (found.encounter is None and found.status == "active")
        assert {found.encounter for found in [*one.observations, *one.procedures]} <= told


def test_the_same_is_told_again_and_another_seed_tells_another() -> None:
    whole = example_timeline()
    row = {str(name): value for name, value in example_features(1).to_dict("records")[0].items()}
    one, same, other = (tell("run", "p", row, SCHEMA, whole, rng(seed, "life", "p"), years=3) for seed in (1, 1, 2))
    assert one == same
    assert one.encounters != other.encounters
    assert one.person.id == other.person.id
