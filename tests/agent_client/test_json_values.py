"""What JSON cannot carry is refused at the call that gives it, with its path; nothing is sent."""

from __future__ import annotations

import array
import datetime
import enum
import json
import logging
import math
import types
from typing import Any, NamedTuple

import pytest

from agent_client import AgentClient, AgentRegistration, BadRequest, Filter, HubClient
from agent_client.json_values import json_value
from tests.support.fake_hub import FakeHub
from tests.support.legacy_hub import LegacyHub
from tests.support.records import SPEC
from tests.support.waiting import wait_until

cyclic: dict[str, Any] = {"inner": {}}
cyclic["inner"]["again"] = cyclic["inner"]
ring: list[Any] = []
ring.append(ring)
deep: dict[str, Any] = {}
for _ in range(32):
    deep = {"d": deep}


class Colour(enum.Enum):
    RED = 1


class Bad(NamedTuple):
    value: Any
    path: str
    words: str


BAD = [
    Bad({"a": math.nan}, "a", "JSON has no nan"),
    Bad({"a": math.inf}, "a", "JSON has no inf"),
    Bad({"a": {"b": -math.inf}}, "a.b", "JSON has no -inf"),
    Bad({"a": {"b": [1, {"c": math.nan}]}}, "a.b[1].c", "JSON has no nan"),
    Bad({1: "one"}, "", "only text as keys, not 1"),
    Bad({"a": {None: 1}}, "a", "only text as keys, not None"),
    Bad({"a": {"b": {b"c": 1}}}, "a.b", "only text as keys, not b'c'"),
    Bad({"a": {"x", "y"}}, "a", "JSON has no set; give a list"),
    Bad({"a": frozenset()}, "a", "JSON has no frozenset; give a list"),
    Bad({"a": datetime.date(2026, 1, 1)}, "a", "JSON has no date; give text"),
    Bad({"a": datetime.datetime(2026, 1, 1)}, "a", "JSON has no datetime; give text"),
    Bad({"a": datetime.timedelta(1)}, "a", "JSON has no timedelta"),
    Bad({"a": b"bytes"}, "a", "JSON has no bytes; give text"),
    Bad({"a": bytearray(b"b")}, "a", "JSON has no bytearray; give text"),
    Bad({"a": object()}, "a", "JSON has no object"),
    Bad({"a": Colour.RED}, "a", "JSON has no Colour"),
    Bad({"a": array.array("d", [1.0])}, "a", "JSON has no array"),
    Bad({"a": [1, 2j]}, "a[1]", "JSON has no complex"),
    Bad({"a": 1 << 1024}, "a", "integer"),
    Bad({"a": "\ud800"}, "a", "surrogate"),
    Bad({"\udfff": 1}, "", "surrogate"),
    Bad(cyclic, "inner.again", "holds itself"),
    Bad({"a": ring}, "a[0]", "holds itself"),
    Bad(deep, ".".join("d" * 32), "more than 32 levels"),
]


def path(start: str, bad: Bad) -> str:
    return f"{start}.{bad.path}" if bad.path else start


def ids(bad: Bad) -> str:
    return f"{bad.path[:9]}: {bad.words}"


@pytest.mark.parametrize("bad", BAD, ids=ids)
async def test_an_agent_is_told_at_the_call(hub: FakeHub, bad: Bad) -> None:
    with pytest.raises(BadRequest, match=bad.words) as refused:
        AgentClient(hub.url, **SPEC, metadata=bad.value)  # type: ignore[arg-type]
    assert refused.value.field == path("metadata", bad)
    assert refused.value.message.startswith(f"{path('metadata', bad)}: ")
    async with AgentClient(hub.url, name="a", type="cost", metadata={"a": 41.5}) as agent:
        for call in (agent.report, agent.update):
            with pytest.raises(BadRequest, match=bad.words) as refused:
                await call(metadata=bad.value)
            assert refused.value.field == path("metadata", bad)
        await agent.report(load=1.0)  # the agent goes on, and what was refused is not remembered
        assert hub.requests("heartbeat")[0].get("metadata") is None
        hub.agents.clear()
        hub.peer.abort()
        await hub.heard("register", 2)
        assert hub.requests("register")[1]["agent"]["metadata"] == {"a": 41.5}
    assert not hub.requests("update")


@pytest.mark.parametrize("bad", BAD, ids=ids)
async def test_a_caller_is_told_at_the_call(hub: FakeHub, bad: Bad) -> None:
    async with HubClient(hub.url) as client:
        for call in (client.find, client.pick, client.flapping):
            with pytest.raises(BadRequest, match=bad.words) as refused:
                await call(metadata=bad.value)
            assert refused.value.field == path("filter.metadata", bad)
        with pytest.raises(BadRequest, match=bad.words):
            client.watch(metadata=bad.value)
        with pytest.raises(BadRequest, match=bad.words):
            await client.find({"metadata": bad.value})
        with pytest.raises(BadRequest, match=bad.words):
            await client.find(Filter(metadata=bad.value))
    assert not hub.peers


@pytest.mark.parametrize("bad", BAD, ids=ids)
def test_the_helper_is_told_when_it_is_made_and_logs_what_comes_later(
    bad: Bad, caplog: pytest.LogCaptureFixture
) -> None:
    def make(metadata: dict[str, Any]) -> AgentRegistration:
        given = ("a", "cost", "10.0.0.1", 8001, ["spot"])
        return AgentRegistration(*given, "http://127.0.0.1:9", metadata=metadata)

    with pytest.raises(BadRequest, match=bad.words) as refused:
        make(bad.value)
    assert refused.value.field == path("metadata", bad)
    registration = make({"a": 41.5})
    registration.metadata = bad.value
    with caplog.at_level(logging.ERROR, logger="homeport.client"):
        assert not registration.register()
    assert f"Registration error: {path('metadata', bad)}: " in caplog.text


def test_a_heartbeat_of_the_helper_with_such_a_value_is_not_sent_but_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with LegacyHub() as hub, caplog.at_level(logging.ERROR, logger="homeport.client"):
        helper = AgentRegistration("a", "cost", "h", 1, [], hub.url, metadata={"a": 41.5})
        assert helper.register()
        helper.metadata["a"] = math.nan
        helper.start_heartbeat()
        wait_until(lambda: "Heartbeat error: metadata.a: JSON has no nan" in caplog.text)
        assert len(hub.calls) == 1
        helper.metadata["a"] = 42.5
        wait_until(lambda: len(hub.calls) > 1)
        assert hub.calls[1][1]["metadata"] == {"a": 42.5}
        helper.stop_heartbeat_loop()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"load": math.nan}, "load"),
        ({"load": math.inf}, "load"),
        ({"load": True}, "load"),
        ({"load": "0.5"}, "load"),
        ({"version": b"1"}, "version"),
        ({"version": datetime.date(2026, 1, 1)}, "version"),
        ({"host": "\ud800"}, "host"),
        ({"port": math.nan}, "port"),
        ({"capabilities": [b"spot"]}, "capabilities[0]"),
        ({"capabilities": "spot"}, "capabilities"),
        ({"capabilities": {"spot": 1}}, "capabilities"),
        ({"status": b"healthy"}, "status"),
    ],
)
async def test_so_is_every_other_argument(
    hub: FakeHub, arguments: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadRequest, match=field.partition("[")[0]) as refused:
        AgentClient(hub.url, name="a", type="cost", **arguments)
    assert refused.value.field == field
    async with AgentClient(hub.url, name="a", type="cost") as agent:
        with pytest.raises(BadRequest) as refused:
            await agent.update(**arguments)
        assert refused.value.field == field
    assert not hub.requests("update")


async def test_so_are_the_arguments_of_a_caller(hub: FakeHub) -> None:
    async with HubClient(hub.url) as client:
        calls: list[tuple[str, Any]] = [
            ("key", lambda: client.pick(strategy="sticky", key=b"k")),  # type: ignore[arg-type]
            ("strategy", lambda: client.pick(strategy="worst")),  # type: ignore[arg-type]
            ("agent_id", lambda: client.get("web-1")),
            ("agent_id", lambda: client.remove(None)),  # type: ignore[arg-type]
            ("limit", lambda: client.find(limit=1.5)),  # type: ignore[arg-type]
            ("limit", lambda: client.find(limit=math.nan)),  # type: ignore[arg-type]
            ("within", lambda: client.flapping(within=math.nan)),
            ("filter.type", lambda: client.find(type=b"cost")),  # type: ignore[arg-type]
        ]
        for field, call in calls:
            with pytest.raises(BadRequest) as refused:
                await call()
            assert refused.value.field == field
        for field, given in [
            ("position", {"position": b"p"}),
            ("since", {"since": -1, "log": "log-a"}),
            ("log", {"since": 1, "log": b"log-a"}),
            ("kinds", {"kinds": ["gone"]}),
            ("kinds", {"kinds": []}),
        ]:
            with pytest.raises(BadRequest) as refused:
                client.watch(**given)  # type: ignore[arg-type]
            assert refused.value.field == field
    assert not hub.peers


class Zone(enum.StrEnum):
    EU = "eu"


class Level(enum.IntEnum):
    HIGH = 3


class Reading(float):
    pass


def test_values_that_json_has_under_another_type_are_sent_as_such() -> None:
    given = {
        "zone": Zone.EU,
        Zone.EU: Level.HIGH,
        "pair": (1, 2.5),
        "view": types.MappingProxyType({"a": [None, True]}),
        "reading": Reading(1.5),
        "large": 2**64,
        "empty": {},
    }
    plain = json_value(given, "metadata")
    assert json.dumps(plain) == (
        '{"zone": "eu", "eu": 3, "pair": [1, 2.5], "view": {"a": [null, true]}, '
        '"reading": 1.5, "large": 18446744073709551616, "empty": {}}'
    )
    kinds = [type(each) for each in plain.values()]
    assert kinds == [str, int, list, dict, float, int, dict]
    assert [type(key) for key in plain] == [str] * 7
    shared = {"same": 1}
    assert json_value([shared, shared], "metadata") == [shared, shared]  # no circle


def test_metadata_may_be_32_levels_deep() -> None:
    assert json_value(deep["d"], "metadata") == deep["d"]


async def test_a_set_of_capabilities_is_one(hub: FakeHub) -> None:
    hub.add()
    async with (
        AgentClient(hub.url, name="a", type="cost", capabilities={"spot"}),
        HubClient(hub.url) as client,
    ):
        await client.find(capabilities={"spot"}, status={"healthy"})  # type: ignore[arg-type]
    assert hub.requests("register")[0]["agent"]["capabilities"] == ["spot"]
    assert hub.requests("find")[0]["filter"] == {"capabilities": ["spot"], "status": ["healthy"]}
