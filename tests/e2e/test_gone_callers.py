"""HTTP callers that disconnect before they are answered."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from tests.support.hub_process import Hub
from tests.support.waiting import LIMIT

AGENT_ID = "0d7c9a51-9d52-4f0c-8f3c-5e2f1b7a9c11"


def register_and_hang_up(hub: Hub, namespace: str, **fields: Any) -> None:
    """Send a registration, and disconnect before it is answered."""
    body = json.dumps(
        {"name": "hasty", "type": "cost", "host": "a.example", "port": 1, **fields}
    ).encode()
    head = (
        f"POST /agents/register?namespace={namespace} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", hub.port), timeout=LIMIT) as connection:
        connection.sendall(head.encode() + body)
        time.sleep(0.2)  # the hub has read it, and waits for Redis


@pytest.mark.parametrize("agent_id", [None, AGENT_ID])
def test_a_registration_that_nobody_was_told_of_is_taken_back(
    start_server: Any, start_hub: Any, enter: Any, agent_id: str | None
) -> None:
    server = start_server()
    place = enter(start_hub("--redis", server.url))
    watcher = place.watcher()
    server.suspend()
    try:
        register_and_hang_up(place.hub, place.namespace, agent_id=agent_id)
    finally:
        server.wake()
    asked = watcher.event("registered")["agent"]["id"]
    later = place.register(name="patient")
    if agent_id is None:
        told = [watcher.event(), watcher.event()]
        assert {(each["kind"], each["agent"]["id"]) for each in told} == {
            ("unregistered", asked),
            ("registered", later),
        }
        assert place.record(asked) is None
    else:
        assert asked == AGENT_ID
        assert watcher.event("registered")["agent"]["id"] == later
        assert place.record(AGENT_ID)["name"] == "hasty", "its caller knows it, and may come back"
