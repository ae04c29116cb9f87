from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from agent_client.transport.seams import Seams, replaced
from tests.support.fake_hub import FakeHub

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    proxies = [name for name in os.environ if name.lower().endswith("_proxy")]
    ours = [name for name in os.environ if name.startswith("HOMEPORT_")]
    for name in [*ours, *proxies]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _sigterm_has_its_default_action() -> Iterator[None]:
    """Clients that a test does not close leave the handler of theirs behind."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    async with FakeHub() as hub:
        yield hub


@pytest.fixture
async def other() -> AsyncIterator[FakeHub]:
    """A second hub."""
    async with FakeHub() as hub:
        yield hub


@pytest.fixture
def _short_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that does not answer is left after a fifth of a second."""
    monkeypatch.setattr("agent_client.transport.endpoints.ATTEMPT_TIMEOUT", 0.2)


class Waits(list[float]):
    """Stands in for `asyncio.sleep`: notes how long the client meant to wait, and does not."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0.001)


@pytest.fixture
def waits() -> Waits:
    return Waits()


def with_seams(
    make: Callable[..., T],
    *given: Any,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    chance: Callable[[], float] = random.random,
    **more: Any,
) -> T:
    """`make(*given, **more)`, which waits with `sleep` and draws from `chance`."""
    with replaced(Seams(sleep=sleep, chance=chance)):
        return make(*given, **more)
