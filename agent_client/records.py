"""The agent record as a Python program gets it: None and {} where a hub sends nothing."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct

from agent_client.values import Value
from homeport_protocol import record
from homeport_protocol.bounds import Status


class Health(record.Health, Value, frozen=True, gc=False):
    """The facts from which an agent's status is derived.

    `connection` is `websocket`, `http` or `lost`; `reported` the status that the agent gave last;
    `reason` a short word such as `ok` or `heartbeat_timeout`; `since` the RFC 3339 time at which
    the status last changed.
    """


class AgentRecord(Struct, Value, frozen=True, gc=False, kw_only=True):
    """One agent; the fields are in the order of the contract.

    `host` is empty and `port` 0 for an agent that does not listen. `metadata` is {} and `load` None
    when the agent gave none; `to_dict` leaves them out then, as the hub's JSON does. Timestamps are
    RFC 3339 in UTC with `Z`.

    Two records are equal when all their fields are. A record can be a member of a set, a field of a
    pydantic model, and what a FastAPI endpoint returns.
    """

    id: str
    name: str
    type: str
    host: str = ""
    port: int = 0
    capabilities: list[str] = []
    status: Status = "healthy"
    version: str = ""
    registered_at: str
    last_seen: str
    metadata: dict[str, Any] = {}
    load: float | None = None
    health: Health
    epoch: int = 1
    hub: str = ""
    revision: int = 0

    _absent_when: ClassVar[dict[str, Any]] = {"metadata": {}, "load": None}

    def __hash__(self) -> int:
        # A list and a dict have no hash; these three differ for almost all that is not equal.
        return hash((self.id, self.epoch, self.revision))

    def __repr__(self) -> str:
        # Metadata may hold what is not meant for a log.
        return (
            f"<AgentRecord name={self.name!r} id={self.id!r} status={self.status!r} "
            f"connection={self.health.connection!r}>"
        )
