"""Websockets end with their principals, by the hub's clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors.rules.permissions import ANYBODY, Principal
from homeport_protocol.errors import CloseCode
from hub.auth import sessions as module
from hub.auth.sessions import OpenSessions

A = Principal(id="token:a", role="agent", not_after=1000.0)
LATER = Principal(id="token:l", role="agent", not_after=2000.0)
EVER = Principal(id="token:e", role="agent")


class Session:
    def __init__(self) -> None:
        self.ended: list[tuple[CloseCode, str]] = []

    def end(self, code: CloseCode, reason: str) -> None:
        self.ended.append((code, reason))


class Hub:
    def __init__(self) -> None:
        self.now = 999.0
        self.over: set[Principal] = set()
        self.asked = 0
        self.open = OpenSessions(self.ended, lambda: self.now)

    def ended(self, principal: Principal) -> str | None:
        self.asked += 1
        late = principal.not_after is not None and principal.not_after <= self.now
        return "it is over" if late or principal in self.over else None

    def add(self, principal: Principal) -> Session:
        session = Session()
        self.open.opened(session, principal)
        return session


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr(module, "CHECK_INTERVAL", 0.01)
    hub = Hub()
    yield hub
    hub.open.close()


async def until_ended(*sessions: Session) -> None:
    async with asyncio.timeout(10):
        while not all(each.ended for each in sessions):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


async def test_one_that_runs_out_ends_all_of_its_websockets_and_no_other(hub: Hub) -> None:
    first, second = hub.add(A), hub.add(A)
    later, ever = hub.add(LATER), hub.add(EVER)
    hub.now = 1000.0
    await until_ended(first, second)
    assert first.ended == [(CloseCode.UNAUTHORIZED, "it is over")]
    assert (later.ended, ever.ended) == ([], [])
    hub.open.closed(first)
    hub.open.closed(second)
    hub.now = 2000.0
    await until_ended(later)
    assert ever.ended == []


async def test_nothing_is_looked_at_before_the_first_of_them_runs_out(hub: Hub) -> None:
    hub.add(A)
    hub.add(EVER)
    asked = hub.asked
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert hub.asked == asked


async def test_one_that_was_revoked_ends_when_that_is_told(hub: Hub) -> None:
    revoked, other = hub.add(EVER), hub.add(A)
    hub.over.add(EVER)
    hub.open.check()
    assert revoked.ended == [(CloseCode.UNAUTHORIZED, "it is over")]
    assert other.ended == []


async def test_one_that_ended_between_its_recognition_and_its_opening_ends_too(hub: Hub) -> None:
    hub.over.add(EVER)
    await until_ended(hub.add(EVER))


async def test_one_that_closed_is_forgotten_and_anybody_never_known(hub: Hub) -> None:
    gone, anybody = hub.add(EVER), hub.add(ANYBODY)
    hub.open.closed(gone)
    hub.open.closed(gone)
    hub.open.closed(anybody)
    hub.over |= {EVER, ANYBODY}
    hub.open.check()
    assert (gone.ended, anybody.ended) == ([], [])


async def test_principals_are_in_use_while_a_websocket_of_theirs_is_open(hub: Hub) -> None:
    first, second = hub.add(EVER), hub.add(EVER)
    hub.add(ANYBODY)
    hub.open.closed(first)
    assert hub.open.principal_ids() == {"token:e"}
    hub.open.closed(second)
    assert hub.open.principal_ids() == set()
