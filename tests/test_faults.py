"""Whatever happens between a loader and a real server, each resource is there exactly once."""

from __future__ import annotations

import itertools
import random
import socket
import ssl
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhirsynth.errors import PublishError
from fhirsynth.hapi import Sandbox
from fhirsynth.publish.access import Access
from fhirsynth.publish.retry import Patience
from fhirsynth.publish.server import How, LoadResult, load
from fhirsynth.publish.unload import unload
from tests import faults
from tests.faults import LOST, MOMENTS, Above, At, Fault, Guard, Kill, Proxy, Share, proxy, status
from tests.loading import call, differences, emit, end, start, tally, wanted

SHORT = 3.0
"""Seconds to wait for an answer that will not come: more than the server takes, and not more than a test should."""
pytestmark = pytest.mark.slow
Emitted = Callable[..., tuple[Path, str]]


@pytest.fixture(scope="module")
def fhir(fhir_server: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The FHIR base of a server that has done some work already."""
    load(emit(tmp_path_factory.mktemp("warm") / "bundles", "warm", 4), fhir_server.url)
    return fhir_server.url


@pytest.fixture
def emitted(tmp_path: Path) -> Emitted:
    numbers = itertools.count()

    def one(patients: int = 6) -> tuple[Path, str]:
        run = f"faults-{tmp_path.name}-{next(numbers)}"[-40:]
        return emit(tmp_path / run, run, patients), run

    return one


def patience(seed: int = 1, tries: int = 8) -> Patience:
    return Patience(tries, first=0.1, longest=5.0, rng=random.Random(seed))


def through(it: Proxy, src: Path, how: How | None = None, **options: Any) -> LoadResult:
    return load(src, it.url, how=how, **{"patience": patience(), **options})


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: fault.__name__)
def test_one_fault(fhir: str, emitted: Emitted, fault: Fault) -> None:
    src, run = emitted(4)
    plan = At({0, 1, 2, 4}, fault)
    with proxy(fhir, plan) as it:
        result = through(it, src)
    assert (result.refused, result.differences, result.whole) == ([], [], True)
    assert plan.injected.total() == 4
    assert fault is faults.late or result.retries == 4
    assert differences(src, fhir, run) == []


@pytest.mark.parametrize(
    ("fault", "mode"),
    [
        (faults.unheard, "create"),
        (faults.unanswered, "create"),
        (faults.unanswered, "post"),
        (faults.overtaken, "create"),
        (faults.overtaken, "post"),
    ],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_no_answer_in_time(fhir: str, emitted: Emitted, fault: Fault, mode: Any) -> None:
    src, run = emitted(4)
    with proxy(fhir, At({1, 2}, fault)) as it:
        result = through(it, src, How(mode), timeout=SHORT, patience=patience(tries=30))
    assert result.whole
    assert result.traffic.retries["no answer in time"] >= 2
    assert differences(src, fhir, run) == []


def test_a_request_that_arrives_when_all_is_over(fhir: str, emitted: Emitted) -> None:
    src, run = emitted(4)
    with proxy(fhir, At({1, 2}, faults.stray)) as it:
        assert through(it, src, timeout=SHORT, patience=patience(tries=30)).whole
        assert it.strays() >= 2
    assert differences(src, fhir, run) == []


@pytest.mark.parametrize(
    "how",
    [How("update"), How("post"), How(most=10), How("post", most=10), How("create", "batch")],
    ids=lambda how: f"{how.mode}-{how.sending}-{how.most}",
)
def test_a_fifth_of_all_requests_goes_wrong(fhir: str, emitted: Emitted, how: How) -> None:
    src, run = emitted(5)
    plan = Share(0.2, LOST, random.Random(11), posts=False)
    with proxy(fhir, plan) as it:
        result = through(it, src, how)
        assert (result.refused, result.differences, result.whole) == ([], [], True)
        assert differences(src, fhir, run) == []
        again = through(it, src, how)
    assert (again.created, again.whole) == (0, True)
    assert differences(src, fhir, run) == []


def test_what_a_server_asks_for_is_waited(fhir: str, emitted: Emitted) -> None:
    src, run = emitted(4)
    plan = Share(0.8, [status(429, wait=1), status(503, wait=1, date=True)], random.Random(2), most=2)
    with proxy(fhir, plan) as it:
        assert through(it, src).whole
    gaps = sorted(
        (later - before for times in it.times.values() for before, later in itertools.pairwise(times)), reverse=True
    )
    assert it.told_to_wait == 2
    assert all(gap >= 1 for gap in gaps[:2])
    assert differences(src, fhir, run) == []


def test_a_server_that_takes_no_more_than_so_much(fhir: str, emitted: Emitted) -> None:
    src, run = emitted(8)
    plan = Above(40_000)
    with proxy(fhir, plan) as it:
        result = through(it, src)
    assert (result.refused, result.whole) == ([], True)
    assert 1 <= plan.injected.total() <= 12
    assert differences(src, fhir, run) == []


def test_a_server_that_hangs_up_on_more_than_so_much(fhir: str, emitted: Emitted) -> None:
    src, run = emitted(4)
    with proxy(fhir, Above(40_000, faults.cut_before)) as it:
        result = through(it, src, patience=patience(tries=2))
    assert result.whole
    assert any("too large for the server" in one for one in result.adapted)
    assert differences(src, fhir, run) == []


def test_a_server_that_is_away_for_a_while(fhir: str, emitted: Emitted) -> None:
    src, run = emitted(4)
    plan = At({1, 4}, faults.away)
    with proxy(fhir, plan) as it:
        assert through(it, src, patience=patience(tries=12)).whole
    assert plan.injected.total() == 2
    assert differences(src, fhir, run) == []


class Renewed(httpx.Auth):
    """Asks for another token when one is refused."""

    def __init__(self, guard: Guard) -> None:
        self.guard, self.token = guard, "none yet"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self.token}"
        answer = yield request
        if answer.status_code == 401:
            self.token = self.guard.token
            request.headers["Authorization"] = f"Bearer {self.token}"
            yield request


def test_a_token_that_ends_and_is_renewed(fhir: str, emitted: Emitted) -> None:
    src, run = emitted()
    plan = Guard(4)
    with proxy(fhir, plan) as it:
        assert through(it, src, access=Access(it.url, auth=Renewed(plan)), concurrency=1).whole
    assert plan.injected.total() > 2
    assert differences(src, fhir, run) == []


def test_a_token_that_ends_for_good(fhir: str, emitted: Emitted) -> None:
    src, run = emitted()
    plan = Guard(5)
    with proxy(fhir, plan) as it:
        with pytest.raises(PublishError, match=r"refuses the credentials \(401") as caught:
            through(it, src, access=Access(it.url, auth=Fixed(plan.token)))
        assert "token-0" not in str(caught.value)
        assert through(it, src, access=Access(it.url, auth=Renewed(plan))).whole
    assert differences(src, fhir, run) == []


class Fixed(httpx.Auth):
    def __init__(self, token: str) -> None:
        self.token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self.token}"
        yield request


def test_a_name_that_is_not_known_for_a_while(fhir: str, emitted: Emitted, monkeypatch: pytest.MonkeyPatch) -> None:
    src, run = emitted(3)
    real, lookups = socket.getaddrinfo, itertools.count()

    def lookup(host: Any, *arguments: Any, **named: Any) -> Any:
        if host in ("localhost", b"localhost") and next(lookups) in {0, 1, 2, 4}:
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return real(host, *arguments, **named)

    with proxy(fhir, At({1}, faults.cut_after)) as it:
        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        result = load(src, it.url.replace("127.0.0.1", "localhost"), patience=patience())
        monkeypatch.undo()
    assert result.whole
    assert result.traffic.retries["no connection"] >= 3
    assert differences(src, fhir, run) == []


def test_a_name_that_is_not_known_at_all(emitted: Emitted) -> None:
    with pytest.raises(PublishError, match=r"^http://fhir.invalid/r4: (no answer in 2 tries \()?its name cannot be"):
        load(emitted(1)[0], "http://fhir.invalid/r4", patience=patience(tries=2))


def test_a_certificate_that_nobody_knows(fhir: str, emitted: Emitted, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with proxy(fhir, secure=context) as it:
        with pytest.raises(PublishError, match="certificate"):
            through(it, emitted(1)[0])
        assert it.requests == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that has signed itself, with its key."""
    return faults.self_signed(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.mark.parametrize(("moment", "mode"), list(zip(MOMENTS, ("create", "post", "update", "post"), strict=True)))
def test_killed_and_called_again(fhir: str, emitted: Emitted, moment: str, mode: str) -> None:
    src, run = emitted(5)
    rng = random.Random(f"{moment} {mode}")
    plan = Kill(rng.randrange(1, 6), moment, rng)
    with proxy(fhir, plan) as it:
        plan.process = start("load", src, it.url, "--mode", mode)
        assert end(plan.process).code == -9
        done = call("load", src, it.url, "--mode", mode)
    assert (done.code, done.summary["refused_entries"], done.summary["reconciled"]["differences"]) == (0, 0, [])
    assert differences(src, fhir, run) == []


@pytest.mark.parametrize("journals", [("one", "one"), ("one", "other")], ids=["one journal", "two journals"])
def test_two_loaders_of_a_run_at_once(fhir: str, emitted: Emitted, tmp_path: Path, journals: tuple[str, str]) -> None:
    src, run = emitted(5)
    plan = Share(0.2, LOST, random.Random(7), posts=False)
    with proxy(fhir, plan) as it:
        both = [
            start("load", src, it.url, "--journal", tmp_path / name, "--dead-letters", tmp_path / f"{number}.dead")
            for number, name in enumerate(journals)
        ]
        ended = [end(one) for one in both]
    assert [(one.code, one.said) for one in ended] == [(0, "")] * 2
    assert differences(src, fhir, run) == []


def test_load_load_again_and_unload_leave_the_server_as_it_was(fhir: str, emitted: Emitted) -> None:
    src, run = emitted(5)
    before = tally(fhir)
    plan = Share(0.3, LOST, random.Random(13))
    with proxy(fhir, plan) as it:
        assert through(it, src).whole
        assert through(it, src).whole
        full = tally(fhir)
        gone = unload(run, it.url, patience=patience())
    assert (full - before).total() == gone.deleted.total() == wanted(src).records.total()
    assert gone.whole
    assert tally(fhir) == before
