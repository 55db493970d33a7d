"""Shapes on disk, and loading a server that misbehaves in every way that servers do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from click.testing import CliRunner

from fhirsynth.assemble import assemble
from fhirsynth.cli import cli
from fhirsynth.errors import PublishError, UsageError
from fhirsynth.publish.credentials import from_environment
from fhirsynth.publish.disk import export
from fhirsynth.publish.retry import Patience
from fhirsynth.publish.server import LoadResult, load
from fhirsynth.publish.shape import FORMATS
from synthea_bridge.flatten import write_tables
from synthea_bridge.skips import SkipLog
from tests.frames import example_features, example_schema
from tests.lives import example_timeline

URL = "http://127.0.0.1:1/fhir"
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles")
    assemble(example_features(5), example_schema(), example_timeline(), run_id="r", out=out)
    return out


@pytest.fixture
def bundles(emitted: Path, tmp_path: Path) -> Path:
    """A copy, so that journals do not meet."""
    for path in emitted.rglob("*.json"):
        target = tmp_path / "bundles" / path.relative_to(emitted)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path / "bundles"


class Server:
    """Takes transactions and remembers what it has; ``faults`` come first, one a request."""

    def __init__(self, *faults: httpx.Response | httpx.TransportError) -> None:
        self.faults = list(faults)
        self.requests: list[httpx.Request] = []
        self.have: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, httpx.TransportError):
                raise fault
            return fault
        return httpx.Response(200, json={"resourceType": "Bundle", "entry": self._take(request)})

    def _take(self, request: httpx.Request) -> list[dict[str, Any]]:
        answers = []
        for entry in orjson.loads(request.content)["entry"]:
            key = entry["request"].get("ifNoneExist") or entry["request"]["url"]
            answers.append({"response": {"status": "200 OK" if key in self.have else "201 Created"}})
            self.have.add(key)
        return answers


def loaded(src: Path, server: Handler, waits: list[float] | None = None, **options: Any) -> LoadResult:
    pause = (waits if waits is not None else []).append
    return load(src, URL, transport=httpx.MockTransport(server), pause=pause, **options)


def refused(status: int, words: str, **headers: str) -> httpx.Response:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "diagnostics": words}]}
    return httpx.Response(status, json=outcome, headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_shared_resources_go_first_and_everything_arrives_once(bundles: Path) -> None:
    server = Server()
    result = loaded(bundles, server)
    first = orjson.loads(server.requests[0].content)
    assert {entry["resource"]["resourceType"] for entry in first["entry"]} == {
        "Organization",
        "Location",
        "Practitioner",
    }
    assert (result.loaded, result.matched, result.refused) == (6, 0, [])
    assert result.created == len(server.have)
    again = loaded(bundles, server)
    assert (again.loaded, again.earlier) == (0, 6)
    assert len(server.requests) == 6


def test_without_the_journal_nothing_is_doubled_either(bundles: Path, tmp_path: Path) -> None:
    server = Server()
    first = loaded(bundles, server)
    again = loaded(bundles, server, journal=tmp_path / "other.journal")
    assert (again.loaded, again.created, again.matched) == (6, 0, first.created)


def test_a_busy_server_is_given_the_time_that_it_asks_for(bundles: Path) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    server = Server(
        refused(429, "slow down", Retry_After="7"), refused(503, "busy", Retry_After=soon), refused(503, "x")
    )
    waits: list[float] = []
    result = loaded(bundles, server, waits)
    assert result.loaded == 6
    assert result.retries == 3
    assert waits[0] == 7
    assert 20 < waits[1] <= 30
    assert waits[2] == 2


def test_waiting_has_bounds(bundles: Path) -> None:
    server = Server(*(refused(503, "busy", Retry_After="99999") for _ in range(3)))
    waits: list[float] = []
    result = loaded(bundles, server, waits, patience=Patience(tries=3, longest=5))
    assert waits == [5, 5]
    assert [str(one) for one in result.refused] == ["shared.json: refused with 503: busy"]
    assert result.loaded == 5


def test_a_line_that_breaks_is_tried_again(bundles: Path) -> None:
    server = Server(httpx.ReadTimeout("slow"), httpx.ConnectError("refused"))
    assert loaded(bundles, server).loaded == 6


def test_a_server_that_is_not_there_ends_with_one_line_and_what_was_taken_is_noted(bundles: Path) -> None:
    with pytest.raises(PublishError, match="no answer in 2 tries"):
        loaded(bundles, Server(*(httpx.ConnectError("refused") for _ in range(2))), patience=Patience(tries=2))
    server = Server()
    server.faults = []
    calls = 0

    def dies(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise httpx.ConnectError("gone")
        return server(request)

    with pytest.raises(PublishError):
        loaded(bundles, dies, patience=Patience(tries=1))
    assert loaded(bundles, server).earlier == 3


def test_a_refused_bundle_is_told_in_the_servers_words_and_the_others_are_loaded(bundles: Path) -> None:
    ok = httpx.Response(200, json={})
    result = loaded(bundles, Server(ok, refused(422, "Patient.gender is missing\n at line 3")))
    assert [str(one) for one in result.refused] == [
        "transactions/000001.json: refused with 422: Patient.gender is missing at line 3"
    ]
    assert result.loaded == 5


def test_wrong_credentials_stop_at_once_and_are_not_told(bundles: Path) -> None:
    server = Server(refused(401, "no"))
    auth = from_environment({"FHIRSYNTH_TOKEN": "s3cret"})
    with pytest.raises(PublishError) as caught:
        loaded(bundles, server, auth=auth)
    assert "s3cret" not in f"{caught.value!r} {auth!r} {(bundles).joinpath('x')}"
    assert server.requests[0].headers["Authorization"] == "Bearer s3cret"
    assert len(server.requests) == 1


def test_basic_credentials(bundles: Path) -> None:
    server = Server()
    loaded(bundles, server, auth=from_environment({"FHIRSYNTH_USER": "u", "FHIRSYNTH_PASSWORD": "p"}))
    assert server.requests[0].headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    "environment",
    [
        {"FHIRSYNTH_TOKEN": "t", "FHIRSYNTH_USER": "u", "FHIRSYNTH_PASSWORD": "p"},
        {"FHIRSYNTH_USER": "u"},
        {"FHIRSYNTH_TOKEN": "a\nb"},
    ],
)
def test_credentials_that_make_no_sense(environment: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        from_environment(environment)


@pytest.mark.parametrize("url", ["ftp://x/fhir", "nonsense", "http://u:p@127.0.0.1/fhir", "http://"])
def test_a_wrong_address_is_told_before_anything_is_sent(bundles: Path, url: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(bundles, url, transport=httpx.MockTransport(Server()))
    assert "u:p" not in str(caught.value)


def test_a_journal_that_a_crash_has_cut_is_read(bundles: Path) -> None:
    server = Server()
    loaded(bundles, server)
    (journal,) = bundles.glob(".load-*.journal")
    journal.write_bytes(journal.read_bytes()[:-10])
    assert loaded(bundles, server).earlier == 5
    assert loaded(bundles, server).earlier == 6


def test_the_journal_of_another_server_is_refused(bundles: Path, tmp_path: Path) -> None:
    loaded(bundles, Server(), journal=tmp_path / "j")
    with pytest.raises(UsageError, match="is the journal of"):
        load(bundles, "http://127.0.0.2:1/fhir", journal=tmp_path / "j", transport=httpx.MockTransport(Server()))


def test_the_command_ends_with_1_and_one_line_when_nobody_answers(bundles: Path) -> None:
    result = CliRunner().invoke(cli, ["load", str(bundles), URL, "--tries", "1"])
    assert isinstance(result.exception, PublishError)
    assert "\n" not in str(result.exception)


def test_what_cannot_be_loaded_is_listed_and_the_rest_is(bundles: Path) -> None:
    (bundles / "broken.json").write_text('{"resourceType": "Bundle", "entry": [')
    (bundles / "single.json").write_text('{"resourceType": "Patient", "id": "a"}')
    skips = SkipLog()
    assert loaded(bundles, Server(), skips=skips).loaded == 6
    assert sorted(skip.source for skip in skips.items) == ["broken.json", "single.json"]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_reads_back_as_the_same_tables(emitted: Path, tmp_path: Path, form: Any) -> None:
    out = tmp_path / "out"
    out.mkdir()
    result = export(emitted, form, out)
    assert result.unresolved == 0
    rows = []
    for number, folder in enumerate((emitted, out)):
        tables = tmp_path / f"tables{number}"
        tables.mkdir()
        rows.append(write_tables(folder, tables, SkipLog(strict=True)).rows)
    assert rows[0] == rows[1]


def test_formats_conform(emitted: Path, tmp_path: Path) -> None:
    for form in FORMATS:
        (tmp_path / form).mkdir()
        export(emitted, form, tmp_path / form)
    batch = orjson.loads((tmp_path / "batch" / "000001.json").read_bytes())
    assert "urn:uuid" not in orjson.dumps(batch).decode()
    assert "?" not in orjson.dumps(batch).decode()
    assert {entry["request"]["method"] for entry in batch["entry"]} == {"PUT"}
    collection = orjson.loads((tmp_path / "collection" / "000001.json").read_bytes())
    assert not any("request" in entry for entry in collection["entry"])
    urls = {entry["fullUrl"] for entry in collection["entry"]}
    text = orjson.dumps(collection).decode()
    assert all(f'"{one}"' in text for one in urls)
    assert "Practitioner?" not in text
    assert {"Practitioner", "Organization"} <= {entry["resource"]["resourceType"] for entry in collection["entry"]}
    original = orjson.loads((emitted / "transactions" / "000001.json").read_bytes())
    transaction = orjson.loads((tmp_path / "transaction" / "000001.json").read_bytes())
    assert transaction["entry"] == original["entry"]
    lines = (tmp_path / "ndjson" / "Encounter.ndjson").read_bytes().splitlines()
    assert all(orjson.loads(line)["subject"]["reference"].startswith("Patient/") for line in lines)


def test_nothing_to_export_or_to_load_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PublishError, match="holds no FHIR resource"):
        export(tmp_path / "empty", "ndjson", tmp_path)
    with pytest.raises(PublishError, match="holds no Bundle"):
        loaded(tmp_path / "empty", Server())
