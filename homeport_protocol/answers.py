"""The messages of a hub: answers to requests, and the messages of a watch.

The Structs with records are generic in the type of a record: a client decodes
`Agents[AgentRecord]`; a hub encodes `Agents[msgspec.Raw]`, which reuses a record's bytes.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import UNSET, Struct, UnsetType

from homeport_protocol.bounds import Kind, Status
from homeport_protocol.errors import ErrorCode, Unknown
from homeport_protocol.record import AgentRecord

R = TypeVar("R")


class _Answer(Struct, frozen=True, kw_only=True, tag_field="op"):
    id: int | str


class Registered(_Answer, frozen=True, kw_only=True, tag="registered"):
    """The lease and its terms; intervals are in seconds."""

    agent_id: str
    session_token: str
    epoch: int
    resumed: bool
    registered_at: str
    heartbeat_interval: float
    heartbeat_timeout: float
    lease_ttl: float
    log: str
    revision: int


class HeartbeatAck(_Answer, frozen=True, kw_only=True, tag="heartbeat_ack"):
    """`durable` is false when the hub got the heartbeat but could not write it to Redis."""

    next_interval: float
    timestamp: str
    durable: bool


class Updated(_Answer, frozen=True, kw_only=True, tag="updated"):
    """The change is durable, and visible to all from `revision` on."""

    log: str
    revision: int


class Unregistered(_Answer, frozen=True, kw_only=True, tag="unregistered"):
    """The lease has ended; the connection closes next."""


class Removed(_Answer, frozen=True, kw_only=True, tag="removed"):
    """The agent asked for has been removed."""


class Agents(_Answer, Generic[R], frozen=True, kw_only=True, tag="agents"):
    """A page of agents, ordered by id; `next_cursor` is absent on the last one."""

    agents: list[R]
    count: int
    log: str
    revision: int
    next_cursor: str | UnsetType = UNSET


class Agent(_Answer, Generic[R], frozen=True, kw_only=True, tag="agent"):
    """One agent, answering `get` or `pick`."""

    agent: R


class Watching(_Answer, frozen=True, kw_only=True, tag="watching"):
    """The watch has begun; a snapshot follows unless `resumed`.

    `position` is that of `revision` in `log`: how far the hub is, and not yet the watch.
    """

    watch: int
    resumed: bool
    log: str
    revision: int
    position: str | UnsetType = UNSET


class Unwatched(_Answer, frozen=True, kw_only=True, tag="unwatched"):
    """No message of the watch follows this one."""


class Pong(_Answer, frozen=True, kw_only=True, tag="pong"):
    """The answer to a ping."""


class HubStatus(Struct, frozen=True, kw_only=True):
    """A hub of the cluster, as it reported within the last seconds.

    `started` is RFC 3339. `revision` is how far the hub has followed the log, and `lag` by how many
    changes it is behind the hub that has followed furthest.
    """

    hub_id: str
    url: str
    version: str
    started: str
    agents: int
    sessions: int
    revision: int
    lag: int


class FlappingAgent(Struct, frozen=True, kw_only=True):
    """An agent that changes often: how often it was lost, came back, or changed its status.

    `changes` is at most 32. `last_kind` and `last_change` (RFC 3339) are of the newest change;
    `last_reason` is the newest reason of `health` that was not `ok`, "" if there was none.
    """

    agent_id: str
    name: str
    type: str
    status: Status
    changes: int
    last_kind: Kind
    last_reason: str
    last_change: str


class Flapping(_Answer, frozen=True, kw_only=True, tag="flapping"):
    """The agents that change often, the worst first; `since` is from when on changes count."""

    agents: list[FlappingAgent]
    since: str


class Hubs(_Answer, frozen=True, kw_only=True, tag="hubs"):
    """The living hubs, ordered by id; `answered_by` is the id of the one that answers."""

    hubs: list[HubStatus]
    answered_by: str
    log: str
    revision: int


class LossAcknowledged(_Answer, frozen=True, kw_only=True, tag="loss_acknowledged"):
    """Agents that were lost up to `revision` may be removed; all hubs are informed.

    `agents` is the number of agents that were held back; 0 when there were none.
    """

    agents: int
    revision: int


class Snapshot(Struct, Generic[R], frozen=True, kw_only=True, tag_field="op", tag="snapshot"):
    """A chunk of all agents that match, as of `revision`; `last` is true on the final one.

    A snapshot in the middle of a watch means that a new log began: it replaces all earlier state.
    The final one has the `position` of `revision`.
    """

    watch: int
    agents: list[R]
    log: str
    revision: int
    last: bool
    position: str | UnsetType = UNSET


class Event(Struct, Generic[R], frozen=True, kw_only=True, tag_field="op", tag="event"):
    """One change, and its `position` in the log, from which a later watch may go on.

    `coalesced`: this slow watcher missed older states of the same agent.
    """

    watch: int
    revision: int
    position: str | UnsetType = UNSET
    kind: Kind
    agent: R
    coalesced: bool | UnsetType = UNSET


class Reading(Struct, frozen=True, kw_only=True, tag_field="op", tag="reading"):
    """The newest loads, by agent's id, of those in the watch's filter whose load has moved.

    Only for watches with `readings`. A reading is no change: it has no revision.
    """

    watch: int
    loads: dict[str, float]


class Error(Struct, frozen=True, kw_only=True, tag_field="op", tag="error"):
    """A request was refused. `field` names the wrong field; `retry_after` is in seconds.

    With `outcome` the change may have happened all the same, or may yet happen; without it, it has
    not happened and will not.
    """

    id: int | str | None
    code: ErrorCode
    message: str
    retryable: bool
    retry_after: float | UnsetType = UNSET
    field: str | UnsetType = UNSET
    outcome: Unknown | UnsetType = UNSET


Answer = (
    Registered
    | HeartbeatAck
    | Updated
    | Unregistered
    | Removed
    | Agents[AgentRecord]
    | Agent[AgentRecord]
    | Watching
    | Unwatched
    | Pong
    | Flapping
    | Hubs
    | LossAcknowledged
    | Error
)
Message = Answer | Snapshot[AgentRecord] | Event[AgentRecord] | Reading
