"""What one connection sends at once waits for its turn; nobody else waits for it."""

from __future__ import annotations

import asyncio
import random

import pytest

from homeport_protocol.errors import CloseCode
from hub.net.intake import Intake
from hub.websocket.frames import AT_ONCE, FRAMES_AT_ONCE
from tests.hub.websocket.fakes import FakeHub, client_frame
from tests.hub.websocket.test_frames import any_frames, read_by_library
from tests.hub.websocket.test_writing import Opened
from tests.support.waiting import until

CONT, TEXT, PING, PONG = 0, 1, 9, 10
FLOODS = {
    "pings": client_frame(PING, b"p") * 4000,
    "pongs": client_frame(PONG) * 4000,
    "empty fragments": client_frame(TEXT, b"f", fin=False) + client_frame(CONT, fin=False) * 4000,
    "tiny fragments": client_frame(TEXT, b"f", fin=False)
    + client_frame(CONT, b"f", fin=False) * 4000,
    "messages": client_frame(TEXT, b"m") * 4000,
}


async def read_all(opened: Opened) -> None:
    """Wait until it reads again, or has ended."""
    await until(lambda: opened.transport.reading or opened.transport.ended)


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_is_taken_a_few_frames_at_a_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(intake=Intake())
    taken: list[int] = []
    count = opened.connection._within_rate
    monkeypatch.setattr(
        type(opened.connection),
        "_within_rate",
        lambda self, frames: (taken.append(frames), count(frames))[1],
    )
    opened.connection.data_received(FLOODS[name])
    assert sum(taken) <= 2 * AT_ONCE, "what is taken before others have their turn"
    assert not opened.transport.reading
    await read_all(opened)
    assert max(taken) <= max(AT_ONCE, FRAMES_AT_ONCE)
    assert sum(taken) in (4000, 4001)


@pytest.mark.parametrize("name", FLOODS)
async def test_a_neighbours_message_is_taken_before_the_flood_is(name: str) -> None:
    intake = Intake()
    flooding, neighbour = Opened(intake=intake), Opened(intake=intake)
    flooding.connection.data_received(FLOODS[name])
    neighbour.connection.data_received(client_frame(TEXT, b"heartbeat"))
    assert neighbour.session.messages == [b"heartbeat"]
    assert neighbour.transport.reading
    assert not flooding.transport.reading


async def test_floods_take_turns() -> None:
    intake = Intake()
    first, second = Opened(intake=intake), Opened(intake=intake)
    first.connection.data_received(FLOODS["messages"])
    second.connection.data_received(FLOODS["messages"])
    seen = []
    async with asyncio.timeout(30):
        while len(second.session.messages) < 4000:
            seen.append(len(first.session.messages) - len(second.session.messages))
            await asyncio.sleep(0)
    assert max(seen) <= AT_ONCE
    assert min(seen) >= 0


@pytest.mark.parametrize("seed", range(20))
async def test_in_turns_a_stream_is_read_as_at_once(seed: int) -> None:
    chance = random.Random(seed)
    stream = b"".join(any_frames(chance) for _ in range(chance.randrange(1, 200)))
    opened = Opened(intake=Intake())
    at = 0
    while at < len(stream):
        size = chance.choice([1, 50, 700, 9_000, 100_000])
        opened.connection.data_received(stream[at : at + size])
        await read_all(opened)
        at += size
    assert opened.session.messages == read_by_library(stream, opened.hub.max_frame_bytes)


async def test_too_many_frames_in_one_read_are_closed_with_4429() -> None:
    hub = FakeHub()
    hub.max_rate = 1000
    opened = Opened(hub, Intake())
    opened.connection.data_received(FLOODS["pings"])
    await read_all(opened)
    assert hub.close_codes == [CloseCode.RATE_LIMITED]
    assert opened.transport.reading, "what still comes is dropped, and the peer's end is seen"


@pytest.mark.parametrize("how", ["end of the stream", "loss"])
async def test_what_was_read_before_the_end_is_taken_first(how: str) -> None:
    opened = Opened(intake=Intake())
    opened.connection.data_received(FLOODS["messages"])
    if how == "loss":
        opened.transport.closing = True
        opened.connection.connection_lost(ConnectionResetError())
    else:
        opened.connection.eof_received()
    assert opened.session.closed_times == 0
    session = opened.session
    await until(lambda: session.closed_times)
    assert len(session.messages) == 4000
    await asyncio.sleep(0)
    assert session.closed_times == 1
    assert opened.hub.connections == set()
    assert (opened.connection in opened.state.connections) is (how != "loss")


async def test_a_connection_that_is_ended_meanwhile_takes_nothing_more() -> None:
    opened = Opened(intake=Intake())
    opened.connection.data_received(FLOODS["messages"])
    session, before = opened.session, len(opened.session.messages)
    opened.connection.crashed(RuntimeError("a bug"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(session.messages) == before
    assert opened.hub.close_codes == [CloseCode.INTERNAL]
    assert session.closed_times == 1
    assert opened.transport.reading


async def test_reading_waits_for_the_session_and_the_backlog_both() -> None:
    opened = Opened(intake=Intake())
    opened.connection.data_received(FLOODS["pings"])
    opened.connection.pause_reading()
    opened.connection.resume_reading()
    assert not opened.transport.reading, "the backlog waits"
    opened.connection.pause_reading()
    while opened.connection.read_on():
        pass
    assert not opened.transport.reading, "the session waits"
    opened.connection.resume_reading()
    assert opened.transport.reading


async def test_beyond_what_may_wait_in_all_the_connection_is_closed_with_4429() -> None:
    applied: list[str] = []
    intake = Intake(30_000, applied.append)
    first, second = Opened(intake=intake), Opened(intake=intake)
    first.connection.data_received(FLOODS["messages"])
    second.connection.data_received(FLOODS["messages"])
    assert second.hub.close_codes == [CloseCode.RATE_LIMITED]
    assert applied == ["max_unparsed_bytes"]
    assert b"max_unparsed_bytes" in second.transport.written
    second.connection.data_received(FLOODS["messages"])
    await read_all(first)
    assert len(first.session.messages) == 4000
    assert intake.held == 0
