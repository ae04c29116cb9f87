"""What is told of an attack: memory that grew too much fails it, and two runs make one table."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.abuse import summary
from bench.abuse.abuse import Options, _judge_memory
from bench.abuse.cost import MIB, Costs
from bench.abuse.hostile import Hostile, Tally
from bench.abuse.kinds import KINDS
from bench.peers.raw_websocket import Target
from bench.results.report import Figure, Report, Spread

KIND = {kind.name: kind for kind in KINDS}


def report(p99: float, grew: float, lost: bool = False) -> dict[str, Any]:
    made = Report(name="ping-flood", title="pings", options={})
    for what in (
        "honest heartbeat until acknowledged, during",
        "ping until answered, during",
        "newcomer until registered, during",
    ):
        made.figures.append(Figure(what, Spread(10, 1.0, p99, p99), "ms"))
    for whose in ("the hub", "the store"):
        made.figure(f"memory of {whose}, before", 50.0, "MB")
        made.figure(f"memory of {whose}, during", 50.0 + grew, "MB")
    made.figure("the hub's share of a core, during", 99.0, "%")
    made.figure("open files of the hub, during", 120)
    made.figure("lines of the hub's log, during", 5.0, "/s")
    made.none("none was told as lost", int(lost))
    return dict(msgspec.to_builtins(made))


def test_two_runs_make_one_table_of_what_was_and_what_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_bytes(msgspec.json.encode({"reports": [report(189.0, 200.0, lost=True)]}))
    after.write_bytes(msgspec.json.encode({"reports": [report(14.0, 2.0)]}))
    assert summary.main([str(before), str(after)]) == 0
    head, _, row, *rest = capsys.readouterr().out.splitlines()
    assert head.startswith("| attack | honest, ms |")
    assert row == (
        "| `ping-flood` | 189 → 14 | 189 → 14 | 189 → 14 | 99 | 200 → 2 | 200 → 2 | 120 | 5 |"
    )
    assert rest == ["", "- `ping-flood` before: none was told as lost: 1"]


def test_what_is_no_result_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert summary.main([str(tmp_path / "nothing.json")]) == 1
    assert "is no result of the bench" in capsys.readouterr().err
    assert summary.main([]) == 2


@pytest.mark.parametrize(
    ("hub", "store", "holds"),
    [(99, 19, [True, True]), (101, 19, [False, True]), (99, 21, [True, False])],
)
def test_memory_that_grows_beyond_its_settings_fails(
    hub: int, store: int, holds: list[bool]
) -> None:
    made = Report(name="ping-flood", title="", options={})
    before = Costs(memory=50 * MIB, store_memory=MIB)
    during = Costs(memory=(50 + hub) * MIB, store_memory=(1 + store) * MIB)
    _judge_memory(made, KIND["ping-flood"], Options(), before, during)
    assert [check.holds for check in made.checks] == holds
    assert all("max_rate" in check.what for check in made.checks)


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (b"HTTP/1.1 408 Request Timeout\r\n\r\n", "HTTP 408"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x88\x05\x11\x4dtoo", "close 4429"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x02{}", "cut off"),
        (b"", "cut off"),
    ],
)
async def test_how_a_connection_ended_is_counted(answer: bytes, end: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tally = Tally()
    connection = await Hostile.connect(Target(f"ws://127.0.0.1:{port}/ws"), tally)
    async with asyncio.timeout(30):
        await connection.end()
    server.close()
    assert tally.ends == {end: 1}
    assert (tally.opened, tally.open, tally.received) == (1, 0, len(answer))
