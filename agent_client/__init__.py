"""What agents and callers import: `AgentClient`, `HubClient`, `Hub` and `AgentRegistration`.

An agent registers and stays registered with `AgentClient`; programs that look for agents use
`HubClient`; programs without asyncio use `AgentRegistration` and `Hub`. All exceptions are
`HomeportError`s.
"""

from __future__ import annotations

from agent_client.agent import AgentClient
from agent_client.agent_registration import AgentRegistration
from agent_client.answers import (
    FlappingAgent,
    HeartbeatAck,
    Hubs,
    HubStatus,
    LossAcknowledged,
    Updated,
)
from agent_client.blocking_watch import BlockingWatch
from agent_client.errors import (
    AgentRemoved,
    AlreadyRegistered,
    BadRequest,
    BadURL,
    CannotConnect,
    Conflict,
    ConnectionLost,
    Fenced,
    Forbidden,
    HomeportError,
    Internal,
    NoMatch,
    NotFound,
    NotRegistered,
    RateLimited,
    Timeout,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnknownOp,
)
from agent_client.hub import Hub
from agent_client.hub_client import HubClient
from agent_client.lease import Lease
from agent_client.records import AgentRecord, Health
from agent_client.run import run
from agent_client.transport.backoff import Backoff
from agent_client.watch import Watch
from agent_client.watch_items import Event, Reading, Resync, Snapshot, WatchItem
from homeport_protocol.bounds import Kind, Status, Strategy
from homeport_protocol.filters import Filter

__all__ = [
    "AgentClient",
    "AgentRecord",
    "AgentRegistration",
    "AgentRemoved",
    "AlreadyRegistered",
    "Backoff",
    "BadRequest",
    "BadURL",
    "BlockingWatch",
    "CannotConnect",
    "Conflict",
    "ConnectionLost",
    "Event",
    "Fenced",
    "Filter",
    "FlappingAgent",
    "Forbidden",
    "Health",
    "HeartbeatAck",
    "HomeportError",
    "Hub",
    "HubClient",
    "HubStatus",
    "Hubs",
    "Internal",
    "Kind",
    "Lease",
    "LossAcknowledged",
    "NoMatch",
    "NotFound",
    "NotRegistered",
    "RateLimited",
    "Reading",
    "Resync",
    "Snapshot",
    "Status",
    "Strategy",
    "Timeout",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "UnknownOp",
    "Updated",
    "Watch",
    "WatchItem",
    "run",
]
