"""HubClient.watch: gap-free, repetition-free, explicit about what it cannot bridge."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent_client import (
    AgentRecord,
    Backoff,
    BadRequest,
    CannotConnect,
    ConnectionLost,
    Event,
    HomeportError,
    HubClient,
    Reading,
    Resync,
    Snapshot,
    Unauthorized,
)
from tests.agent_client.conftest import Waits, with_seams
from tests.support.fake_hub import (
    FakeHub,
    Message,
    Peer,
    error,
    event,
    eventually,
    script,
    silent,
    snapshot,
    watching,
)
from tests.support.records import agent_id, wire_record


@pytest.fixture
async def client(hub: FakeHub, waits: Waits) -> AsyncIterator[HubClient]:
    async with with_seams(HubClient, hub.url, sleep=waits) as client:
        yield client


def ids(agents: list[AgentRecord]) -> list[str]:
    return [agent.id for agent in agents]


async def test_it_begins_with_one_snapshot_assembled_from_its_chunks(
    hub: FakeHub, client: HubClient
) -> None:
    script(
        hub,
        [
            watching(5),
            snapshot(wire_record(1), wire_record(2), revision=5, last=False),
            snapshot(wire_record(3), revision=5),
            event(6, "registered"),
        ],
    )
    watch = client.watch(type="cost", capabilities=["spot"])
    first = await anext(watch)
    assert isinstance(first, Snapshot)
    assert ids(first.agents) == [agent_id(1), agent_id(2), agent_id(3)]
    assert (first.log, first.revision) == ("log-a", 5)
    assert (watch.log, watch.revision) == ("log-a", 5)
    then = await anext(watch)
    assert isinstance(then, Event)
    assert (then.kind, then.revision, then.agent.id) == ("registered", 6, agent_id(6))
    assert not then.coalesced
    assert watch.revision == 6
    [request] = hub.requests("watch")
    del request["id"]
    assert request == {"op": "watch", "filter": {"type": "cost", "capabilities": ["spot"]}}


async def test_kinds_go_with_every_watch_request(hub: FakeHub, client: HubClient) -> None:
    script(
        hub,
        [watching(5), snapshot(revision=5), event(7, "expired")],
        [watching(9, resumed=True), event(9, "lost")],
    )
    watch = client.watch(type="cost", kinds=["lost", "expired"])
    await anext(watch)
    assert (await anext(watch)).revision == 7
    assert watch.revision == 7
    hub.peer.abort()
    assert (await anext(watch)).revision == 9
    first, second = hub.requests("watch")
    assert first["kinds"] == second["kinds"] == ["lost", "expired"]
    assert second["since"] == 7


async def test_readings_come_between_the_changes_where_they_are_asked_for(
    hub: FakeHub, client: HubClient
) -> None:
    reading = {"op": "reading", "watch": 1, "loads": {agent_id(1): 0.4, agent_id(2): 3}}
    script(
        hub,
        [watching(5), snapshot(revision=5), reading, event(6), {**reading, "watch": 2}],
        [watching(6, resumed=True), reading],
    )
    watch = client.watch(readings=True)
    items = [await anext(watch) for _ in range(3)]
    assert [type(each) for each in items] == [Snapshot, Reading, Event]
    assert items[1] == Reading(loads={agent_id(1): 0.4, agent_id(2): 3.0})
    assert watch.revision == 6
    hub.peer.abort()
    assert isinstance(await anext(watch), Reading)
    first, second = hub.requests("watch")
    assert first["readings"] is second["readings"] is True


async def test_an_older_hub_that_ignores_kinds_makes_no_difference(
    hub: FakeHub, client: HubClient
) -> None:
    script(
        hub,
        [watching(5), snapshot(revision=5), event(6, "updated"), event(7, "expired")],
    )
    watch = client.watch(kinds=["expired"])
    await anext(watch)
    item = await anext(watch)
    assert isinstance(item, Event)
    assert (item.kind, item.revision) == ("expired", 7)


@pytest.mark.parametrize("kinds", [[], ["gone"], "lost"])
async def test_kinds_that_do_not_exist_are_refused_before_anything_is_sent(
    hub: FakeHub, client: HubClient, kinds: Any
) -> None:
    with pytest.raises(BadRequest) as caught:
        client.watch(kinds=kinds)
    assert caught.value.field == "kinds"
    assert hub.requests("watch") == []


async def test_it_resumes_where_it_stood_without_gap_or_repetition(
    hub: FakeHub, client: HubClient
) -> None:
    script(
        hub,
        [watching(1), snapshot(revision=1), event(2), event(3)],
        [watching(6, resumed=True), event(3), event(4), event(5, coalesced=True)],
        [watching(6, resumed=True), event(6)],
    )
    seen: list[int] = []
    coalesced: list[int] = []
    async for item in client.watch():
        seen.append(item.revision)
        if isinstance(item, Event):
            if item.coalesced:
                coalesced.append(item.revision)
            if item.revision in (3, 5):
                hub.peer.abort()
            if item.revision == 6:
                break
    assert seen == [1, 2, 3, 4, 5, 6]
    assert coalesced == [5]
    again = [(r["since"], r["log"]) for r in hub.requests("watch")[1:]]
    assert again == [(3, "log-a"), (5, "log-a")]


async def test_it_resumes_at_the_position_that_it_was_given_last(
    hub: FakeHub, client: HubClient
) -> None:
    script(
        hub,
        [
            {**watching(9), "position": "of the hub"},
            {**snapshot(revision=1), "position": "p1"},
            event(2, position="p2"),
        ],
        [watching(9, resumed=True), event(3, position="p3"), event(4)],
        [watching(9, resumed=True), event(5, position="p5")],
    )
    watch = client.watch()
    seen: list[tuple[int, str | None, str | None]] = []
    async for item in watch:
        seen.append((item.revision, item.position, watch.position))
        if item.revision in (2, 4):
            hub.peer.abort()
        if item.revision == 5:
            break
    assert seen == [
        (1, "p1", "p1"),
        (2, "p2", "p2"),
        (3, "p3", "p3"),
        (4, None, None),  # an older hub gives none
        (5, "p5", "p5"),
    ]
    first, second, third = hub.requests("watch")
    assert not {"position", "since", "log"} & first.keys()
    assert (second["position"], "since" in second, "log" in second) == ("p2", False, False)
    assert (third["since"], third["log"], "position" in third) == (4, "log-a", False)


async def test_a_stored_position_is_where_a_later_watch_begins(
    hub: FakeHub, client: HubClient
) -> None:
    script(hub, [watching(7, resumed=True), event(7, position="p7")])
    watch = client.watch(position="p6")
    assert (watch.position, watch.log, watch.revision) == ("p6", None, None)
    item = await anext(watch)
    assert (item.revision, watch.position) == (7, "p7")
    assert (watch.log, watch.revision) == ("log-a", 7)
    assert hub.requests("watch")[0]["position"] == "p6"


async def test_a_stored_position_that_the_log_does_not_hold_is_a_resync(
    hub: FakeHub, client: HubClient
) -> None:
    script(hub, [watching(3), {**snapshot(wire_record(1), revision=3), "position": "p3"}])
    item = await anext(client.watch(position="p6"))
    assert isinstance(item, Resync)
    assert (item.revision, item.position) == (3, "p3")


async def test_a_position_stands_alone(client: HubClient) -> None:
    with pytest.raises(BadRequest, match="position") as caught:
        client.watch(position="p6", since=6, log="log-a")
    assert caught.value.field == "position"


async def test_what_arrived_before_the_connection_broke_still_counts(
    hub: FakeHub, client: HubClient
) -> None:
    async def first(peer: Peer, request: Message) -> None:
        hub.on("watch", lambda _p, r: [watching(9, resumed=True), event(r["since"] + 1)])
        answer = {**watching(1), "id": request["id"]}
        await peer.send(answer, snapshot(revision=1), *(event(n) for n in range(2, 6)))
        await peer.close(1001, "restarting")

    hub.on("watch", first)
    watch = client.watch()
    assert [(await anext(watch)).revision for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert hub.requests("watch")[1]["since"] == 5


async def test_it_yields_a_resync_when_the_hub_no_longer_remembers_that_far(
    hub: FakeHub, client: HubClient
) -> None:
    script(
        hub,
        [watching(1), snapshot(wire_record(1), revision=1), event(2)],
        [watching(1, log="log-b"), snapshot(wire_record(9), revision=1, log="log-b"), event(2)],
    )
    watch = client.watch()
    assert isinstance(await anext(watch), Snapshot)
    assert isinstance(await anext(watch), Event)
    hub.peer.abort()
    resync = await anext(watch)
    assert isinstance(resync, Resync)
    assert (resync.log, resync.revision) == ("log-b", 1)
    assert ids(resync.agents) == [agent_id(9)]
    # Revision 2 was seen of the old log, not of this one.
    assert (await anext(watch)).revision == 2
    assert (watch.log, watch.revision) == ("log-b", 2)


async def test_a_log_that_begins_anew_in_the_middle_is_a_resync_too(
    hub: FakeHub, client: HubClient
) -> None:
    script(hub, [watching(7), snapshot(revision=7), event(8)])
    watch = client.watch()
    await anext(watch)
    await anext(watch)
    await hub.peer.send(
        snapshot(wire_record(1), revision=1, log="log-b", last=False),
        event(20),  # of the new log, before the snapshot is complete: yielded after it
        snapshot(wire_record(2), revision=1, log="log-b"),
        event(21),
    )
    resync = await anext(watch)
    assert isinstance(resync, Resync)
    assert ids(resync.agents) == [agent_id(1), agent_id(2)]
    assert [(await anext(watch)).revision for _ in range(2)] == [20, 21]


async def test_a_snapshot_that_breaks_off_begins_again(hub: FakeHub, client: HubClient) -> None:
    async def broken(peer: Peer, request: Message) -> None:
        script(hub, [watching(4), snapshot(wire_record(2), revision=4)])
        await peer.send(
            {**watching(3), "id": request["id"]}, snapshot(wire_record(1), revision=3, last=False)
        )
        await peer.close(1011)

    hub.on("watch", broken)
    first = await anext(client.watch())
    assert isinstance(first, Snapshot)
    assert ids(first.agents) == [agent_id(2)]
    assert first.revision == 4


async def test_a_log_that_begins_anew_within_a_snapshot_leaves_nothing_of_the_old_one(
    hub: FakeHub, client: HubClient
) -> None:
    script(
        hub,
        [
            watching(3),
            snapshot(wire_record(1), revision=3, last=False),
            snapshot(wire_record(2), revision=1, log="log-b", last=False),
            snapshot(wire_record(3), revision=1, log="log-b"),
        ],
    )
    first = await anext(client.watch())
    assert isinstance(first, Snapshot)
    assert ids(first.agents) == [agent_id(2), agent_id(3)]


async def test_it_can_begin_where_an_earlier_watch_ended(hub: FakeHub, client: HubClient) -> None:
    script(
        hub,
        [watching(9, resumed=True), event(9)],
        [watching(2, log="log-b"), snapshot(revision=2, log="log-b")],
    )
    watch = client.watch(since=8, log="log-a")
    assert isinstance(await anext(watch), Event)
    too_late = client.watch(since=8, log="log-a")
    assert isinstance(await anext(too_late), Resync)
    assert hub.requests("watch")[0]["since"] == 8
    with pytest.raises(BadRequest, match="belong together"):
        client.watch(since=8)


async def test_messages_of_other_watches_and_unknown_kinds_are_ignored(
    hub: FakeHub, client: HubClient
) -> None:
    script(
        hub,
        [
            watching(1),
            snapshot(revision=1),
            {**event(2), "watch": 2},
            event(2, "reborn"),
            {"op": "news"},
            event(3),
        ],
    )
    watch = client.watch()
    assert [(await anext(watch)).revision for _ in range(2)] == [1, 3]


async def test_a_refusal_is_raised(hub: FakeHub, client: HubClient) -> None:
    hub.on("watch", lambda _p, _r: error("bad_request", "no such key", field="filter.x"))
    with pytest.raises(BadRequest, match="no such key"):
        await anext(client.watch())
    hub.handshake = (401, {"error": "no token"}, {})
    with pytest.raises(Unauthorized, match="no token"):
        await anext(client.watch())
    with pytest.raises(BadRequest) as caught:
        client.watch({"typ": "cost"})
    assert "typ" in str(caught.value)


async def test_a_hub_that_is_not_there_is_an_error_at_first_and_waited_for_later(
    hub: FakeHub, client: HubClient, waits: Waits
) -> None:
    hub.handshake = (502, {}, {})
    with pytest.raises(CannotConnect):
        await anext(client.watch())
    hub.handshake = None
    script(hub, [watching(1), snapshot(revision=1)], [watching(2, resumed=True), event(2)])
    watch = client.watch()
    await anext(watch)
    hub.handshake = (502, {}, {})
    hub.peer.abort()
    waiting = asyncio.create_task(anext(watch))
    await eventually(lambda: len(waits) >= 3)
    hub.handshake = None
    assert (await waiting).revision == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 429, 500, 502, 503])
async def test_what_a_proxy_answers_for_a_while_does_not_end_a_watch_that_has_worked(
    hub: FakeHub, client: HubClient, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    reasons: list[HomeportError] = []
    script(hub, [watching(1), snapshot(revision=1)], [watching(2, resumed=True), event(2)])
    watch = client.watch(on_disconnected=reasons.append)
    await anext(watch)
    hub.handshake = (status, {"error": "says the proxy"}, {})
    hub.peer.abort()
    waiting = asyncio.create_task(anext(watch))
    await eventually(lambda: len(reasons) >= 3)
    hub.handshake = None
    assert (await waiting).revision == 2
    lost, refused, *_ = reasons
    assert isinstance(lost, ConnectionLost)
    assert "says the proxy" in refused.message
    assert "says the proxy" in caplog.text


@pytest.mark.parametrize("code", [4400, 4401, 4403, 4429, 1009])
async def test_a_watch_that_was_closed_goes_on_as_an_agent_does(
    hub: FakeHub, client: HubClient, code: int
) -> None:
    script(hub, [watching(1), snapshot(revision=1)], [watching(2, resumed=True), event(2)])
    watch = client.watch()
    await anext(watch)
    await hub.peer.close(code, "bye")
    assert (await anext(watch)).revision == 2


async def test_a_hub_that_refuses_the_watch_itself_ends_it_also_later(
    hub: FakeHub, client: HubClient
) -> None:
    script(
        hub,
        [watching(1), snapshot(revision=1)],
        [error("unavailable", retryable=True)],
        [error("bad_request", "an older hub", field="filter.x")],
    )
    watch = client.watch()
    await anext(watch)
    hub.peer.abort()
    with pytest.raises(BadRequest, match="an older hub"):
        await anext(watch)
    assert len(hub.requests("watch")) == 3


async def test_a_callback_that_fails_or_hangs_holds_up_no_watch(
    hub: FakeHub, client: HubClient, caplog: pytest.LogCaptureFixture
) -> None:
    async def hangs(_error: HomeportError) -> None:
        await asyncio.Event().wait()

    def fails(_error: HomeportError) -> None:
        raise ValueError("the user's mistake")

    for callback in (hangs, fails):
        script(hub, [watching(1), snapshot(revision=1)], [watching(2, resumed=True), event(2)])
        async with client.watch(on_disconnected=callback) as watch:
            await anext(watch)
            hub.peer.abort()
            assert (await anext(watch)).revision == 2
    assert "the user's mistake" in caplog.text


async def test_it_waits_as_the_hub_asks(hub: FakeHub, waits: Waits) -> None:
    backoff = with_seams(Backoff, base=1.0, chance=lambda: 0.5)
    script(hub, [watching(1), snapshot(revision=1)], [watching(2, resumed=True), event(2)])
    async with with_seams(HubClient, hub.url, sleep=waits, backoff=backoff) as client:
        watch = client.watch()
        await anext(watch)
        await hub.peer.close(1001, "retry in 4 s")
        await anext(watch)
    assert waits == [4.5]


async def test_it_moves_on_to_the_next_hub_with_its_position(waits: Waits) -> None:
    async with FakeHub() as first, FakeHub() as second:
        script(first, [watching(3), snapshot(revision=3)])
        script(second, [watching(4, resumed=True), event(4)])
        async with with_seams(
            HubClient, [first.url, second.url], shuffle=False, sleep=waits
        ) as client:
            watch = client.watch()
            await anext(watch)
            first.handshake = (502, {}, {})
            first.peer.abort()
            assert (await anext(watch)).revision == 4
            assert second.requests("watch")[0]["since"] == 3


async def test_a_slow_watch_is_not_read_ahead_and_blocks_no_one(
    hub: FakeHub, client: HubClient
) -> None:
    count = 3000
    sent: list[int] = []

    async def flood(peer: Peer, request: Message) -> None:
        await peer.send({**watching(1), "id": request["id"]}, snapshot(revision=1))
        for revision in range(2, count + 2):
            await peer.send({**event(revision), "padding": "x" * 20_000})
            sent.append(revision)

    hub.on("watch", flood)
    watch = client.watch()
    await anext(watch)
    before = -1
    while before != len(sent):  # until the hub cannot get rid of any more
        before = len(sent)
        await asyncio.sleep(0.2)
    assert len(sent) < count
    await client.ping()
    assert [(await anext(watch)).revision for _ in range(count)] == list(range(2, count + 2))


async def test_a_hub_that_fell_silent_is_noticed(hub: FakeHub, waits: Waits) -> None:
    script(hub, [watching(1), snapshot(revision=1)], [watching(2, resumed=True), event(2)])
    async with with_seams(
        HubClient, hub.url, sleep=waits, keepalive=0.1, request_timeout=0.5
    ) as client:
        watch = client.watch()
        await anext(watch)
        hub.peer.websocket.transport.pause_reading()  # its pongs will not come
        assert (await anext(watch)).revision == 2
        assert len(hub.peers) == 2


async def test_a_quiet_hub_that_answers_pings_is_left_alone(hub: FakeHub, waits: Waits) -> None:
    script(hub, [watching(1), snapshot(revision=1)])
    async with with_seams(HubClient, hub.url, sleep=waits, keepalive=0.05) as client:
        watch = client.watch()
        await anext(watch)
        waiting = asyncio.create_task(anext(watch))
        await asyncio.sleep(0.5)
        await hub.peer.send(event(2))
        assert (await waiting).revision == 2
        assert len(hub.peers) == 1


async def test_giving_up_waiting_for_an_item_loses_nothing(hub: FakeHub, client: HubClient) -> None:
    script(hub, [watching(1), snapshot(revision=1)])
    watch = client.watch()
    await anext(watch)
    for revision in (2, 3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await anext(watch)
        await hub.peer.send(event(revision))
        assert (await anext(watch)).revision == revision
    assert len(hub.peers) == 1


async def test_a_hub_that_never_answers_the_watch_is_left(hub: FakeHub, waits: Waits) -> None:
    def mute_once(_peer: Peer, _request: Message) -> None:
        script(hub, [watching(1), snapshot(revision=1)])

    hub.on("watch", mute_once)
    async with with_seams(HubClient, hub.url, sleep=waits, request_timeout=0.1) as client:
        assert (await anext(client.watch())).revision == 1
        assert len(hub.peers) == 2


async def test_an_answer_to_watch_of_the_wrong_kind_is_tried_again(
    hub: FakeHub, client: HubClient
) -> None:
    script(hub, [{"op": "pong"}], [watching(1), snapshot(revision=1)])
    assert (await anext(client.watch())).revision == 1


async def test_giving_up_while_the_watch_begins_leaves_no_connection_behind(
    hub: FakeHub, client: HubClient
) -> None:
    hub.on("watch", silent)
    watch = client.watch()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await anext(watch)
    await gone(hub.peer)
    script(hub, [watching(1), snapshot(revision=1)])
    assert (await anext(watch)).revision == 1


async def gone(peer: Peer) -> None:
    await eventually(lambda: peer.websocket.close_code is not None, "the connection ended")


async def test_closing_ends_a_pending_iteration(hub: FakeHub, client: HubClient) -> None:
    script(hub, *([[watching(1), snapshot(revision=1)]] * 2))
    seen: list[Any] = []

    async def follow() -> None:
        async for item in watch:
            seen.append(item)

    async with client.watch() as watch:
        following = asyncio.create_task(follow())
        await eventually(lambda: seen)
    await following
    await gone(hub.peer)
    assert len(seen) == 1
    with pytest.raises(StopAsyncIteration):
        await anext(watch)

    watch = client.watch()
    await anext(watch)
    await client.close()
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_closing_does_not_wait_out_the_back_off(hub: FakeHub) -> None:
    waiting = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    script(hub, [watching(1), snapshot(revision=1)])
    async with with_seams(HubClient, hub.url, sleep=sleep) as client:
        watch = client.watch()
        await anext(watch)
        hub.peer.abort()
        following = asyncio.create_task(anext(watch))
        await waiting.wait()
        await watch.close()
        async with asyncio.timeout(5):
            with pytest.raises(StopAsyncIteration):
                await following


async def test_closing_while_the_watch_begins_leaves_no_connection_behind(
    hub: FakeHub, client: HubClient
) -> None:
    release = asyncio.Event()

    async def late(_peer: Peer, _request: Message) -> Message:
        await release.wait()
        return watching(1)

    hub.on("watch", late)
    watch = client.watch()
    following = asyncio.create_task(anext(watch))
    await hub.heard("watch")
    await watch.close()
    release.set()
    with pytest.raises(StopAsyncIteration):
        await following
    await gone(hub.peer)


async def test_a_watch_without_a_reference_leaves_the_hub(hub: FakeHub, client: HubClient) -> None:
    script(hub, [watching(1), snapshot(revision=1)])
    async for item in client.watch():
        assert isinstance(item, Snapshot)
        break
    gc.collect()
    await gone(hub.peer)
