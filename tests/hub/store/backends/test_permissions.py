"""A Redis user with no more than the manual asks for can do all that a hub needs."""

from __future__ import annotations

import re
from pathlib import Path

from actors.ports.store import Applied
from hub.store import Keys, RedisStore, connect
from hub.store.backends.standalone import Standalone
from tests.hub.store.asking import LEGACY, Asked, agent_id, change
from tests.support.redis_servers import RedisServer

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
        change("register", 1),
        change("register", 2),
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
