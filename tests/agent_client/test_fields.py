"""Fields of the contract that the client lists again: a forgotten one fails here, not at a user."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_args, get_origin

import agent_client
from agent_client import AgentClient, Event, Lease, Resync, Snapshot
from agent_client.transport import decoding
from agent_client.validation import FilterKeys
from homeport_protocol import answers
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentChanges, AgentSpec
from homeport_protocol.requests import Heartbeat, Request
from tests.support.fake_hub import FakeHub

VALUES = {
    "name": "cost-1",
    "type": "cost",
    "host": "10.0.0.1",
    "port": 8001,
    "capabilities": ["spot"],
    "version": "1.2",
    "metadata": {"zone": "a"},
    "status": "degraded",
    "load": 0.5,
}
"""A value other than the default for every field of a registration."""


UNIONS = (decoding.Message, answers.Message)


def fields(of: type) -> set[str]:
    return set(of.__struct_fields__)  # type: ignore[attr-defined]


def keywords(of: object) -> set[str]:
    return set(inspect.signature(of).parameters) - {"self"}  # type: ignore[arg-type]


async def test_every_field_of_a_registration_can_be_given_and_is_sent(hub: FakeHub) -> None:
    assert set(VALUES) == fields(AgentSpec)
    async with AgentClient(hub.url, **VALUES):  # type: ignore[arg-type]
        assert hub.requests("register")[0]["agent"] == VALUES


async def test_every_field_of_an_update_can_be_given_and_is_sent(hub: FakeHub) -> None:
    changes = {field: VALUES[field] for field in fields(AgentChanges)}
    assert keywords(AgentClient.update) == set(changes)
    async with AgentClient(hub.url, name="cost-1", type="cost") as agent:
        await agent.update(**changes)  # type: ignore[arg-type]
        [request] = hub.requests("update")
        assert request == {"op": "update", "id": request["id"], **changes}


def test_every_field_of_a_heartbeat_can_be_reported() -> None:
    assert keywords(AgentClient.report) == fields(Heartbeat) - {"id"}


def test_a_filter_s_keys_are_keyword_arguments() -> None:
    assert set(FilterKeys.__annotations__) == fields(Filter)


def test_a_lease_is_the_hub_s_answer_without_its_secret() -> None:
    assert fields(Lease) == fields(answers.Registered) - {"id", "session_token"} | {"url"}


def test_the_items_of_a_watch_are_the_hub_s_messages_without_the_watch_s_number() -> None:
    assert fields(Event) == fields(answers.Event) - {"watch"}
    assert fields(Snapshot) == fields(Resync) == fields(answers.Snapshot) - {"watch", "last"}


def test_every_message_of_a_hub_is_decoded() -> None:
    ours, theirs = ({get_origin(each) or each for each in get_args(union)} for union in UNIONS)
    assert ours == theirs


def test_every_request_is_sent_by_some_module_of_the_client() -> None:
    files = Path(agent_client.__file__).parent.rglob("*.py")
    words = {word for file in files for word in re.findall(r"\w+", file.read_text())}
    # A watch of the client has a connection to itself, and ends with it.
    assert {request.__name__ for request in get_args(Request)} - words == {"Unwatch"}
