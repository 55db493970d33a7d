"""Signed assertions of SMART Backend Services: private keys out of PEM, JWK or JWKS, RS384 and ES384.

See https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fhirsynth.errors import UsageError
from fhirsynth.publish.access.secrets import read_small

LIFETIME: Final = 240
"""Seconds; the standard allows 300, and the server's clock may be a minute behind ours."""
WEAKEST: Final = 2048
"""Bits of an RSA key, by RFC 7518, section 3.3."""
NEEDED: Final = "RS384 (RSA, 2048 bits or more) or ES384 (EC, P-384)"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, the algorithm that it is for, and the name under which the server knows its public half."""

    private: RSAPrivateKey | EllipticCurvePrivateKey = field(repr=False)
    algorithm: str
    kid: str

    def assertion(self, client: str, audience: str) -> str:
        """A signed statement that we are ``client``, for one token endpoint, once, and for four minutes."""
        claims = {
            "iss": client,
            "sub": client,
            "aud": audience,
            "exp": int(time.time()) + LIFETIME,
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode(claims, self.private, algorithm=self.algorithm, headers={"kid": self.kid})


def signing_key(file: Path, kid: str | None = None, password: str | None = None) -> SigningKey:
    """The private key in ``file``: PEM, a JWK, or the only private key of a JWKS.

    Raises
    ------
    UsageError
        When there is none, it is of another kind, or its name is not known. Nothing of the file is repeated.
    """
    data = read_small(file)
    if data.lstrip().startswith(b"{"):
        private, named = _of_jwk(file, data, kid)
    else:
        private, named = _of_pem(file, data, password), None
    if kid and named and kid != named:
        raise UsageError(
            f"{file}: is the key with another kid than that of --kid; leave --kid out, or give its own key"
        )
    name = kid or named
    if not name:
        raise UsageError(f"{file}: does not say its kid; give it with --kid, as the server lists it in your JWKS")
    return SigningKey(private, _algorithm(file, private), name)


def _of_pem(file: Path, data: bytes, password: str | None) -> RSAPrivateKey | EllipticCurvePrivateKey:
    encrypted = b"ENCRYPTED" in data
    if b"PRIVATE KEY" not in data:
        raise UsageError(f"{file}: holds no private key; give one as PEM (BEGIN PRIVATE KEY) or as JWK")
    if encrypted and not password:
        raise UsageError(f"{file}: is encrypted; set its password in FHIRSYNTH_KEY_PASSWORD")
    try:
        private = load_pem_private_key(data, password.encode() if password and encrypted else None)
    except Exception:  # noqa: BLE001 - a dozen kinds, and their words may come from the file
        advice = "see whether FHIRSYNTH_KEY_PASSWORD is right" if encrypted else "make it anew, with openssl genpkey"
        raise UsageError(f"{file}: its private key cannot be read; {advice}") from None
    return _taken(file, private)


def _of_jwk(file: Path, data: bytes, kid: str | None) -> tuple[RSAPrivateKey | EllipticCurvePrivateKey, str | None]:
    try:
        value = json.loads(data)
    except ValueError:
        raise UsageError(f"{file}: is no whole JSON; give a private key as JWK or PEM") from None
    jwk = _chosen(file, value.get("keys", [value]), kid)
    name = jwk.get("kid")
    try:
        private = jwt.PyJWK({**jwk, "alg": "ES384" if jwk.get("kty") == "EC" else "RS384"}).key
    except Exception:  # noqa: BLE001 - as above
        raise UsageError(f"{file}: its JWK cannot be read; SMART takes {NEEDED}") from None
    return _taken(file, private), name if isinstance(name, str) and name else None


def _chosen(file: Path, listed: object, kid: str | None) -> dict[str, Any]:
    """The only private key, or that with the given name."""
    found = [one for one in (listed if isinstance(listed, list) else []) if isinstance(one, dict) and one.get("d")]
    if not found:
        raise UsageError(f"{file}: holds public keys only; give the private one")
    if len(found) == 1:
        return found[0]
    named = [one for one in found if one.get("kid") == kid]
    if len(named) != 1:
        raise UsageError(f"{file}: holds {len(found)} private keys; say with --kid which is meant")
    return named[0]


def _taken(file: Path, private: object) -> RSAPrivateKey | EllipticCurvePrivateKey:
    if isinstance(private, RSAPrivateKey | EllipticCurvePrivateKey):
        return private
    raise UsageError(f"{file}: is a key of another kind; SMART takes {NEEDED}")


def _algorithm(file: Path, private: RSAPrivateKey | EllipticCurvePrivateKey) -> str:
    if isinstance(private, RSAPrivateKey):
        if private.key_size < WEAKEST:
            raise UsageError(f"{file}: has {private.key_size} bits, which is too few; SMART takes {NEEDED}")
        return "RS384"
    if not isinstance(private.curve, SECP384R1):
        raise UsageError(f"{file}: is on the curve {private.curve.name}; SMART takes {NEEDED}")
    return "ES384"
