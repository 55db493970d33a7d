"""A chart becomes valid FHIR that says what the chart says: profiles, identities, units, references, values."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirsynth.assemble import codes, conform
from fhirsynth.assemble.bundle import transaction
from fhirsynth.assemble.chart import (
    Chart,
    Code,
    Component,
    Condition,
    Encounter,
    Medication,
    Observation,
    Person,
    Procedure,
    Value,
)
from fhirsynth.assemble.codes import profile_of
from fhirsynth.assemble.conform import problem
from fhirsynth.assemble.identity import LOCALES, MRN, RECORD, identity, resource_id
from fhirsynth.assemble.places import places
from fhirsynth.assemble.shared import Shared
from fhirsynth.assemble.units import is_ucum
from fhirsynth.assemble.values import number, value
from fhirsynth.assemble.write import Origin, dangling, resources
from fhirsynth.errors import UsageError
from synthea_bridge.tables import LOINC, SNOMED, UCUM

RUN = "run-1"
OURS = Origin(run_id=RUN, origin="augmented", shared=Shared(RUN), profiled=True)
THEIRS = Origin(root="r")
WHO, VISIT, FOUND = (resource_id(RUN, kind) for kind in ("Patient", "Encounter", "Condition"))
DAY = "2024-05-01T10:00:00+00:00"


def chart(**lists: Any) -> Chart:
    """A patient with an encounter and a condition, and what is given."""
    visit = Encounter(VISIT, "finished", "AMB", Code(SNOMED, "185349003", "Check up"), DAY, DAY)
    found = Condition(
        FOUND, Code(SNOMED, "73211009", "Diabetes"), VISIT, "active", "confirmed", "encounter-diagnosis", DAY
    )
    person = Person(WHO, "female", "1980-02-03", **identity(WHO, "female", ssn=True)._asdict())
    return Chart(**{"person": person, "encounters": [visit], "conditions": [found], **lists})


def written(one: Chart, origin: Origin = OURS) -> dict[str, list[dict[str, Any]]]:
    """The resources by type, each of them valid R4."""
    found: dict[str, list[dict[str, Any]]] = {}
    for resource in resources(one, origin):
        assert problem(resource) is None, resource
        found.setdefault(resource["resourceType"], []).append(resource)
    return found


def observed(code: str, category: str, measured: Value | None, **more: Any) -> Observation:
    return Observation("o1", Code(LOINC, code, "what it is"), VISIT, "final", category, DAY, measured, **more)


def profiles(resource: dict[str, Any]) -> list[str]:
    return [url.rpartition("/")[2] for url in resource.get("meta", {}).get("profile", ())]


def test_a_life_of_ours_is_tagged_profiled_and_refers_to_what_is_shared() -> None:
    drug = Medication("m1", Code("s", "1", "drug"), VISIT, "completed", "order", DAY, reason=FOUND, practitioner=3)
    done = Procedure("p1", Code(SNOMED, "430193006", "review"), VISIT, "completed", DAY, DAY, reason=FOUND)
    found = written(chart(medications=[drug], procedures=[done]))
    for one in (inner for listed in found.values() for inner in listed):
        assert one["meta"]["security"][0]["code"] == "HTEST"
        assert [tag["code"] for tag in one["meta"]["tag"]] == [RUN, "augmented"]
        assert one["identifier"][0]["system"] == RECORD
        assert len(profiles(one)) == 1
    reason = [{"reference": f"urn:uuid:{FOUND}"}]
    assert found["MedicationRequest"][0]["reasonReference"] == found["Procedure"][0]["reasonReference"] == reason
    assert found["MedicationRequest"][0]["requester"] == Shared(RUN).practitioner(3)
    assert found["Procedure"][0]["performedPeriod"] == {"start": DAY, "end": DAY}
    assert found["Encounter"][0]["serviceProvider"] == Shared(RUN).organization
    assert profiles(found["Procedure"][0]) == ["us-core-procedure"]


def test_what_is_read_from_tables_claims_nothing() -> None:
    for one in resources(chart(), THEIRS):
        assert "meta" not in one
        assert "participant" not in one
        assert "active" not in one
    (patient,) = written(Chart(Person("7", deceased=True)), THEIRS)["Patient"]
    assert set(patient) == {"resourceType", "id", "identifier", "deceasedBoolean"}


@pytest.mark.parametrize(
    ("races", "text", "expected"),
    [
        ((), None, ["UNK"]),
        ((Code(codes.CDC_RACE, "2106-3", "White"),), None, ["2106-3"]),
        ((Code(codes.CDC_RACE, "2106-3", "White"), Code(codes.CDC_RACE, "2028-9", "Asian")), "multiple", None),
    ],
)
def test_race_is_written_as_us_core_wants_it(races: tuple[Code, ...], text: str | None, expected: Any) -> None:
    person = Person(WHO, "female", races=races, race_text=text, ethnicity=Code(codes.CDC_RACE, "2135-2", "Hispanic"))
    (patient,) = written(chart(person=person))["Patient"]
    race, ethnicity, sex = patient["extension"]
    inner = [one["valueCoding"]["code"] for one in race["extension"] if one["url"] == "ombCategory"]
    assert inner == (expected or ["2106-3", "2028-9"])
    assert [one["valueString"] for one in race["extension"] if one["url"] == "text"] == [
        text or (races[0].display if races else "unknown")
    ]
    assert ethnicity["extension"][0]["valueCoding"]["code"] == "2135-2"
    assert sex["valueCode"] == "UNK"


def test_what_has_abated_is_not_active() -> None:
    one = Condition(FOUND, Code(SNOMED, "1", "x"), VISIT, "active", "confirmed", "problem-list-item", DAY, DAY)
    (ours,) = written(chart(conditions=[one]))["Condition"]
    assert ours["clinicalStatus"]["coding"][0]["code"] == "resolved"
    assert profiles(ours) == ["us-core-condition-problems-health-concerns"]
    (theirs,) = written(chart(conditions=[one]), THEIRS)["Condition"]
    assert theirs["clinicalStatus"]["coding"][0]["code"] == "active"


@pytest.mark.parametrize(
    ("code", "category", "unit", "kind", "expected"),
    [
        ("29463-7", "vital-signs", "kg", "quantity", "us-core-body-weight"),
        ("29463-7", "vital-signs", "cm", "quantity", "us-core-vital-signs"),
        ("29463-7", "vital-signs", "stone", "quantity", None),
        ("59408-5", "vital-signs", "%", "quantity", "us-core-pulse-oximetry"),
        ("72166-2", "social-history", "", "code", "us-core-smokingstatus"),
        ("72166-2", "social-history", "", "string", "us-core-observation-social-history"),
        ("4548-4", "laboratory", "%", "quantity", "us-core-observation-lab"),
        ("93025-5", "survey", "", "string", "us-core-observation-survey"),
        ("1-8", "exam", "", "string", None),
    ],
)
def test_a_profile_is_claimed_where_code_unit_and_value_fit(
    code: str, category: str, unit: str, kind: str, expected: str | None
) -> None:
    assert profile_of(code, category, unit, kind) == expected
    measured = Value(kind, 1.0, unit=unit or None, system="s" if kind == "code" else None, text="said")
    (one,) = written(chart(observations=[observed(code, category, measured)]))["Observation"]
    assert profiles(one) == ([expected] if expected else [])
    (nothing,) = written(chart(observations=[observed(code, category, None)]))["Observation"]
    assert not profiles(nothing)


def test_blood_pressure_has_components_and_oxygen_two_codings() -> None:
    parts = (
        Component(Code(LOINC, "8480-6", "Systolic"), Value("quantity", 120.0, unit="mm[Hg]")),
        Component(Code(LOINC, "8462-4", "Diastolic"), None, "unknown"),
    )
    pressure = observed("85354-9", "vital-signs", None, components=parts)
    oxygen = observed("59408-5", "vital-signs", Value("quantity", 98.5, unit="%"))
    oxygen.id = "o2"
    made, other = written(chart(observations=[pressure, oxygen]))["Observation"]
    assert profiles(made) == ["us-core-blood-pressure"]
    assert made["component"][0]["valueQuantity"] == {
        "value": 120,
        "unit": "mm[Hg]",
        "system": UCUM,
        "code": "mm[Hg]",
    }
    assert made["component"][1]["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    assert [one["code"] for one in other["code"]["coding"]] == ["59408-5", "2708-6"]
    assert len(written(chart(observations=[oxygen]), THEIRS)["Observation"][0]["code"]["coding"]) == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Value("string", text="two\nlines <b>"), {"valueString": "two\nlines <b>"}),
        (Value("boolean", text="true"), {"valueBoolean": True}),
        (Value("integer", number=5.0, text="5"), {"valueInteger": 5}),
        (Value("integer", number=5.0), {"valueInteger": 5}),
        (Value("dateTime", text="2020"), {"valueDateTime": "2020"}),
        (Value("period", text='{"start":"2020"}'), {"valuePeriod": {"start": "2020"}}),
        (Value("code", text="words alone"), {"valueCodeableConcept": {"text": "words alone"}}),
        (
            Value("quantity", 5.5, "<", "tablets"),
            {"valueQuantity": {"value": 5.5, "comparator": "<", "unit": "tablets"}},
        ),
        (Value("range", text="no JSON"), {"valueRange": "no JSON"}),
        (Value("string"), {}),
        (None, {}),
    ],
)
def test_each_kind_of_value(given: Value | None, expected: dict[str, Any]) -> None:
    assert value(given) == expected


def test_whole_numbers_are_whole_and_others_exact() -> None:
    assert [type(number(one)) for one in (7.0, 7.5, 1e22, float("inf"))] == [int, float, float, float]


@pytest.mark.parametrize("unit", ["mg/dL", "10*3/uL", "mm[Hg]", "{score}", "/[HPF]", "mL/min/{1.73_m2}", "kU/L", "1"])
def test_ucum_is_known(unit: str) -> None:
    assert is_ucum(unit)


@pytest.mark.parametrize("unit", ["", "tablets", "pH", "K/uL", "bpm", "mcg", "mg per dL", "mg//dL", "/", "٣"])
def test_what_may_not_be_ucum_is_text(unit: str) -> None:
    assert not is_ucum(unit)


def test_what_fhir_demands_and_nobody_knows_is_said_to_be_absent() -> None:
    nothing = Code(None, None, None)
    one = chart(
        encounters=[Encounter("e1", None, None, None, None, None)],
        observations=[Observation("o1", nothing, None, None, None, None, components=(Component(nothing, None),))],
        medications=[Medication("m1", nothing, None, None, None, None)],
        procedures=[Procedure("p1", nothing, None, None, None)],
    )
    found = written(one, THEIRS)
    absent = {"extension": [{"url": codes.ABSENT, "valueCode": "unknown"}]}
    assert found["Encounter"][0]["_status"] == found["Encounter"][0]["class"] == absent
    assert found["Observation"][0]["code"] == found["MedicationRequest"][0]["medicationCodeableConcept"] == absent


def test_references_to_nothing_are_left_out_and_counted() -> None:
    one = chart(
        encounters=[Encounter("e1", "finished", "AMB", None, DAY, DAY, provider="Organization?name=x")],
        procedures=[Procedure("p1", Code(SNOMED, "1", "x"), "gone", "completed", DAY, reason="gone")],
        medications=[Medication("m1", Code(SNOMED, "1", "x"), "e1", "active", "order", DAY, reason="gone")],
    )
    expected = {
        "Condition.encounter": 1,
        "Procedure.encounter": 1,
        "Procedure.reason": 1,
        "MedicationRequest.reason": 1,
        "Encounter.provider": 1,
    }
    assert dangling(one) == expected
    assert not dangling(chart())
    found = written(one, THEIRS)
    assert "encounter" not in found["Procedure"][0]
    assert "serviceProvider" not in found["Encounter"][0]


def test_organisations_that_are_known_by_an_id_come_along() -> None:
    one = chart(
        encounters=[
            Encounter("e1", "finished", "AMB", None, DAY, DAY, provider="org-7"),
            Encounter("e2", "finished", "AMB", None, DAY, DAY, provider="Organization?identifier=urn:x|7"),
        ]
    )
    found = written(one, THEIRS)
    (organization,) = found["Organization"]
    urls = [entry["fullUrl"] for entry in transaction("r", "x", list(resources(one, THEIRS)))["entry"]]
    first, second = (visit["serviceProvider"]["reference"] for visit in found["Encounter"])
    assert organization["id"] == "org-7"
    assert first in urls
    assert second == "Organization?identifier=urn:x|7"


def test_full_urls_are_uuids_of_their_own_whatever_the_ids_are() -> None:
    """The same id in two types, a number as an id, and capitals are no matter."""
    one = chart(
        conditions=[Condition(WHO, Code(SNOMED, "1", "x"), VISIT, None, None, None, DAY)],
        procedures=[Procedure("7", Code(SNOMED, "1", "x"), VISIT, "completed", DAY, reason=WHO)],
        medications=[Medication(WHO.upper(), Code(SNOMED, "1", "x"), VISIT, "active", "order", DAY)],
    )
    entries = transaction("r", "x", list(resources(one, THEIRS)))["entry"]
    urls = [entry["fullUrl"] for entry in entries]
    assert len(set(urls)) == len(urls) == 5
    assert all(re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", url) for url in urls)
    assert all(entry["request"]["ifNoneExist"] == f"identifier={RECORD}|{entry['fullUrl'][9:]}" for entry in entries)
    condition, procedure = (
        next(e for e in entries if e["request"]["url"] == kind) for kind in ("Condition", "Procedure")
    )
    assert procedure["resource"]["reasonReference"] == [{"reference": condition["fullUrl"]}]
    elsewhere = transaction("r", "x", list(resources(one, Origin(root="other"))))["entry"]
    assert elsewhere[-1]["fullUrl"] != entries[-1]["fullUrl"]


def test_writing_changes_nothing() -> None:
    one = chart()
    before = copy.deepcopy(one)
    assert list(resources(one, OURS)) == list(resources(one, OURS))
    assert one == before


def test_ten_thousand_people_are_ten_thousand() -> None:
    found = [identity(resource_id("r", ordinal), "female") for ordinal in range(10_000)]
    assert len({(one.given, one.family) for one in found}) == 10_000
    assert len({one.record_number for one in found}) == 10_000


@pytest.mark.parametrize("locale", LOCALES)
def test_nobody_real_can_be_meant(locale: str) -> None:
    for ordinal in range(50):
        one = identity(resource_id("r", ordinal), "male", locale=locale, ssn=True)
        assert one == identity(resource_id("r", ordinal), "male", locale=locale, ssn=True)
        assert re.fullmatch(r"\D+\d{6}", one.family)
        assert re.fullmatch(r"[a-z]+\.[a-z]+\d{6}@example\.org", one.email)
        place = places(one.country)[one.state]
        assert (one.city, one.postal_code) == (place.city, place.postal_code)
        if one.country == "US":
            assert re.fullmatch(r"\d{3}-555-01\d\d", one.phone)
            assert re.fullmatch(r"9\d\d[0-4]\d\d{4}", str(one.ssn))
        else:
            assert one.ssn is None


def test_names_follow_ethnicity_and_what_is_unknown_is_refused() -> None:
    assert identity(WHO, "female", True, "en-US") == identity(WHO, "female", False, "es-US")
    assert identity(WHO, "female", False, "en-US") != identity(WHO, "female", True, "en-US")
    assert identity(WHO, state="MA").city == "Boston"
    assert len(places("US")) == 51
    with pytest.raises(UsageError, match="locale 'xx'"):
        identity(WHO, locale="xx")
    with pytest.raises(UsageError, match="state 'ZZ'"):
        identity(WHO, state="ZZ")


def test_an_identity_is_in_the_patient() -> None:
    (patient,) = written(chart())["Patient"]
    assert [one.get("system") for one in patient["identifier"]] == [RECORD, MRN, "http://hl7.org/fhir/sid/us-ssn"]
    assert {one["system"] for one in patient["telecom"]} == {"phone", "email"}
    assert patient["address"][0]["state"] in places("US")
    abroad = Person(WHO, "male", **identity(WHO, "male", locale="de-DE", state="HH")._asdict())
    (ours,), (theirs,) = (written(chart(person=abroad), origin)["Patient"] for origin in (OURS, THEIRS))
    assert "state" not in ours["address"][0]
    assert theirs["address"][0]["state"] == "HH"


WRONG = ("", " ", None, 7, "yesterday", [], {}, ["x"], {"x": 1}, True)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_what_is_remembered_as_valid_hides_nothing(data: st.DataObject) -> None:
    """A resource with one thing changed is judged as it would be by the models alone."""
    parts = (Component(Code(LOINC, "8480-6", "x"), Value("quantity", 1.0, unit="mm[Hg]")),)
    one = chart(observations=[observed("85354-9", "vital-signs", None, components=parts)])
    made = data.draw(st.sampled_from(list(resources(one, OURS))))
    assert problem(made) is None
    changed = copy.deepcopy(made)
    place: Any = changed
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if key == "resourceType":
            return
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(st.sampled_from(WRONG))
    again = problem(changed)
    conform._valid.clear()
    assert problem(changed) == again


def test_the_memory_of_what_is_valid_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conform, "REMEMBERED", 5)
    for _ in range(3):
        for one in resources(chart(), OURS):
            assert problem(one) is None
    assert len(conform._valid) <= 5 + 10
