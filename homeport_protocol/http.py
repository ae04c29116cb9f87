"""The bodies of the HTTP routes: the legacy registry's documented ones, and those added.

Bodies of callers are read as leniently as by the legacy service: `null` and an empty `status` mean
absent, and unknown fields are ignored. So is a `status` at registration that is none.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from homeport_protocol.bounds import (
    LONGEST,
    NO_UNSEEN,
    STATUSES,
    AgentId,
    AgentType,
    Host,
    Load,
    Metadata,
    Name,
    Port,
    Status,
    Version,
)
from homeport_protocol.errors import ProtocolError, Unknown
from homeport_protocol.record import AgentSpec
from homeport_protocol.texts import compose

SESSION_TOKEN_HEADER = "Homeport-Session-Token"  # noqa: S105 - the name of a header
"""The header in which a caller over HTTP shows the `session_token` of its registration."""

AGENT_NOT_FOUND = "agent not found"
"""What the error begins with, here as in the legacy service, when a heartbeat's id is unknown."""

R = TypeVar("R")

ReportedStatus = Literal[Status, ""]
"""A status, or the empty string that callers of the legacy service send for none."""

_STATUS = "`healthy`, `degraded`, `unhealthy` or `unreachable`; anything else counts as `healthy`."

LegacyCapabilities = Annotated[
    list[Annotated[str, Meta(max_length=LONGEST["capabilities"], pattern=NO_UNSEEN)] | None],
    Meta(max_length=256),
]

_HOST_AND_PORT = re.compile(r"(?:\[([^\[\]]+)\]|([^:]+)):([0-9]{1,5})")


class LegacyRegistration(Struct, frozen=True, gc=False, kw_only=True):
    """Body of `POST /agents/register`.

    `port` may be left out when `host` has the form `name:port`. `agent_id` asks for a stable
    identity. The legacy service ignored a `status` here, so one that is unknown is ignored; and it
    took empty, blank and null capabilities, which are dropped. `exclusive` as for a websocket.
    """

    name: Name
    type: AgentType
    host: Host
    port: Port | None = None
    capabilities: LegacyCapabilities | None = None
    version: Version | None = None
    metadata: Metadata | None = None
    status: Annotated[Any, Meta(description=_STATUS)] = None
    load: Load | None = None
    agent_id: AgentId | None = None
    exclusive: bool | None = None

    def __post_init__(self) -> None:
        compose(self)

    def spec(self) -> AgentSpec:
        """The agent's description, as in the websocket protocol.

        Raises ProtocolError `bad_request` (field `port`) when no port can be found.
        """
        host, port = self._address()
        return AgentSpec(
            name=self.name,
            type=self.type,
            host=host,
            port=port,
            capabilities=[each for each in self.capabilities or () if each and not each.isspace()],
            version=self.version or "",
            metadata=UNSET if self.metadata is None else self.metadata,
            status=self.status if self.status in STATUSES else "healthy",
            load=UNSET if self.load is None else self.load,
        )

    def _address(self) -> tuple[str, int]:
        if self.port is not None:
            return self.host, self.port
        both = _HOST_AND_PORT.fullmatch(self.host)
        if both is None or int(both[3]) > 65535:
            raise ProtocolError(
                "bad_request",
                "port: missing; send `port` (0 to 65535), or both as `host` of the form name:port",
                field="port",
            )
        return both[1] or both[2], int(both[3])


class LegacyHeartbeat(Struct, frozen=True, gc=False, kw_only=True):
    """Body of `POST /agents/{id}/heartbeat`; `metadata` is merged key by key, null deletes."""

    status: ReportedStatus | None = None
    metadata: Metadata | None = None
    load: Load | None = None

    def reported(self) -> Status | UnsetType:
        """The reported status, if there is one."""
        return self.status or UNSET

    def changes(self) -> Metadata | UnsetType:
        """The metadata to merge, if there is any."""
        return UNSET if self.metadata is None else self.metadata


class LegacyLease(Struct, frozen=True, kw_only=True):
    """Answer to a registration: where to send heartbeats, and the interval in seconds.

    `session_token` is a secret; sent along with heartbeats, it tells them from those of an older
    registration of the same agent.
    """

    agent_id: str
    registered_at: str
    heartbeat_url: str
    heartbeat_interval_seconds: int | float
    session_token: str


class LegacyHeartbeatAnswer(Struct, frozen=True, kw_only=True):
    """Answer to a heartbeat that is stored: when the next one is due, in seconds."""

    received: bool
    next_interval_seconds: int | float
    timestamp: str


class Confirmation(Struct, frozen=True):
    """Answer to an unregistration, for an unknown id as well, or to a removal."""

    message: str


class AgentList(Struct, Generic[R], frozen=True, kw_only=True):
    """Agents ordered by id; `next_cursor` only when there are more than `limit`."""

    agents: list[R]
    count: int
    next_cursor: str | UnsetType = UNSET


class HealthAnswer(Struct, frozen=True, kw_only=True):
    """The process answers; `/ready` tells whether it can do its work."""

    status: Literal["healthy"] = "healthy"
    service: Literal["orchestrator"] = "orchestrator"
    timestamp: str


class Ready(Struct, frozen=True, kw_only=True):
    """The hub accepts registrations.

    `warnings` are what an operator should look at nevertheless, such as many agents lost at once.
    A caller that may not read gets no more than `status`.
    """

    status: Literal["ready"] = "ready"
    hub: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET


class NotReady(Struct, frozen=True, kw_only=True):
    """Why the hub cannot accept registrations; reads may still be answered from memory.

    A caller that may not read gets no `reasons`.
    """

    error: str
    status: Literal["not ready"] = "not ready"
    reasons: list[str] | UnsetType = UNSET


class Index(Struct, frozen=True, kw_only=True):
    """What this hub is, and links to its pages."""

    service: str
    version: str
    hub: str
    links: dict[str, str]


class ErrorBody(Struct, frozen=True):
    """A failure over HTTP, in one plain sentence.

    With `outcome` the change may have happened all the same, or may yet happen; without it, it has
    not happened and will not.
    """

    error: str
    outcome: Unknown | UnsetType = UNSET


def whole(seconds: float) -> int | float:
    """Whole seconds as an integer, which legacy callers expect; other values unchanged."""
    return int(seconds) if seconds.is_integer() else seconds
