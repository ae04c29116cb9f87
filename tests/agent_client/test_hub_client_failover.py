"""HubClient among several hubs: requests are repeated and watches continue at another hub."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from agent_client import (
    Event,
    HubClient,
    NoMatch,
    Resync,
    Snapshot,
    Timeout,
    Unavailable,
)
from tests.agent_client.conftest import Waits, with_seams
from tests.support.fake_hub import FakeHub, error, event, script, silent, snapshot, watching


def client(*hubs: FakeHub, **more: Any) -> HubClient:
    given: dict[str, Any] = {
        "shuffle": False,
        "chance": lambda: 0.5,
        **more,
    }
    return with_seams(HubClient, [hub.url for hub in hubs], **given)


# --- requests ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_short_attempts")
async def test_a_request_that_a_hub_does_not_answer_is_repeated_at_the_next(
    hub: FakeHub, other: FakeHub
) -> None:
    hub.on("ping", silent)
    async with asyncio.timeout(5), client(hub, other, request_timeout=60) as caller:
        await caller.ping()
        await caller.ping()
    assert len(hub.requests("ping")) == 1
    assert len(other.requests("ping")) == 2
    assert len(hub.handshakes) == 1


async def test_the_second_hub_has_all_the_time_of_a_request_and_then_it_is_a_timeout(
    hub: FakeHub, other: FakeHub
) -> None:
    hub.on("ping", silent)
    other.on("ping", silent)
    async with client(hub, other, request_timeout=0.2) as caller:
        with pytest.raises(Timeout) as caught:
            await caller.ping()
        assert caught.value.url == f"ws://127.0.0.1:{other.port}/ws"


async def test_a_request_that_a_hub_cannot_answer_now_is_repeated_at_the_next(
    hub: FakeHub, other: FakeHub
) -> None:
    hub.on("ping", lambda _p, _r: error("unavailable", retryable=True))
    async with client(hub, other) as caller:
        await asyncio.gather(*(caller.ping() for _ in range(5)))
        other.on("ping", lambda _p, _r: error("unavailable", retryable=True))
        with pytest.raises(Unavailable):
            await caller.ping()


async def test_a_single_hub_is_not_asked_again_for_what_it_cannot_answer(hub: FakeHub) -> None:
    hub.on("ping", lambda _p, _r: error("unavailable", retryable=True))
    async with client(hub) as caller:
        with pytest.raises(Unavailable):
            await caller.ping()
    assert len(hub.requests("ping")) == 1


async def test_no_match_is_an_answer(hub: FakeHub, other: FakeHub) -> None:
    hub.on("pick", lambda _p, _r: error("no_match", retryable=True))
    async with client(hub, other) as caller:
        with pytest.raises(NoMatch):
            await caller.pick()
    assert not other.handshakes


async def test_a_hub_that_went_away_is_not_the_first_to_be_asked_next(
    hub: FakeHub, other: FakeHub
) -> None:
    async with client(hub, other) as caller:
        await caller.ping()
        await hub.peer.close(1001, "hub going away, retry in 5 s")
        await caller.ping()
        assert len(other.requests("ping")) == 1
    assert len(hub.handshakes) == 1


# --- watches -------------------------------------------------------------------------------------


async def test_a_watch_goes_on_at_another_hub_from_where_it_stood(
    hub: FakeHub, other: FakeHub, waits: Waits, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="homeport.client")
    script(hub, [watching(3), snapshot(revision=3), event(4)])
    script(other, [watching(6, resumed=True), event(4), event(5), event(6)])
    async with client(hub, other, sleep=waits) as caller:
        watch = caller.watch()
        assert isinstance(await anext(watch), Snapshot)
        assert (await anext(watch)).revision == 4
        await hub.peer.close(1001, "hub going away, retry in 7 s")
        assert [(await anext(watch)).revision for _ in range(2)] == [5, 6]
        [request] = other.requests("watch")
        assert (request["since"], request["log"]) == (4, "log-a")
    assert waits == [3.5]
    assert len(hub.handshakes) == 1
    assert f"a watch lost the hub ws://127.0.0.1:{hub.port}/ws: " in caplog.text


async def test_a_watch_returns_to_its_hub_after_a_connection_that_just_broke(
    hub: FakeHub, other: FakeHub, waits: Waits
) -> None:
    script(hub, [watching(3), snapshot(revision=3)], [watching(4, resumed=True), event(4)])
    async with client(hub, other, sleep=waits) as caller:
        watch = caller.watch()
        await anext(watch)
        hub.peer.abort()
        assert (await anext(watch)).revision == 4
    assert waits == [1.0]
    assert not other.handshakes


async def test_a_watch_leaves_a_hub_that_fell_silent(
    hub: FakeHub, other: FakeHub, waits: Waits
) -> None:
    script(hub, [watching(3), snapshot(revision=3)])
    script(other, [watching(4, resumed=True), event(4)])
    async with client(hub, other, keepalive=0.05, request_timeout=0.3, sleep=waits) as caller:
        watch = caller.watch()
        await anext(watch)
        hub.peer.websocket.transport.pause_reading()
        assert (await anext(watch)).revision == 4
    assert len(hub.handshakes) == 1


@pytest.mark.usefixtures("_short_attempts")
async def test_a_hub_that_does_not_answer_does_not_hold_a_watch_up(
    hub: FakeHub, other: FakeHub, waits: Waits
) -> None:
    hub.on("watch", silent)
    script(other, [watching(3), snapshot(revision=3)])
    async with (
        asyncio.timeout(5),
        client(hub, other, request_timeout=60, sleep=waits) as caller,
    ):
        assert (await anext(caller.watch())).revision == 3
    assert not waits


async def test_a_watch_does_not_go_back_in_time_at_a_hub_that_lags(
    hub: FakeHub, other: FakeHub, waits: Waits
) -> None:
    script(hub, [watching(9), snapshot(revision=9)])
    script(
        other,
        [watching(7), snapshot(revision=7), event(8), event(9)],
        [watching(10, resumed=True), event(10)],
    )
    async with client(hub, other, sleep=waits) as caller:
        watch = caller.watch()
        await anext(watch)
        hub.handshake = (502, {}, {})
        await hub.peer.close(1001)
        item = await anext(watch)
        assert isinstance(item, Event)
        assert item.revision == 10
    assert [request["since"] for request in other.requests("watch")] == [9, 9]


async def test_a_hub_that_keeps_lagging_is_believed_in_the_end(hub: FakeHub, waits: Waits) -> None:
    hub.on("watch", lambda _p, _r: [watching(7), snapshot(revision=7)])
    async with client(hub, sleep=waits) as caller:
        watch = caller.watch(since=9, log="log-a")
        item = await anext(watch)
        assert isinstance(item, Resync)
        assert item.revision == 7
    assert len(hub.requests("watch")) == 6
    assert all(wait >= 0.25 for wait in waits)


async def test_a_new_log_may_begin_anywhere(hub: FakeHub, other: FakeHub, waits: Waits) -> None:
    script(hub, [watching(9), snapshot(revision=9)])
    script(other, [watching(2, log="log-b"), snapshot(revision=2, log="log-b")])
    async with client(hub, other, sleep=waits) as caller:
        watch = caller.watch()
        await anext(watch)
        await hub.peer.close(1001)
        item = await anext(watch)
        assert isinstance(item, Resync)
        assert (item.log, item.revision) == ("log-b", 2)
