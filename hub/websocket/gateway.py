"""The websocket gateway: gives uvicorn the protocol object of each websocket.

uvicorn parses the HTTP request, sees the upgrade, and hands the transport to what its `ws=` setting
names; from there on a `Connection` owns it. There is no task and no queue per connection.

`Origin` is not checked: agents are programs, not pages, and no cookie or other ambient authority of
a browser is ever honoured. Where a hub without authentication must not be reached from web pages,
keep it off addresses that browsers can reach, or check `Origin` in a proxy before it.
"""

from __future__ import annotations

from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from hub.websocket.connection import Connection
from hub.websocket.outbox import Flusher
from hub.websocket.ports import WebsocketHub


class Gateway:
    """Makes the protocol object of each websocket; `protocol` goes to the `Listener`."""

    def __init__(self, hub: WebsocketHub) -> None:
        self._hub = hub
        self._flusher = Flusher()

    def protocol(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> Connection:
        """Called by uvicorn when a request asks for a websocket."""
        return Connection(self._hub, server_state, self._flusher)
