"""As with websockets: a hub on a socket, on both loops."""

from tests.hub.websocket.conftest import hub, pytest_asyncio_loop_factories

__all__ = ["hub", "pytest_asyncio_loop_factories"]
