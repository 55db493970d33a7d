"""OAuth 2.0 client credentials, with a secret (RFC 6749) or signed (SMART Backend Services, RFC 7523)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol
from urllib.parse import quote_plus

import httpx
from pydantic import SecretStr

from fhirsynth.errors import AccessError, UsageError
from fhirsynth.publish.access.address import endpoint_of, is_private
from fhirsynth.publish.access.keys import SigningKey
from fhirsynth.publish.access.secrets import Secrets
from fhirsynth.publish.access.source import TokenUnreachable, basic
from fhirsynth.publish.access.tls import trouble

SCOPE: Final = "system/*.cruds"
"""All that loading, checking and unloading need, in SMART 2; servers of SMART 1 want ``system/*.*``."""
WELL_KNOWN: Final = "/.well-known/smart-configuration"
OAUTH_URIS: Final = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
SIGNED: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
SKEW: Final = 60.0
"""Seconds by which clocks may differ before it is worth a word."""
ADVICE: Final = {
    "invalid_client": "see whether the client is registered with this id, and this secret or this key and its kid",
    "unauthorized_client": "have the client allowed the grant client_credentials",
    "invalid_scope": "ask for what the client may have with --scope, as system/*.cruds or, in SMART 1, system/*.*",
    "unsupported_grant_type": "see whether this is the token endpoint for client credentials",
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """Where tokens are to be had, and what the server says of it."""

    endpoint: str
    methods: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()


class Client(Protocol):
    """Who asks for a token, and how that is proven."""

    def proof(self, where: Configuration) -> tuple[dict[str, str], dict[str, str]]:
        """Fields of the form and headers."""
        ...


@dataclass(frozen=True, slots=True)
class WithSecret:
    """A client that proves itself by a secret: in the header, or in the form where a server takes only that."""

    client: str
    secret: SecretStr
    secrets: Secrets

    def proof(self, where: Configuration) -> tuple[dict[str, str], dict[str, str]]:
        secret = self.secret.get_secret_value()
        if "client_secret_post" in where.methods and "client_secret_basic" not in where.methods:
            return {"client_id": self.client, "client_secret": secret}, {}
        header = basic(quote_plus(self.client), quote_plus(secret))
        self.secrets.keep(header.removeprefix("Basic "))
        return {}, {"Authorization": header}


@dataclass(frozen=True, slots=True)
class WithKey:
    """A client that proves itself by what it signs."""

    client: str
    key: SigningKey
    secrets: Secrets

    def proof(self, where: Configuration) -> tuple[dict[str, str], dict[str, str]]:
        if where.algorithms and self.key.algorithm not in where.algorithms:
            listed = self.secrets.clean(", ".join(where.algorithms))
            raise AccessError(
                f"{where.endpoint}: takes {listed}, and --key is for {self.key.algorithm}; give another key"
            )
        signed = self.secrets.keep(self.key.assertion(self.client, where.endpoint), lasting=False)
        return {"client_assertion_type": SIGNED, "client_assertion": signed}, {}


@dataclass(slots=True)
class TokenEndpoint:
    """Asks for tokens; where, it finds out once, unless it was told.

    Parameters
    ----------
    base
        The FHIR server that the tokens are for.
    connect
        Makes a client with our TLS and proxy; it follows no redirects.
    """

    base: str
    client: Client
    connect: Callable[[], httpx.Client]
    secrets: Secrets = field(repr=False)
    endpoint: str | None = None
    scope: str | None = SCOPE
    granted: str | None = field(default=None, init=False)
    _found: Configuration | None = field(default=None, init=False)

    def token(self) -> tuple[str, float | None]:
        """A new token, and the seconds that it lasts.

        Raises
        ------
        AccessError
            When the endpoint refuses, cannot be found, or cannot be trusted.
        TokenUnreachable
            When it is busy, or the line breaks.
        """
        with self.connect() as http:
            if self._found is None:
                self._found = Configuration(self.endpoint) if self.endpoint else self._discover(http)
            form, headers = self.client.proof(self._found)
            form = {"grant_type": "client_credentials", **({"scope": self.scope} if self.scope else {}), **form}
            headers = {"Accept": "application/json", **headers}
            answer = self._send(http, http.build_request("POST", self._found.endpoint, data=form, headers=headers))
        return self._read(answer)

    def _send(self, http: httpx.Client, request: httpx.Request) -> httpx.Response:
        where = self._shown(request.url)
        try:
            answer = http.send(request)
        except httpx.RequestError as error:
            found = trouble(error)
            if found.lasting:
                raise AccessError(f"{where}: {found.words}") from None
            raise TokenUnreachable(f"{where}: {found.words}") from None
        if answer.status_code in BUSY:
            raise TokenUnreachable(f"{where}: {answer.status_code}: {self._words(answer)}", answer)
        return answer

    def _read(self, answer: httpx.Response) -> tuple[str, float | None]:
        where = self._shown(answer.url)
        if answer.is_redirect:
            raise AccessError(
                f"{where}: sends us elsewhere, where credentials do not go; give the right one with --token-url"
            )
        value = _json(answer)
        token = value.get("access_token")
        if not answer.is_success or not isinstance(token, str):
            code = value.get("error")
            advice = ADVICE.get(
                code if isinstance(code, str) else "", "see whether this is the token endpoint, and --client-id"
            )
            raise AccessError(
                f"{where}: gives no token ({answer.status_code}: {self._words(answer)}); {advice}{_skew(answer)}"
            )
        self.secrets.keep(token, lasting=False)
        kind = value.get("token_type", "bearer")
        if not isinstance(kind, str) or kind.lower() != "bearer" or not all("!" <= sign <= "~" for sign in token):
            raise AccessError(
                f"{where}: gives a token that is not of the kind bearer; see whether this is the right endpoint"
            )
        scope = value.get("scope")
        self.granted = self.secrets.clean(scope) if isinstance(scope, str) else self.scope
        return token, _seconds(value.get("expires_in"))

    def _discover(self, http: httpx.Client) -> Configuration:
        """What the server says of itself; believed only where nobody on the way can have said it."""
        if not is_private(self.base):
            raise AccessError(
                f"{self.base}: is not encrypted, so anybody on the way could name a token endpoint; use https, or "
                "give it with --token-url"
            )
        for path, accept, read in (
            (WELL_KNOWN, "application/json", _of_well_known),
            ("/metadata", "application/fhir+json", _of_capabilities),
        ):
            request = http.build_request("GET", self.base + path, headers={"Accept": accept})
            found = read(_json(self._send(http, request)))
            if found is not None:
                return self._trusted(found)
        raise AccessError(
            f"{self.base}: names no token endpoint, neither in {WELL_KNOWN} nor in /metadata; give it with --token-url"
        )

    def _trusted(self, found: Configuration) -> Configuration:
        try:
            endpoint_of(found.endpoint)
        except UsageError:
            raise AccessError(
                f"{self.base}: names a token endpoint that is no HTTP address; give the right one with --token-url"
            ) from None
        if not is_private(found.endpoint):
            shown = self._shown(httpx.URL(found.endpoint))
            raise AccessError(
                f"{self.base}: names a token endpoint that is not encrypted ({shown}); have it changed to https, or "
                "give it with --token-url"
            )
        return found

    def _shown(self, url: httpx.URL) -> str:
        return self.secrets.clean(str(url.copy_with(query=None, fragment=None)))

    def _words(self, answer: httpx.Response) -> str:
        value = _json(answer)
        parts = [part for name in ("error", "error_description") if isinstance(part := value.get(name), str)]
        text = ": ".join(parts) or ("" if value else answer.text) or answer.reason_phrase
        return self.secrets.clean(text, 300) or "no reason given"


def _of_well_known(value: Mapping[str, Any]) -> Configuration | None:
    endpoint = value.get("token_endpoint")
    if not isinstance(endpoint, str):
        return None
    return Configuration(
        endpoint,
        _texts(value.get("token_endpoint_auth_methods_supported")),
        _texts(value.get("token_endpoint_auth_signing_alg_values_supported")),
    )


def _of_capabilities(value: Mapping[str, Any]) -> Configuration | None:
    """The extension by which servers of SMART 1 named it."""
    securities = [rest.get("security") for rest in _objects(value.get("rest"))]
    for security in _objects(securities):
        for extension in _objects(security.get("extension")):
            if extension.get("url") == OAUTH_URIS:
                for part in _objects(extension.get("extension")):
                    if part.get("url") == "token" and isinstance(part.get("valueUri"), str):
                        return Configuration(part["valueUri"])
    return None


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        value = json.loads(answer.content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(value: object) -> float | None:
    """How long a token lasts; None when that is not said, or makes no sense."""
    try:
        seconds = float(value) if isinstance(value, int | float | str) else 0.0
    except ValueError:
        return None
    return seconds if 0 < seconds < float("inf") else None


def _skew(answer: httpx.Response) -> str:
    """How far our clock is from the server's, where that may be why it refuses."""
    try:
        ahead = (datetime.now(UTC) - parsedate_to_datetime(answer.headers.get("Date", ""))).total_seconds()
    except (ValueError, TypeError):
        return ""
    return (
        f"; this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} its"
        if abs(ahead) > SKEW
        else ""
    )
