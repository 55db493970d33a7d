"""What the command line says of access."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AccessFlags:
    """What the command line says of access; no secret stands in it, but for a proxy's password out of Python.

    Parameters
    ----------
    token_file, password_file, client_secret_file
        Files that hold a secret and nothing else.
    client_id, token_url, scope
        For client credentials and SMART Backend Services; without ``token_url`` the FHIR server is asked for it.
    key, kid
        Private key (PEM, JWK or JWKS) of SMART Backend Services, and the name of its public half there.
    ca, cert, cert_key
        PEM files: a CA to trust beside the usual ones, our own certificate (mTLS), and its key if it is not in there.
    proxy
        Address of a proxy for everything; without it HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY count.
    """

    token_file: Path | None = None
    password_file: Path | None = None
    client_id: str | None = None
    client_secret_file: Path | None = None
    key: Path | None = None
    kid: str | None = None
    token_url: str | None = None
    scope: str | None = None
    ca: Path | None = None
    cert: Path | None = None
    cert_key: Path | None = None
    proxy: str | None = field(default=None, repr=False)
