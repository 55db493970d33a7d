"""TLS and proxies: whom we trust, who we are, the way there, and one line for what is wrong with it."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from fhirsynth.cli.load import command
from fhirsynth.errors import AccessError, FhirsynthError, UsageError
from fhirsynth.publish.access import FAILURES, Access, AccessFlags, Trouble, access_from, trouble
from tests.realm import Authority, Realm, proxied, served
from tests.test_access import async_get, sync_get

Get = Callable[..., httpx.Response]
both = pytest.mark.parametrize("get", [sync_get, async_get])
TOKEN = {"FHIRSYNTH_TOKEN": "t0ken-value"}
HOSTS = ("127.0.0.1", "localhost", "fhir.test")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "stranger")


@pytest.fixture
def realm(ca: Authority) -> Iterator[Realm]:
    with served(ca.issue("server", *HOSTS)) as made:
        made.valid = {"t0ken-value"}
        yield made


def failure(access: Access, get: Get, url: str) -> Trouble:
    with pytest.raises(FAILURES) as caught:
        get(access, url)
    return access.trouble(caught.value)


# whom we trust


@both
def test_a_ca_of_ones_own(realm: Realm, ca: Authority, get: Get) -> None:
    access = access_from(TOKEN, realm.base, AccessFlags(ca=ca.file))
    assert get(access, realm.base).status_code == 200
    found = failure(access_from(TOKEN, realm.base), get, realm.base)
    assert "give the CA's certificate with --ca FILE" in found.words
    assert found.lasting
    assert len(realm.seen) == 1


@both
@pytest.mark.parametrize(
    ("name", "hosts", "options", "said"),
    [
        ("old", HOSTS, {"days": -1}, "has expired"),
        ("elsewhere", ("fhir.example.org",), {}, "for this IP address|another host"),
        ("selfmade", HOSTS, {"alone": True}, "signed by itself"),
    ],
)
def test_a_certificate_that_is_wrong(
    ca: Authority, name: str, hosts: tuple[str, ...], options: dict[str, Any], said: str, get: Get
) -> None:
    with served(ca.issue(name, *hosts, **options)) as realm:
        found = failure(access_from(TOKEN, realm.base, AccessFlags(ca=ca.file)), get, realm.base)
        assert found.lasting
        assert any(part in found.words for part in said.split("|"))
        assert not realm.seen


def test_a_certificate_for_another_name(ca: Authority) -> None:
    with served(ca.issue("ip", "127.0.0.1")) as realm:
        url = realm.base.replace("127.0.0.1", "localhost")
        assert "another host" in failure(access_from(TOKEN, url, AccessFlags(ca=ca.file)), sync_get, url).words


@both
def test_https_to_a_server_without_tls(get: Get) -> None:
    with served() as realm:
        url = realm.base.replace("http", "https")
        found = failure(access_from(TOKEN, url), get, url)
        assert found.lasting
        assert "does not speak TLS" in found.words


@both
def test_nobody_there_and_a_name_that_is_none(get: Get) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/fhir"
        assert failure(access_from({}, url), get, url) == Trouble(
            "nothing answers there; see whether the server runs, and the port is right", False
        )
    url = "http://no-such-host.invalid/fhir"
    found = failure(access_from({}, url), get, url)
    assert "name cannot be looked up" in found.words
    assert not found.lasting


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (httpx.ReadTimeout("x"), "no answer in time"),
        (httpx.ConnectTimeout("x"), "no connection in time"),
        (httpx.ReadError(""), "broke off"),
        (httpx.RemoteProtocolError("s3cret"), "broke off"),
        (httpx.ConnectError(""), "no connection"),
        (httpx.ProxyError("407 Proxy Authentication Required"), "the proxy asks for credentials"),
        (httpx.ProxyError("503 s3cret"), "does not connect (503)"),
        (ValueError("s3cret"), "ValueError"),
    ],
)
def test_other_troubles(error: Exception, said: str) -> None:
    found = trouble(error)
    assert said in found.words
    assert "s3cret" not in found.words


# who we are


@both
def test_mtls(ca: Authority, stranger: Authority, get: Get) -> None:
    ours, theirs = ca.issue("ours"), stranger.issue("theirs")
    with served(ca.issue("mtls", *HOSTS), clients=ca.file) as realm:
        realm.valid = {"t0ken-value"}
        access = access_from(TOKEN, realm.base, AccessFlags(ca=ca.file, cert=ours))
        assert access.warnings() == []
        assert get(access, realm.base).status_code == 200
        found = failure(access_from(TOKEN, realm.base, AccessFlags(ca=ca.file)), get, realm.base)
        assert "--cert" in found.words
        found = failure(access_from(TOKEN, realm.base, AccessFlags(ca=ca.file, cert=theirs)), get, realm.base)
        assert "--cert" in found.words
        assert len(realm.seen) == 1


def test_mtls_at_the_token_endpoint_too(ca: Authority) -> None:
    environment = {"FHIRSYNTH_CLIENT_ID": "loader", "FHIRSYNTH_CLIENT_SECRET": "cl1ent-secret"}
    with served(ca.issue("both", *HOSTS), clients=ca.file) as realm:
        realm.secret, realm.wellknown = "cl1ent-secret", {"token_endpoint": realm.token_url}
        access = access_from(environment, realm.base, AccessFlags(ca=ca.file, cert=ca.issue("ours")))
        assert sync_get(access, realm.base).status_code == 200
        with pytest.raises(AccessError, match="--cert"):
            sync_get(access_from(environment, realm.base, AccessFlags(ca=ca.file)), realm.base)
        with pytest.raises(AccessError, match=r"smart-configuration: .* --ca FILE"):
            sync_get(access_from(environment, realm.base), realm.base)


def test_an_encrypted_key_in_a_file_of_its_own(realm: Realm, ca: Authority, tmp_path: Path) -> None:
    whole = ca.issue("locked", password="opens it").read_bytes()
    cut = whole.index(b"-----BEGIN ENCRYPTED")
    cert, key = tmp_path / "cert", tmp_path / "key"
    cert.write_bytes(whole[:cut])
    key.write_bytes(whole[cut:])
    key.chmod(0o640)
    flags = AccessFlags(ca=ca.file, cert=cert, cert_key=key)
    access = access_from({**TOKEN, "FHIRSYNTH_CERT_PASSWORD": "opens it"}, realm.base, flags)
    assert sync_get(access, realm.base).status_code == 200
    assert ["chmod 600" in line for line in access.warnings()] == [True]
    with pytest.raises(UsageError, match="set its password in FHIRSYNTH_CERT_PASSWORD"):
        access_from(TOKEN, realm.base, flags)
    with pytest.raises(UsageError, match="FHIRSYNTH_CERT_PASSWORD is right") as caught:
        access_from({**TOKEN, "FHIRSYNTH_CERT_PASSWORD": "hunter2"}, realm.base, flags)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"ca": "text"}, "holds no certificate as PEM"),
        ({"ca": "broken"}, "cannot be read as certificates"),
        ({"ca": "gone"}, "cannot be read as certificates (No such file"),
        ({"cert": "text"}, "holds no private key"),
        ({"cert": "ca"}, "holds no private key"),
        ({"cert": "gone"}, "cannot be read (No such file"),
        ({"cert": "one", "cert_key": "two"}, "is not the key of the certificate"),
        ({"cert": "text", "cert_key": "two"}, "see whether both are whole PEM"),
        ({"cert_key": "two"}, "give that with --cert"),
    ],
)
def test_files_that_are_something_else(ca: Authority, tmp_path: Path, flags: dict[str, str], said: str) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "broken").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    known = {"ca": ca.file, "one": ca.issue("one"), "two": ca.issue("two")}
    paths = {name: known.get(value, tmp_path / value) for name, value in flags.items()}
    with pytest.raises(UsageError) as caught:
        access_from({}, "https://127.0.0.1/fhir", AccessFlags(**paths))
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_certificate_that_nobody_would_see_is_told(ca: Authority) -> None:
    (line,) = access_from({}, "http://127.0.0.1/fhir", AccessFlags(cert=ca.issue("unseen"))).warnings()
    assert "is not shown there" in line


def test_wrong_cas_of_the_environment_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone"))
    with pytest.raises(UsageError, match="SSL_CERT_FILE"):
        access_from({}, "https://127.0.0.1/fhir")


def test_a_server_that_breaks_off_may_want_one(ca: Authority) -> None:
    for url, flags, told in (
        ("https://127.0.0.1/fhir", {}, True),
        ("https://127.0.0.1/fhir", {"cert": ca.issue("given")}, False),
        ("http://127.0.0.1/fhir", {}, False),
    ):
        words = access_from({}, url, AccessFlags(**flags)).trouble(httpx.ReadError("reset")).words
        assert words.startswith("the connection broke off")
        assert ("--cert" in words) == told


# the way there


@both
def test_a_proxy(realm: Realm, ca: Authority, get: Get) -> None:
    with proxied(realm.url, "u", "pr0xy-password") as proxy:
        where = f"127.0.0.1:{proxy.server_address[1]}"
        flags = {"ca": ca.file}
        url = "https://fhir.test/fhir"
        access = access_from(TOKEN, url, AccessFlags(**flags, proxy=f"http://u:pr0xy-password@{where}"))
        assert get(access, url).status_code == 200
        proof = base64.b64encode(b"u:pr0xy-password").decode()
        assert proxy.asked == [("fhir.test:443", f"Basic {proof}")]
        assert "pr0xy-password" not in f"{access!r} {dict(access.options)!r} {AccessFlags(proxy='pr0xy-password')!r}"
        found = failure(access_from(TOKEN, url, AccessFlags(**flags, proxy=where)), get, url)
        assert "the proxy asks for credentials; set them in HTTPS_PROXY" in found.words
        assert found.lasting


@both
def test_a_proxy_of_the_environment(realm: Realm, ca: Authority, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxied(realm.url, "u", "pr0xy-password") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://u:pr0xy-password@127.0.0.1:{proxy.server_address[1]}")
        url = "https://fhir.test/fhir"
        access = access_from(TOKEN, url, AccessFlags(ca=ca.file))
        assert get(access, url).status_code == 200
        assert access.clean("it said pr0xy-password") == "it said •••"
        monkeypatch.setenv("NO_PROXY", "fhir.test")
        assert "looked up" in failure(access_from(TOKEN, url, AccessFlags(ca=ca.file)), get, url).words
        assert len(proxy.asked) == 1


def test_tokens_are_fetched_through_the_proxy_too(realm: Realm, ca: Authority) -> None:
    environment = {"FHIRSYNTH_CLIENT_ID": "loader", "FHIRSYNTH_CLIENT_SECRET": "cl1ent-secret"}
    realm.secret = "cl1ent-secret"
    with proxied(realm.url) as proxy:
        flags = AccessFlags(
            ca=ca.file, proxy=f"http://127.0.0.1:{proxy.server_address[1]}", token_url="https://auth.test/token"
        )
        access = access_from(environment, "https://fhir.test/fhir", flags)
        with pytest.raises(AccessError, match=r"https://auth.test/token: its certificate is for another host"):
            sync_get(access, "https://fhir.test/fhir")
        assert [host for host, _ in proxy.asked] == ["fhir.test:443", "auth.test:443"][1:]


# the command line


def load(folder: Path, url: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """``fhirsynth load`` of one Bundle: its exit code, and all that it says."""
    (folder / "bundle.json").write_text(
        '{"resourceType": "Bundle", "type": "transaction", "entry": [{"fullUrl": '
        '"urn:uuid:7b0a6a3c-8f5e-4d0c-9b57-2f6f3a0f5a11", "resource": {"resourceType": "Patient"}, '
        '"request": {"method": "POST", "url": "Patient"}}]}'
    )
    result = CliRunner().invoke(command, [str(folder), url, "--tries", "1", *arguments], env=environment)
    if isinstance(result.exception, FhirsynthError):
        return 2 if isinstance(result.exception, UsageError) else 1, f"{result.output}error: {result.exception}"
    return result.exit_code, result.output


def test_load_signs_in(realm: Realm, ca: Authority, tmp_path: Path) -> None:
    code, said = load(tmp_path, realm.base, "--ca", str(ca.file), FHIRSYNTH_TOKEN="t0ken-value")
    assert (code, "1 Bundles loaded" in said) == (0, True)


def test_load_ends_at_once_where_nothing_would_change(realm: Realm, tmp_path: Path) -> None:
    code, said = load(tmp_path, realm.base, "--tries", "9", FHIRSYNTH_TOKEN="t0ken-value")
    assert code == 1
    assert said.count("\n") == 0
    assert said == (
        f"error: {realm.base}: its certificate is signed by nobody who is trusted here; give the CA's certificate with "
        "--ca FILE"
    )


def test_load_says_what_to_do_after_a_401(realm: Realm, ca: Authority, tmp_path: Path) -> None:
    code, said = load(tmp_path, realm.base, "--ca", str(ca.file), FHIRSYNTH_TOKEN="other-value")
    assert (code, "get a new one" in said) == (1, True)


def test_a_password_on_the_command_line_is_refused(tmp_path: Path) -> None:
    code, said = load(tmp_path, "http://127.0.0.1:1/fhir", "--proxy", "http://u:hunter2@127.0.0.1:1")
    assert code == 2
    assert "HTTPS_PROXY" in said
    assert "hunter2" not in said


def test_a_client_in_two_loops(realm: Realm, ca: Authority) -> None:
    access = access_from(TOKEN, realm.base, AccessFlags(ca=ca.file))
    for _ in range(2):
        assert async_get(access, realm.base).status_code == 200
