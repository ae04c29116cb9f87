"""One hub in this process, on memory:// or on no store that answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from actors.agent.outcomes import Outcome
from actors.namespace.supervisor import Supervisor
from actors.rules.permissions import ANYBODY, Principal
from actors.runtime.turns import complete
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import MATCH_ALL
from homeport_protocol.record import AgentSpec
from hub.errors import HubError
from hub.net.caller import Caller
from hub.process import hub as hub_module
from hub.process import namespaces
from hub.process.hub import Hub
from hub.settings import Settings
from hub.store import StoreUnavailableError


@pytest.fixture
async def running() -> AsyncIterator[Hub]:
    hub = Hub(Settings(redis="memory://", port=0))
    await hub.start()
    yield hub
    await hub.stop()


async def until_namespaces(hub: Hub, names: set[str]) -> None:
    async with asyncio.timeout(10):
        while {name for name, _ in hub._namespaces} != names:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def register(hub: Hub, namespace: str, principal: Principal = ANYBODY) -> Supervisor:
    """Register an agent in a namespace, which is made if need be. Raises ProtocolError."""
    supervisor = await hub.namespace_to_register(Caller(namespace, principal))
    answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    spec = AgentSpec(name="a", type="cost")
    supervisor.register(spec, None, answered.set_result, principal=principal)
    outcome = await asyncio.wait_for(answered, 20)
    if isinstance(outcome, ProtocolError):
        raise outcome
    return supervisor


async def test_a_namespace_that_nobody_uses_is_let_go_of(
    running: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "IDLE", 0.1)
    await running._namespaces.loaded("empty")
    await register(running, "used")
    await until_namespaces(running, {"default", "used"})
    store = running._namespaces.open("default").store
    assert await store.namespaces() == ["default", "used"]
    await register(running, "empty")
    assert await store.namespaces() == ["default", "empty", "used"]


async def test_who_only_reads_makes_no_namespace(running: Hub) -> None:
    store = running._namespaces.open("default").store
    before = await store._names.ask(b"KEYS", b"*")
    with capture_logs() as logged:
        supervisor = await running.namespace("made-up")
        assert complete(supervisor.find(MATCH_ALL)).agents == []
        with pytest.raises(ProtocolError, match="Agent not found"):
            supervisor.get("550e8400-e29b-41d4-a716-446655440000")
        # Whatever they are called, one thing answers for all of them.
        assert {await running.namespace(f"made-up-{number}") for number in range(100)} == {
            supervisor
        }
    assert await store._names.ask(b"KEYS", b"*") == before
    assert {name for name, _ in running._namespaces} == {"default"}
    assert b'namespace="made-up' not in running.metrics.text()
    assert logged == []


async def test_the_first_registration_makes_the_namespace(running: Hub) -> None:
    made = await register(running, "new")
    assert await running.namespace("new") is made
    assert await running._namespaces.open("default").store.namespaces() == ["default", "new"]
    assert b'homeport_agents{namespace="new",status="healthy"} 1.0' in running.metrics.text()


async def test_a_namespace_that_another_hub_made_is_found_by_who_reads_in_it(running: Hub) -> None:
    store = running._namespaces.open("default").store
    await store._names.ask(b"SADD", store._keys.namespaces, b"theirs")
    supervisor = await running.namespace("theirs")
    assert supervisor.ready
    assert {name for name, _ in running._namespaces} == {"default", "theirs"}


async def test_what_a_namespace_left_in_redis_runs_out_unless_it_is_used_again(
    running: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "IDLE", 0.1)
    await running._namespaces.loaded("made-up")
    await until_namespaces(running, {"default"})
    lane = running._namespaces.open("default").store._names

    async def lasting() -> set[bytes]:
        keys = await lane.ask(b"KEYS", b"{made-up}:*")
        return {key for key in keys if await lane.ask(b"PTTL", key) < 0}

    async with asyncio.timeout(10):
        while await lasting():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert await lane.ask(b"EXISTS", b"{made-up}:agents:log") == 1
    monkeypatch.setattr(namespaces, "IDLE", 60)
    await register(running, "made-up")
    assert {b"{made-up}:agents:log", b"{made-up}:agents:secret"} <= await lasting()


async def test_there_is_a_limit_of_namespaces(
    running: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running._namespaces, "_most", 2)
    await register(running, "one")
    expected = r"serves 2 namespaces already \(max_namespaces\)"
    with pytest.raises(ProtocolError, match=expected) as refused:
        await register(running, "two")
    assert refused.value.code == "unavailable"
    assert (await running.namespace("one")).ready
    assert complete((await running.namespace("two")).find(MATCH_ALL)).agents == []
    assert b'homeport_limits_applied_total{setting="max_namespaces"} 1.0' in running.metrics.text()


async def test_callers_without_a_token_make_so_many_namespaces_and_no_more() -> None:
    hub = Hub(Settings(redis="memory://", port=0, open_namespaces=2))
    await hub.start()
    for name in ("one", "two", "one"):
        await register(hub, name)
    expected = r"callers without a token can make 2 \(open_namespaces\)"
    with pytest.raises(ProtocolError, match=expected) as refused:
        await register(hub, "three")
    assert refused.value.code == "forbidden"
    assert b'homeport_limits_applied_total{setting="open_namespaces"} 1.0' in hub.metrics.text()
    token = Principal(id="token:abc", role="agent", namespace="three", names=("*",))
    await register(hub, "three", token)
    assert {name for name, _ in hub._namespaces} == {"default", "one", "two", "three"}
    await hub.stop()


@pytest.mark.parametrize(
    ("given", "host", "most"),
    [
        (None, "127.0.0.1", 100),
        (None, "::1", 100),
        (None, "localhost", 100),
        (None, "0.0.0.0", 0),
        (None, "hub.example.org", 0),
        (7, "0.0.0.0", 7),
        (0, "127.0.0.1", 0),
    ],
)
async def test_how_many_they_make_is_a_setting(given: int | None, host: str, most: int) -> None:
    assert hub_module.open_namespaces(Settings(host=host, open_namespaces=given)) == most


async def test_stored_namespaces_beyond_the_limit_are_skipped_with_a_warning() -> None:
    hub = Hub(Settings(redis="memory://", port=0, max_namespaces=2))
    await hub.start()
    store = hub._namespaces.open("default").store
    for name in (b"b", b"a", b"c"):
        await store._names.ask(b"SADD", store._keys.namespaces, name)
    hub._namespaces.open_stored(await store.namespaces())
    assert {name for name, _ in hub._namespaces} == {"default", "a"}
    assert [each.phrase for each in hub.warnings()] == [
        "2 namespaces are not served: this hub serves 2 (max_namespaces)"
    ]
    await hub.stop()


async def test_a_bad_name_of_a_namespace_is_refused(running: Hub) -> None:
    with pytest.raises(ProtocolError, match="namespace: 1 to 63 letters") as refused:
        await running.namespace("-no-")
    assert refused.value.code == "bad_request"


async def test_a_namespace_that_another_hub_opened_is_served_here_too(
    running: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "DISCOVER_INTERVAL", 0.0)
    store = running._namespaces.open("default").store
    await store._names.ask(b"SADD", store._keys.namespaces, b"theirs")
    await until_namespaces(running, {"default", "theirs"})


async def test_a_namespace_that_is_used_here_stays_on_the_list(
    running: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "DISCOVER_INTERVAL", 0.0)
    await register(running, "used")
    store = running._namespaces.open("default").store
    await store._names.ask(b"SREM", store._keys.namespaces, b"used")  # as another hub would
    async with asyncio.timeout(10):
        while "used" not in await store.namespaces():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_why_the_store_is_waited_for_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "START_TIMEOUT", 1.0)
    monkeypatch.setattr(hub_module, "START_PAUSE", 0.01)
    hub = Hub(Settings(redis=f"unix://{tmp_path}/none", port=0))
    reason = "Redis cannot be reached: no such socket"
    with capture_logs() as logged, pytest.raises(HubError, match=reason):
        await hub.start()
    waiting = [line for line in logged if line["event"] == "waiting for the store"]
    assert [line["reason"] for line in waiting] == [reason]


async def test_another_reason_to_wait_for_the_store_is_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "START_PAUSE", 0.0)
    answers = iter(["refused", "refused", "loading", "loading", "refused"])

    async def ask() -> list[str]:
        for reason in answers:
            raise StoreUnavailableError(reason)
        return ["it answers"]

    hub = Hub(Settings(redis="memory://", port=0))
    reasons: list[str] = []
    with capture_logs() as logged:
        assert await hub._ask_until_answered(ask, reasons) == ["it answers"]
    assert [line["reason"] for line in logged] == reasons == ["refused", "loading", "refused"]
