"""A real HAPI server takes what we emit, once, and what it refuses is told in its own words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from fhirsynth.assemble import assemble
from fhirsynth.cli import cli
from fhirsynth.hapi import Sandbox, sandbox
from fhirsynth.publish.server import load
from synthea_bridge.tags import RUN_TAG
from tests.frames import example_features, example_schema
from tests.lives import example_timeline

FIXTURES = Path(__file__).parent.parent / "fixtures"


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    with sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles")
    assemble(example_features(8), example_schema(), example_timeline(), run_id="sandbox", out=out)
    return out


def total(server: Sandbox, query: str) -> int:
    answer = httpx.get(f"{server.url}/{query}", params={"_summary": "count", "_tag": f"{RUN_TAG}|sandbox"})
    return int(answer.raise_for_status().json()["total"])


@pytest.mark.slow
def test_a_real_server_takes_every_resource_once(server: Sandbox, bundles: Path, tmp_path: Path) -> None:
    command = ["load", str(bundles), server.url, "--journal", str(tmp_path / "journal")]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert "9 Bundles loaded, 0 earlier, 0 refused" in done.stdout
    counts = {kind: total(server, kind) for kind in ("Patient", "Practitioner", "Encounter", "Observation")}
    assert (counts["Patient"], counts["Practitioner"]) == (8, 5)
    again = CliRunner().invoke(cli, command)
    assert "0 Bundles loaded, 9 earlier" in again.stdout
    anew = load(bundles, server.url, journal=tmp_path / "lost")
    assert (anew.created, anew.refused) == (0, [])
    assert {kind: total(server, kind) for kind in counts} == counts


@pytest.mark.slow
def test_what_a_real_server_refuses_is_told_in_its_words(server: Sandbox, tmp_path: Path) -> None:
    one = FIXTURES / "bundles" / "000004.json.gz"
    done = CliRunner().invoke(cli, ["load", str(one), server.url, "--journal", str(tmp_path / "journal")])
    assert done.exit_code == 1
    assert "000004.json.gz: refused with 4" in done.stderr
    assert "Practitioner?identifier=" in done.stderr
    assert "1 refused" in done.stdout
