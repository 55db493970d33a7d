"""Whatever the secret and whatever goes wrong: it stands in no output."""

from __future__ import annotations

import base64
import html
import json
import logging
import pprint
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirsynth.errors import FhirsynthError
from fhirsynth.publish.access import AccessFlags, access_from
from fhirsynth.publish.access.secrets import MASK, WITHHELD, Secrets
from fhirsynth.publish.retry import Patience
from fhirsynth.publish.server import load
from tests.realm import Realm, Seen, served
from tests.test_access_tls import load as load_by_command

ECHOES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "quoted": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "json": lambda text: json.dumps({"x": text}),
    "json, readable": lambda text: json.dumps([text], ensure_ascii=False),
    "html": html.escape,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "repr": repr,
    "in a word": lambda text: f"a{text}b",
    "broken lines": lambda text: "\n  ".join(text.split()),
}


def told(text: str, secret: str) -> list[str]:
    """The forms of a secret that stand in a text."""
    forms = {
        secret,
        " ".join(secret.split()),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        base64.b64encode(secret.encode()).decode().rstrip("="),
    }
    return [form for form in forms if form in text]


PRINTABLE = st.characters(min_codepoint=33, max_codepoint=126)
TOKENS = st.text(PRINTABLE, min_size=8, max_size=60)
WORDS = st.characters(exclude_categories=["Cs", "Cc"])
PASSWORDS = st.text(WORDS, min_size=8, max_size=40).filter(lambda text: len("".join(text.split())) >= 8)


@given(secret=PASSWORDS, echo=st.sampled_from(list(ECHOES)), around=st.text(max_size=20))
def test_every_form_is_masked(secret: str, echo: str, around: str) -> None:
    secrets = Secrets()
    secrets.keep(secret)
    text = secrets.clean(f"{around} {ECHOES[echo](secret)} {around}")
    assert not told(text, secret)
    assert text.isprintable()
    assert len(text) <= 500
    assert secret not in f"{secrets!r} {secrets}"


@pytest.mark.parametrize("secret", ["a", "pw", "12345"])
def test_a_short_secret_withholds_the_whole_text(secret: str) -> None:
    secrets = Secrets()
    secrets.keep(secret)
    assert secrets.clean(f"the server says {secret}!") == WITHHELD
    assert secrets.clean("XYZ") == "XYZ"


def test_a_secret_across_the_cut_is_masked() -> None:
    secrets = Secrets()
    secrets.keep("s3cret-value")
    assert secrets.clean("x" * 495 + " s3cret-value") == "x" * 495 + f" {MASK}"


def test_json_is_masked_throughout() -> None:
    access = access_from({"FHIRSYNTH_TOKEN": "s3cret-value"}, "http://127.0.0.1/fhir")
    issue = [{"code": "login", "diagnostics": "no s3cret-value", "n": 1.5, "none": None}]
    found = access.masked({"issue": issue, "s3cret-value": True})
    assert found == {"issue": [{**issue[0], "diagnostics": f"no {MASK}"}], MASK: True}


def test_tokens_that_come_and_go_are_forgotten_in_the_end() -> None:
    secrets = Secrets()
    secrets.keep("the-password")
    for number in range(1000):
        secrets.keep(f"token-{number:05}", lasting=False)
    assert repr(secrets) == "Secrets(17)"
    assert secrets.clean("the-password token-00999 token-00001") == f"{MASK} {MASK} token-00001"


@pytest.fixture(scope="module")
def realm() -> Iterator[Realm]:
    with served() as made:
        yield made


def environment_of(kind: str, secret: str, folder: Path) -> tuple[dict[str, str], AccessFlags]:
    if kind == "basic":
        return {"FHIRSYNTH_USER": "u", "FHIRSYNTH_PASSWORD": secret}, AccessFlags()
    if kind == "client":
        return {"FHIRSYNTH_CLIENT_SECRET": secret}, AccessFlags(client_id="loader")
    file = folder / "token"
    file.write_text(secret, encoding="utf-8")
    file.chmod(0o600)
    return {}, AccessFlags(token_file=file)


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["basic", "bearer", "client"]),
    token=TOKENS,
    password=PASSWORDS,
    echo=st.sampled_from(list(ECHOES)),
    status=st.sampled_from([200, 307, 400, 401, 403, 404, 422, 500, 503]),
    where=st.sampled_from(["/token", "/fhir", "both"]),
)
def test_no_output_of_a_load_holds_a_secret(
    realm: Realm,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    token: str,
    password: str,
    echo: str,
    status: int,
    where: str,
) -> None:
    secret = token if kind == "bearer" else password

    def repeats(request: Seen) -> tuple[int, dict[str, str], bytes]:
        """All that came, and the secret in some form, in body and headers."""
        words = f"{request.headers.get('authorization')} {request.body.decode()[:300]} {ECHOES[echo](secret)}"
        issue = {"severity": "error", "diagnostics": words}
        value = {"resourceType": "OperationOutcome", "issue": [issue], "error": words, "access_token": 7}
        headers = {"Location": "/elsewhere", "X-Echo": quote(secret), "WWW-Authenticate": token}
        return status, headers, json.dumps(value, ensure_ascii=echo != "json, readable").encode()

    realm.secret, realm.wellknown = secret, {"token_endpoint": realm.token_url}
    realm.answers = {path: repeats for path in ("/token", "/fhir") if where in (path, "both")}
    caplog.clear()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        said = everything(realm, folder, *environment_of(kind, secret, folder))
    said += "\n".join(f"{one.getMessage()} {one.args}" for one in caplog.records)
    given_out = [value for given in realm.given for value in told(said, given)]
    assert not told(said, secret)
    assert not given_out


def everything(realm: Realm, folder: Path, environment: dict[str, str], flags: AccessFlags) -> str:
    """All that a load, in Python and on the command line, says, writes and lets be looked at."""
    access = access_from(environment, realm.base, flags)
    said = [repr(access), str(access), pprint.pformat(access), repr(access.auth), str(access.warnings())]
    source = folder / "src"
    source.mkdir()
    arguments = [
        f"--{name.replace('_', '-')}={value}" for name in ("client_id", "token_file") if (value := getattr(flags, name))
    ]
    said += map(str, load_by_command(source, realm.base, *arguments, "--json", **environment))
    try:
        result = load(source, realm.base, access=access, patience=Patience(tries=1), journal=folder / "journal")
        said += [repr(result), json.dumps(result.outcome)]
    except FhirsynthError as error:
        said += [repr(error), *traceback.format_exception(error)]
    said += [repr(access.auth), pprint.pformat(vars(access.auth)), repr(access.endpoint)]
    said += [access.advice(status) for status in (401, 403, 407)]
    said += [
        file.read_bytes().decode("utf-8", "replace")
        for file in folder.rglob("*")
        if file.name != "token" and file.is_file()
    ]
    return "\n".join(said)


def test_addresses_in_logs_hold_no_secret(realm: Realm, caplog: pytest.LogCaptureFixture) -> None:
    access = access_from({"FHIRSYNTH_TOKEN": "s3cret-value"}, realm.base)
    with httpx.Client(auth=access.auth, **access.options) as client:
        client.get(f"{realm.base}/Patient?token=s3cret-value")
    lines: list[Any] = [one.getMessage() for one in caplog.records if one.name == "httpx"]
    assert len(lines) == 1
    assert f"/Patient?token={MASK}" in lines[0]
