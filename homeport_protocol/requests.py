"""The requests of a websocket, one Struct for each `op`."""

from __future__ import annotations

from typing import Annotated, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from homeport_protocol.bounds import (
    DEFAULT_FIND_LIMIT,
    DEFAULT_FLAPPING_CHANGES,
    DEFAULT_FLAPPING_LIMIT,
    DEFAULT_FLAPPING_WITHIN,
    AgentId,
    Capabilities,
    FindLimit,
    FlappingChanges,
    FlappingLimit,
    FlappingWithin,
    Host,
    Kinds,
    Load,
    Metadata,
    Port,
    Position,
    RequestId,
    Revision,
    ShortString,
    Status,
    Strategy,
    Version,
    WatchNumber,
)
from homeport_protocol.filters import MATCH_ALL, Filter
from homeport_protocol.record import NO_CHANGES, AgentChanges, AgentSpec
from homeport_protocol.texts import compose


class _Request(Struct, frozen=True, kw_only=True, tag_field="op", gc=False):
    """`id` is chosen by the sender; exactly one answer has the same `id`."""

    id: RequestId


class Register(_Request, frozen=True, kw_only=True, tag="register"):
    """Begin a lease. With `agent_id` the identity is stable, and an older session is fenced off.

    With `exclusive` it is refused (`conflict`) while another session of the agent lives.
    """

    agent: AgentSpec
    agent_id: AgentId | UnsetType = UNSET
    exclusive: bool | UnsetType = UNSET


class Resume(_Request, frozen=True, kw_only=True, tag="resume"):
    """Continue a registration on a new connection, with the token of its first answer."""

    agent_id: AgentId
    session_token: ShortString
    agent: AgentChanges = NO_CHANGES

    def __post_init__(self) -> None:
        if self.agent is not NO_CHANGES:
            compose(self.agent, prefix="agent.")


class Heartbeat(_Request, frozen=True, kw_only=True, tag="heartbeat"):
    """Renew the lease, and report status, metadata or load."""

    status: Status | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    load: Load | UnsetType = UNSET


class Update(_Request, frozen=True, kw_only=True, tag="update"):
    """Change the record; the fields are those of `AgentChanges`."""

    capabilities: Capabilities | UnsetType = UNSET
    version: Version | UnsetType = UNSET
    host: Host | UnsetType = UNSET
    port: Port | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    load: Load | UnsetType = UNSET

    def __post_init__(self) -> None:
        compose(self)


class Unregister(_Request, frozen=True, kw_only=True, tag="unregister"):
    """End the lease now; the hub answers and closes with 1000."""


class Remove(_Request, frozen=True, kw_only=True, tag="remove"):
    """End another agent's lease now, for operators; its session is closed with 1000."""

    agent_id: AgentId


class Find(_Request, frozen=True, kw_only=True, tag="find"):
    """Ask for the agents that match, ordered by id, in pages of at most `limit`."""

    filter: Filter = MATCH_ALL
    limit: FindLimit = DEFAULT_FIND_LIMIT
    cursor: ShortString | UnsetType = UNSET


class FindFlapping(_Request, frozen=True, kw_only=True, tag="flapping"):
    """Ask for the agents that match and changed at least so often within the last seconds."""

    filter: Filter = MATCH_ALL
    changes: FlappingChanges = DEFAULT_FLAPPING_CHANGES
    within: FlappingWithin = DEFAULT_FLAPPING_WITHIN
    limit: FlappingLimit = DEFAULT_FLAPPING_LIMIT


class Get(_Request, frozen=True, kw_only=True, tag="get"):
    """Ask for one agent."""

    agent_id: AgentId


class Pick(_Request, frozen=True, kw_only=True, tag="pick"):
    """Ask for one agent to give work to; `sticky` needs a `key`."""

    filter: Filter = MATCH_ALL
    strategy: Strategy = "round_robin"
    key: Annotated[str, Meta(max_length=256)] | UnsetType = UNSET


class Watch(_Request, frozen=True, kw_only=True, tag="watch"):
    """Subscribe to the changes of the agents that match, from the beginning or from where one was.

    That is a `position`, or `since` and `log`, which go together. With `kinds`, only events of
    these kinds are sent; the snapshot has all agents nevertheless. With `readings`, loads that move
    are sent as well, at most once a second.
    """

    filter: Filter = MATCH_ALL
    since: Revision | UnsetType = UNSET
    log: ShortString | UnsetType = UNSET
    position: Position | UnsetType = UNSET
    kinds: Kinds | UnsetType = UNSET
    readings: bool | UnsetType = UNSET


class Unwatch(_Request, frozen=True, kw_only=True, tag="unwatch"):
    """End a watch by its number."""

    watch: WatchNumber


class Ping(_Request, frozen=True, kw_only=True, tag="ping"):
    """Ask for a `pong`, which measures the round trip through the hub itself."""


class ListHubs(_Request, frozen=True, kw_only=True, tag="hubs"):
    """Ask for the living hubs of the cluster."""


class AcknowledgeLoss(_Request, frozen=True, kw_only=True, tag="acknowledge_loss"):
    """Allow the removal of agents that is held because many were lost at once."""


Request = (
    Register
    | Resume
    | Heartbeat
    | Update
    | Unregister
    | Remove
    | Find
    | FindFlapping
    | Get
    | Pick
    | Watch
    | Unwatch
    | Ping
    | ListHubs
    | AcknowledgeLoss
)

OPS = frozenset(str(request.__struct_config__.tag) for request in get_args(Request))
"""Every `op` that is a request."""

RESERVED_OPS = ("call", "invoke", "reply")
"""Reserved for calls of agents through the hub; answered `unknown_op` until then."""
