from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hub.http.app import App
from tests.hub.http.asgi import Answer, call
from tests.hub.http.fakes import FakeHub

Ask = Callable[..., Awaitable[Answer]]


@pytest.fixture
def hub() -> FakeHub:
    return FakeHub()


@pytest.fixture
def ask(hub: FakeHub) -> Ask:
    """Sends a request to the hub's application, and gives its answer."""
    app = App(hub)

    async def ask(method: str, target: str, body: Any = b"", **more: Any) -> Answer:
        answer = await call(app, method, target, body, **more)
        assert answer is not None, "the request was not answered"
        return answer

    return ask
