"""Signing in: each kind against a server that checks it, renewal, one origin, and what is wrong in one line."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fhirsynth.errors import AccessError, UsageError
from fhirsynth.publish.access import Access, AccessFlags, TokenUnreachable, access_from
from fhirsynth.publish.access.source import Granted
from fhirsynth.publish.wire import connect
from tests.realm import Answer, Realm, Seen, answer, pem, served

LOOPBACK = "http://127.0.0.1:8080/fhir"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def realm() -> Iterator[Realm]:
    with served() as made:
        made.secret = "cl1ent-secret"
        made.wellknown = {"token_endpoint": made.token_url}
        yield made


@pytest.fixture(scope="module")
def pairs() -> dict[str, Any]:
    return {"RS384": rsa.generate_private_key(65537, 2048), "ES384": ec.generate_private_key(ec.SECP384R1())}


def sync_get(access: Access, url: str, **options: Any) -> httpx.Response:
    with httpx.Client(auth=access.auth, **access.options, **options) as client:
        return client.get(url)


def async_get(access: Access, url: str, **options: Any) -> httpx.Response:
    async def get() -> httpx.Response:
        async with httpx.AsyncClient(auth=access.auth, **access.options, **options) as client:
            return await client.get(url)

    return asyncio.run(get())


Get = Callable[..., httpx.Response]
both = pytest.mark.parametrize("get", [sync_get, async_get])


def with_secret(realm: Realm, **options: Any) -> Access:
    environment = {"FHIRSYNTH_CLIENT_ID": "loader", "FHIRSYNTH_CLIENT_SECRET": "cl1ent-secret"}
    return access_from(environment, realm.base, AccessFlags(**options.pop("flags", {})), **options)


def written(file: Path, content: bytes | str, mode: int = 0o600) -> Path:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    file.chmod(mode)
    return file


def jwk_of(key: Any, kid: str | None = None) -> dict[str, Any]:
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**kind.to_jwk(key, as_dict=True), **({"kid": kid} if kid else {})}


# each kind


@both
def test_nobody(realm: Realm, get: Get) -> None:
    access = access_from({}, realm.base)
    assert (access.kind, access.auth, access.warnings(realm.base)) == ("none", None, [])
    assert get(access, realm.base).status_code == 401
    assert "authorization" not in realm.seen[-1].headers
    assert "FHIRSYNTH_TOKEN" in access.advice(401)


@both
def test_basic(realm: Realm, tmp_path: Path, get: Get) -> None:
    file = written(tmp_path / "password", "geh eim\n")
    access = access_from({"FHIRSYNTH_USER": "u"}, realm.base, AccessFlags(password_file=file))
    get(access, realm.base)
    assert realm.seen[-1].headers["authorization"] == httpx.BasicAuth("u", "geh eim")._auth_header
    assert len(realm.seen) == 1


@both
def test_a_token_file_is_read_again_after_a_401(realm: Realm, tmp_path: Path, get: Get) -> None:
    file = written(tmp_path / "token", "old\n")
    access = access_from({}, realm.base, AccessFlags(token_file=file))
    realm.valid = {"new"}
    file.write_text("new\n")
    assert get(access, realm.base).status_code == 200
    assert [one.headers["authorization"] for one in realm.seen] == ["Bearer old", "Bearer new"]
    realm.valid = set()
    assert get(access, realm.base).status_code == 401
    assert len(realm.seen) == 3
    file.unlink()
    assert get(access, realm.base).status_code == 401
    file.write_text("n\nw")
    with pytest.raises(AccessError, match="no other"):
        get(access, realm.base)


@both
def test_client_credentials(realm: Realm, tmp_path: Path, get: Get) -> None:
    file = written(tmp_path / "secret", "cl1ent-secret\n")
    flags = AccessFlags(client_id="loader", client_secret_file=file, scope="system/*.rs")
    access = access_from({}, realm.base, flags)
    assert realm.seen == []
    assert get(access, realm.base).status_code == 200
    assert realm.asked("/token")[0].form == {"grant_type": "client_credentials", "scope": "system/*.rs"}
    assert "system/*.rs" in access.advice(403)


def test_a_client_whose_id_and_secret_need_encoding(realm: Realm) -> None:
    access = access_from({"FHIRSYNTH_CLIENT_SECRET": "a:b c/ä"}, realm.base, AccessFlags(client_id="x:y"))
    with pytest.raises(AccessError):
        sync_get(access, realm.base)
    sent = realm.asked("/token")[0].headers["authorization"]
    assert sent == httpx.BasicAuth("x%3Ay", "a%3Ab+c%2F%C3%A4")._auth_header


def test_a_server_that_takes_secrets_in_the_form_only(realm: Realm) -> None:
    realm.wellknown = {
        "token_endpoint": realm.token_url,
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
    }
    assert sync_get(with_secret(realm), realm.base).status_code == 200
    asked = realm.asked("/token")[0]
    assert asked.form["client_secret"] == "cl1ent-secret"
    assert "authorization" not in asked.headers


@both
@pytest.mark.parametrize("shape", ["pem", "encrypted", "jwk", "jwks"])
@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_smart_backend_services(
    realm: Realm, tmp_path: Path, pairs: dict[str, Any], algorithm: str, shape: str, get: Get
) -> None:
    key = pairs[algorithm]
    realm.keys = {"k1": key.public_key()}
    other = jwk_of(pairs["ES384" if algorithm == "RS384" else "RS384"], "k2")
    content = {
        "pem": pem(key),
        "encrypted": pem(key, "opens it"),
        "jwk": json.dumps({**jwk_of(key, "k1"), "alg": algorithm, "use": "sig"}),
        "jwks": json.dumps({"keys": [other, jwk_of(key, "k1")]}),
    }[shape]
    file = written(tmp_path / "key", content)
    flags = AccessFlags(client_id="loader", key=file, kid=None if shape == "jwk" else "k1")
    access = access_from({"FHIRSYNTH_KEY_PASSWORD": "opens it"}, realm.base, flags)
    assert access.kind == "smart-backend-services"
    assert get(access, realm.base).status_code == 200
    form = realm.asked("/token")[0].form
    assert jwt.get_unverified_header(form["client_assertion"]) == {"alg": algorithm, "kid": "k1", "typ": "JWT"}
    assert form["scope"] == "system/*.cruds"
    realm.valid = set()
    assert get(access, realm.base).status_code == 200
    assert len(realm.once) == 2


def signed(realm: Realm, folder: Path, key: Any, **flags: Any) -> Access:
    file = written(folder / "key", pem(key))
    return access_from({}, realm.base, AccessFlags(client_id="loader", key=file, kid="k1", **flags))


def test_an_assertion_for_another_audience_is_refused(realm: Realm, tmp_path: Path, pairs: dict[str, Any]) -> None:
    realm.keys, realm.audience = {"k1": pairs["ES384"].public_key()}, "https://elsewhere.example/token"
    with pytest.raises(AccessError, match=r"gives no token \(400: invalid_client: InvalidAudienceError.*its kid"):
        sync_get(signed(realm, tmp_path, pairs["ES384"]), realm.base)
    realm.audience = f"{realm.token_url}?tenant=a"
    access = signed(realm, tmp_path, pairs["ES384"], token_url=realm.audience)
    assert sync_get(access, realm.base).status_code == 200


def test_another_key_than_the_registered_one_is_refused(realm: Realm, tmp_path: Path, pairs: dict[str, Any]) -> None:
    realm.keys = {"k1": ec.generate_private_key(ec.SECP384R1()).public_key()}
    with pytest.raises(AccessError, match="invalid_client"):
        sync_get(signed(realm, tmp_path, pairs["ES384"]), realm.base)


def test_an_algorithm_that_the_server_does_not_take(realm: Realm, tmp_path: Path, pairs: dict[str, Any]) -> None:
    realm.wellknown = {
        "token_endpoint": realm.token_url,
        "token_endpoint_auth_signing_alg_values_supported": ["ES384"],
    }
    with pytest.raises(AccessError, match="takes ES384, and --key is for RS384"):
        sync_get(signed(realm, tmp_path, pairs["RS384"]), realm.base)


# where tokens are to be had


def test_the_capability_statement_names_the_endpoint(realm: Realm) -> None:
    url = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
    uris = [{"url": "authorize", "valueUri": "https://x/a"}, {"url": "token", "valueUri": realm.token_url}]
    realm.wellknown = None
    realm.metadata = {"rest": [{"mode": "server", "security": {"extension": [{"url": url, "extension": uris}]}}]}
    access = with_secret(realm)
    assert sync_get(access, realm.base).status_code == 200
    assert sync_get(access, realm.base).status_code == 200
    assert len(realm.asked("/fhir/metadata")) == 1


@pytest.mark.parametrize("metadata", [None, {}, {"rest": {}}, {"rest": [{"security": {"extension": [7, {}]}}, 3]}])
def test_a_server_that_names_no_endpoint(realm: Realm, metadata: dict[str, Any] | None) -> None:
    realm.wellknown, realm.metadata = {"token_endpoint": 7}, metadata
    with pytest.raises(AccessError, match=r"names no token endpoint.*give it with --token-url"):
        sync_get(with_secret(realm), realm.base)
    assert not realm.asked("/fhir")


@pytest.mark.parametrize("named", ["http://auth.example.org/token", "ftp://x/", "https://u:p@x/", "//\x00", "token"])
def test_an_endpoint_that_cannot_be_trusted_gets_no_secret(realm: Realm, named: str) -> None:
    realm.wellknown = {"token_endpoint": named}
    with pytest.raises(AccessError, match="--token-url"):
        sync_get(with_secret(realm), realm.base)


def test_what_comes_unencrypted_from_another_machine_is_not_believed() -> None:
    access = access_from({"FHIRSYNTH_CLIENT_SECRET": "s"}, "http://fhir.test/r4", AccessFlags(client_id="x"))
    with pytest.raises(AccessError, match="anybody on the way"):
        sync_get(access, "http://fhir.test/r4")


# renewal


@both
def test_a_401_brings_a_new_token_once(realm: Realm, get: Get) -> None:
    access = with_secret(realm)
    assert get(access, realm.base).status_code == 200
    realm.valid = set()
    assert get(access, realm.base).status_code == 200
    assert len(realm.given) == 2
    realm.answers["/fhir"] = lambda _: answer(401)
    assert get(access, realm.base).status_code == 401
    assert len(realm.given) == 3
    assert len(realm.asked("/fhir")) == 5


def test_a_token_is_renewed_before_it_ends(realm: Realm) -> None:
    now = [1000.0]
    access = with_secret(realm, clock=lambda: now[0])
    for then, tokens in ((1000.0, 1), (1269.0, 1), (1271.0, 2), (1540.0, 2), (1900.0, 3)):
        now[0] = then
        assert sync_get(access, realm.base).status_code == 200
        assert len(realm.given) == tokens
    assert len(realm.asked("/fhir")) == 5


@pytest.mark.parametrize("lasts", [None, 0, -5, "soon", [], "300", float("nan"), float("inf")])
def test_a_life_that_is_not_said_is_no_end(realm: Realm, lasts: Any) -> None:
    realm.lasts = lasts
    access = with_secret(realm)
    assert [sync_get(access, realm.base).status_code for _ in range(3)] == [200] * 3
    assert len(realm.given) == 1


def test_many_at_once_fetch_one_token(realm: Realm) -> None:
    access = with_secret(realm)

    async def many(client: httpx.AsyncClient) -> list[int]:
        return [one.status_code for one in await asyncio.gather(*(client.get(realm.base) for _ in range(12)))]

    async def rounds() -> None:
        async with httpx.AsyncClient(auth=access.auth, **access.options) as client:
            assert set(await many(client)) == {200}
            realm.valid = set()
            assert set(await many(client)) == {200}

    asyncio.run(rounds())
    assert len(realm.given) == 2
    realm.valid = set()
    with httpx.Client(auth=access.auth, **access.options) as client, ThreadPoolExecutor(8) as pool:
        assert {one.status_code for one in pool.map(client.get, [realm.base] * 16)} == {200}
    assert len(realm.given) == 3


class Counted:
    """A lock that says when so many have come to it."""

    def __init__(self, many: int) -> None:
        self.left, self.all, self._lock, self._count = many, threading.Event(), threading.Lock(), threading.Lock()

    def __enter__(self) -> None:
        with self._count:
            self.left -= 1
            if not self.left:
                self.all.set()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.mark.parametrize("failure", [AccessError("no"), TokenUnreachable("not now")])
def test_who_waits_for_a_token_shares_the_failure(failure: Exception) -> None:
    lock, tries = Counted(6), []

    def fetch() -> tuple[str, float | None]:
        assert lock.all.wait(10)
        tries.append(1)
        raise failure

    source = Granted(fetch)
    source._lock = lock  # type: ignore[assignment]

    def ask(_: int) -> str:
        with pytest.raises(type(failure)) as caught:
            source.header()
        return str(caught.value)

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(ask, range(6))) == {str(failure)}
    assert len(tries) == 1
    with pytest.raises(type(failure)):
        source.header()
    assert len(tries) == 2


# what a token endpoint may say


@both
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_token_endpoint_is_a_line_that_breaks(realm: Realm, status: int, get: Get) -> None:
    realm.answers["/token"] = lambda _: answer(status, {"error": "slow down"})
    access = with_secret(realm)
    with pytest.raises(TokenUnreachable, match=f"{status}: slow down"):
        get(access, realm.base)
    del realm.answers["/token"]
    assert get(access, realm.base).status_code == 200


def test_a_busy_token_endpoint_says_when_to_come_again(realm: Realm) -> None:
    busy = iter([answer(503, {"error": "slow down"}, Retry_After="7"), answer(429, None, Retry_After="11")])

    def reply(request: Seen) -> Answer:
        told = next(busy, None)
        if told is not None:
            return told
        del realm.answers["/token"]
        return realm.handle(request)

    realm.answers["/token"] = reply
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)

    async def ask() -> httpx.Response:
        async with connect(realm.base, access=with_secret(realm), pause=pause) as wire:
            return await wire.get("metadata")

    assert asyncio.run(ask()).status_code == 200
    assert [int(seconds) for seconds in waits] == [7, 11]


def test_a_token_endpoint_that_is_not_there(realm: Realm) -> None:
    access = with_secret(realm, flags={"token_url": "http://127.0.0.1:1/token"})
    with pytest.raises(TokenUnreachable, match="nothing answers there") as caught:
        sync_get(access, realm.base)
    assert access.trouble(caught.value).lasting is False


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (answer(400, {"error": "invalid_scope"}), "400: invalid_scope.*--scope"),
        (answer(401, {"error": ["x"]}), "401: Unauthorized"),
        ((403, {}, b"<html>no\x1b[31m way</html>"), r"403: <html>no�\[31m way"),
        ((200, {}, b"<html>hello</html>"), "200: <html>hello"),
        ((200, {}, b"[" * 100_000), r"gives no token \(200"),
        (answer(200, {"access_token": 7}), r"gives no token \(200"),
        (answer(200, {"access_token": "t", "token_type": "mac"}), "not of the kind bearer"),
        (answer(200, {"access_token": "t\nX: y", "token_type": "bearer"}), "not of the kind bearer"),
        (answer(307, Location="http://127.0.0.1:1/elsewhere"), "sends us elsewhere"),
    ],
)
def test_no_token_is_one_line(realm: Realm, reply: Any, said: str) -> None:
    realm.answers["/token"] = lambda _: reply
    with pytest.raises(AccessError, match=said) as caught:
        sync_get(with_secret(realm), realm.base)
    assert str(caught.value).isprintable()
    assert len(realm.asked("/token")) == 1


def test_clocks_that_differ_are_told(realm: Realm) -> None:
    then = format_datetime(datetime.now(UTC) - timedelta(minutes=10), usegmt=True)
    realm.answers["/token"] = lambda _: answer(400, {"error": "invalid_client"}, Date=then)
    with pytest.raises(AccessError, match=r"clock is (599|6\d\d) s ahead of its"):
        sync_get(with_secret(realm), realm.base)


# one origin only


@both
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_carries_nothing(realm: Realm, status: int, get: Get) -> None:
    with served() as other:
        realm.answers["/fhir"] = lambda _: answer(status, Location=f"{other.url}/fhir")
        access = with_secret(realm)
        assert get(access, realm.base, follow_redirects=True).status_code == 401
        assert [one.headers.get("authorization") for one in other.seen] == [None]
        assert not any("cl1ent" in str(one) for one in other.seen)
        assert len(realm.given) == 1
        assert get(access, realm.base).status_code == status
        assert "sends us elsewhere" in access.advice(status)
        assert len(other.seen) == 1


@both
def test_a_redirect_within_the_origin_stays_signed_in(realm: Realm, get: Get) -> None:
    realm.answers["/fhir/old"] = lambda _: answer(307, Location="/fhir/new")
    assert get(with_secret(realm), f"{realm.base}/old", follow_redirects=True).status_code == 200


@both
def test_a_link_to_another_origin_is_followed_without_credentials(realm: Realm, get: Get) -> None:
    with served() as other:
        access = access_from({"FHIRSYNTH_TOKEN": "t0ken-value"}, realm.base)
        get(access, f"{other.base}/page2")
        assert "authorization" not in other.seen[0].headers
        assert access.covers(f"{realm.url}/other")
        assert not access.covers(other.base)
        assert not access.covers(realm.base.replace("http", "https"))
        get(access, realm.base.replace("127.0.0.1", "localhost"))
        assert "authorization" not in realm.seen[0].headers


def test_what_a_token_endpoint_is_asked_does_not_go_elsewhere(realm: Realm) -> None:
    with served() as other:
        realm.answers["/token"] = lambda _: answer(308, Location=other.token_url)
        with pytest.raises(AccessError, match="credentials do not go"):
            sync_get(with_secret(realm), realm.base)
        assert not other.seen


# wrong calls


@pytest.mark.parametrize(
    ("environment", "flags", "said"),
    [
        ({"FHIRSYNTH_TOKEN": "t", "FHIRSYNTH_USER": "u"}, {}, "FHIRSYNTH_USER and FHIRSYNTH_TOKEN are both"),
        ({"FHIRSYNTH_TOKEN": "t"}, {"token_file": "t"}, "FHIRSYNTH_TOKEN and --token-file are both"),
        ({"FHIRSYNTH_TOKEN": "t"}, {"key": "rsa"}, "FHIRSYNTH_TOKEN and --key are both"),
        ({"FHIRSYNTH_USER": "u"}, {}, "belong together"),
        ({"FHIRSYNTH_PASSWORD": "p"}, {}, "belong together"),
        ({"FHIRSYNTH_USER": "u:v", "FHIRSYNTH_PASSWORD": "p"}, {}, "colon"),
        ({"FHIRSYNTH_TOKEN": "a\nb"}, {}, "no token has"),
        ({"FHIRSYNTH_TOKEN": "tökn"}, {}, "no token has"),
        ({}, {"token_file": "empty"}, "is empty"),
        ({}, {"token_file": "gone"}, "cannot be read"),
        ({}, {"token_file": "."}, "cannot be read"),
        ({}, {"token_file": "binary"}, "no text in UTF-8"),
        ({}, {"token_file": "long"}, "longer than any secret"),
        ({"FHIRSYNTH_CLIENT_SECRET": "s"}, {}, "client's id is missing"),
        ({"FHIRSYNTH_CLIENT_SECRET": "s"}, {"client_id": "x", "kid": "k"}, "--kid does nothing without --key"),
        ({}, {"client_id": "x"}, "--client-id does nothing without FHIRSYNTH_CLIENT_SECRET"),
        ({"FHIRSYNTH_TOKEN": "t"}, {"scope": "x"}, "--scope does nothing"),
        ({}, {"key": "rsa", "kid": "k"}, "client's id is missing"),
        ({}, {"client_id": "x", "key": "rsa"}, "does not say its kid"),
        ({}, {"client_id": "x", "kid": "k", "key": "rsa", "token_url": "x"}, "is no HTTP address; give the token"),
        ({}, {"client_id": "x", "kid": "k", "key": "rsa", "token_url": "https://h/?client_secret=x"}, "a secret among"),
        ({}, {"client_id": "x", "kid": "k", "key": "weak"}, "1024 bits, which is too few"),
        ({}, {"client_id": "x", "kid": "k", "key": "p256"}, "curve secp256r1"),
        ({}, {"client_id": "x", "kid": "k", "key": "p256.jwk"}, "JWK cannot be read|curve secp256r1"),
        ({}, {"client_id": "x", "kid": "k", "key": "ed25519"}, "another kind"),
        ({}, {"client_id": "x", "kid": "k", "key": "public.jwk"}, "public keys only"),
        ({}, {"client_id": "x", "kid": "other", "key": "rsa.jwk"}, "another kid"),
        ({}, {"client_id": "x", "key": "two.jwk"}, "2 private keys"),
        ({}, {"client_id": "x", "kid": "k", "key": "broken.jwk"}, "JWK cannot be read"),
        ({}, {"client_id": "x", "kid": "k", "key": "cut.jwk"}, "no whole JSON"),
        ({}, {"client_id": "x", "kid": "k", "key": "cut"}, "cannot be read; make it anew"),
        ({}, {"client_id": "x", "kid": "k", "key": "t"}, "holds no private key"),
        ({}, {"client_id": "x", "kid": "k", "key": "locked"}, "is encrypted; set its password"),
        ({"FHIRSYNTH_KEY_PASSWORD": "no"}, {"client_id": "x", "kid": "k", "key": "locked"}, "PASSWORD is right"),
        ({}, {"proxy": "ftp://u:hunter2@h"}, "--proxy holds no address"),
        ({}, {"proxy": "http://u:hunter2@h:port"}, "--proxy holds no address"),
        ({}, {"proxy": "http://"}, "--proxy names no host"),
        ({}, {"proxy": "socks5://h:1"}, "needs a library more"),
    ],
)
def test_a_wrong_call_is_one_line(
    files: Path, environment: dict[str, str], flags: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhirsynth.publish.access.proxies.find_spec", lambda _: None)
    paths = {name: files / value if name in ("token_file", "key") else value for name, value in flags.items()}
    with pytest.raises(UsageError, match=said) as caught:
        access_from(environment, LOOPBACK, AccessFlags(**paths))
    line = str(caught.value)
    assert "\n" not in line
    assert "hunter2" not in line
    assert caught.value.__cause__ is None


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, pairs: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("files")
    p256, one, other = ec.generate_private_key(ec.SECP256R1()), jwk_of(pairs["RS384"], "k"), jwk_of(pairs["ES384"], "l")
    content = {
        "t": b"token",
        "empty": b"\n",
        "binary": b"\xff\xfe\x00",
        "long": b"x" * 70_000,
        "rsa": pem(pairs["RS384"]),
        "weak": pem(rsa.generate_private_key(65537, 1024)),
        "p256": pem(p256),
        "ed25519": pem(ed25519.Ed25519PrivateKey.generate()),
        "locked": pem(pairs["ES384"], "right"),
        "cut": pem(pairs["RS384"])[:400],
        "rsa.jwk": json.dumps(one).encode(),
        "p256.jwk": json.dumps(jwk_of(p256)).encode(),
        "public.jwk": json.dumps({name: one[name] for name in ("kty", "n", "e")}).encode(),
        "two.jwk": json.dumps({"keys": [one, other]}).encode(),
        "broken.jwk": json.dumps({**one, "n": "!", "d": "x"}).encode(),
        "cut.jwk": json.dumps(one).encode()[:100],
    }
    for name, data in content.items():
        written(folder / name, data)
    return folder


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "ftp://h/fhir",
        "http://",
        "http://u:hunter2@h/fhir",
        "http://h/fhir?access_token=hunter2",
        "http://h/fhir#hunter2",
        "u:hunter2@h/fhir",
        "http://u:hunter2@h:port/fhir",
        "http://h/\x1b[31m",
    ],
)
def test_an_address_that_would_show_a_secret_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        access_from({}, url)
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).isprintable()


# warnings


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://fhir.test/r4", True),
        ("http://10.0.0.1/fhir", True),
        ("http://127.0.0.1.evil.test/fhir", True),
        ("https://fhir.test/r4", False),
        ("http://127.8.9.1:80/fhir", False),
        ("http://[::1]:8080/fhir", False),
        ("http://localhost:8080/fhir", False),
    ],
)
def test_a_token_that_would_travel_unencrypted_is_told(url: str, warned: bool) -> None:
    access = access_from({"FHIRSYNTH_TOKEN": "s3cret"}, url)
    lines = access.warnings(url)
    assert bool(lines) == warned == any("unencrypted" in line for line in lines)
    assert access_from({}, url).warnings() == []


def test_files_that_others_can_read_are_told(files: Path, tmp_path: Path) -> None:
    for mode, warned in ((0o644, True), (0o640, True), (0o600, False), (0o400, False)):
        file = written(tmp_path / f"token{mode}", "s3cret", mode)
        assert bool(access_from({}, LOOPBACK, AccessFlags(token_file=file)).warnings()) == warned
    key = written(tmp_path / "key", (files / "rsa").read_bytes(), 0o644)
    flags = AccessFlags(client_id="x", key=key, kid="k", token_url="http://auth.test/token")
    lines = access_from({}, LOOPBACK, flags).warnings(LOOPBACK)
    assert ["chmod 600" in lines[0], "--token-url is not encrypted" in lines[1], len(lines)] == [True, True, 2]


def test_a_request_is_not_signed_by_what_the_caller_has_set(realm: Realm) -> None:
    access = with_secret(realm)
    with httpx.Client(auth=access.auth, **access.options) as client:
        assert client.get(realm.base, headers={"Authorization": "Bearer other"}).status_code == 200


def test_bodies_are_sent_again_after_a_401(realm: Realm) -> None:
    access = with_secret(realm)
    assert sync_get(access, realm.base).status_code == 200
    realm.valid = set()
    with httpx.Client(auth=access.auth, **access.options) as client:
        assert client.post(realm.base, content=b"the Bundle").status_code == 200
    assert [one.body for one in realm.asked("/fhir")[1:]] == [b"the Bundle"] * 2


# proxies


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    realm.valid = {"t"}
    access = access_from({"FHIRSYNTH_TOKEN": "t"}, realm.base)
    assert sync_get(access, realm.base).status_code == 200
    assert async_get(access, realm.base).status_code == 200


def test_a_wrong_proxy_of_the_environment_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://u:hunter2@h:port")
    with pytest.raises(UsageError, match="HTTPS_PROXY holds no address") as caught:
        access_from({}, LOOPBACK)
    assert "hunter2" not in str(caught.value)
