"""The websocket gateway: gives uvicorn the protocol object of each websocket.

uvicorn parses the HTTP request, sees the upgrade, and gives the transport to the object that its
`ws=` setting makes. From there on a `Connection` owns it, without a task or queue per connection.

`Host` and `Origin` have been checked by then (`hub.net.browsers`), as of any other request.
"""

from __future__ import annotations

from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from hub.net.intake import Intake
from hub.websocket.connection import Connection
from hub.websocket.outbox import Flusher
from hub.websocket.ports import WebsocketHub


class Gateway:
    """Makes the protocol object of each websocket; `protocol` goes to the `Listener`."""

    def __init__(self, hub: WebsocketHub, intake: Intake | None = None) -> None:
        self._hub = hub
        self._flusher = Flusher()
        self._intake = intake or Intake()

    def protocol(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> Connection:
        """The protocol of a new websocket; uvicorn calls this for each upgrade request."""
        return Connection(self._hub, server_state, self._flusher, self._intake)
