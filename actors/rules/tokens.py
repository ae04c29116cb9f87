"""Session tokens: proof that a connection may take up a registration.

A token is `{registered_at}.{epoch}.{mac}` with mac = HMAC-SHA256(secret, agent id and what stands
before), so nothing is stored for it: it outlives connections and hubs, and ends with the next
registration of the same identity, which has another `registered_at`. The epoch is the one that the
registration was given. It tells an older registration from one that the store has lost, since
epochs only rise. Tokens of before there was an epoch in them are valid without.
"""

from __future__ import annotations

import hmac
from typing import Literal

Validity = Literal["valid", "superseded", "lost", "invalid"]


def issue_token(secret: bytes, agent_id: str, registered_at: str, epoch: int) -> str:
    """The token of this registration of this agent, which was given that epoch."""
    return _signed(secret, agent_id, f"{registered_at}.{epoch}")


def check_token(
    secret: bytes, agent_id: str, registered_at: str, epoch: int, token: str
) -> Validity:
    """Whether `token` belongs to the registration made at `registered_at`; `epoch` is today's.

    `superseded`: it belongs to an earlier registration of the same identity, which a newer one has
    fenced off. `lost`: to a later one, which the store does not know any more.
    """
    named, _, _ = token.rpartition(".")
    if not hmac.compare_digest(_signed(secret, agent_id, named).encode(), token.encode()):
        return "invalid"
    signed_at, signed_epoch = named, ""
    if not named.endswith("Z"):
        signed_at, _, signed_epoch = named.rpartition(".")
    if signed_at == registered_at:
        return "valid"
    return "lost" if signed_epoch.isdecimal() and int(signed_epoch) > epoch else "superseded"


def _signed(secret: bytes, agent_id: str, named: str) -> str:
    mac = hmac.digest(secret, f"{agent_id}\n{named}".encode(), "sha256")
    return f"{named}.{mac.hex()[:32]}"
