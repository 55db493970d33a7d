"""Shards on their way to a server while the next ones are made: what waits, what goes, what a call goes on with."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import httpx
import orjson
import pytest
from click.testing import CliRunner

from fhirsynth.cli import cli
from fhirsynth.cli._feed import size
from fhirsynth.errors import PublishError, UsageError
from fhirsynth.hapi import Sandbox
from fhirsynth.publish.feed import Feed, Send
from fhirsynth.publish.parcel import How
from fhirsynth.publish.result import LoadResult
from fhirsynth.publish.retry import Patience
from fhirsynth.publish.server import load
from fhirsynth.publish.unload import unload
from synthea_bridge import errors
from synthea_bridge.engines import Mark, Task, Tell, unheard
from synthea_bridge.tags import RUN_TAG
from tests.fhir_stub import URL, Stub, outcome
from tests.frames import example_features, example_schema
from tests.lives import example_timeline

SIZE = 100


def bundle(key: str) -> bytes:
    patient = {"resourceType": "Patient", "id": f"p-{key}"}
    entry = {"resource": patient, "request": {"method": "PUT", "url": f"Patient/p-{key}"}}
    return orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})


@dataclass
class Toy:
    """An engine that makes one Bundle for each task, and remembers which it has made."""

    made: list[str] = field(default_factory=list)

    def run(
        self, tasks: Iterable[Task], out: str, *, made_from: str, tell: Tell = unheard
    ) -> Iterator[tuple[str, Mark]]:
        (Path(out) / "_shards").mkdir(parents=True, exist_ok=True)
        for task in tasks:
            name = f"bundles/{task.key}.ndjson"
            path = Path(out) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(bundle(task.key) + b"\n")
            self.made.append(task.key)
            yield task.key, {"key": task.key, "files": {name: {"bytes": SIZE, "sha256": ""}}, "outcome": {}}


def nothing(folder: Path, tell: Tell) -> dict[str, Any]:
    return {}


TASKS = [Task(f"control-{number}", nothing) for number in range(5)]


def sender(server: Stub, tag: str = "trial") -> Send:
    def send(src: Path, journal: Path, dead_letters: Path) -> LoadResult:
        return load(
            src,
            URL,
            how=How(tag=tag),
            options={"transport": httpx.MockTransport(server)},
            journal=journal,
            dead_letters=dead_letters,
            patience=Patience(tries=1),
        )

    return send


def keys(feed: Feed, out: Path) -> list[str]:
    return [key for key, _ in feed.run(TASKS, str(out), made_from="x")]


def test_every_shard_is_loaded_once_and_tagged(tmp_path: Path) -> None:
    server = Stub()
    feed = Feed(Toy(), URL, sender(server))
    assert keys(feed, tmp_path) == [task.key for task in TASKS]
    assert feed.whole
    assert feed.total("created") == len(server.have) == 5
    assert {resource["meta"]["tag"][0]["code"] for resource in server.have.values()} == {"trial"}
    assert len(list((tmp_path / "bundles").iterdir())) == 5
    again = Feed(Toy(), URL, sender(server))
    assert len(keys(again, tmp_path)) == 5
    assert again.results == {}


def test_what_waits_is_bounded_and_what_is_loaded_goes(tmp_path: Path) -> None:
    gate, loaded, engine = threading.Event(), sender(Stub()), Toy()

    def slow(src: Path, journal: Path, dead_letters: Path) -> LoadResult:
        assert gate.wait(20)
        return loaded(src, journal, dead_letters)

    feed = Feed(engine, URL, slow, most=2 * SIZE)
    marks = feed.run(TASKS, str(tmp_path), made_from="x")
    assert [next(marks)[0], next(marks)[0]] == ["control-0", "control-1"]
    threading.Timer(0.05, gate.set).start()  # the third has to wait for the first
    assert next(marks)[0] == "control-2"
    assert gate.is_set()
    assert len(list(marks)) == 2
    assert engine.made == [task.key for task in TASKS]
    assert list((tmp_path / "bundles").iterdir()) == []
    assert feed.whole


def test_a_server_that_is_gone_ends_it_and_the_same_call_goes_on(tmp_path: Path) -> None:
    server = Stub()

    def dies(request: httpx.Request) -> httpx.Response:
        if len(server.have) == 2:
            raise httpx.ConnectError("gone")
        return server(request)

    gone: Any = dies
    with pytest.raises(PublishError, match="no answer"):
        keys(Feed(Toy(), URL, sender(gone)), tmp_path)
    loaded = sorted(path.stem for path in (tmp_path / "_loaded").glob("*.json"))
    assert loaded
    feed = Feed(Toy(), URL, sender(server))
    keys(feed, tmp_path)
    assert sorted([*loaded, *feed.results]) == [task.key for task in TASKS]
    assert len(server.have) == 5


def test_another_server_is_refused_and_what_a_server_refuses_stays(tmp_path: Path) -> None:
    server = Stub([outcome(422, "not this one")])
    feed = Feed(Toy(), URL, sender(server), most=1)
    keys(feed, tmp_path)
    assert not feed.whole
    refused = [key for key, result in feed.results.items() if not result.whole]
    assert refused == ["control-0"]
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["control-0.ndjson"]
    assert (tmp_path / "_loaded" / "control-0.refused.ndjson").exists()
    with pytest.raises(UsageError, match=r"this shard is on http://.*choose another --out"):
        keys(Feed(Toy(), "http://127.0.0.1:2/fhir", sender(server)), tmp_path)


@pytest.mark.parametrize(("text", "number"), [("2G", 2 * 10**9), ("1.5m", 1_500_000), ("700", 700), ("3kB", 3000)])
def test_sizes(text: str, number: int) -> None:
    context = click.Context(cli)
    assert size(context, cli.params[0], text) == number
    with pytest.raises(click.BadParameter, match="write it as 500M or 2G"):
        size(context, cli.params[0], f"{text} sheep")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--load", URL], "--write tables"),
        (["--write", "tables", "--load", URL, "--as-is"], "leave --engine spark and --as-is away"),
        (["--write", "tables", "--max-disk", "2G"], "name it with --load"),
    ],
)
def test_options_that_do_not_fit(given: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["generate", "--out", str(tmp_path / "out"), *given])
    assert isinstance(result.exception, errors.UsageError)
    assert said in str(result.exception)


@pytest.mark.slow
def test_simulated_shards_reach_a_real_server_and_leave_it_again(fhir_server: Sandbox, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call = ["generate", "--population", "4", "--shard-size", "2", "--years-of-history", "2", "--write", "tables"]
    call += ["--load", fhir_server.url, "--max-disk", "1k", "--out", str(out)]
    result = CliRunner().invoke(cli, call)
    assert result.exit_code == 0, result.output
    run = result.output.partition("fhirsynth unload ")[2].split()[0]
    assert not list((out / "bundles").iterdir())
    with httpx.Client(headers={"Cache-Control": "no-cache"}, timeout=60) as client:
        query = {"_tag": f"{RUN_TAG}|{run}", "_summary": "count"}
        there = client.get(f"{fhir_server.url}/Patient", params=query).raise_for_status().json()["total"]
    assert there == 4
    assert unload(run, fhir_server.url).whole


@pytest.mark.slow
def test_synthetic_patients_reach_a_real_server_while_the_next_are_made(fhir_server: Sandbox, tmp_path: Path) -> None:
    source, out = tmp_path / "synthetic", tmp_path / "out"
    source.mkdir()
    example_features(6).to_parquet(source / "synthetic.parquet")
    example_schema().save(source / "schema.json")
    example_timeline().save(source / "timeline.json")
    call = ["assemble", str(source), "--shard-size", "2", "--workers", "1", "--run-id", "fed-rows", "--out", str(out)]
    result = CliRunner().invoke(cli, [*call, "--load", fhir_server.url, "--max-disk", "1k"])
    assert result.exit_code == 0, result.output
    assert "4 shards loaded" in result.output
    assert not list((out / "bundles").iterdir())
    manifest = orjson.loads((out / "manifest.json").read_bytes())
    gone = unload("fed-rows", fhir_server.url)
    assert gone.whole
    assert gone.deleted.total() == sum(manifest["resources"].values())
