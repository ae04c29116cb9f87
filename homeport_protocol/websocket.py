"""How a websocket is opened: the path and the subprotocol."""

WEBSOCKET_PATH = "/ws"

SUBPROTOCOL = "homeport.v1"
"""Chosen by a hub when the client offers it, and not required."""
