"""Loading a real HAPI server, in every mode, by two at a time, cut off, and unloading it again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from fhirsynth.assemble import assemble
from fhirsynth.hapi import Sandbox
from fhirsynth.publish.server import How, LoadResult, aload, load
from fhirsynth.publish.unload import unload
from synthea_bridge.tags import RUN_TAG
from tests.frames import example_features, example_schema
from tests.lives import example_timeline

KINDS = ("Patient", "Practitioner", "Organization", "Location", "Encounter", "Condition", "Observation", "Procedure")


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


def bundles(emitted: Path, run: str, patients: int = 6) -> tuple[Path, Counter[str]]:
    """Bundles of a run, and how many resources of a type are in them."""
    out = emitted / run
    out.mkdir()
    assemble(example_features(patients), example_schema(), example_timeline(), run_id=run, out=out)
    counts: Counter[str] = Counter()
    for path in (out / "shared.json", *(out / "transactions").iterdir()):
        counts.update(entry["resource"]["resourceType"] for entry in orjson.loads(path.read_bytes())["entry"])
    return out, counts


def there(server: Sandbox, run: str) -> Counter[str]:
    query = {"_summary": "count", "_tag": f"{RUN_TAG}|{run}"}
    found: Counter[str] = Counter()
    with httpx.Client(headers={"Cache-Control": "no-cache"}) as client:
        for kind in (*KINDS, "MedicationRequest"):
            found[kind] = client.get(f"{server.url}/{kind}", params=query).raise_for_status().json()["total"]
    return +found


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        How(),
        How("update"),
        How("update", style="literal"),
        How(style="conditional"),
        How("post"),
        How(most=15),
        How("post", most=15),
        How(size=30_000),
        How("create", "batch"),
        How("create", "single"),
        How(asking=True),
    ],
    ids=lambda how: f"{how.mode}-{how.sending}-{how.style[:3]}-{how.most}-{how.size}-{how.asking}",
)
def test_load_load_again_and_unload_leave_the_server_as_it_was(
    fhir_server: Sandbox, emitted: Path, tmp_path: Path, how: How, request: pytest.FixtureRequest
) -> None:
    run = request.node.callspec.id.replace(":", "")
    src, counts = bundles(emitted, run, 2)
    first = load(src, fhir_server.url, how=how)
    assert (first.refused, first.whole, first.counted) == ([], True, counts.total())
    assert there(fhir_server, run) == counts
    again = load(src, fhir_server.url, how=how)
    assert (again.loaded, again.whole) == (0, True)
    if how.mode != "post":
        assert load(src, fhir_server.url, how=how, journal=tmp_path / "lost").created == 0
    assert there(fhir_server, run) == counts
    dry = unload(run, fhir_server.url, dry=True)
    assert (dry.found, there(fhir_server, run)) == (counts, counts)
    done = unload(run, fhir_server.url)
    assert (done.deleted, done.whole, there(fhir_server, run)) == (counts, True, Counter())
    if how == How():
        back = load(src, fhir_server.url, how=how)
        assert (back.whole, there(fhir_server, run)) == (True, counts)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["create", "update"])
def test_two_loaders_of_a_run_at_once_double_nothing(
    fhir_server: Sandbox, emitted: Path, tmp_path: Path, mode: Any
) -> None:
    src, counts = bundles(emitted, f"two-{mode}")

    async def both() -> list[LoadResult]:
        work = (aload(src, fhir_server.url, how=How(mode), journal=tmp_path / name) for name in ("a", "b"))
        return await asyncio.gather(*work)

    results = asyncio.run(both())
    assert all(result.whole for result in results)
    assert sum(result.created for result in results) == counts.total()
    assert there(fhir_server, f"two-{mode}") == counts


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["create", "post"])
def test_a_load_that_is_killed_goes_on(fhir_server: Sandbox, emitted: Path, mode: str) -> None:
    run = f"killed-{mode}"
    src, counts = bundles(emitted, run)
    call = [sys.executable, "-m", "fhirsynth.cli", "load", str(src), fhir_server.url, "--mode", mode]
    for patients in (1, 3):
        with subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and there(fhir_server, run)["Patient"] < patients:
                pass
            process.send_signal(signal.SIGKILL)
    assert load(src, fhir_server.url, how=How(mode)).whole  # type: ignore[arg-type]
    assert there(fhir_server, run) == counts
