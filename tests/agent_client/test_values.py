"""What a program gets has None and {} where a hub sends nothing, and becomes JSON everywhere."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from typing import Any

import fastapi
import jsonschema
import msgspec
import pydantic
import pytest

import agent_client
from agent_client import (
    AgentClient,
    AgentRecord,
    Event,
    Filter,
    Health,
    HubClient,
    Hubs,
    HubStatus,
    Lease,
    Reading,
    Snapshot,
)
from agent_client.values import Value, json_schema
from homeport_protocol import record as wire
from homeport_protocol.schemas import json_schemas
from tests.support.fake_hub import FakeHub, event
from tests.support.records import NOW, agent_id

FULL = {
    "id": agent_id(1),
    "name": "a1",
    "type": "cost",
    "host": "10.0.0.1",
    "port": 8001,
    "capabilities": ["spot"],
    "status": "degraded",
    "version": "1.2",
    "registered_at": NOW,
    "last_seen": NOW,
    "metadata": {"zone": "a", "gpu": {"count": [4, None, 1.5]}},
    "load": 0.0,
    "health": {"connection": "lost", "reported": "healthy", "reason": "ok", "since": NOW},
    "epoch": 3,
    "hub": "hub-1",
    "revision": 17,
}
"""The contract's record, in the contract's order, with a value in each field."""

BARE = {key: value for key, value in FULL.items() if key not in ("metadata", "load")}


def record(shape: dict[str, Any]) -> AgentRecord:
    return msgspec.convert(shape, AgentRecord)


async def test_a_record_has_nothing_of_the_wire_s_absent_fields(hub: FakeHub) -> None:
    hub.add(BARE)
    async with HubClient(hub.url) as client:
        for got in (await client.get(agent_id(1)), await client.pick(), *await client.find()):
            assert type(got) is AgentRecord
            assert got.metadata.get("zone", "none") == "none"
            assert got.load is None
            assert isinstance(got.health, Health)
            assert "UNSET" not in repr([getattr(got, field) for field in got.__struct_fields__])


async def test_neither_have_the_items_of_a_watch(hub: FakeHub) -> None:
    hub.add(BARE)
    async with HubClient(hub.url) as client, client.watch() as watch:
        first = await anext(watch)
        await hub.peer.send(event(101, agent=BARE))
        then = await anext(watch)
    assert isinstance(first, Snapshot)
    assert isinstance(then, Event)
    assert (first.position, then.position, then.coalesced) == (None, None, False)
    for got in (*first.agents, then.agent):
        assert (type(got), got.metadata, got.load) == (AgentRecord, {}, None)


@pytest.mark.parametrize("shape", [FULL, BARE])
def test_to_dict_is_the_record_of_the_contract(shape: dict[str, Any]) -> None:
    got = record(shape).to_dict()
    assert json.dumps(got) == json.dumps(shape)  # in the contract's order, too
    assert dict(record(shape)) == shape


def test_a_dict_does_not_change_its_record() -> None:
    one = record(FULL)
    shape = one.to_dict()
    shape["metadata"]["gpu"]["count"].clear()
    shape["capabilities"].append("more")
    assert one == record(FULL)


def test_the_fields_are_those_of_the_contract() -> None:
    assert AgentRecord.__struct_fields__ == wire.AgentRecord.__struct_fields__
    assert Health.__struct_fields__ == wire.Health.__struct_fields__


def test_records_compare_hash_and_copy() -> None:
    one = record(FULL)
    assert one == record(copy.deepcopy(FULL)) == copy.deepcopy(one)
    assert pickle.loads(pickle.dumps(one)) == one
    assert len({one, record(copy.deepcopy(FULL)), record(FULL | {"revision": 18})}) == 2
    assert one != record(FULL | {"load": 1.0})
    assert isinstance(one.health, Health)
    with pytest.raises(AttributeError):
        one.load = 1.0  # type: ignore[misc]


def test_a_repr_tells_who_and_how_it_is_and_no_metadata() -> None:
    assert repr(record(FULL | {"metadata": {"password": "SECRET"}})) == (
        f"<AgentRecord name='a1' id='{agent_id(1)}' status='degraded' connection='lost'>"
    )


def test_a_filter_shows_what_it_has() -> None:
    assert repr(Filter(type="cost")) == "Filter(type='cost')"


async def test_the_other_answers_become_json(hub: FakeHub) -> None:
    async with (
        AgentClient(hub.url, name="cost-1", type="cost") as agent,
        HubClient(hub.url) as client,
    ):
        assert (await agent.report(load=0.5)).to_dict() == {
            "next_interval": 30.0,
            "timestamp": NOW,
            "durable": True,
        }
        assert (await agent.update(version="2")).to_dict() == {"log": "log-a", "revision": 101}
        assert agent.lease is not None
        lease = agent.lease.to_dict()
        assert (lease["agent_id"], lease["resumed"]) == (agent.agent_id, False)
        assert "token" not in str(lease)
        hubs = (await client.hubs()).to_dict()
        assert hubs == {
            "hubs": hub.hubs,
            "answered_by": "hub-1",
            "log": "log-a",
            "revision": 101,
        }
        assert (await client.acknowledge_loss()).to_dict() == {"agents": 0, "revision": 101}


def test_the_items_of_a_watch_become_json() -> None:
    change = Event(kind="updated", agent=record(BARE), revision=17)
    assert change.to_dict() == {"kind": "updated", "agent": BARE, "revision": 17}
    snapshot = Snapshot(agents=[record(FULL)], log="log-a", revision=17, position="p")
    assert snapshot.to_dict() == {
        "agents": [FULL],
        "log": "log-a",
        "revision": 17,
        "position": "p",
    }
    assert Reading(loads={agent_id(1): 0.5}).to_dict() == {"loads": {agent_id(1): 0.5}}


# --- JSON Schema, pydantic, FastAPI --------------------------------------------------------------


def public_values() -> list[type[Value]]:
    every = [getattr(agent_client, name) for name in agent_client.__all__]
    return [each for each in every if isinstance(each, type) and issubclass(each, Value)]


def test_every_value_has_a_schema() -> None:
    assert {AgentRecord, Event, Health, HubStatus, Hubs, Lease, Snapshot} <= {*public_values()}
    for each in public_values():
        schema = json_schema(each)
        jsonschema.Draft202012Validator.check_schema(schema)
        assert list(schema["properties"]) == list(each.__struct_fields__)  # type: ignore[attr-defined]
        assert schema["description"]
        assert "$ref" not in json.dumps(schema)


def test_the_schema_of_a_record_is_that_of_the_contract() -> None:
    contract = json_schemas()["record"]
    ours, theirs = json_schema(AgentRecord), contract["$defs"]["AgentRecord"]
    assert ours["required"] == theirs["required"]
    for field, schema in theirs["properties"].items():
        if field != "health":
            assert ours["properties"][field] == schema
    for shape in (FULL, BARE):
        jsonschema.validate(record(shape).to_dict(), ours)
        jsonschema.validate(record(shape).to_dict(), contract)


class Choice(pydantic.BaseModel):
    chosen: AgentRecord
    others: list[AgentRecord] = []
    why: Any = None


def test_a_record_is_a_field_of_a_pydantic_model() -> None:
    one = record(BARE)
    choice = Choice(chosen=one, others=[record(FULL)], why=one)
    assert choice.chosen is one
    shape = {"chosen": BARE, "others": [FULL], "why": BARE}
    assert choice.model_dump(mode="json") == json.loads(choice.model_dump_json()) == shape
    assert Choice.model_validate_json(choice.model_dump_json()).others == [record(FULL)]
    assert Choice.model_validate({"chosen": FULL}).chosen == record(FULL)
    assert Choice.model_json_schema()["$defs"]["AgentRecord"] == json_schema(AgentRecord)
    with pytest.raises(pydantic.ValidationError, match="chosen"):
        Choice.model_validate({"chosen": BARE | {"epoch": "three"}})


def application() -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    one, full = record(BARE), record(FULL)

    @app.get("/typed")
    async def typed() -> AgentRecord:
        return one

    @app.get("/list")
    async def several() -> list[AgentRecord]:
        return [one, full]

    @app.get("/plain", response_model=None)
    async def plain():  # type: ignore[no-untyped-def]
        return one

    @app.get("/nested")
    async def nested():  # type: ignore[no-untyped-def]
        return {"chosen": one}

    @app.get("/any")
    async def of_any() -> dict[str, Any]:
        return {"chosen": one}

    @app.get("/event")
    async def change() -> Event:
        return Event(kind="updated", agent=full, revision=17)

    return app


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/typed", BARE),
        ("/list", [BARE, FULL]),
        ("/plain", BARE),
        ("/nested", {"chosen": BARE}),
        ("/any", {"chosen": BARE}),
        ("/event", {"kind": "updated", "agent": FULL, "revision": 17}),
    ],
)
async def test_a_record_is_what_a_fastapi_endpoint_returns(path: str, body: Any) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }
    await application()(scope, receive, send)
    assert sent[0]["status"] == 200
    assert json.loads(sent[1]["body"]) == body


def test_fastapi_describes_a_record_by_its_schema() -> None:
    described = application().openapi()
    [answer] = described["paths"]["/typed"]["get"]["responses"]["200"]["content"].values()
    assert answer["schema"] == {"$ref": "#/components/schemas/AgentRecord"}
    assert described["components"]["schemas"]["AgentRecord"]["properties"]["load"] == {
        "type": "number"
    }


def test_pydantic_is_not_imported_for_it() -> None:
    code = (
        "import agent_client, sys; agent_client.AgentRecord.__get_pydantic_core_schema__;"
        "print(hasattr(agent_client.AgentRecord, '__pydantic_serializer__'),"
        " 'pydantic' in sys.modules, 'pydantic_core' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False", "False"]
