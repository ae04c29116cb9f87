"""The bridge from the brain's callbacks to awaitables."""

from __future__ import annotations

import pytest

from actors.agent.outcomes import Acknowledged, Lease, Reply
from homeport_protocol.errors import ProtocolError
from hub.http.ask import ask
from tests.hub.http.fakes import NOW

HEARD = Acknowledged(revision=1, durable=True, timestamp=NOW)


async def test_a_reply_that_comes_at_once_is_awaited_like_one_that_comes_later() -> None:
    assert await ask(Acknowledged, lambda reply: reply(HEARD)) is HEARD


async def test_a_failure_is_raised() -> None:
    with pytest.raises(ProtocolError, match="Redis is away"):
        await ask(Lease, lambda reply: reply(ProtocolError("unavailable", "Redis is away")))


async def test_a_reply_of_the_wrong_kind_is_a_fault_and_not_passed_on() -> None:
    with pytest.raises(TypeError, match="expected Lease, got Acknowledged"):
        await ask(Lease, lambda reply: reply(HEARD))


async def test_a_fault_while_asking_is_raised() -> None:
    def broken(reply: Reply) -> None:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        await ask(Lease, broken)
