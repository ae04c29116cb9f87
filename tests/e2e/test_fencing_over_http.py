"""Session tokens over HTTP, and an operator's removal, through real sockets."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from typing import Any

import pytest

from agent_client import AgentClient, AgentRegistration, AgentRemoved, HubClient, NotFound
from tests.support.hub_process import Hub, Place
from tests.support.waiting import LIMIT

HEADER = "Homeport-Session-Token"


def registered(place: Place, agent_id: str, **fields: Any) -> str:
    """Register over HTTP; returns the session token."""
    body = {"name": "h", "type": "cost", "host": "h:1", "agent_id": agent_id, **fields}
    answer = place.post("/agents/register", json=body)
    assert answer.status_code == 201
    assert list(answer.json()) == [
        "agent_id",
        "registered_at",
        "heartbeat_url",
        "heartbeat_interval_seconds",
        "session_token",
    ]
    return str(answer.json()["session_token"])


@pytest.mark.parametrize("shows_token", [False, True])
def test_an_older_http_process_over_a_newer_session(place: Place, shows_token: bool) -> None:
    agent_id = str(uuid.uuid4())
    token = registered(place, agent_id, metadata={"build": "old"})
    headers = {HEADER: token} if shows_token else {}
    wire = place.connect()
    wire.register("new", agent_id=agent_id, metadata={"build": "new"})
    watcher = place.watcher()
    beat = {"status": "unhealthy", "metadata": {"build": "old"}}
    path = f"/agents/{agent_id}"
    refused = [
        place.post(f"{path}/heartbeat", json=beat, headers=headers),
        place.post(f"{path}/unregister", headers=headers),
    ]
    assert [each.status_code for each in refused] == [409, 409]
    words = "a newer session" if shows_token else HEADER
    assert all(words in each.json()["error"] for each in refused)
    record = place.record(agent_id)
    assert record is not None
    assert (record["status"], record["metadata"]) == ("healthy", {"build": "new"})
    assert wire.ask("heartbeat")["durable"] is True
    assert watcher.said_by_now() == []


def test_of_two_processes_over_http_the_one_with_the_older_token_is_refused(place: Place) -> None:
    agent_id = str(uuid.uuid4())
    old, new = registered(place, agent_id), registered(place, agent_id)
    path = f"/agents/{agent_id}"
    answers = {
        token: place.post(f"{path}/heartbeat", json={}, headers={HEADER: token}).status_code
        for token in (old, new, "nonsense")
    }
    assert answers == {old: 409, new: 200, "nonsense": 401}
    assert place.post(f"{path}/unregister", headers={HEADER: old}).status_code == 409
    assert place.record(agent_id) is not None
    assert place.post(f"{path}/unregister", headers={HEADER: new}).status_code == 200
    assert place.record(agent_id) is None
    gone = place.post(f"{path}/heartbeat", json={}, headers={HEADER: new})
    assert gone.status_code == 404
    assert place.post(f"{path}/unregister", headers={HEADER: new}).status_code == 200


def test_a_legacy_caller_reports_its_load_and_goes_on_without_a_token(place: Place) -> None:
    agent_id = place.register()
    beat = {"status": "degraded", "metadata": {"queue": 3}, "load": 0.5}
    assert place.post(f"/agents/{agent_id}/heartbeat", json=beat).status_code == 200
    record = place.record(agent_id)
    assert record is not None
    assert (record["status"], record["load"]) == ("degraded", 0.5)
    assert place.post(f"/agents/{agent_id}/unregister").status_code == 200
    assert place.record(agent_id) is None


def test_the_helper_stops_when_a_newer_registration_takes_its_id(start_hub: Any) -> None:
    hub: Hub = start_hub("--redis", "memory://", "--heartbeat-interval", "0.3")
    registration = AgentRegistration("h", "cost", "h", 1, [], hub.url)
    assert registration.register()
    registration.start_heartbeat()
    place = Place(hub)
    wire = place.connect()
    wire.register("new", agent_id=registration.agent_id, metadata={"build": "new"})
    thread = registration.heartbeat_thread
    assert thread is not None
    thread.join(LIMIT)
    assert registration.fenced
    registration.unregister()
    record = place.record(str(registration.agent_id))
    assert record is not None
    assert (record["name"], record["epoch"]) == ("new", wire.ask("find")["agents"][0]["epoch"])
    place.end()


# --- an operator ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["DELETE", "homeport remove", "HubClient"])
async def test_an_operator_takes_an_agent_out_and_it_stays_out(place: Place, way: str) -> None:
    namespace, url = place.namespace, place.hub.url
    watcher = place.watcher()
    async with (
        HubClient(url, namespace=namespace) as hub,
        AgentClient(url, name="taken-out", type="case", namespace=namespace) as agent,
    ):
        if way == "DELETE":
            answer = place.request("DELETE", f"/agents/{agent.agent_id}")
            assert answer.json() == {"message": "Agent removed successfully"}
        elif way == "HubClient":
            await hub.remove(agent.agent_id)
        else:
            command = [sys.executable, "-m", "hub", "remove", "taken-out", "--url", url]
            process = await asyncio.create_subprocess_exec(
                *command, "--namespace", str(namespace), stdout=subprocess.PIPE
            )
            output, _ = await process.communicate()
            assert output.decode() == f"Removed taken-out ({agent.agent_id}).\n"
        with pytest.raises(AgentRemoved):
            await agent.wait_ended()
        await asyncio.sleep(2.0)  # it would be back by then
        assert await hub.find(name="taken-out") == []
        with pytest.raises(NotFound):
            await hub.remove(agent.agent_id)
    assert [event["kind"] for event in watcher.said_by_now()] == ["registered", "unregistered"]
    assert place.request("DELETE", f"/agents/{agent.agent_id}").status_code == 404
