"""As with websockets: on both loops, since their clocks differ."""

from tests.hub.websocket.conftest import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
