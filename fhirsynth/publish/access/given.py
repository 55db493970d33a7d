"""What of the environment and the flags makes a sign-in, a TLS context and a proxy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from pydantic import SecretStr

from fhirsynth.errors import UsageError
from fhirsynth.publish.access.address import is_loopback, is_private
from fhirsynth.publish.access.flags import AccessFlags
from fhirsynth.publish.access.keys import signing_key
from fhirsynth.publish.access.oauth import Client, WithKey, WithSecret
from fhirsynth.publish.access.proxies import proxy_of, proxy_passwords
from fhirsynth.publish.access.secrets import Secrets, exposed, secret_of
from fhirsynth.publish.access.signin import Source
from fhirsynth.publish.access.source import Filed, Fixed, basic, bearer
from fhirsynth.publish.access.tls import tls_context

USER, PASSWORD = "FHIRSYNTH_USER", "FHIRSYNTH_PASSWORD"
TOKEN = "FHIRSYNTH_TOKEN"  # noqa: S105 - the name of a variable
CLIENT_ID, CLIENT_SECRET = "FHIRSYNTH_CLIENT_ID", "FHIRSYNTH_CLIENT_SECRET"
KEY_PASSWORD, CERT_PASSWORD = "FHIRSYNTH_KEY_PASSWORD", "FHIRSYNTH_CERT_PASSWORD"

NONE, BASIC, BEARER, SECRET, SIGNED = "none", "basic", "bearer", "client-credentials", "smart-backend-services"
"""Kinds of sign-in."""
OAUTH: Final = frozenset({SECRET, SIGNED})


@dataclass(frozen=True, slots=True)
class Given:
    """Everything that was given, before it is looked at."""

    environment: Mapping[str, str] = field(repr=False)
    flags: AccessFlags
    secrets: Secrets

    def kind(self) -> str:
        """The one kind of sign-in that is given."""
        by_kind = {
            BASIC: self._named((USER, PASSWORD), "password_file"),
            BEARER: self._named((TOKEN,), "token_file"),
            SECRET: self._named((CLIENT_SECRET,), "client_secret_file"),
            SIGNED: self._named((), "key"),
        }
        found = [(kind, names) for kind, names in by_kind.items() if names]
        if len(found) > 1:
            one, other = found[0][1][0], found[1][1][0]
            raise UsageError(f"{one} and {other} are both given, and only one can sign in; leave one of them out")
        kind = found[0][0] if found else NONE
        self._refuse_idle(kind)
        return kind

    def _named(self, variables: tuple[str, ...], *flags: str) -> list[str]:
        names = [name for name in variables if self.environment.get(name, "").strip()]
        return names + [f"--{name.replace('_', '-')}" for name in flags if getattr(self.flags, name) is not None]

    def _refuse_idle(self, kind: str) -> None:
        """An option that would do nothing is a mistake, and is said."""
        if kind == SIGNED:
            return
        idle = self._named((), "kid", *(() if kind == SECRET else ("client_id", "token_url", "scope")))
        if idle:
            what = "--key" if idle[0] == "--kid" else f"{CLIENT_SECRET}, --client-secret-file or --key"
            raise UsageError(f"{idle[0]} does nothing without {what}; give that, too, or leave it out")

    def source(self, kind: str) -> Source:
        """The header of basic or bearer."""
        if kind == BASIC:
            user = self.environment.get(USER, "").strip("\r\n")
            password = secret_of(self.environment, PASSWORD, self.flags.password_file, "--password-file")
            if not user or password is None:
                raise UsageError(f"{USER} and {PASSWORD} (or --password-file) belong together; set both of them")
            header = basic(user, self.secrets.keep(password))
            self.secrets.keep(header.removeprefix("Basic "))
            return Fixed(SecretStr(header))
        token = (secret_of(self.environment, TOKEN, self.flags.token_file, "--token-file") or "").strip()
        value = SecretStr(bearer(self.secrets.keep(token)))
        return Filed(self.flags.token_file, self.secrets, value) if self.flags.token_file else Fixed(value)

    def client(self, kind: str) -> Client:
        """Who asks a token endpoint."""
        name = self.flags.client_id or self.environment.get(CLIENT_ID, "").strip()
        if not name:
            raise UsageError(f"the client's id is missing; give it with --client-id, or set {CLIENT_ID}")
        if kind == SIGNED:
            assert self.flags.key is not None
            password = self.environment.get(KEY_PASSWORD) or None
            if password:
                self.secrets.keep(password)
            return WithKey(name, signing_key(self.flags.key, self.flags.kid, password), self.secrets)
        secret = secret_of(self.environment, CLIENT_SECRET, self.flags.client_secret_file, "--client-secret-file") or ""
        return WithSecret(name, SecretStr(self.secrets.keep(secret)), self.secrets)

    def options(self, base: str) -> dict[str, Any]:
        """TLS and proxy, for httpx."""
        password = self.environment.get(CERT_PASSWORD) or None
        for secret in (password, *proxy_passwords(self.flags.proxy)):
            if secret:
                self.secrets.keep(secret)
        context = tls_context(self.flags.ca, self.flags.cert, self.flags.cert_key, password)
        options: dict[str, Any] = {"verify": context, "trust_env": True}
        proxy = proxy_of(self.flags.proxy, context)
        if proxy is not None:
            options["proxy"] = proxy
        elif is_loopback(base):  # a proxy's own loopback is another machine's
            host = httpx.URL(base).host
            options["mounts"] = {f"all://{f'[{host}]' if ':' in host else host}": None}
        return options

    def notes(self, base: str) -> list[str]:
        """Warnings about what was given."""
        flags = self.flags
        files = (
            flags.token_file,
            flags.password_file,
            flags.client_secret_file,
            flags.key,
            flags.cert_key or flags.cert,
        )
        lines = [line for file in files if file is not None and (line := exposed(file))]
        if flags.token_url and not is_private(flags.token_url):
            lines.append("--token-url is not encrypted, so anybody on the way can take the tokens; use https")
        if flags.cert and httpx.URL(base).scheme == "http":
            lines.append(f"{base}: is not encrypted, so the certificate of --cert is not shown there; use https")
        return lines
