"""Queries over a websocket: from a request to its answer's bytes, without encoding a record anew.

Each raises ProtocolError for what cannot be granted.
"""

from __future__ import annotations

from msgspec import UNSET, Raw

from actors.supervisor import Supervisor
from protocol.answers import Agent
from protocol.codec import encode
from protocol.requests import Find, Get, Pick


def find(supervisor: Supervisor, request: Find) -> bytes:
    """A page of the agents that match."""
    cursor = None if request.cursor is UNSET else request.cursor
    page = supervisor.find(request.filter, request.limit, cursor)
    more = b"" if page.next_cursor is None else b',"next_cursor":' + encode(page.next_cursor)
    return b'{"op":"agents","id":%s,"agents":[%s],"count":%d,"log":%s,"revision":%d%s}' % (
        encode(request.id),
        b",".join(page.agents),
        len(page.agents),
        encode(supervisor.log),
        supervisor.revision,
        more,
    )


def get(supervisor: Supervisor, request: Get) -> bytes:
    """One agent by its id."""
    return encode(Agent(id=request.id, agent=Raw(supervisor.get(request.agent_id))))


def pick(supervisor: Supervisor, request: Pick) -> bytes:
    """One agent to give work to."""
    key = None if request.key is UNSET else request.key
    data = supervisor.pick(request.filter, request.strategy, key)
    return encode(Agent(id=request.id, agent=Raw(data)))
