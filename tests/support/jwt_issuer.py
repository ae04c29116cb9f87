"""A signer of JWTs, with keys that are made anew for each test."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import time
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

Claims = dict[str, Any]

KEYS: dict[str, Any] = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


def part(value: object) -> str:
    """A part of a JWT: JSON, or bytes as they are, in base64."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    """A private key and its `kid`."""

    def __init__(self, kid: str | None = "k1", algorithm: str = "ES256") -> None:
        self.kid = kid
        self.algorithm = algorithm
        self.private = KEYS[algorithm]()

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key as a member of a set."""
        made = get_default_algorithms()[self.algorithm].to_jwk(self.private.public_key(), True)
        jwk: dict[str, Any] = {**made, "alg": self.algorithm, "use": "sig"}
        if self.kid is not None:
            jwk["kid"] = self.kid
        return jwk

    def sign(self, claims: Claims, **header: object) -> str:
        """A JWT; `header` adds to its header or replaces what is in it."""
        headers = {"kid": self.kid, **header} if self.kid is not None else header
        return jwt.encode(claims, self.private, algorithm=self.algorithm, headers=headers)

    def sign_parts(self, header: object, payload: object) -> str:
        """A JWT of these very parts, whatever a library would say of them."""
        signed = f"{part(header)}.{part(payload)}"
        signer = get_default_algorithms()[self.algorithm]
        return f"{signed}.{part(signer.sign(signed.encode(), self.private))}"


def jwks(*keys: Key) -> bytes:
    """The set of the public keys."""
    return json.dumps({"keys": [key.jwk for key in keys]}).encode()


def claims(**changes: Any) -> Claims:
    """Claims that are good for an hour; None leaves one out."""
    now = time.time()
    made = {
        "sub": "robot",
        "exp": int(now + 3600),
        "homeport": {"role": "agent", "namespace": "default", "names": ["web-*"]},
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


class JwksServer:
    """Serves `body` with `status` over HTTP on this machine; counts how often it was asked."""

    def __init__(self, body: bytes = b"", status: int = 200) -> None:
        self.body = body
        self.status = status
        self.asked = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/jwks.json"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
