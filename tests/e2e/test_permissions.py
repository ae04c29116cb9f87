"""A Redis user that lacks a command: told once, by name, at two hubs, until it may run it."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_starting import assert_sentence, fails
from tests.support.redis_servers import RedisServer
from tests.support.waiting import wait_until

MANUAL = Path(__file__).parents[2] / "docs" / "reference.md"


def commands() -> list[str]:
    block = re.search(r"```\n(\+eval .*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    return block[1].split()


def allow(server: RedisServer, *rules: str) -> None:
    server.client.execute_command("ACL", "SETUSER", "web", *rules)


@pytest.fixture
def server(start_server: Any) -> RedisServer:
    server: RedisServer = start_server()
    allow(server, "reset", "on", ">pw", "~*", *commands())
    return server


@pytest.mark.parametrize("command", ["xread", "xadd", "pexpire"])
def test_two_hubs_that_lose_a_permission_say_so_once_and_stay_so(
    server: RedisServer, start_hub: Any, enter: Any, command: str
) -> None:
    url = f"unix://web:pw@{server.path}"
    hubs = [start_hub("--redis", url, "--hub-id", name) for name in ("one", "two")]
    places = [enter(hub, None) for hub in hubs]
    agents = [place.agent(f"a{number}")[0] for number, place in enumerate(places)]
    allow(server, f"-{command}")
    named = (
        f"the Redis user may not run {command.upper()}: allow it with ACL SETUSER web +{command}"
    )
    for place, agent in zip(places, agents, strict=True):
        wait_until(
            lambda place=place, agent=agent: (
                agent.ask("heartbeat") and place.get("/ready").status_code == 503
            )
        )
    until = time.monotonic() + 4
    heard = set()
    while time.monotonic() < until:
        for place, agent in zip(places, agents, strict=True):
            agent.ask("heartbeat")
            ready = place.get("/ready")
            heard.add((ready.status_code, *ready.json().get("reasons", [])))
        time.sleep(0.05)
    assert heard == {(503, named)}
    for hub in hubs:
        away = [line for line in hub.log().splitlines() if "the store is away" in line]
        assert len(away) == 1, away
        assert named in away[0]
    allow(server, f"+{command}")
    for place in places:
        wait_until(lambda place=place: place.get("/ready").status_code == 200)
        assert place.record(place.register()) is not None


def test_a_hub_that_lacks_a_permission_at_its_start_ends_at_once(
    server: RedisServer, tmp_path: Path
) -> None:
    allow(server, "-xread", "-hset")
    begun = time.monotonic()
    status, said = fails(tmp_path / "h", "--redis", f"unix://web:pw@{server.path}", "--port", "0")
    assert time.monotonic() - begun < 8
    assert status == 1
    assert_sentence(said)
    assert (
        "the Redis user may not run HSET, XREAD: allow it with ACL SETUSER web +hset +xread" in said
    )
    assert "pw" not in said.replace("/tmp", "")


def test_a_wrong_password_ends_it_at_once(server: RedisServer, tmp_path: Path) -> None:
    status, said = fails(tmp_path / "h", "--redis", f"unix://web:no@{server.path}", "--port", "0")
    assert status == 1
    assert_sentence(said)
    assert "cannot be used: Redis does not accept the user name or password" in said
