"""The names of keys, and that namespaces and prefixes keep apart what they hold."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from actors.ports.store import Applied
from hub.store import Keys
from tests.hub.store.asking import agent_id, change
from tests.hub.store.conftest import MakeStore


def names(keys: Keys) -> list[bytes]:
    return [
        keys.agent("ID"),
        keys.active,
        keys.log,
        keys.log_name,
        keys.secret,
        keys.hub("HUB"),
        keys.hubs,
        keys.seen,
        keys.loss,
        keys.times,
        keys.owners,
        keys.epoch("ID"),
        keys.namespaces,
    ]


def test_the_default_namespace_has_the_legacy_names() -> None:
    assert names(Keys()) == [
        b"agent:ID",
        b"agents:active",
        b"agents:log",
        b"agents:log:name",
        b"agents:secret",
        b"hub:HUB",
        b"agents:hubs",
        b"agents:seen",
        b"agents:loss",
        b"agents:times",
        b"agents:owners",
        b"epoch:ID",
        b"homeport:namespaces",
    ]


def test_another_namespace_is_one_hash_slot() -> None:
    assert names(Keys("", "team-a")) == [
        b"{team-a}:agent:ID",
        b"{team-a}:agents:active",
        b"{team-a}:agents:log",
        b"{team-a}:agents:log:name",
        b"{team-a}:agents:secret",
        b"{team-a}:hub:HUB",
        b"{team-a}:agents:hubs",
        b"{team-a}:agents:seen",
        b"{team-a}:agents:loss",
        b"{team-a}:agents:times",
        b"{team-a}:agents:owners",
        b"{team-a}:epoch:ID",
        b"homeport:namespaces",
    ]


def test_on_a_cluster_the_default_namespace_is_one_hash_slot_too() -> None:
    assert names(Keys("p/", hash_tags=True)) == [
        b"p/{default}:agent:ID",
        b"p/{default}:agents:active",
        b"p/{default}:agents:log",
        b"p/{default}:agents:log:name",
        b"p/{default}:agents:secret",
        b"p/{default}:hub:HUB",
        b"p/{default}:agents:hubs",
        b"p/{default}:agents:seen",
        b"p/{default}:agents:loss",
        b"p/{default}:agents:times",
        b"p/{default}:agents:owners",
        b"p/{default}:epoch:ID",
        b"p/homeport:namespaces",
    ]
    assert names(Keys("p/", "team-a", hash_tags=True)) == names(Keys("p/", "team-a"))


def test_the_prefix_goes_before_everything() -> None:
    assert all(name.startswith(b"test/") for name in names(Keys("test/")))
    assert Keys().lease(b"HUB") == Keys().hub("HUB")
    assert Keys("test/", "team-a").active == b"test/{team-a}:agents:active"
    assert Keys("test/", "team-a").namespaces == b"test/homeport:namespaces"


@pytest.mark.parametrize("bad", ["", "a b", "{x}", "a:b", "-a", "a" * 64, "a\n", "ä"])
def test_a_bad_namespace_is_refused_by_name(bad: str) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        Keys("", bad)


@pytest.mark.parametrize(
    "other", [Keys("", "team-a"), Keys("p:"), Keys("p:", "team-a")], ids=["name", "prefix", "both"]
)
async def test_namespaces_and_prefixes_are_disjoint(
    make_store: MakeStore, client: Redis, other: Keys
) -> None:
    plain, apart = make_store(), make_store(keys=other)
    first, second = await plain.open(), await apart.open()
    assert first.log != second.log
    assert first.secret != second.secret
    assert await plain.commit(change("register", 1), change("register", 2)) == [
        Applied(1, 1),
        Applied(2, 1),
    ]
    assert await apart.commit(change("register", 1)) == [Applied(1, 1)]
    assert len((await plain.load()).records) == 2
    assert len((await apart.load()).records) == 1
    assert await apart.commit(change("remove", 1, epoch=1, revision=1)) == [Applied(2, 1)]
    assert await client.exists(f"agent:{agent_id(1)}") == 1
    everything = {key for key in await client.keys("*") if not key.endswith(b":namespaces")}
    beginning = other.active.removesuffix(b"agents:active")
    assert {key for key in everything if key.startswith(beginning)} == {
        other.active.replace(b"agents:active", name)
        for name in (
            *(b"agents:log", b"agents:log:name", b"agents:secret"),
            *(b"agents:hubs", b"agents:ended", b"hub:hub-1", b"epoch:" + agent_id(1).encode()),
        )
    }


async def test_every_namespace_that_was_opened_is_remembered(
    make_store: MakeStore, client: Redis
) -> None:
    store = make_store()
    assert await store.store.namespaces() == ["default"]
    for name in ("zebra", "team-a"):
        await make_store(keys=Keys("", name)).open()
    await make_store(keys=Keys("other:", "elsewhere")).open()
    await store.open()
    await client.sadd("homeport:namespaces", "no {name}", b"\xff")
    assert await store.store.namespaces() == ["default", "team-a", "zebra"]


async def test_a_namespace_is_remembered_again_when_redis_has_forgotten(
    make_store: MakeStore, client: Redis
) -> None:
    store = make_store(keys=Keys("", "team-a"))
    opened = await store.open()
    await client.flushall()
    await store.open(opened.log, 0)
    assert await store.store.namespaces() == ["default", "team-a"]
