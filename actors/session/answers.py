"""Answers to requests that an agent's actor or the supervisor accepted: from outcome to bytes."""

from __future__ import annotations

from actors.agent.outcomes import Acknowledged, Lease
from actors.timing import Timing
from homeport_protocol.answers import HeartbeatAck, LossAcknowledged, Registered, Updated
from homeport_protocol.codec import encode
from homeport_protocol.requests import AcknowledgeLoss, Heartbeat, Register, Resume, Update


def registered(request: Register | Resume, lease: Lease, timing: Timing) -> bytes:
    """The lease and its terms."""
    return encode(
        Registered(
            id=request.id,
            agent_id=lease.agent_id,
            session_token=lease.session_token,
            epoch=lease.epoch,
            resumed=lease.resumed,
            registered_at=lease.registered_at,
            heartbeat_interval=timing.heartbeat_interval,
            heartbeat_timeout=timing.heartbeat_timeout,
            lease_ttl=timing.lease_ttl,
            log=lease.log,
            revision=lease.revision,
        )
    )


def heartbeat_ack(request: Heartbeat, outcome: Acknowledged, timing: Timing) -> bytes:
    """When the heartbeat came, and whether it is durable."""
    return encode(
        HeartbeatAck(
            id=request.id,
            next_interval=timing.heartbeat_interval,
            timestamp=outcome.timestamp,
            durable=outcome.durable,
        )
    )


def updated(request: Update, outcome: Acknowledged, log: str) -> bytes:
    """From which revision on all see the change."""
    return encode(Updated(id=request.id, log=log, revision=outcome.revision))


def loss_acknowledged(request: AcknowledgeLoss, outcome: Acknowledged, agents: int) -> bytes:
    """How many agents may be removed now, lost up to which revision."""
    return encode(LossAcknowledged(id=request.id, agents=agents, revision=outcome.revision))
