"""A hub's answers as a Python program gets them: without the number of the request."""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import Struct

from agent_client.values import Value
from homeport_protocol import answers

V = TypeVar("V", bound=Value)


class HeartbeatAck(Struct, Value, frozen=True, kw_only=True):
    """The hub has the heartbeat; the next one is due in `next_interval` seconds.

    `durable` is false when the hub could not write it to Redis. `timestamp` is RFC 3339.
    """

    next_interval: float
    timestamp: str
    durable: bool


class Updated(Struct, Value, frozen=True, kw_only=True):
    """The change is durable, and visible to all from `revision` of `log` on."""

    log: str
    revision: int


class HubStatus(answers.HubStatus, Value, frozen=True, kw_only=True):
    """A hub of the cluster, as it reported within the last seconds.

    `started` is RFC 3339. `revision` is how far the hub has followed the log, and `lag` by how many
    changes it is behind the hub that has followed furthest.
    """


class Hubs(Struct, Value, frozen=True, kw_only=True):
    """The living hubs, ordered by id; `answered_by` is the id of the one that answers."""

    hubs: list[HubStatus]
    answered_by: str
    log: str
    revision: int


class FlappingAgent(answers.FlappingAgent, Value, frozen=True, kw_only=True):
    """An agent that changes often: how often it was lost, came back, or changed its status.

    `changes` is at most 32. `last_kind` and `last_change` (RFC 3339) are of the newest change;
    `last_reason` is the newest reason of `health` that was not `ok`, "" if there was none.
    """


class LossAcknowledged(Struct, Value, frozen=True, kw_only=True):
    """Agents that were lost up to `revision` may be removed; all hubs are informed.

    `agents` is the number of agents that were held back; 0 when there were none.
    """

    agents: int
    revision: int


def copied(type_: type[V], answer: Struct, **others: Any) -> V:
    """A `type_` with the fields of `answer` that it has as well, and `others`."""
    fields = (field for field in type_.__struct_fields__ if field not in others)  # type: ignore[attr-defined]
    return type_(**{field: getattr(answer, field) for field in fields}, **others)
