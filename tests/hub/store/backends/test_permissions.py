"""A Redis user with no more than the manual asks for can do all that a hub needs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from actors.ports.store import Applied, Away, Committed, Opened
from hub.store import Keys, RedisStore, StoreError, StoreUnavailableError, connect
from hub.store.backends.standalone import Standalone
from tests.hub.store.asking import LEGACY, Asked, agent_id, answer_of, change
from tests.support.redis_servers import RedisServer, running

MANUAL = Path(__file__).parents[4] / "docs" / "reference.md"


def commands() -> list[str]:
    block = re.search(r"```\n(\+eval .*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    return block[1].split()


async def test_the_commands_of_the_manual_are_all_that_is_needed(server: RedisServer) -> None:
    beside = await connect(server.url, hub_id="test")
    assert isinstance(beside, Standalone)
    admin = beside.client
    await admin.acl_setuser(
        "homeport",
        enabled=True,
        passwords=["+pw"],
        keys=["p:*"],
        commands=commands(),
    )
    backend = await connect(f"unix://homeport:pw@{server.path}", hub_id="h", command_timeout=10.0)
    store = RedisStore(backend, Keys("p:", "team-a"), "h", command_timeout=10.0)
    asked = Asked(store)
    assert await store.check_server() == []
    await asked.open()
    await asked.open(asked.log, 5)  # a new log in the place of one
    ghost, legacy = agent_id(8), agent_id(9)
    await admin.sadd("p:{team-a}:agents:active", ghost, legacy)
    record = LEGACY.replace(agent_id().encode(), legacy.encode())
    await admin.set(f"p:{{team-a}}:agent:{legacy}", record)
    await admin.set(f"p:{{team-a}}:agent:{agent_id(2)}", "something else")
    assert await asked.commit(
        change("register", 1, times="30 45 60"),
        change("register", 2, times="2 10 30"),
        change("renew", 1, epoch=1, revision=6),
        change("write", 1, epoch=1, revision=6, seen="x"),
        change("write", 9, epoch=1),
        change("remove", 2, epoch=1, revision=7),
        announce=True,
    ) == [Applied(6, 1), Applied(7, 1), Applied(6, 1), "stale", Applied(8, 1), Applied(9, 1)]
    assert len((await asked.load()).records) == 2
    assert len(await asked.read_log(5)) == 4
    assert await asked.await_change(5) is True
    assert await asked.read(1) is not None
    assert (await asked.read_renewals()).position
    await asked.acknowledge_loss(3)
    await admin.sadd("p:{team-a}:agents:hubs", "dead")
    assert (await asked.roster()).acknowledged == 3
    assert await store.namespaces() == ["default", "team-a"]
    await store.forget()
    await store.close()
    assert await admin.exists("p:{team-a}:hub:h") == 0
    await backend.aclose()
    await admin.aclose()


class Limited:
    """A store whose user may do all that the manual lists, until a test takes a right away."""

    def __init__(self, asked: Asked, admin: Redis) -> None:
        self.asked = asked
        self._admin = admin

    async def may(self, *rules: str) -> None:
        await self._admin.execute_command("ACL", "SETUSER", "homeport", *rules)


@pytest.fixture
async def limited(server: RedisServer) -> AsyncIterator[Limited]:
    beside = await connect(server.url, hub_id="test")
    assert isinstance(beside, Standalone)
    await beside.client.acl_setuser(
        "homeport", enabled=True, passwords=["+pw"], keys=["*"], commands=commands()
    )
    backend = await connect(f"unix://homeport:pw@{server.path}", hub_id="h", command_timeout=10.0)
    store = RedisStore(backend, Keys(), "h", command_timeout=10.0)
    yield Limited(Asked(store), beside.client)
    await store.close()
    await backend.aclose()
    await beside.aclose()


IN_SCRIPTS = [
    each[1:] for each in commands() if not each.startswith(("+eval", "+hello", "+client"))
]


@pytest.mark.parametrize("command", [each for each in IN_SCRIPTS if each != "info"])
async def test_a_missing_permission_is_told_by_name_before_the_hub_depends_on_it(
    limited: Limited, command: str
) -> None:
    await limited.may(f"-{command}")
    with pytest.raises(StoreError) as refused:
        await limited.asked.store.check_server()
    assert not isinstance(refused.value, StoreUnavailableError)
    name = command.upper().replace("|", " ")
    assert str(refused.value).startswith(f"the Redis user may not run {name}: allow it with ")
    assert str(refused.value).endswith(f" +{command}")
    await limited.may(f"+{command}")
    assert await limited.asked.store.check_server() == []


async def test_checking_leaves_nothing_behind(limited: Limited, server: RedisServer) -> None:
    await limited.asked.store.check_server()
    assert server.client.keys("*") == []


async def test_keys_that_are_not_allowed_are_told(limited: Limited) -> None:
    await limited.may("resetkeys", "~agent*", "~hub:*", "~epoch:*")
    with pytest.raises(StoreError, match=r"may not use the key set-aside:.*ACL SETUSER NAME ~\*"):
        await limited.asked.store.check_server()


@pytest.mark.parametrize("command", ["xadd", "xread", "xrange", "sscan", "pexpire", "rename"])
async def test_a_permission_that_is_taken_away_stays_the_reason_until_it_is_back(
    limited: Limited, command: str
) -> None:
    asked = limited.asked
    await asked.open()
    await asked.commit(change("register"))
    await limited.may(f"-{command}")
    reasons: list[str] = []
    for _ in range(5):
        for ask in (
            lambda: asked.try_commit(change("register", 2), announce=True),
            lambda: answer_of(lambda reply: asked.store.await_change(1, reply)),
            lambda: answer_of(asked.store.load),
            asked.renew_lease,
            lambda: asked.try_open(asked.log, 1),
        ):
            answer = await ask()
            if isinstance(answer, Away):
                reasons.append(answer.reason)
            elif reasons and command != "rename":
                # What needs no permission that is missing may work; what writes may not.
                assert not isinstance(answer, Committed | Opened), answer
    if command == "rename":  # needed only where there is something to set aside
        assert reasons == []
    else:
        assert set(reasons) == {reasons[0]}
        assert reasons[0].startswith(f"the Redis user may not run {command.upper()}: ")
    await limited.may(f"+{command}")
    await asked.open(asked.log, 1)
    assert isinstance(await asked.try_commit(change("register", 3)), Committed)


async def test_a_command_that_is_disabled_is_told_by_name() -> None:
    with running(RedisServer("--rename-command", "XADD", "")) as server:
        backend = await connect(server.url, hub_id="h", command_timeout=10.0)
        store = RedisStore(backend, Keys(), "h", command_timeout=10.0)
        with pytest.raises(StoreError, match="Redis does not know XADD, which a hub needs"):
            await store.check_server()
        await store.close()
        await backend.aclose()
