"""The HTTP scenario in a small form: every answer is right, whatever this machine's speed is."""

from __future__ import annotations

from bench.rig.processes import HubProcess, temporary_directory
from bench.speed.http import SCENARIO, Options
from bench.speed.http_calls import CALLS
from bench.speed.http_fleet import Fleet
from tests.bench.left import agents_left

SMALL = {"agents": 12, "connections": 3, "seconds": 0.05, "rounds": 1}


async def test_every_call_is_measured_and_answered_rightly() -> None:
    report = await SCENARIO.run(Options(**SMALL))

    assert [each.what for each in report.checks if not each.holds] == []
    assert [each.what for each in report.goals] == [call.title for call in CALLS.values()]
    assert all(each.median > 0 for each in report.goals)
    assert all(curve.points for curve in report.curves)


async def test_a_hub_that_is_there_is_left_as_it_was_and_can_be_a_peer_as_well() -> None:
    with temporary_directory() as directory:
        async with HubProcess(directory) as hub:
            report = await SCENARIO.run(
                Options(**SMALL, only="heartbeat,register", url=hub.url, peer=hub.url)
            )
            assert await agents_left(hub.url) == {0}
            at_the_peer = await Fleet(hub.url).ask("GET", "/agents")

    assert all(each.holds for each in report.checks)
    assert [(each.what, each.baseline == hub.url) for each in report.goals] == [
        ("heartbeat", True),
        ("heartbeat", False),
        ("register", True),
        ("register", False),
    ]
    assert at_the_peer.json()["count"] == 0
