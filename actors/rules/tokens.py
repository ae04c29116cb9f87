"""Session tokens: proof that a connection may take up a registration.

A token is `{registered_at}.{mac}` with mac = HMAC-SHA256(secret, agent id and registered_at), so
nothing is stored for it: it outlives connections and hubs, and ends with the next registration
of the same identity, which has another `registered_at`.
"""

from __future__ import annotations

import hmac
from typing import Literal


def issue_token(secret: bytes, agent_id: str, registered_at: str) -> str:
    """The token of this registration of this agent."""
    mac = hmac.digest(secret, f"{agent_id}\n{registered_at}".encode(), "sha256")
    return f"{registered_at}.{mac.hex()[:32]}"


def check_token(
    secret: bytes, agent_id: str, registered_at: str, token: str
) -> Literal["valid", "superseded", "invalid"]:
    """Whether `token` belongs to the registration made at `registered_at`.

    `superseded`: it belongs to an earlier registration of the same identity, which a newer one has
    fenced off.
    """
    signed_at, _, _ = token.rpartition(".")
    genuine = issue_token(secret, agent_id, signed_at)
    if not hmac.compare_digest(genuine.encode(), token.encode()):
        return "invalid"
    return "valid" if signed_at == registered_at else "superseded"
