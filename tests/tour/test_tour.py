"""A tour of Homeport in ten short tests, to be read from top to bottom.

Everything here is what users have: the client package, a websocket, HTTP, and the command
`homeport`. `url` is the URL of a hub; `AgentClient()` and `HubClient()` find it in HOMEPORT_URL.
"""

from __future__ import annotations

import json

import pytest
import requests
from websockets.sync.client import connect

from agent_client import (
    AgentClient,
    AgentRegistration,
    Event,
    HubClient,
    NotFound,
    Snapshot,
    Watch,
)
from tests.support.hub_process import Hub
from tests.support.programs import Homeport

pytestmark = pytest.mark.usefixtures("url")


async def next_event(watch: Watch) -> Event:
    item = await anext(watch)
    assert isinstance(item, Event)
    return item


async def test_01_an_agent_registers_and_is_found_until_it_leaves() -> None:
    async with HubClient() as hub:
        async with AgentClient(name="cost-1", type="cost", capabilities=["spot"]) as agent:
            found = await hub.get(agent.agent_id)
            assert (found.name, found.type, found.status) == ("cost-1", "cost", "healthy")
            assert found.health.connection == "websocket"
            assert [each.id for each in await hub.find(capabilities=["spot"])] == [agent.agent_id]

        with pytest.raises(NotFound):
            await hub.get(agent.agent_id)


async def test_02_a_watch_sees_every_change_in_order() -> None:
    async with HubClient() as hub, hub.watch(name="watched") as watch:
        begin = await anext(watch)
        assert isinstance(begin, Snapshot)
        assert begin.agents == []

        async with AgentClient(name="watched", type="cost") as agent:
            await agent.update(version="2.0")
            await agent.report(status="degraded")

        events = [await next_event(watch) for _ in range(4)]
        assert [(event.kind, event.revision - begin.revision) for event in events] == [
            ("registered", 1),
            ("updated", 2),
            ("status_changed", 3),
            ("unregistered", 4),
        ]


async def test_03_callers_find_agents_by_what_they_say_of_themselves() -> None:
    paris = {"region": "eu", "zone": "eu-1", "gpus": 2}
    dublin = {"region": "eu", "zone": "eu-2", "gpus": 0}
    async with (
        AgentClient(name="paris", type="resource", version="1.4.0", metadata=paris),
        AgentClient(name="dublin", type="resource", version="1.2.0", metadata=dublin),
        HubClient() as hub,
    ):

        async def found(**wanted: object) -> list[str]:
            return sorted(agent.name for agent in await hub.find({"type": "resource", **wanted}))

        assert await found(metadata={"region": "eu"}) == ["dublin", "paris"]
        assert await found(metadata={"region": "eu", "zone": "eu-1"}) == ["paris"]
        assert await found(metadata={"region": "eu", "zone": "us-1"}) == []
        assert await found(version=">=1.3") == ["paris"]


async def test_04_a_caller_picks_one_agent_to_give_work_to() -> None:
    async with (
        AgentClient(name="busy", type="cost", capabilities=["sql"], load=0.9),
        AgentClient(name="idle", type="cost", capabilities=["sql"], load=0.1),
        HubClient() as hub,
    ):
        chosen = await hub.pick(capabilities=["sql"], strategy="least_loaded")
        assert chosen.name == "idle"

        # A customer's work goes to the same agent each time.
        one = await hub.pick(capabilities=["sql"], strategy="sticky", key="customer-7")
        again = await hub.pick(capabilities=["sql"], strategy="sticky", key="customer-7")
        assert one.id == again.id


async def test_05_an_agent_that_reports_a_problem_gets_no_work() -> None:
    async with (
        AgentClient(name="fit", type="cost", capabilities=["csv"]),
        AgentClient(name="sick", type="cost", capabilities=["csv"]) as sick,
        HubClient() as hub,
    ):
        await sick.report(status="unhealthy", metadata={"disk": "full"})

        assert {(await hub.pick(capabilities=["csv"])).name for _ in range(4)} == {"fit"}
        (found,) = await hub.find(status="unhealthy")
        assert (found.name, found.health.reason) == ("sick", "self_reported")
        assert found.metadata == {"disk": "full"}


async def test_06_when_an_agent_dies_everyone_is_told_and_why(url: str, homeport: Homeport) -> None:
    async with HubClient() as hub, hub.watch(name="doomed") as watch:
        await anext(watch)  # nobody yet
        agent = homeport.begin("register", "--name=doomed", "--type=cost", f"--url={url}")
        assert (await next_event(watch)).kind == "registered"

        agent.kill()

        events = [await next_event(watch) for _ in range(3)]
        assert [(event.kind, event.agent.status) for event in events] == [
            ("lost", "healthy"),  # at once: it may come back, and resume
            ("status_changed", "unreachable"),  # it did not
            ("expired", "unreachable"),  # and is forgotten
        ]
        assert events[-1].agent.health.reason == "connection_lost"


def test_07_an_agent_resumes_as_if_nothing_had_happened(url: str) -> None:
    """Here without a client: a websocket and JSON are all that it takes."""
    address = url.replace("http", "ws", 1) + "/ws"
    with connect(address) as connection:
        connection.send('{"op": "register", "id": 1, "agent": {"name": "brief", "type": "cost"}}')
        first = json.loads(connection.recv())
        agent_id, token = first["agent_id"], first["session_token"]

    # The connection is gone, but the agent did not unregister: it has a moment to come back.
    assert requests.get(f"{url}/agents/{agent_id}").json()["status"] == "healthy"

    with connect(address) as connection:
        resume = {"op": "resume", "id": 2, "agent_id": agent_id, "session_token": token}
        connection.send(json.dumps(resume))
        second = json.loads(connection.recv())
        assert second["resumed"] is True
        assert second["registered_at"] == first["registered_at"]
        assert second["epoch"] > first["epoch"]


def test_08_an_agent_and_a_caller_of_the_legacy_registry_see_no_difference(url: str) -> None:
    agent = AgentRegistration("old-1", "cost", "localhost", 8001, ["sql"], orchestrator_url=url)
    assert agent.register()
    agent.start_heartbeat()

    record = requests.get(f"{url}/agents/{agent.agent_id}").json()
    assert (record["name"], record["port"], record["status"]) == ("old-1", 8001, "healthy")
    listed = requests.get(f"{url}/agents/type/cost").json()
    assert agent.agent_id in [each["id"] for each in listed["agents"]]

    agent.unregister()
    assert requests.get(f"{url}/agents/{agent.agent_id}").status_code == 404


async def test_09_two_hubs_on_one_redis_are_one_directory(two_hubs: list[str]) -> None:
    here, there = two_hubs
    async with HubClient(here) as hub, hub.watch(name="far") as watch:
        await anext(watch)  # nobody yet
        async with AgentClient(there, name="far", type="cost") as agent:
            event = await next_event(watch)
            assert (event.kind, event.agent.hub) == ("registered", "hub-2")
            assert (await hub.pick(name="far")).id == agent.agent_id

        assert (await next_event(watch)).kind == "unregistered"
        assert [each.hub_id for each in (await hub.hubs()).hubs] == ["hub-1", "hub-2"]


async def test_10_a_hub_that_is_killed_comes_back_with_its_agents(hub_on_disk: Hub) -> None:
    url = hub_on_disk.url
    async with (
        AgentClient(url, name="survivor", type="cost") as agent,
        HubClient(url) as hub,
        hub.watch() as watch,
    ):
        await anext(watch)  # the survivor
        hub_on_disk.kill()
        hub_on_disk.start()

        events = [await next_event(watch), await next_event(watch)]
        assert [event.kind for event in events] == ["lost", "resumed"]
        assert {event.agent.id for event in events} == {agent.agent_id}
        assert {event.agent.status for event in events} == {"healthy"}
