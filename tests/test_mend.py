"""What a server or a validator would refuse of Synthea's Bundles is mended, counted, and nothing else is touched."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fhirsynth.cli import cli
from fhirsynth.hapi import Sandbox
from synthea_bridge.flatten import flatten
from synthea_bridge.generate import GenerateResult, GenerateSpec, generate
from synthea_bridge.tags import ORIGIN_TAG
from tests.test_validate import references

FIXTURES = Path(__file__).parent.parent / "fixtures" / "bundles"
UCUM = "http://unitsofmeasure.org"
ODD_UNITS = {"pH": "[pH]", "K/uL": "10*3/uL", "n/a": "{n/a}", "beats and more": "{beats_and_more}"}
CODES = {"pH": "2744-1", "K/uL": "26464-8", "n/a": "5803-2", "beats and more": "8867-4", "mg/dL": "2339-0"}


def module() -> dict[str, Any]:
    """A Synthea module: one visit of everybody, with units that are none and one value that nobody has."""

    def observation(unit: str, then: str, **value: Any) -> dict[str, Any]:
        code = {"system": "LOINC", "code": CODES[unit], "display": "Something"}
        return {
            "type": "Observation",
            "category": "laboratory",
            "unit": unit,
            "codes": [code],
            "direct_transition": then,
            **value,
        }

    visit = {"system": "SNOMED-CT", "code": "185347001", "display": "Encounter for problem (procedure)"}
    names = [*ODD_UNITS, "mg/dL", "End"]
    states: dict[str, Any] = {
        "Initial": {"type": "Initial", "direct_transition": "Visit"},
        "Visit": {
            "type": "Encounter",
            "encounter_class": "ambulatory",
            "codes": [visit],
            "direct_transition": names[0],
        },
        "End": {"type": "EncounterEnd", "direct_transition": "Terminal"},
        "Terminal": {"type": "Terminal"},
    }
    for unit, then in zip(ODD_UNITS, names[1:], strict=False):
        states[unit] = observation(unit, then, exact={"quantity": 7})
    states["mg/dL"] = observation("mg/dL", "End", attribute="nobody_has_this")
    return {"name": "Odd units", "states": states, "gmf_version": 2}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> GenerateSpec:
    folder = tmp_path_factory.mktemp("modules")
    (folder / "odd_units.json").write_text(json.dumps(module()))
    return GenerateSpec(population=3, seed=7, max_age=4, modules=folder)


@pytest.fixture(scope="module")
def mended(spec: GenerateSpec, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GenerateResult]:
    work = tmp_path_factory.mktemp("mended")
    return work, generate(spec, work / "generated", tables=work / "tables")


@pytest.fixture(scope="module")
def as_is(spec: GenerateSpec, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GenerateResult]:
    work = tmp_path_factory.mktemp("as_is")
    return work, generate(spec.model_copy(update={"as_is": True}), work / "generated")


def resources(folder: Path) -> list[dict[str, Any]]:
    """Of the patients' Bundles."""
    files = sorted((folder / "generated" / "bundles").glob("0*.json"))
    return [entry["resource"] for file in files for entry in orjson.loads(file.read_bytes())["entry"]]


def parts(observation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The observation, if its value is its own, or its components."""
    yield from observation.get("component", () if "hasMember" in observation else [observation])


def quantities(folder: Path) -> Iterator[dict[str, Any]]:
    for resource in resources(folder):
        if resource["resourceType"] == "Observation":
            for part in parts(resource):
                if part.get("valueQuantity", {}).get("unit") in ODD_UNITS:
                    yield part["valueQuantity"]


@pytest.mark.slow
def test_units_become_ucum_and_keep_their_text_and_value(mended: tuple[Path, GenerateResult]) -> None:
    folder, _ = mended
    found = {(one["unit"], one["system"], one["code"], one["value"]) for one in quantities(folder)}
    assert found >= {(unit, UCUM, code, 7) for unit, code in ODD_UNITS.items()}
    assert {(unit, code) for unit, _, code, _ in found} == set(ODD_UNITS.items())


@pytest.mark.slow
def test_an_observation_without_a_value_says_so(mended: tuple[Path, GenerateResult]) -> None:
    folder, _ = mended
    observations = [one for one in resources(folder) if one["resourceType"] == "Observation"]
    silent = [
        one["code"]["coding"][0]["code"]
        for one in observations
        for part in parts(one)
        if not any(name.startswith("value") for name in part)
    ]
    unknown = [
        one["code"]["coding"][0]["code"]
        for one in observations
        for part in parts(one)
        if part.get("dataAbsentReason", {}).get("coding", [{}])[0].get("code") == "unknown"
    ]
    assert silent == unknown
    assert silent.count(CODES["mg/dL"]) >= 3


@pytest.mark.slow
def test_what_is_referred_to_is_provided(mended: tuple[Path, GenerateResult]) -> None:
    folder, result = mended
    shared = orjson.loads((folder / "generated" / "bundles" / "shared.json").read_bytes())
    conditions = {f"{one['request']['url']}?{one['request']['ifNoneExist']}" for one in shared["entry"]}
    referred = {one for resource in resources(folder) for one in references(resource) if "?" in one}
    assert referred
    assert referred <= conditions
    assert {one["resource"]["resourceType"] for one in shared["entry"]} == {"Organization", "Location", "Practitioner"}
    own = {one["fullUrl"] for one in shared["entry"]}
    assert {one for entry in shared["entry"] for one in references(entry["resource"])} <= own
    assert result.outcome["mended"]["shared_resources"] == len(shared["entry"])


def test_the_home_of_virtual_visits_is_provided() -> None:
    entries = [
        entry for file in FIXTURES.iterdir() for entry in orjson.loads(gzip.decompress(file.read_bytes()))["entry"]
    ]
    conditions = {f"{one['request']['url']}?{one['request'].get('ifNoneExist')}" for one in entries}
    locations = {
        place["location"]["reference"]: place["location"]["display"]
        for one in entries
        if one["resource"]["resourceType"] == "Encounter"
        for place in one["resource"].get("location", ())
    }
    assert "Patient's Home" in locations.values()
    assert set(locations) <= conditions


@pytest.mark.slow
def test_as_is_is_what_synthea_makes_and_the_rest_is_the_same(
    mended: tuple[Path, GenerateResult], as_is: tuple[Path, GenerateResult]
) -> None:
    assert not (as_is[0] / "generated" / "bundles" / "shared.json").exists()
    assert "mended" not in as_is[1].outcome
    counted = {"units": 0, "data_absent_reason": 0}
    made, found = resources(mended[0]), resources(as_is[0])
    assert len(made) == len(found)
    for ours, theirs in zip(made, found, strict=True):
        for new, old in zip(parts(ours), parts(theirs), strict=True):
            unit, was = new.get("valueQuantity", {}), old.get("valueQuantity", {})
            if unit.get("code") != was.get("code"):
                counted["units"] += 1
                assert was["code"] == was["unit"]
                unit["code"] = was["code"]
            if "dataAbsentReason" in new and "dataAbsentReason" not in old:
                counted["data_absent_reason"] += 1
                del new["dataAbsentReason"]
        tagged = ours["meta"].pop("tag")
        assert tagged == [{"system": ORIGIN_TAG, "code": "simulated"}]
        assert ours == {**theirs, "meta": theirs.get("meta", {})}
    outcome = mended[1].outcome["mended"]
    assert {name: outcome[name] for name in counted} == counted
    assert min(counted.values()) >= 3


@pytest.mark.slow
def test_what_is_simulated_says_so(mended: tuple[Path, GenerateResult]) -> None:
    shared = orjson.loads((mended[0] / "generated" / "bundles" / "shared.json").read_bytes())
    for one in (*resources(mended[0]), *(entry["resource"] for entry in shared["entry"])):
        assert [tag for tag in one["meta"]["tag"] if tag["system"] == ORIGIN_TAG] == [
            {"system": ORIGIN_TAG, "code": "simulated"}
        ]
    assert pq.read_table(mended[0] / "tables" / "patients.parquet")["origin"].unique().to_pylist() == ["simulated"]


@pytest.mark.slow
def test_tables_filled_while_simulating_are_those_of_the_bundles(
    mended: tuple[Path, GenerateResult], tmp_path: Path
) -> None:
    folder, _ = mended
    flatten(folder / "generated", tmp_path / "later")
    for file in sorted((tmp_path / "later").glob("*.parquet")):
        assert file.read_bytes() == (folder / "tables" / file.name).read_bytes(), file.name


@pytest.mark.slow
def test_an_empty_server_takes_the_folder_as_it_is(
    mended: tuple[Path, GenerateResult], fhir_server: Sandbox, tmp_path: Path
) -> None:
    bundles = mended[0] / "generated" / "bundles"
    command = ["load", str(bundles), fhir_server.url, "--journal", str(tmp_path / "journal"), "--json"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert (summary["loaded"], summary["refused"]) == (4, [])
    expected = sum(len(orjson.loads(file.read_bytes())["entry"]) for file in bundles.iterdir())
    assert summary["created"] + summary["already_there"] == expected


@pytest.mark.slow
def test_what_is_left_as_it_is_a_server_refuses_in_its_words(
    as_is: tuple[Path, GenerateResult], fhir_server: Sandbox, tmp_path: Path
) -> None:
    one = tmp_path / "one.json"
    text = (as_is[0] / "generated" / "bundles" / "000001.json").read_text()
    one.write_text(text.replace("us-npi|", "us-npi|absent-"))
    done = CliRunner().invoke(cli, ["load", str(one), fhir_server.url, "--journal", str(tmp_path / "journal")])
    assert done.exit_code == 1
    assert "one.json: refused with 4" in done.stderr
    assert "Practitioner?identifier=" in done.stderr
    assert "1 refused" in done.stdout
