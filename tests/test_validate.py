"""The real HL7 validator: what it says of good and bad FHIR, how it is told, and what happens when it is ended."""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirsynth.assemble import assemble
from fhirsynth.cli import cli
from fhirsynth.errors import UsageError
from fhirsynth.hapi.engine import Engine, Message, engine
from fhirsynth.hapi.packages import FOLDER_VARIABLE, find_package, terminology_folder
from fhirsynth.hapi.problems import Report, printable
from fhirsynth.hapi.validate import validate
from fhirsynth.sample import sample_bundles
from synthea_bridge.bundles import Document
from synthea_bridge.errors import HelperError
from synthea_bridge.skips import SkipLog
from tests.lives import example_timeline
from tests.test_assemble import MORTAL, possible_rows

US_CORE = "hl7.fhir.us.core#5.0.1"
UUID = "urn:uuid:0c2cf2bf-6f5c-4a0c-8e54-7d5c6b1b3c11"
PATIENT = {"resourceType": "Patient", "gender": "female", "birthDate": "1990-02-03"}


def package(path: Path, manifest: Any, name: str = "package/package.json") -> Path:
    body = orjson.dumps(manifest)
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(body)
        archive.addfile(member, io.BytesIO(body))
    return path


def us_core() -> tuple[list[str], list[Path]]:
    """US Core 5.0.1 and the value sets beside it; the test is skipped where they are not at hand."""
    try:
        found = find_package(US_CORE)
    except UsageError:
        pytest.skip(f"{US_CORE} is in neither {FOLDER_VARIABLE} nor ~/.fhir/packages")
    terminology = found.parent / "terminology"
    return [US_CORE], [terminology] if terminology.is_dir() else []


@pytest.fixture(scope="module")
def judge() -> Iterator[Engine]:
    packages, terminology = us_core()
    with engine(packages, terminology) as running:
        assert running.definitions > 50
        yield running


def errors(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message.severity in ("fatal", "error")]


def test_packages_are_looked_at_before_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    good = package(tmp_path / "a.b-1.0.tgz", {"name": "a.b", "fhirVersions": ["4.0.1"]})
    assert find_package("a.b#1.0") == good
    assert find_package(str(good)) == good
    unpacked = tmp_path / "home" / ".fhir" / "packages" / "c#2" / "package"
    unpacked.mkdir(parents=True)
    (unpacked / "package.json").write_bytes(orjson.dumps({"name": "c", "fhirVersions": ["4.0.1"]}))
    assert find_package("c#2") == unpacked
    (tmp_path / "text.tgz").write_text("no archive")
    for given_name, problem in (
        ("nowhere.tgz", "there is no such file"),
        ("a.b#9.9", "is not in"),
        (str(tmp_path / "text.tgz"), "is no FHIR package"),
        (str(tmp_path / "home"), "is no FHIR package"),
        (str(package(tmp_path / "n.tgz", {"name": "left-pad", "version": "1"})), "names no FHIR version"),
        (str(package(tmp_path / "5.tgz", {"name": "x", "fhirVersions": ["5.0.0"]})), r"is for FHIR 5\.0\.0"),
        (str(package(tmp_path / "o.tgz", {"name": "x"}, "other.json")), "is no FHIR package"),
        (str(package(tmp_path / "l.tgz", [1])), "names no package"),
    ):
        with pytest.raises(UsageError, match=problem):
            find_package(given_name)
    with pytest.raises(UsageError, match="is no folder with CodeSystems"):
        terminology_folder(tmp_path / "home")


def test_a_package_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhirsynth.hapi.packages.UNPACKED", 10)
    bomb = package(tmp_path / "bomb.tgz", {"name": "a.b", "fhirVersions": ["4.0.1"]})
    with pytest.raises(UsageError, match="do not trust it"):
        find_package(str(bomb))


def test_equal_problems_are_one_and_unknown_terminology_is_a_note() -> None:
    report = Report(SkipLog())
    entries: list[tuple[str | None, dict[str, Any]]] = [(None, {"resourceType": "Patient", "id": "a\x1b[31m"})]
    document = Document("f.json", entries, [0])
    here = "Bundle.entry[0].resource/*Patient/a*/.name[1]"
    report.add(
        "f.json",
        document,
        None,
        [
            Message("error", "x", here, "has 'one' \x1b[2J"),
            Message("error", "x", here.replace("[1]", "[2]"), "has 'two' \x1b[2J"),
            Message(
                "warning", "y", here, "CodeSystem is unknown and can't be validated: http://snomed.info/sct for 's#1'"
            ),
            Message("warning", "z", here, "None of the codings provided are in the value set 'v'"),
            Message("warning", "z", "Bundle", "None of the codings provided are in the value set 'v'"),
        ],
    )
    first, second = report.problems
    assert (first.count, first.where, first.path) == (2, "Patient.name", "Bundle.entry[0].resource.name[1]")
    assert first.entry.startswith("entry[0] Patient/a")
    assert "\x1b" not in first.message + first.entry
    assert (second.severity, second.count) == ("warning", 1)
    assert report.unchecked == {"http://snomed.info/sct": 1}
    log = report.sarif("error")
    assert [result["occurrenceCount"] for result in log["runs"][0]["results"]] == [2]
    assert printable("a\nb\u202ec") == "a b\N{REPLACEMENT CHARACTER}c"


@pytest.mark.parametrize("heap", ["0g", "2", "lots", "-1g"])
def test_a_heap_that_is_none_is_a_wrong_call(heap: str, tmp_path: Path) -> None:
    for command in (["validate", str(tmp_path)], ["sandbox"]):
        done = CliRunner().invoke(cli, [*command, "--heap", heap])
        assert done.exit_code == 2
        assert "is no size of a heap" in done.output


@pytest.mark.slow
def test_problems_are_told_with_file_entry_and_path(tmp_path: Path) -> None:
    wrong = {"resourceType": "Observation", "status": "final", "subject": {"reference": UUID}}
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": UUID, "resource": {**PATIENT, "gender": "purple"}},
            {"fullUrl": UUID.replace("0c2", "1c2"), "resource": wrong},
        ],
    }
    (tmp_path / "bundle.json").write_bytes(orjson.dumps(bundle))
    (tmp_path / "lines.ndjson").write_bytes(orjson.dumps(PATIENT) + b"\n" + orjson.dumps({**PATIENT, "x": 1}) + b"\n")
    (tmp_path / "text.json").write_text("no FHIR")
    sarif = tmp_path / "out.sarif"
    done = CliRunner().invoke(cli, ["validate", str(tmp_path), "--json", "--sarif", str(sarif)])
    assert done.exit_code == 1, done.output
    found = orjson.loads(done.stdout)
    assert (found["documents"], found["resources"]) == (3, 4)
    worst = {(one["file"], one["entry"], one["path"]) for one in found["problems"] if one["severity"] == "error"}
    assert ("bundle.json", "entry[0] Patient", "Bundle.entry[0].resource.gender") in worst
    assert any(file == "bundle.json" and entry == "entry[1] Observation" for file, entry, _ in worst)
    assert any(file == "lines.ndjson:2" for file, _, _ in worst)
    assert "skipped: text.json: is no JSON" in done.stderr
    results = orjson.loads(sarif.read_bytes())["runs"][0]["results"]
    assert {result["level"] for result in results} >= {"error"}
    one, two = (validate(tmp_path, threads=number).outcome() for number in (1, 2))
    assert one == two


@pytest.mark.slow
def test_bundles_too_large_to_be_held_are_checked_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthea_bridge.bundles.LARGE", 1000)
    entries = [{"fullUrl": f"{UUID[:-4]}{n:04d}", "resource": {**PATIENT, "gender": "male"}} for n in range(30)]
    entries[20]["resource"] = {**PATIENT, "gender": "purple"}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    (tmp_path / "large.json").write_bytes(orjson.dumps(bundle))
    report = validate(tmp_path)
    assert (report.documents, report.resources, report.in_parts) == (1, 30, {"large.json"})
    assert {one.entry for one in report.problems if one.severity == "error"} == {"entry[20] Patient"}


@pytest.mark.slow
def test_the_sample_is_valid_us_core(judge: Engine) -> None:
    found = [one for messages in judge.check(sample_bundles()) for one in errors(messages)]
    assert found == []


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values=possible_rows(), seed=st.integers(0, 5))
def test_any_possible_row_is_valid_us_core(
    judge: Engine, tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any], seed: int
) -> None:
    rows = MORTAL.conform(pd.DataFrame([{"patient_id": "syn-1", **values}]))
    out = tmp_path_factory.mktemp("row")
    assemble(rows, MORTAL, example_timeline(), run_id="valid", out=out, seed=seed)
    bundles = [orjson.loads(path.read_bytes()) for path in [out / "shared.json", *(out / "transactions").iterdir()]]
    assert [one for messages in judge.check(bundles) for one in errors(messages)] == []
    for bundle in bundles:
        assert_profiles_and_references(bundle)


def assert_profiles_and_references(bundle: dict[str, Any]) -> None:
    urls = {entry["fullUrl"] for entry in bundle["entry"]}
    for entry in bundle["entry"]:
        assert any("/us/core/" in profile for profile in entry["resource"]["meta"]["profile"])
        for reference in references(entry["resource"]):
            assert reference in urls or "?identifier=" in reference


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            if key == "reference":
                yield one
            else:
                yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


@pytest.mark.slow
def test_an_engine_that_is_killed_or_starved_says_so() -> None:
    with engine(threads=1) as running:
        os.kill(running.child.process.pid, signal.SIGKILL)
        with pytest.raises(HelperError, match=r"ended from outside \(signal 9\)"):
            list(running.check([PATIENT] * 50))
    large = {**PATIENT, "name": [{"family": "x" * 1000}] * 30_000}
    with (
        pytest.raises(HelperError, match=r"ran out of its heap of 60m; give it more"),
        engine(threads=1, heap="60m") as running,
    ):
        list(running.check([large] * 4))


@pytest.mark.slow
@pytest.mark.parametrize(
    "code", ["from fhirsynth.hapi.engine import engine as start", "from fhirsynth.hapi import sandbox as start"]
)
def test_no_java_outlives_its_parent(code: str) -> None:
    script = f"{code}\nwith start() as running:\n    print(running.child.process.pid, flush=True)\n    input()\n"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        java = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.kill()
            assert select.select([java], [], [], 30)[0], "the JVM is still there"
        finally:
            os.close(java)
