"""What each request of a websocket does, for the table of permissions."""

from __future__ import annotations

from actors.rules.permissions import Act
from homeport_protocol.requests import (
    AcknowledgeLoss,
    Find,
    FindFlapping,
    Get,
    Heartbeat,
    ListHubs,
    Pick,
    Ping,
    Register,
    Remove,
    Request,
    Resume,
    Unregister,
    Unwatch,
    Update,
    Watch,
)

ACTS: dict[type[Request], Act | None] = {
    Register: "register",
    Resume: "change",
    Heartbeat: "change",
    Update: "change",
    Unregister: "end",
    Remove: "remove",
    Find: "read",
    FindFlapping: "read",
    Get: "read",
    Pick: "pick",
    Watch: "watch",
    Unwatch: "watch",
    Ping: None,
    ListHubs: "read",
    AcknowledgeLoss: "acknowledge_loss",
}
"""None: whoever is connected may. A test demands an entry for each request."""
