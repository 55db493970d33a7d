"""Who we are to a FHIR server, whom we trust, and the way there: from the environment, files and flags."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from fhirsynth.publish.access.address import base_of, endpoint_of, is_private, origin
from fhirsynth.publish.access.flags import AccessFlags
from fhirsynth.publish.access.given import BASIC, BEARER, NONE, OAUTH, SECRET, SIGNED, Given
from fhirsynth.publish.access.logs import keep_out_of_logs
from fhirsynth.publish.access.oauth import SCOPE, TokenEndpoint
from fhirsynth.publish.access.secrets import Secrets
from fhirsynth.publish.access.signin import SignIn, Source
from fhirsynth.publish.access.source import Granted
from fhirsynth.publish.access.tls import BROKEN, Trouble, trouble

RESET: Final = "if it never answers, it may ask for a certificate of ours: --cert FILE"
PATIENCE: Final = 30.0
"""Seconds for a token endpoint to answer."""
UNAUTHORIZED: Final = {
    NONE: "set FHIRSYNTH_TOKEN, or FHIRSYNTH_USER and FHIRSYNTH_PASSWORD, or sign in with --client-id",
    BASIC: "see whether FHIRSYNTH_USER and its password are right",
    BEARER: "the token is wrong, has ended, or is for another server; get a new one",
    SECRET: "the token is not for this server; see whether --token-url and --scope are right",
    SIGNED: "the token is not for this server; see whether --token-url and --scope are right",
}
"""What to do after a 401, by kind."""


@dataclass(frozen=True, slots=True)
class Access:
    """The way to one FHIR server.

    Parameters
    ----------
    base
        The FHIR base that it is for.
    kind
        none, basic, bearer, client-credentials or smart-backend-services.
    auth
        Signs requests to that origin in, and no others; for ``httpx.Client`` and ``httpx.AsyncClient``.
    options
        More arguments for either: TLS and proxy.
    secrets
        What :meth:`clean` takes out of a text.
    notes
        Warnings about what was given.
    endpoint
        Where tokens come from, if one gives them.
    certified
        Whether a certificate of ours is shown (mTLS).
    """

    base: str
    kind: str = NONE
    auth: httpx.Auth | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    secrets: Secrets = field(default_factory=Secrets, repr=False)
    notes: tuple[str, ...] = ()
    endpoint: TokenEndpoint | None = field(default=None, repr=False)
    certified: bool = False

    def warnings(self, url: str | None = None) -> list[str]:
        """What the user should know before anything is sent to ``url``, a line each."""
        target = url or self.base
        lines = list(self.notes)
        if self.auth is not None and not is_private(target):
            what = "password" if self.kind == BASIC else "token"
            lines.append(f"{target}: the {what} goes there unencrypted, for anybody on the way to read; use https")
        return lines

    def covers(self, url: str) -> bool:
        """Whether ``url`` is of the origin that the credentials are for: others are asked without them."""
        return origin(url) == origin(self.base)

    def clean(self, text: str, longest: int = 500) -> str:
        """A server's words as they may be shown: on one line, without secrets and control characters."""
        return self.secrets.clean(text, longest)

    def masked(self, value: Any) -> Any:
        """A server's JSON (an OperationOutcome that is kept in a file) without secrets."""
        if isinstance(value, str):
            return self.secrets.mask(value)
        if isinstance(value, list):
            return [self.masked(one) for one in value]
        return (
            {self.masked(name): self.masked(one) for name, one in value.items()} if isinstance(value, dict) else value
        )

    def trouble(self, error: BaseException) -> Trouble:
        """What a request failed of on its way, and whether another try could change it."""
        found = trouble(error)
        words = self.clean(found.words)
        if found.words == BROKEN and not self.certified and httpx.URL(self.base).scheme == "https":
            words += f" ({RESET})"
        return found._replace(words=words)

    def advice(self, status: int) -> str:
        """What to do when the server answers 401, 403, 407 or sends us elsewhere; empty for others."""
        if status == httpx.codes.UNAUTHORIZED:
            return UNAUTHORIZED[self.kind]
        if status == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
            return "the proxy asks for credentials; set them in HTTP_PROXY, as http://user:password@host:port"
        if httpx.codes.is_redirect(status):
            return "it sends us elsewhere, where credentials do not go; give the address where the server itself is"
        if status != httpx.codes.FORBIDDEN:
            return ""
        if self.endpoint is not None and self.endpoint.granted:
            return f"the token was granted {self.endpoint.granted}; ask for more with --scope"
        return "who we are may not do that; have it allowed there"


def access_from(
    environment: Mapping[str, str],
    url: str,
    flags: AccessFlags | None = None,
    *,
    timeout: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
) -> Access:
    """The access to the FHIR base ``url``; asks nobody yet.

    Parameters
    ----------
    environment
        Variables; those for secrets are FHIRSYNTH_TOKEN, FHIRSYNTH_PASSWORD, FHIRSYNTH_CLIENT_SECRET,
        FHIRSYNTH_KEY_PASSWORD and FHIRSYNTH_CERT_PASSWORD.
    timeout
        Seconds for a token endpoint to answer.

    Raises
    ------
    UsageError
        When something is missing, is given twice, or cannot be read; no secret stands in the message.
    """
    given = Given(environment, flags or AccessFlags(), Secrets())
    base = base_of(url)
    kind = given.kind()
    options = given.options(base)
    endpoint = None
    source: Source | None = None
    if kind in OAUTH:
        client = given.client(kind)
        endpoint = TokenEndpoint(
            base,
            client,
            lambda: httpx.Client(timeout=timeout, follow_redirects=False, **options),
            given.secrets,
            endpoint_of(given.flags.token_url) if given.flags.token_url else None,
            given.flags.scope if given.flags.scope is not None else SCOPE,
        )
        source = Granted(endpoint.token, clock)
    elif kind != NONE:
        source = given.source(kind)
    auth = SignIn(source, base) if source is not None else None
    keep_out_of_logs(given.secrets)
    return Access(
        base, kind, auth, options, given.secrets, tuple(given.notes(base)), endpoint, given.flags.cert is not None
    )
