"""The modules of our own: well formed in the fast tests, simulated in the slow one."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest

from synthea_bridge import generate as bridge
from synthea_bridge.flatten import flatten

MODULES = Path(bridge.__file__).parent / "modules"
DISEASES = {
    "addisons_disease": "363732003",
    "myasthenia_gravis": "91637004",
    "phenylketonuria": "7573000",
    "sickle_cell_disease": "127040003",
}
SODIUM, POTASSIUM, CORTISOL, CORTICOTROPIN = "2951-2", "2823-3", "2143-6", "2141-0"
SYSTOLIC = "8480-6"
HYDROCORTISONE, FLUDROCORTISONE = "197782", "313979"
CODES = {"SNOMED-CT": r"\d{6,18}", "LOINC": r"\d{1,6}-\d", "RxNorm": r"\d{3,8}"}
EXPECTED = {
    "ConditionOnset": "SNOMED-CT",
    "Encounter": "SNOMED-CT",
    "MedicationOrder": "RxNorm",
    "MultiObservation": "LOINC",
    "Observation": "LOINC",
    "Procedure": "SNOMED-CT",
}

every_module = pytest.mark.parametrize("name", sorted(DISEASES))


def load(name: str) -> dict[str, Any]:
    module: dict[str, Any] = orjson.loads((MODULES / f"{name}.json").read_bytes())
    return module


def states(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load(name)["states"]
    return found


def branches(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What has a ``transition``, at any depth."""
    yield from state.get("distributed_transition", [])
    yield from state.get("conditional_transition", [])
    for branch in state.get("complex_transition", []):
        yield from branch.get("distributions", [branch])


def targets(state: dict[str, Any]) -> set[str]:
    direct = {state["direct_transition"]} if "direct_transition" in state else set()
    return direct | {branch["transition"] for branch in branches(state)}


def distributions(state: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    if "distributed_transition" in state:
        yield state["distributed_transition"]
    for branch in state.get("complex_transition", []):
        if "distributions" in branch:
            yield branch["distributions"]


def codings(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "code" in value and "system" in value:
            yield value
        for part in value.values():
            yield from codings(part)
    if isinstance(value, list):
        for part in value:
            yield from codings(part)


def named(value: object, keys: set[str]) -> Iterator[str]:
    """Texts below one of ``keys``, at any depth."""
    if isinstance(value, dict):
        yield from (part for key, part in value.items() if key in keys and isinstance(part, str))
        for part in value.values():
            yield from named(part, keys)
    if isinstance(value, list):
        for part in value:
            yield from named(part, keys)


def boosted(name: str, share: float) -> dict[str, Any]:
    """The module with this share of people, whoever could get it before, who get the disease."""
    module = load(name)
    for group in distributions(module["states"]["Initial"]):
        sick = sum(branch["distribution"] for branch in group if branch["transition"] != "Terminal")
        for branch in group:
            healthy = branch["transition"] == "Terminal"
            branch["distribution"] = 1 - share if healthy else branch["distribution"] * share / sick
    return module


def test_the_folder_holds_these_modules() -> None:
    assert sorted(path.stem for path in MODULES.glob("*.json")) == sorted(DISEASES)


@every_module
def test_every_transition_leads_to_a_state_and_every_state_is_reached(name: str) -> None:
    known = states(name)
    reached, waiting = set[str](), ["Initial"]
    while waiting:
        state = waiting.pop()
        assert state in known, state
        if state not in reached:
            reached.add(state)
            waiting.extend(targets(known[state]))
    assert reached == set(known)


@every_module
def test_only_terminal_states_lead_nowhere(name: str) -> None:
    assert {state for state, body in states(name).items() if not targets(body)} == {"Terminal"}


@every_module
def test_names_of_states_are_plain(name: str) -> None:
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9_]*", state) for state in states(name))


@every_module
def test_distributions_sum_to_one(name: str) -> None:
    for state, body in states(name).items():
        for group in distributions(body):
            assert sum(branch["distribution"] for branch in group) == pytest.approx(1, abs=1e-9), state


@every_module
def test_what_a_state_refers_to_exists(name: str) -> None:
    known = states(name)
    keys = {"target_encounter", "reason", "condition_onset", "medication_order"}
    assert set(named(known, keys)) <= set(known)
    for body in known.values():
        if "target_encounter" in body:
            assert known[body["target_encounter"]]["type"] == "Encounter"


@every_module
def test_the_disease_is_decided_at_once_and_then_follows_directly(name: str) -> None:
    known = states(name)
    chosen = targets(known["Initial"]) - {"Terminal"}
    assert chosen
    for state in chosen:
        while known[state]["type"] != "ConditionOnset":
            state = known[state]["direct_transition"]
        assert [coding["code"] for coding in known[state]["codes"]] == [DISEASES[name]]


@every_module
def test_remarks_name_their_sources(name: str) -> None:
    module = load(name)
    assert module["gmf_version"] == 2
    assert module["name"]
    assert sum(bool(re.search(r"\b(19|20)\d\d\b", remark)) for remark in module["remarks"]) >= 3


@every_module
def test_codes_look_like_those_of_their_system(name: str) -> None:
    for state, body in states(name).items():
        for coding in codings(body):
            assert re.fullmatch(CODES[coding["system"]], coding["code"]), (state, coding)
            assert coding["display"], (state, coding)
        for coding in body.get("codes", []):
            assert coding["system"] == EXPECTED.get(body["type"], coding["system"]), state


@every_module
def test_one_code_has_one_display(name: str) -> None:
    displays: dict[str, set[str]] = {}
    for coding in codings(states(name)):
        displays.setdefault(coding["code"], set()).add(coding["display"])
    assert {code: found for code, found in displays.items() if len(found) > 1} == {}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """Tables of 25 people of whom most who are old enough have Addison's disease."""
    work = tmp_path_factory.mktemp("addison")
    (work / "modules").mkdir()
    (work / "modules" / "addisons_disease.json").write_bytes(orjson.dumps(boosted("addisons_disease", 0.8)))
    spec = bridge.GenerateSpec(population=25, modules=work / "modules", seed=1, min_age=30, max_age=60)
    bridge.generate(spec, work / "generated")
    flatten(work / "generated", work / "tables")
    return {path.stem: pd.read_parquet(path) for path in (work / "tables").glob("*.parquet")}


@pytest.mark.slow
def test_addisons_disease_shows_in_the_tables(tables: dict[str, pd.DataFrame]) -> None:
    conditions, observations, medications = (tables[name] for name in ("conditions", "observations", "medications"))
    addison = conditions[conditions["code"] == DISEASES["addisons_disease"]]
    assert len(addison) >= 5
    assert set(addison["clinical_status"]) == {"active"}

    at_diagnosis = observations[observations["encounter_id"].isin(set(addison["encounter_id"]))]
    median = at_diagnosis.groupby("code")["value_number"].median()
    assert median[SODIUM] < 135
    assert median[POTASSIUM] > 5
    assert median[CORTISOL] < 5
    assert median[CORTICOTROPIN] > 100
    assert median[SYSTOLIC] < 100

    for drug in (HYDROCORTISONE, FLUDROCORTISONE):
        treated = medications[(medications["code"] == drug) & (medications["status"] == "active")]
        assert set(treated["patient_id"]) == set(addison["patient_id"])


@pytest.mark.slow
def test_addisons_disease_is_followed_up_and_has_crises(tables: dict[str, pd.DataFrame]) -> None:
    conditions, encounters, observations = (tables[name] for name in ("conditions", "encounters", "observations"))
    addison = conditions[conditions["code"] == DISEASES["addisons_disease"]]
    visits = encounters[encounters["reason_code"] == DISEASES["addisons_disease"]]
    later = set(visits["encounter_id"]) - set(addison["encounter_id"])
    sodium = observations[observations["encounter_id"].isin(later) & (observations["code"] == SODIUM)]
    assert 135 < sodium["value_number"].median() < 145

    crises = encounters[encounters["reason_code"] == "766986002"]
    assert set(crises["class_code"]) == {"EMER", "IMP"}
    emergencies, admissions = (int((crises["class_code"] == one).sum()) for one in ("EMER", "IMP"))
    assert emergencies - admissions in (0, 1)  # the last day may come between the two
