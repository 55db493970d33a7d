"""A real HAPI server takes what we emit, once, and what it refuses is told in its own words."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from fhirsynth.assemble import assemble
from fhirsynth.cli import cli
from fhirsynth.errors import UsageError
from fhirsynth.hapi import Sandbox, sandbox
from fhirsynth.publish.server import load
from synthea_bridge.errors import HelperError
from synthea_bridge.tags import RUN_TAG
from tests.frames import example_features, example_schema
from tests.lives import example_timeline


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles")
    assemble(example_features(8), example_schema(), example_timeline(), run_id="sandbox", out=out)
    return out


def total(fhir_server: Sandbox, query: str) -> int:
    answer = httpx.get(f"{fhir_server.url}/{query}", params={"_summary": "count", "_tag": f"{RUN_TAG}|sandbox"})
    return int(answer.raise_for_status().json()["total"])


@pytest.mark.slow
def test_a_real_server_takes_every_resource_once(fhir_server: Sandbox, bundles: Path, tmp_path: Path) -> None:
    command = ["load", str(bundles), fhir_server.url, "--journal", str(tmp_path / "journal")]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert "9 Bundles loaded, 0 earlier, 0 refused" in done.stdout
    counts = {kind: total(fhir_server, kind) for kind in ("Patient", "Practitioner", "Encounter", "Observation")}
    assert (counts["Patient"], counts["Practitioner"]) == (8, 5)
    again = CliRunner().invoke(cli, command)
    assert "0 Bundles loaded, 9 earlier" in again.stdout
    anew = load(bundles, fhir_server.url, journal=tmp_path / "lost")
    assert (anew.created, anew.refused) == (0, [])
    assert {kind: total(fhir_server, kind) for kind in counts} == counts


@pytest.mark.slow
def test_the_pytest_plugin_in_one_line(fhir_server: Sandbox, synthetic_bundles: list[dict[str, Any]]) -> None:
    taken = [httpx.post(fhir_server.url, json=bundle, timeout=60).status_code for bundle in synthetic_bundles]
    assert taken == [200] * 21
    with httpx.Client(base_url=f"{fhir_server.url}/", timeout=60) as client:
        patients = search(client, "Patient", _tag=f"{RUN_TAG}|sample", _count=50)
        assert len(patients) == 20
        with_rate = [one for one in patients if search(client, "Observation", patient=one["id"], code=HEART_RATE)]
        assert with_rate
        everything = search(client, f"Patient/{with_rate[0]['id']}/$everything", _count=500)
        kinds = {one["resourceType"] for one in everything}
        assert kinds >= {"Patient", "Condition", "Encounter", "Observation"}
        assert search(client, "Condition", code="http://snomed.info/sct|190905008", _count=50)
        conditional = f"Encounter?patient={with_rate[0]['id']}&_include=Encounter:service-provider"
        assert "Organization" in {one["resourceType"] for one in search(client, conditional)}


HEART_RATE = "http://loinc.org|8867-4"


def search(client: httpx.Client, path: str, **parameters: str | int) -> list[dict[str, Any]]:
    answer = client.get(path, params=parameters or None).raise_for_status().json()
    return [entry["resource"] for entry in answer.get("entry", [])]


def test_a_port_that_cannot_be_had_is_told_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port}: is in use; give another one"), sandbox(port):
            pass
    for wrong in (-1, 70000):
        with pytest.raises(UsageError, match=f"port {wrong}: is none"), sandbox(wrong):
            pass


def test_what_is_not_there_cannot_be_loaded(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["sandbox", "--load", str(tmp_path / "none")])
    assert isinstance(done.exception, UsageError)


@pytest.mark.slow
def test_a_heap_that_is_too_small_is_said() -> None:
    with pytest.raises(HelperError, match=r"the FHIR server ran out of its heap of 40m"), sandbox(heap="40m"):
        pass


@pytest.mark.slow
def test_the_command_loads_says_ready_and_ends_with_ctrl_c(bundles: Path) -> None:
    call = [sys.executable, "-m", "fhirsynth.cli", "sandbox", "--load", str(bundles)]
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipe = subprocess.PIPE
    with subprocess.Popen(call, stdout=pipe, stderr=pipe, text=True, preexec_fn=heeding) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        word, _, url = process.stdout.readline().strip().partition(" ")
        assert (word, url[:17]) == ("ready", "http://127.0.0.1:")
        answer = httpx.get(f"{url}/Patient", params={"_summary": "count"}).json()
        assert answer["total"] == 8
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert "stopped" in process.stderr.read()
    assert children
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert not list(bundles.glob(".load-*"))
