"""Shapes on disk, and loading a server that misbehaves in every way that servers do."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import socket
import sqlite3
import ssl
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from click.testing import CliRunner
from fhir.resources.R4B.parameters import Parameters

from fhirsynth.assemble import assemble
from fhirsynth.cli import cli
from fhirsynth.errors import PublishError, UsageError
from fhirsynth.publish.access import access_from
from fhirsynth.publish.disk import export
from fhirsynth.publish.retry import Patience
from fhirsynth.publish.server import How, LoadResult, aload, load
from fhirsynth.publish.shape import FORMATS, STYLES
from synthea_bridge.flatten import write_tables
from synthea_bridge.skips import SkipLog
from tests.fhir_stub import URL, Stub, outcome
from tests.frames import example_features, example_schema
from tests.lives import example_timeline

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


async def no_pause(seconds: float) -> None:
    """Does not wait."""


def loaded(src: Path, server: Handler, waits: list[float] | None = None, **options: Any) -> LoadResult:
    async def pause(seconds: float) -> None:
        if waits is not None:
            waits.append(seconds)

    options = {"concurrency": 1, "patience": Patience(tries=6), **options}
    return load(src, URL, options={"transport": httpx.MockTransport(server)}, pause=pause, **options)


def test_shared_resources_go_first_and_everything_arrives_once(bundles: Path) -> None:
    server = Stub()
    result = loaded(bundles, server)
    assert {entry["resource"]["resourceType"] for entry in server.posted[0]["entry"]} == {
        "Organization",
        "Location",
        "Practitioner",
    }
    assert (result.loaded, result.matched, result.refused) == (6, 0, [])
    assert result.created == len(server.have) == result.counted
    again = loaded(bundles, server)
    assert (again.loaded, again.earlier, again.counted) == (0, 6, len(server.have))
    assert len(server.requests) == 6


@pytest.mark.parametrize("mode", ["create", "update"])
def test_without_the_journal_nothing_is_doubled_either(bundles: Path, tmp_path: Path, mode: Any) -> None:
    server = Stub()
    first = loaded(bundles, server, how=How(mode))
    again = loaded(bundles, server, how=How(mode), journal=tmp_path / "other.journal")
    assert (again.loaded, again.created, again.matched) == (6, 0, first.created)
    assert set(server.records().values()) == {1}


def test_a_busy_server_is_given_the_time_that_it_asks_for(bundles: Path) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    server = Stub(
        [outcome(429, "slow down", Retry_After="7"), outcome(503, "busy", Retry_After=soon), outcome(503, "x")]
    )
    waits: list[float] = []
    result = loaded(bundles, server, waits)
    assert result.loaded == 6
    assert result.traffic.retries == {"429": 1, "503": 2}
    assert 7 <= waits[0] <= 7.5
    assert 20 < waits[1] <= 30.5
    assert 0 <= waits[2] <= 2


def test_waiting_has_bounds(bundles: Path) -> None:
    server = Stub([outcome(503, "busy", Retry_After="99999") for _ in range(3)])
    waits: list[float] = []
    result = loaded(bundles, server, waits, patience=Patience(tries=3, longest=5))
    assert waits[:2] == [5, 5]
    assert str(result.refused[0]) == "shared.json: refused with 503: busy"
    assert result.loaded == 0
    assert {one.status for one in result.refused[1:]} == {404}


def test_a_line_that_breaks_is_tried_again(bundles: Path) -> None:
    server = Stub([httpx.ReadTimeout("slow"), httpx.ConnectError("refused")])
    result = loaded(bundles, server)
    assert result.loaded == 6
    assert result.traffic.retries == {"no answer in time": 1, "no connection": 1}


@pytest.mark.parametrize(
    "body", [b"", b'{"resourceType": "Bundle", "entry": [', b'{"resourceType": "Bundle"}', b"<html>"]
)
def test_an_answer_that_is_cut_is_asked_for_again(bundles: Path, body: bytes) -> None:
    server = Stub([httpx.Response(200, content=body)])
    result = loaded(bundles, server)
    assert (result.loaded, result.traffic.retries["an answer that was cut"]) == (6, 1)


@pytest.mark.parametrize("how", [How(), How("update"), How("post"), How("create", "batch"), How("post", "batch")])
def test_answers_that_are_lost_after_the_server_acted_double_nothing(bundles: Path, how: How) -> None:
    server = Stub(lost=0.3)
    result = loaded(bundles, server, how=how, patience=Patience(tries=50), concurrency=4)
    assert result.retries
    assert (result.whole, set(server.records().values())) == (True, {1})
    assert result.counted == len(server.have) == sum(server.records().values())


@pytest.mark.slow
@pytest.mark.parametrize("how", [How(), How("update"), How("post"), How(most=20), How("post", most=20)])
def test_a_load_that_is_cut_off_anywhere_goes_on(bundles: Path, how: How) -> None:
    server, calls, rng = Stub(), 0, random.Random(5)

    def dies(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        answer = server(request)
        if calls > stop:
            raise KeyboardInterrupt
        return answer

    for _ in range(25):
        calls, stop = 0, rng.randrange(2, 60)
        try:
            loaded(bundles, dies, how=how)
        except KeyboardInterrupt:
            continue
    result = loaded(bundles, server, how=how)
    assert result.whole
    assert set(server.records().values()) == {1}
    assert result.counted == len(server.have)


def test_a_server_that_is_not_there_ends_with_one_line_and_what_was_taken_is_noted(bundles: Path) -> None:
    def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(PublishError, match="no answer in 2 tries"):
        loaded(bundles, nobody, patience=Patience(tries=2))
    server = Stub()

    def dies(request: httpx.Request) -> httpx.Response:
        if len(server.requests) == 3:
            raise httpx.ConnectError("gone")
        return server(request)

    with pytest.raises(PublishError):
        loaded(bundles, dies, patience=Patience(tries=1))
    assert loaded(bundles, server).earlier == 3


def test_a_name_that_is_unknown_and_a_certificate_that_is_refused_are_said(bundles: Path) -> None:
    calls = 0

    def unnamed(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        raise httpx.ConnectError("x") from socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(PublishError, match="name cannot be looked up"):
        loaded(bundles, unnamed)
    assert calls == 1
    calls = 0

    def untrusted(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        inner = ssl.SSLCertVerificationError(1, "x")
        inner.verify_code, inner.verify_message = 18, "self-signed certificate"
        raise httpx.ConnectError("x") from inner

    with pytest.raises(PublishError, match="certificate is signed by itself"):
        loaded(bundles, untrusted)
    assert calls == 1


def test_a_name_that_is_lost_for_a_while_is_asked_for_again(bundles: Path) -> None:
    server, calls = Stub(), itertools.count()

    def forgetful(request: httpx.Request) -> httpx.Response:
        if next(calls) in {2, 3, 5}:
            raise httpx.ConnectError("x") from socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return server(request)

    assert loaded(bundles, forgetful).loaded == 6


def test_a_server_that_hangs_up_on_what_is_too_large_gets_less(bundles: Path) -> None:
    server = Stub()

    def small(request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and len(orjson.loads(request.content).get("entry", [])) > 10:
            raise httpx.WriteError("reset")
        return server(request)

    result = loaded(bundles, small)
    assert result.loaded == 6
    assert any("too large for the server" in one for one in result.adapted)


def test_the_time_for_everything_is_kept(bundles: Path) -> None:
    server = Stub([outcome(503, "busy", Retry_After="50")])
    with pytest.raises(PublishError, match="the time that was given is up"):
        loaded(bundles, server, limit=20)
    assert loaded(bundles, server).loaded == 6


def test_a_refused_bundle_is_told_in_the_servers_words_and_the_others_are_loaded(bundles: Path) -> None:
    patient = orjson.loads((bundles / "transactions" / "000001.json").read_bytes())["entry"][0]["resource"]["id"]
    server = Stub(refuses={patient})
    result = loaded(bundles, server)
    assert [str(one) for one in result.refused] == [
        f"transactions/000001.json: refused with 422: {patient} is not liked at all"
    ]
    assert (result.loaded, result.whole) == (5, False)
    dead = result.dead_letters
    assert dead is not None
    (letter,) = map(orjson.loads, dead.read_bytes().splitlines())
    assert letter["entry"][0]["response"]["outcome"]["issue"][0]["diagnostics"].startswith(patient)
    server.refuses.clear()
    retried = loaded(dead, server)
    assert (retried.loaded, retried.whole, dead.exists()) == (1, True, False)
    assert set(server.records().values()) == {1}
    assert loaded(bundles, server).whole


def test_of_a_batch_only_the_entry_and_what_refers_to_it_are_refused(bundles: Path) -> None:
    document = orjson.loads((bundles / "transactions" / "000001.json").read_bytes())
    encounter = next(e["resource"] for e in document["entry"] if e["resource"]["resourceType"] == "Encounter")
    of = [e for e in document["entry"] if e["fullUrl"] == f"urn:uuid:{encounter['id']}" or encounter["id"] in str(e)]
    server = Stub(refuses={encounter["id"]})
    result = loaded(bundles, server, how=How(sending="batch"))
    assert result.refusals == len(of)
    assert sum(server.counts().values()) == result.created
    server.refuses.clear()
    assert result.dead_letters is not None
    assert loaded(result.dead_letters, server, how=How(sending="batch")).whole
    assert loaded(bundles, server).whole
    assert set(server.records().values()) == {1}


def test_wrong_credentials_stop_at_once_and_are_not_told(bundles: Path) -> None:
    server = Stub([outcome(401, "no")])
    access = access_from({"FHIRSYNTH_TOKEN": "s3cret"}, URL)
    with pytest.raises(PublishError) as caught:
        loaded(bundles, server, access=access)
    assert "s3cret" not in f"{caught.value!r} {access!r} {access.auth!r}"
    assert server.requests[0].headers["Authorization"] == "Bearer s3cret"
    assert len(server.requests) == 1


def test_basic_credentials(bundles: Path) -> None:
    server = Stub()
    loaded(bundles, server, access=access_from({"FHIRSYNTH_USER": "u", "FHIRSYNTH_PASSWORD": "p"}, URL))
    assert server.requests[0].headers["Authorization"].startswith("Basic ")


def test_what_the_server_has_lost_is_sent_again(bundles: Path) -> None:
    server = Stub()
    loaded(bundles, server)
    everything = len(server.have)
    for key in [key for key in server.have if key.startswith("Observation")][::2]:
        del server.have[key]
    result = loaded(bundles, server)
    assert result.repaired == everything - len(server.have) + result.created
    assert (result.whole, len(server.have)) == (True, everything)
    server.have.clear()
    assert loaded(bundles, server).whole
    assert len(server.have) == everything
    for mode in ("create", "post"):
        server.have.clear()
        assert loaded(bundles, server, how=How(mode), journal=bundles.parent / mode).whole  # type: ignore[arg-type]
        del server.have[next(key for key in server.have if key.startswith("Observation"))]
        assert loaded(bundles, server, how=How(mode), journal=bundles.parent / mode).repaired == 1  # type: ignore[arg-type]
        assert (len(server.have), set(server.records().values())) == (everything, {1})


def test_what_is_double_on_the_server_and_not_ours_is_told(bundles: Path) -> None:
    server = Stub()
    loaded(bundles, server)
    key = next(key for key in server.have if key.startswith("Condition"))
    server.have["Condition/double"] = {**server.have[key], "id": "double"}
    unsure = loaded(bundles, server, journal=bundles.parent / "other", patience=Patience(tries=2))
    assert {one.status for one in unsure.refused} == {412}
    with closing(sqlite3.connect(next(bundles.glob(".load-*.journal")))) as journal, journal:
        journal.execute("UPDATE entry SET created = 0")
    result = loaded(bundles, server)
    (difference,) = result.differences
    assert (difference.kind, difference.there - difference.sent, len(difference.doubled)) == ("Condition", 1, 1)
    assert not result.whole


@pytest.mark.parametrize("how", [How(most=20), How(size=20_000), How("update", most=20), How("post", most=20)])
def test_a_bundle_is_split_so_that_references_hold(bundles: Path, how: How) -> None:
    whole, server = Stub(), Stub(most=how.most)
    loaded(bundles, whole, journal=bundles.parent / "j")
    result = loaded(bundles, server, how=how)
    assert result.whole
    assert server.counts() == whole.counts()
    assert len(server.requests) > 6
    if how.most:
        assert max(len(body["entry"]) for body in server.posted) <= how.most


@pytest.mark.parametrize("mode", ["create", "update", "post"])
def test_what_is_too_large_is_learned(bundles: Path, mode: Any) -> None:
    server = Stub(most=30)
    result = loaded(bundles, server, how=How(mode))
    assert result.whole
    assert "too large for the server" in result.adapted[0]
    assert set(server.records().values()) == {1}
    last = server.posted[-1]["entry"]
    assert len(last) <= 30


@pytest.mark.parametrize(
    "server",
    [
        Stub(system=("batch",)),
        Stub(system=()),
        Stub(conditional=False),
        Stub(conditional=False, own_ids=True),
        Stub(system=(), conditional=False),
        Stub(system=("batch",), conditional=False),
    ],
    ids=["batch", "single", "searched", "updated", "searched-single", "searched-batch"],
)
def test_a_server_that_takes_less_is_told_of_and_gets_what_it_takes(
    bundles: Path, tmp_path: Path, server: Stub
) -> None:
    whole = Stub()
    loaded(bundles, whole, journal=tmp_path / "whole")
    server.lost = 0.1
    result = loaded(bundles, server, patience=Patience(tries=30))
    assert result.adapted
    assert (result.whole, server.counts()) == (True, whole.counts())
    again = loaded(bundles, server, journal=tmp_path / "again", patience=Patience(tries=30))
    assert (again.whole, server.counts()) == (True, whole.counts())
    assert set(server.records().values()) == {1}


def test_types_that_a_server_does_not_take_are_left_out_with_what_refers_to_them(bundles: Path) -> None:
    kinds = ("Patient", "Condition", "Observation", "Organization", "Location", "Practitioner")
    server = Stub(types=kinds)
    result = loaded(bundles, server)
    assert "Encounter is not taken by the server" in result.left_out
    assert "Observation refers to what the server does not take" in result.left_out
    assert not result.whole
    assert result.counted == len(server.have)
    assert set(server.counts()) <= set(kinds)


def test_another_version_and_no_fhir_base_are_said_before_anything_is_sent(bundles: Path) -> None:
    with pytest.raises(PublishError, match=r"speaks FHIR 5.0.0, not R4"):
        loaded(bundles, Stub(version="5.0.0"))
    with pytest.raises(PublishError, match=r"is no FHIR base"):
        loaded(bundles, lambda request: httpx.Response(404, text="not \x1b[31mhere"))
    moved = httpx.Response(302, headers={"Location": "https://elsewhere.example/fhir/metadata"})
    with pytest.raises(PublishError, match=r"sends elsewhere"):
        loaded(bundles, lambda request: moved)


def test_styles_of_references(bundles: Path) -> None:
    server = Stub()
    assert loaded(bundles, server, how=How("update", style="literal")).whole
    assert "urn:uuid" not in orjson.dumps(server.posted).decode()
    with pytest.raises(UsageError, match="--mode update"):
        How(style="literal")
    with pytest.raises(UsageError, match="--format transaction"):
        How(sending="batch", style="conditional")
    with pytest.raises(UsageError, match="--mode create"):
        How("update", style="conditional")


def test_a_batch_has_no_references_to_itself_and_no_conditional_ones(bundles: Path) -> None:
    server = Stub()
    assert loaded(bundles, server, how=How(sending="batch")).whole
    for body in server.posted:
        assert body["type"] == "batch"
        texts = orjson.dumps([entry["resource"] for entry in body["entry"]]).decode()
        assert "urn:uuid" not in texts
        assert "?identifier" not in texts


def test_anybodys_bundles_without_identifiers_are_put_and_split(tmp_path: Path) -> None:
    entries = [
        {"fullUrl": "urn:uuid:p", "resource": {"resourceType": "Patient", "id": "p1"}},
        {"resource": {"resourceType": "Observation", "subject": {"reference": "urn:uuid:p"}, "status": "final"}},
        {"resource": {"resourceType": "Observation", "subject": {"reference": "Patient/p1"}, "status": "amended"}},
    ]
    path = tmp_path / "b.json"
    path.write_bytes(orjson.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    server = Stub()
    result = loaded(path, server, how=How(most=1))
    assert (result.whole, result.uncounted, len(server.have)) == (True, 3, 3)
    assert loaded(path, server, journal=tmp_path / "j").created == 0
    plain = Stub()
    result = loaded(path, plain, how=How("post", most=1), journal=tmp_path / "k")
    assert len(plain.have) == 3
    lost = Stub([httpx.ReadError("reset")])
    result = loaded(path, lost, how=How("post"), journal=tmp_path / "l")
    assert "may have been taken or not" in str(result.refused[0])


def test_two_loaders_at_once_with_one_journal_or_two(bundles: Path, tmp_path: Path) -> None:
    for number, journals in enumerate((("a", "a"), ("b", "c"))):
        server = Stub(lost=0.1)
        options = {"transport": httpx.MockTransport(server)}

        async def both(journals: tuple[str, str] = journals, options: Any = options) -> list[LoadResult]:
            work = (
                aload(
                    bundles, URL, options=options, journal=tmp_path / one, pause=no_pause, patience=Patience(tries=30)
                )
                for one in journals
            )
            return await asyncio.gather(*work)

        results = asyncio.run(both())
        assert all(result.whole for result in results), number
        assert set(server.records().values()) == {1}


@pytest.mark.parametrize("lost", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_doubles_of_a_server_that_does_not_keep_creates_apart_are_removed(
    bundles: Path, tmp_path: Path, lost: float, seed: int
) -> None:
    whole, server = Stub(), Stub(unseen=3, lost=lost, rng=random.Random(seed))
    loaded(bundles, whole, journal=tmp_path / "whole")

    async def slow(request: httpx.Request) -> httpx.Response:
        answer = server(request)
        await asyncio.sleep(0)
        return answer

    async def both() -> list[LoadResult]:
        return await asyncio.gather(
            *(
                aload(
                    bundles,
                    URL,
                    options={"transport": httpx.MockTransport(slow)},
                    journal=tmp_path / name,
                    pause=no_pause,
                    patience=Patience(tries=30),
                )
                for name in ("a", "b")
            )
        )

    asyncio.run(both())
    assert sum(server.records().values()) >= sum(whole.records().values())
    last = loaded(bundles, server, journal=tmp_path / "a", patience=Patience(tries=30))
    assert last.whole
    assert server.counts() == whole.counts()
    assert set(server.records().values()) == {1}
    texts = orjson.dumps(list(server.have.values())).decode()
    assert all(key in server.have for key in re.findall(r'"reference":"([^"]+)"', texts))


def test_the_python_interface_works_where_a_loop_runs(bundles: Path) -> None:
    async def notebook() -> LoadResult:
        return loaded(bundles, Stub())

    assert asyncio.run(notebook()).loaded == 6


def test_the_report_says_it_all(bundles: Path) -> None:
    report = loaded(bundles, Stub([outcome(503, "x")])).outcome
    assert orjson.loads(orjson.dumps(report)) == report
    assert report["retries_by_cause"] == {"503": 1}
    assert set(report["request_seconds"]) == {"p50", "p90", "p99", "max"}
    assert report["types"]["Patient"] == 5


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
        access_from(environment, URL)


@pytest.mark.parametrize("url", ["ftp://x/fhir", "nonsense", "http://u:p@127.0.0.1/fhir", "http://"])
def test_a_wrong_address_is_told_before_anything_is_sent(bundles: Path, url: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(bundles, url, options={"transport": httpx.MockTransport(Stub())})
    assert "u:p" not in str(caught.value)


def test_what_is_no_journal_is_said(bundles: Path, tmp_path: Path) -> None:
    (tmp_path / "j").write_text("something else entirely, and long enough to be read as a database " * 20)
    with pytest.raises(PublishError, match="is no journal of ours"):
        loaded(bundles, Stub(), journal=tmp_path / "j")
    with pytest.raises(PublishError, match="cannot be written"):
        loaded(bundles, Stub(), journal=tmp_path / "none" / "j")


def test_the_journal_of_another_server_is_refused(bundles: Path, tmp_path: Path) -> None:
    loaded(bundles, Stub(), journal=tmp_path / "j")
    with pytest.raises(UsageError, match="is the journal of"):
        load(
            bundles,
            "http://127.0.0.2:1/fhir",
            journal=tmp_path / "j",
            options={"transport": httpx.MockTransport(Stub())},
        )


def test_the_command_ends_with_1_and_one_line_when_nobody_answers(bundles: Path) -> None:
    result = CliRunner().invoke(cli, ["load", str(bundles), URL, "--tries", "1"])
    assert isinstance(result.exception, PublishError)
    assert "\n" not in str(result.exception)


def test_what_cannot_be_loaded_is_listed_and_the_rest_is(bundles: Path) -> None:
    (bundles / "broken.json").write_text('{"resourceType": "Bundle", "entry": [')
    (bundles / "single.json").write_text('{"resourceType": "Patient", "id": "a"}')
    skips = SkipLog()
    assert loaded(bundles, Stub(), skips=skips).loaded == 6
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


def test_transactions_in_other_styles(emitted: Path, tmp_path: Path) -> None:
    whole = Stub()
    assert loaded(emitted, whole, journal=tmp_path / "j").whole
    for style in STYLES:
        (tmp_path / style).mkdir()
        export(emitted, "transaction", tmp_path / style, style=style)
        text = (tmp_path / style / "000001.json").read_text()
        assert ('"reference": "urn:uuid:' in text, '"reference": "Patient/' in text) == (
            style == "urn:uuid",
            style == "literal",
        )
        server = Stub()
        for path in (tmp_path / style / "shared.json", *sorted((tmp_path / style).glob("0*.json"))):
            body = orjson.loads(path.read_bytes())
            if style == "conditional":
                continue
            answer = server.act(httpx.Request("POST", URL, content=orjson.dumps(body)), "")
            assert answer.status_code == 200, answer.text
        assert style == "conditional" or server.counts() == whole.counts()
    with pytest.raises(UsageError, match="transactions only"):
        export(emitted, "batch", tmp_path, style="conditional")


def test_ndjson_comes_with_the_parameters_of_import(emitted: Path, tmp_path: Path) -> None:
    export(emitted, "ndjson", tmp_path, base="https://files.example.org/bulk/")
    parameters = orjson.loads((tmp_path / "import.json").read_bytes())
    Parameters.model_validate(parameters)
    inputs = [one["part"] for one in parameters["parameter"] if one["name"] == "input"]
    named = {kind["valueCode"]: url["valueUri"] for kind, url in inputs}
    assert named["Patient"] == "https://files.example.org/bulk/Patient.ndjson"
    assert {f"{kind}.ndjson" for kind in named} == {path.name for path in tmp_path.glob("*.ndjson")}
    assert list(named)[:2] == ["Organization", "Location"]
    with pytest.raises(UsageError, match="for ndjson only"):
        export(emitted, "batch", tmp_path, base="https://files.example.org/bulk/")
    with pytest.raises(UsageError, match="is no address of a folder"):
        export(emitted, "ndjson", tmp_path, base="ftp://x")


def test_nothing_to_export_or_to_load_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PublishError, match="holds no FHIR resource"):
        export(tmp_path / "empty", "ndjson", tmp_path)
    with pytest.raises(PublishError, match="holds no Bundle"):
        loaded(tmp_path / "empty", Stub())
