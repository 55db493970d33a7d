"""``unload`` takes a run off a server, all of it and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from fhirsynth.assemble import assemble
from fhirsynth.cli import cli
from fhirsynth.errors import PublishError, UsageError
from fhirsynth.publish.retry import Patience
from fhirsynth.publish.server import load
from fhirsynth.publish.unload import UnloadResult, unload
from tests.fhir_stub import URL, Stub, outcome
from tests.frames import example_features, example_schema
from tests.lives import example_timeline


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles")
    for run in ("r", "other"):
        assemble(example_features(3), example_schema(), example_timeline(), run_id=run, out=out / run)
    return out


async def no_pause(seconds: float) -> None:
    """Does not wait."""


def options(server: Stub) -> dict[str, Any]:
    return {"options": {"transport": httpx.MockTransport(server)}, "pause": no_pause, "patience": Patience(tries=30)}


def filled(emitted: Path, tmp_path: Path, **how: Any) -> Stub:
    server = Stub(**how)
    for run in ("r", "other"):
        assert load(emitted / run, URL, journal=tmp_path / run, **options(server)).whole
    return server


def unloaded(server: Stub, run: str = "r", **more: Any) -> UnloadResult:
    return unload(run, URL, **options(server), **more)


def test_a_run_goes_and_nothing_else(emitted: Path, tmp_path: Path) -> None:
    server = filled(emitted, tmp_path)
    untagged = {"resourceType": "Basic", "id": "mine"}
    server.have["Basic/mine"] = untagged
    before = dict(server.have)
    dry = unloaded(server, dry=True)
    assert (dry.found.total(), server.have) == (len(before) // 2, before)
    done = unloaded(server)
    assert (done.deleted, done.left.total(), done.whole) == (dry.found, 0, True)
    assert server.have["Basic/mine"] == untagged
    assert len(server.have) == len(before) - dry.found.total()
    assert unloaded(server).found.total() == 0
    assert load(emitted / "r", URL, journal=tmp_path / "r", **options(server)).whole
    assert len(server.have) == len(before)


@pytest.mark.parametrize("system", [("transaction",), ("batch",), ()])
def test_lost_answers_and_busy_servers_leave_nothing(emitted: Path, tmp_path: Path, system: tuple[str, ...]) -> None:
    server = filled(emitted, tmp_path)
    server.system, server.lost = system, 0.2
    server.faults = [outcome(503, "busy"), httpx.ReadTimeout("slow")]
    done = unloaded(server)
    assert (done.whole, bool(done.traffic.retries)) == (True, True)
    assert unloaded(server, run="other").whole
    assert not server.have


def test_a_server_that_ignores_the_tag_loses_nothing(emitted: Path, tmp_path: Path) -> None:
    server = filled(emitted, tmp_path)
    for key in server.have:
        server.have[key] = {**server.have[key], "meta": {}}
    server.ignores = frozenset({"_tag"})
    before = dict(server.have)
    assert unloaded(server).found.total() == 0
    assert server.have == before


def test_what_others_refer_to_is_kept_and_named(emitted: Path, tmp_path: Path) -> None:
    server = filled(emitted, tmp_path)
    key = next(key for key, one in server.have.items() if key.startswith("Patient") and "r" in str(one["meta"]["tag"]))
    tag = server.have[key]["meta"]["tag"][0]["code"]
    server.have["Observation/mine"] = {"resourceType": "Observation", "id": "mine", "subject": {"reference": key}}
    done = unloaded(server, run=tag)
    assert done.left == {"Patient": 1}
    assert list(done.kept) == [key]
    assert not done.whole
    assert "Observation/mine" in server.have


@pytest.mark.parametrize("run", ["", " ", "a|b", "a,b"])
def test_what_is_no_run_is_refused(run: str) -> None:
    with pytest.raises(UsageError, match="is no run"):
        unload(run, URL)


def test_a_server_that_says_nothing_of_itself_is_not_deleted_from() -> None:
    server = Stub(types=())
    with pytest.raises(PublishError, match="does not say which types"):
        unload(
            "r",
            URL,
            options={"transport": httpx.MockTransport(lambda r: httpx.Response(500, text="x"))},
            patience=Patience(tries=1),
        )
    assert not server.requests


def test_the_command_does_not_delete_unasked() -> None:
    done = CliRunner().invoke(cli, ["unload", "r", URL])
    assert isinstance(done.exception, UsageError)
    assert "--yes" in str(done.exception)
