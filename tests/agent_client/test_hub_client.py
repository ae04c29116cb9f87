"""HubClient: finding, getting and picking agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent_client import (
    AgentRecord,
    BadRequest,
    CannotConnect,
    ConnectionLost,
    Filter,
    FlappingAgent,
    HubClient,
    Hubs,
    HubStatus,
    Internal,
    LossAcknowledged,
    NoMatch,
    NotFound,
    RateLimited,
    Timeout,
    Unauthorized,
    Unavailable,
)
from tests.support.fake_hub import FakeHub, Message, Peer, error, eventually, silent
from tests.support.records import NOW, agent_id, wire_record


@pytest.fixture
async def client(hub: FakeHub) -> AsyncIterator[HubClient]:
    async with HubClient(hub.url) as client:
        yield client


def pages(hub: FakeHub, total: int) -> None:
    """Answers `find` from `total` agents, page by page."""

    def find(_peer: Peer, request: Message) -> Message:
        begin = int(request.get("cursor", 0))
        end = min(total, begin + request["limit"])
        more = {"next_cursor": str(end)} if end < total else {}
        agents = [wire_record(number) for number in range(begin, end)]
        return {
            "op": "agents",
            "agents": agents,
            "count": len(agents),
            "log": "log-a",
            "revision": 1,
            **more,
        }

    hub.on("find", find)


async def test_find_follows_the_pages_to_the_end(hub: FakeHub, client: HubClient) -> None:
    pages(hub, 2500)
    found = await client.find()
    assert [agent.id for agent in found] == [agent_id(number) for number in range(2500)]
    assert isinstance(found[0], AgentRecord)
    assert [r.get("cursor") for r in hub.requests("find")] == [None, "1000", "2000"]


async def test_find_stops_at_its_limit(hub: FakeHub, client: HubClient) -> None:
    pages(hub, 20_000)
    assert len(await client.find(limit=10_500)) == 10_500
    assert [r["limit"] for r in hub.requests("find")] == [10_000, 500]
    assert len(await client.find(limit=1)) == 1
    with pytest.raises(BadRequest, match="limit"):
        await client.find(limit=0)


async def test_a_filter_may_be_a_filter_a_mapping_keywords_or_both(
    hub: FakeHub, client: HubClient
) -> None:
    pages(hub, 0)
    await client.find(Filter(type="cost"))
    await client.find({"type": "cost"})
    await client.find(type="cost")
    await client.find({"type": "other", "status": ["healthy", "degraded"]}, type="cost")
    await client.find(metadata={"zone.name": "a"}, capabilities=("a", "b"), version=">=1")
    sent = [request.get("filter") for request in hub.requests("find")]
    assert sent[:3] == [{"type": "cost"}] * 3
    assert sent[3] == {"type": "cost", "status": ["healthy", "degraded"]}
    assert sent[4] == {
        "metadata": {"zone.name": "a"},
        "capabilities": ["a", "b"],
        "version": ">=1",
    }


async def test_a_filter_key_that_does_not_exist_is_refused_by_name(client: HubClient) -> None:
    wrong: Any = {"capability": "a"}
    with pytest.raises(BadRequest, match="capability") as caught:
        await client.find(**wrong)
    assert caught.value.field == "filter.capability"


@pytest.mark.parametrize(
    ("filter", "field"),
    [
        ({"capabilities": ["a"] * 33}, "filter.capabilities"),
        ({"version": ",".join([">1"] * 9)}, "filter.version"),
        ({"metadata": {str(number): 1 for number in range(33)}}, "filter.metadata"),
        ({"metadata": {"é" * 129: 1}}, "filter.metadata"),
    ],
)
async def test_a_filter_beyond_its_bounds_is_refused_before_it_is_sent(
    hub: FakeHub, client: HubClient, filter: dict[str, Any], field: str
) -> None:
    for ask in (client.find, client.pick):
        with pytest.raises(BadRequest) as caught:
            await ask(filter)
        assert caught.value.field == field
    assert hub.requests("find") == hub.requests("pick") == []


async def test_get_returns_the_record_or_raises_not_found(hub: FakeHub, client: HubClient) -> None:
    hub.on("get", lambda _p, r: {"op": "agent", "agent": wire_record(3, load=0.5)})
    agent = await client.get(agent_id(3))
    assert (agent.id, agent.load, agent.health.reason) == (agent_id(3), 0.5, "ok")
    hub.on("get", lambda _p, _r: error("not_found", "no agent has this id"))
    with pytest.raises(NotFound, match="no agent has this id") as caught:
        await client.get(agent_id(4))
    assert not caught.value.retryable


async def test_pick_sends_its_strategy_and_raises_no_match(hub: FakeHub, client: HubClient) -> None:
    hub.on("pick", lambda _p, _r: {"op": "agent", "agent": wire_record(3)})
    assert (await client.pick(type="cost", strategy="sticky", key="k")).id == agent_id(3)
    [request] = hub.requests("pick")
    del request["id"]
    assert request == {"op": "pick", "filter": {"type": "cost"}, "strategy": "sticky", "key": "k"}
    hub.on("pick", lambda _p, _r: error("no_match", retryable=True))
    with pytest.raises(NoMatch) as caught:
        await client.pick()
    assert caught.value.retryable


async def test_the_hubs_of_the_cluster_are_typed(hub: FakeHub, client: HubClient) -> None:
    status = {"hub_id": "hub-1", "url": "http://h:1", "version": "0.2.0", "started": NOW}
    status |= {"agents": 3, "sessions": 4, "revision": 9, "lag": 2}
    answer = {"op": "hubs", "hubs": [status], "answered_by": "hub-1", "log": "l", "revision": 11}
    hub.on("hubs", lambda _p, _r: dict(answer))
    hubs = await client.hubs()
    assert isinstance(hubs, Hubs)
    assert (hubs.answered_by, hubs.log, hubs.revision) == ("hub-1", "l", 11)
    assert hubs.hubs == [HubStatus(**status)]


async def test_agents_that_change_often_are_typed(hub: FakeHub, client: HubClient) -> None:
    often = {"agent_id": agent_id(1), "name": "a1", "type": "cost", "status": "healthy"}
    often |= {"changes": 7, "last_kind": "resumed", "last_reason": "connection_lost"}
    often |= {"last_change": NOW}
    hub.on("flapping", lambda _p, _r: {"op": "flapping", "agents": [often], "since": NOW})
    found = await client.flapping(type="cost", changes=5, within=60)
    assert found == [FlappingAgent(**often)]
    (asked,) = hub.requests("flapping")
    assert (asked["filter"], asked["changes"], asked["within"]) == ({"type": "cost"}, 5, 60)


async def test_a_loss_is_acknowledged_and_counted(hub: FakeHub, client: HubClient) -> None:
    hub.on(
        "acknowledge_loss", lambda _p, _r: {"op": "loss_acknowledged", "agents": 12, "revision": 7}
    )
    done = await client.acknowledge_loss()
    assert isinstance(done, LossAcknowledged)
    assert (done.agents, done.revision) == (12, 7)
    hub.on("acknowledge_loss", lambda _p, _r: error("unavailable", retryable=True))
    with pytest.raises(Unavailable):
        await client.acknowledge_loss()


async def test_one_connection_serves_concurrent_requests(hub: FakeHub, client: HubClient) -> None:
    hub.on("get", lambda _p, r: {"op": "agent", "agent": wire_record(int(r["agent_id"][:8], 16))})
    found = await asyncio.gather(*(client.get(agent_id(n)) for n in range(9)))
    assert [agent.name for agent in found] == [f"a{n}" for n in range(9)]
    assert len(hub.peers) == 1
    assert hub.handshakes[0].path == "/ws"


async def test_a_request_whose_connection_breaks_is_repeated(
    hub: FakeHub, client: HubClient
) -> None:
    await client.ping()

    def break_once(peer: Peer, _request: Message) -> None:
        hub.behave("ping")
        peer.abort()

    hub.on("ping", break_once)
    assert await client.ping() >= 0
    assert len(hub.peers) == 2
    hub.on("ping", lambda peer, _r: peer.abort())
    with pytest.raises(ConnectionLost):
        await client.ping()


async def test_it_asks_the_next_hub_when_one_is_away() -> None:
    async with (
        FakeHub() as first,
        FakeHub() as second,
        HubClient([first.url, second.url.replace("http", "ws") + "/ws"], shuffle=False) as client,
    ):
        await client.ping()
        first.handshake = (503, {"error": "starting"}, {})
        first.peer.abort()
        await client.ping()
        assert len(second.requests("ping")) == 1
        first.handshake = None
        await client.ping()
        assert len(second.requests("ping")) == 2  # the last good one is preferred


async def test_a_hub_that_cannot_be_reached_is_an_error_at_once() -> None:
    async with FakeHub() as hub:
        url = hub.url.replace("http://", "http://user:password@")
    with pytest.raises(CannotConnect) as caught:
        await HubClient(url).ping()
    assert "cannot connect to ws://127.0.0.1" in str(caught.value)
    assert "password" not in str(caught.value)


async def test_refusals_of_the_connection_are_typed(hub: FakeHub, client: HubClient) -> None:
    hub.handshake = (401, {"error": "no"}, {})
    with pytest.raises(Unauthorized):
        await client.ping()
    hub.handshake = (429, {"error": "slower"}, {"Retry-After": "4"})
    with pytest.raises(RateLimited, match="slower") as caught:
        await client.ping()
    assert caught.value.retry_after == 4.0
    hub.handshake = None
    hub.on("ping", lambda peer, _r: peer.close(4429, "too many requests, retry in 2 s"))
    with pytest.raises(RateLimited) as caught:
        await client.ping()
    assert caught.value.retry_after == 2.0


async def test_no_answer_is_a_timeout_and_the_next_request_gets_a_new_connection(
    hub: FakeHub,
) -> None:
    hub.on("ping", silent)
    async with HubClient(hub.url, request_timeout=0.1) as client:
        with pytest.raises(Timeout):
            await client.ping()
        hub.behave("ping")
        await client.ping()
        assert len(hub.peers) == 2


async def test_an_answer_of_the_wrong_kind_is_internal(hub: FakeHub, client: HubClient) -> None:
    hub.on("ping", lambda _p, _r: {"op": "unwatched"})
    with pytest.raises(Internal, match="Unwatched"):
        await client.ping()


async def test_a_late_answer_to_a_cancelled_request_is_ignored(
    hub: FakeHub, client: HubClient
) -> None:
    release = asyncio.Event()

    async def late(_peer: Peer, _request: Message) -> Message:
        await release.wait()
        hub.behave("get")
        return {"op": "agent", "agent": wire_record(1)}

    hub.on("get", late)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.get(agent_id(1))
    release.set()
    await client.ping()
    assert len(hub.peers) == 1


async def test_closing_ends_calls_under_way_and_later_ones(hub: FakeHub) -> None:
    hub.on("ping", silent)
    client = HubClient(hub.url)
    call = asyncio.create_task(client.ping())
    await hub.heard("ping")
    await client.close()
    for late in (call, client.ping()):
        with pytest.raises(ConnectionLost, match="closed"):
            await late
    with pytest.raises(ConnectionLost, match="closed"):
        client.watch()
    await eventually(lambda: hub.peer.websocket.close_code is not None)


async def test_closing_while_connecting_ends_the_call() -> None:
    async def mute(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await asyncio.Event().wait()

    connected = asyncio.Event()
    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = HubClient(f"http://127.0.0.1:{port}")
    call = asyncio.create_task(client.ping())
    await connected.wait()
    await client.close()
    with pytest.raises(ConnectionLost, match="closed"):
        await call
    server.close()


async def test_one_that_was_entered_belongs_to_that_loop_before_it_asks_anything(
    hub: FakeHub,
) -> None:
    async with HubClient(hub.url) as client:
        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, client.find())
        assert await client.find() == []
