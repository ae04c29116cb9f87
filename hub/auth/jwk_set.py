"""The public keys that sign JWTs, from a JSON Web Key Set (RFC 7517).

No error repeats what is in the set: by mistake it may hold a private key.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from jwt import PyJWK, PyJWTError
from msgspec import Struct

from hub.errors import HubError

ALGORITHMS = ("RS256", "ES256", "EdDSA")
"""The signatures that are taken; each key is for one of them."""

MAX_KEYS = 64
MAX_BYTES = 256 * 1024
MIN_RSA_BITS = 2048

_PRIVATE = ("d", "k", "p", "q")
"""Members of a JWK that are secret."""


class JwkSetError(HubError):
    """The set cannot be used; says why in one plain phrase."""

    status = 2


class SigningKey(Struct, frozen=True):
    """A key, the one algorithm that it is for, and what identifies it wherever it is read."""

    kid: str | None
    algorithm: str
    thumbprint: str
    jwk: PyJWK


class JwkSet:
    """The keys of a set that can be used here."""

    def __init__(self, keys: list[SigningKey]) -> None:
        self._keys = keys
        self.thumbprints = frozenset(key.thumbprint for key in keys)

    def find(self, kid: str | None, algorithm: str) -> SigningKey | None:
        """The key for a token with this header; without a `kid` the only one that fits."""
        fitting = [
            key
            for key in self._keys
            if key.algorithm == algorithm and (kid is None or key.kid == kid)
        ]
        return fitting[0] if len(fitting) == 1 else None

    def knows(self, kid: str) -> bool:
        """Whether one of the keys has this `kid`."""
        return any(key.kid == kid for key in self._keys)


EMPTY = JwkSet([])


def read_jwk_set(data: bytes) -> JwkSet:
    """The set in a file or an answer. Raises JwkSetError.

    Keys of other kinds than the three, and for other uses than signatures, are left out.
    """
    if len(data) > MAX_BYTES:
        raise JwkSetError(f"is larger than {MAX_BYTES:,} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise JwkSetError("is not JSON") from None
    members = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(members, list):
        raise JwkSetError('is no JSON Web Key Set: an object with an array "keys"')
    if len(members) > MAX_KEYS:
        raise JwkSetError(f"has more than {MAX_KEYS} keys")
    jwks = [each for each in members if isinstance(each, dict)]
    if any(name in jwk for jwk in jwks for name in _PRIVATE):
        raise JwkSetError("holds a private or secret key; it must have the public ones only")
    keys = [key for jwk in jwks if (key := _signing_key(jwk)) is not None]
    kids = [(key.kid, key.algorithm) for key in keys if key.kid is not None]
    if len(set(kids)) < len(kids):
        raise JwkSetError("has two keys of the same kid")
    if not keys:
        raise JwkSetError(f"has no key for signatures with {', '.join(ALGORITHMS)}")
    return JwkSet(keys)


def _signing_key(jwk: dict[str, Any]) -> SigningKey | None:
    """The key for one of the algorithms, or None; its type decides which one."""
    match (jwk.get("kty"), jwk.get("crv")):
        case ("RSA", _):
            algorithm = "RS256"
        case ("EC", "P-256"):
            algorithm = "ES256"
        case ("OKP", "Ed25519"):
            algorithm = "EdDSA"
        case _:
            return None
    operations = jwk.get("key_ops")
    if (
        jwk.get("alg", algorithm) != algorithm
        or jwk.get("use", "sig") != "sig"
        or (operations is not None and not _verifies(operations))
    ):
        return None
    kid = jwk.get("kid")
    try:
        key = PyJWK(jwk, algorithm)
    except PyJWTError:
        return None
    if algorithm == "RS256" and key.key.key_size < MIN_RSA_BITS:
        return None
    return SigningKey(kid if isinstance(kid, str) else None, algorithm, _thumbprint(jwk), key)


def _verifies(operations: object) -> bool:
    return isinstance(operations, list) and "verify" in operations


def _thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638: the SHA-256 of the members that make the key."""
    members = {name: jwk[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in jwk}
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
