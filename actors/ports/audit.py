"""What the brain has for the audit log; `Observer.audited` gets it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

AuditedAct = Literal[
    "connect",
    "read",
    "watch",
    "pick",
    "call",
    "register",
    "take_over",
    "resume",
    "change",
    "end",
    "expire",
    "remove",
    "acknowledge_loss",
    "administer_tokens",
    "create_token",
    "revoke_token",
    "log_in",
]
"""`take_over` is a registration or resumption while another session held the agent, `expire` what
a hub does by itself. Refusals have the acts of `actors.rules.permissions`."""

REFUSALS = frozenset({"unauthorized", "forbidden"})
"""The outcomes of what is refused because of who asks."""


class Audited(Struct, frozen=True, gc=False, kw_only=True):
    """An act: who did it, from which address, to which agent; "" and 0 where that does not apply.

    `outcome` is `ok`, an error code, or `unknown` when the store did not say whether it happened.
    """

    what: AuditedAct
    outcome: str = "ok"
    principal: str = ""
    address: str = ""
    agent_id: str = ""
    name: str = ""
    epoch: int = 0
    revision: int = 0
