"""How to sign in, whom to trust and by which proxy: options of all commands that speak to a server."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from fhirsynth.publish.access import Access

Command = TypeVar("Command", bound=Callable[..., Any])
FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)


def _proxy(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """An address without a password: everybody on this machine sees a command line."""
    if value is not None and "@" in value:
        raise click.BadParameter("holds a password; set HTTPS_PROXY, as http://user:password@host:port, instead")
    return value


OPTIONS: Final = {
    "token_file": click.option("--token-file", type=FILE, help="Bearer token, instead of FHIRSYNTH_TOKEN."),
    "password_file": click.option("--password-file", type=FILE, help="Password of FHIRSYNTH_USER."),
    "client_id": click.option("--client-id", help="OAuth client (or FHIRSYNTH_CLIENT_ID), with a secret or a key."),
    "client_secret_file": click.option(
        "--client-secret-file", type=FILE, help="Its secret, instead of FHIRSYNTH_CLIENT_SECRET."
    ),
    "key": click.option("--key", type=FILE, help="Its private key, PEM or JWK: SMART Backend Services."),
    "kid": click.option("--kid", help="Name of the key on the server.  [default: as the JWK says]"),
    "token_url": click.option("--token-url", metavar="URL", help="Token endpoint.  [default: as the server says]"),
    "scope": click.option("--scope", help="What to ask for.  [default: system/*.cruds]"),
    "ca": click.option("--ca", type=FILE, help="CA certificates to trust beside the usual ones, PEM."),
    "cert": click.option("--cert", type=FILE, help="Our certificate (mTLS), PEM."),
    "cert_key": click.option("--cert-key", type=FILE, help="Its private key.  [default: in the file of --cert]"),
    "proxy": click.option(
        "--proxy", metavar="URL", callback=_proxy, help="Proxy.  [default: HTTPS_PROXY, HTTP_PROXY, NO_PROXY]"
    ),
}
"""By the name of the field of ``AccessFlags``."""


def access_options() -> Callable[[Command], Command]:
    """Options about access; the command gets ``sign_in``, which makes the access to a URL and prints its warnings."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def wrapped(*arguments: Any, **options: Any) -> Any:
            flags = {name: options.pop(name) for name in OPTIONS}
            return command(*arguments, sign_in=partial(sign_in, **flags), **options)

        decorated: Any = wrapped
        for option in reversed(OPTIONS.values()):
            decorated = option(decorated)
        result: Command = decorated
        return result

    return decorate


def sign_in(url: str, **flags: Any) -> Access:
    """The access to the FHIR base ``url`` by the environment and fields of ``AccessFlags``; warnings go to stderr."""
    from fhirsynth.publish.access import AccessFlags, access_from

    access = access_from(os.environ, url, AccessFlags(**flags))
    for line in access.warnings():
        click.echo(f"warning: {line}", err=True)
    return access
