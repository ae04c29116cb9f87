"""Queries over a websocket: from a request to its answer's bytes, without encoding a record again.

Each raises ProtocolError for what cannot be answered.
"""

from __future__ import annotations

from msgspec import UNSET, Raw, structs

from actors.agent.outcomes import unavailable
from actors.namespace.supervisor import Supervisor
from actors.ports.store import HubLease
from actors.runtime.turns import Steps
from homeport_protocol.answers import Agent, Flapping, Hubs, HubStatus
from homeport_protocol.bounds import MAX_PAGE_BYTES
from homeport_protocol.codec import encode
from homeport_protocol.requests import Find, FindFlapping, Get, ListHubs, Pick


def find(supervisor: Supervisor, request: Find) -> Steps[bytes]:
    """A page of the agents that match, of MAX_PAGE_BYTES at most."""
    cursor = None if request.cursor is UNSET else request.cursor
    page = yield from supervisor.find(request.filter, request.limit, cursor, MAX_PAGE_BYTES)
    more = b"" if page.next_cursor is None else b',"next_cursor":' + encode(page.next_cursor)
    return b'{"op":"agents","id":%s,"agents":[%s],"count":%d,"log":%s,"revision":%d%s}' % (
        encode(request.id),
        page.joined,
        len(page.agents),
        encode(supervisor.log),
        supervisor.revision,
        more,
    )


def flapping(supervisor: Supervisor, request: FindFlapping) -> Steps[bytes]:
    """The agents that change often."""
    if not supervisor.ready:
        raise unavailable(supervisor.not_ready_reasons())
    flapping = supervisor.replica.flapping
    found = yield from flapping.find(request.filter, request.changes, request.within, request.limit)
    since = flapping.counted_since(request.within)
    return encode(Flapping(id=request.id, agents=found, since=since))


def agent(request: Get, record: bytes) -> bytes:
    """The one agent asked for, whose record this is."""
    return encode(Agent(id=request.id, agent=Raw(record)))


def pick(supervisor: Supervisor, request: Pick) -> Steps[bytes]:
    """One agent to give work to."""
    key = None if request.key is UNSET else request.key
    data = yield from supervisor.pick(request.filter, request.strategy, key)
    return encode(Agent(id=request.id, agent=Raw(data)))


def hubs(supervisor: Supervisor, request: ListHubs) -> bytes:
    """The living hubs of the cluster."""
    if not supervisor.ready:
        raise unavailable(supervisor.not_ready_reasons())
    leases = supervisor.roster
    furthest = max((each.revision for each in leases), default=0)
    return encode(
        Hubs(
            id=request.id,
            hubs=[_status(each, furthest) for each in leases],
            answered_by=supervisor.hub_id,
            log=supervisor.log,
            revision=supervisor.revision,
        )
    )


def _status(lease: HubLease, furthest: int) -> HubStatus:
    """A hub as its lease describes it; its times are for other hubs only."""
    described = structs.asdict(lease)
    del described["times"]
    return HubStatus(**described, lag=furthest - lease.revision)
