"""One answer to every request, and the shape of each."""

from __future__ import annotations

from homeport_protocol.codec import encode
from tests.support.records import SPEC, agent_id
from tests.support.world import World


def test_registered() -> None:
    world = World()
    answer = world.connect().ask(op="register", agent=SPEC)
    assert list(answer) == [
        "op",
        "id",
        "agent_id",
        "session_token",
        "epoch",
        "resumed",
        "registered_at",
        "heartbeat_interval",
        "heartbeat_timeout",
        "lease_ttl",
        "log",
        "revision",
    ]
    assert (answer["op"], answer["id"], answer["epoch"], answer["resumed"]) == (
        "registered",
        "q1",
        1,
        False,
    )
    assert (answer["heartbeat_interval"], answer["heartbeat_timeout"], answer["lease_ttl"]) == (
        30,
        45,
        60,
    )
    assert (answer["log"], answer["revision"]) == (world.supervisor.log, 1)
    assert answer["registered_at"] == world.record(answer["agent_id"])["registered_at"]


def test_resumed() -> None:
    world = World()
    link, first = world.agent()
    link.vanish()
    answer = world.connect().ask(
        op="resume",
        agent_id=first["agent_id"].upper(),
        session_token=first["session_token"],
        agent={"version": "2", "status": "degraded", "metadata": {"k": 1}},
    )
    assert (answer["op"], answer["resumed"], answer["epoch"]) == ("registered", True, 2)
    assert answer["agent_id"] == first["agent_id"]
    assert answer["registered_at"] == first["registered_at"]
    record = world.record(first["agent_id"])
    assert (record["version"], record["status"], record["metadata"]) == ("2", "degraded", {"k": 1})
    again = world.connect().ask(
        op="resume", agent_id=first["agent_id"], session_token=answer["session_token"]
    )
    assert again["op"] == "registered", "the newer token is as good"


def test_heartbeat_ack() -> None:
    world = World()
    link, _ = world.agent()
    answer = link.ask(op="heartbeat", status="degraded", metadata={"k": 1}, load=0.5)
    assert list(answer) == ["op", "id", "next_interval", "timestamp", "durable"]
    assert (answer["op"], answer["next_interval"], answer["durable"]) == ("heartbeat_ack", 30, True)
    assert answer["timestamp"].endswith("Z")


def test_updated() -> None:
    world = World()
    link, first = world.agent()
    answer = link.ask(op="update", version="2", capabilities=["x", "x"], host="h", port=9, load=1)
    assert answer == {"op": "updated", "id": "q2", "log": world.supervisor.log, "revision": 2}
    record = world.record(first["agent_id"])
    assert (record["version"], record["capabilities"], record["host"]) == ("2", ["x"], "h")
    assert (record["port"], record["load"], record["revision"]) == (9, 1, 2)
    assert link.ask(op="update")["revision"] == 2, "nothing changed, and that is durable too"


def test_unregistered() -> None:
    world = World()
    link, _ = world.agent()
    assert link.ask(op="unregister") == {"op": "unregistered", "id": "q2"}
    assert link.close_code == 1000


def test_agents() -> None:
    world = World()
    link, first = world.agent("a1")
    world.agent("a2")
    answer = link.ask(op="find", limit=1)
    assert list(answer) == ["op", "id", "agents", "count", "log", "revision", "next_cursor"]
    assert (answer["op"], answer["count"], len(answer["agents"])) == ("agents", 1, 1)
    last = link.ask(op="find", cursor=answer["next_cursor"])
    assert list(last) == ["op", "id", "agents", "count", "log", "revision"]
    found = {agent["id"]: agent for agent in answer["agents"] + last["agents"]}
    assert found[first["agent_id"]] == world.record(first["agent_id"])
    assert len(found) == 2
    nobody = link.ask(op="find", filter={"name": "nobody"})
    assert (nobody["agents"], nobody["count"], nobody["revision"]) == ([], 0, 2)


def test_agent() -> None:
    world = World()
    link, first = world.agent()
    answer = link.ask(op="get", agent_id=first["agent_id"].upper())
    assert answer == {"op": "agent", "id": "q2", "agent": world.record(first["agent_id"])}
    picked = link.ask(op="pick")
    assert picked == {"op": "agent", "id": "q3", "agent": world.record(first["agent_id"])}


def test_not_found_and_no_match() -> None:
    link = World().connect()
    missing = link.ask(op="get", agent_id=agent_id(1))
    assert list(missing) == ["op", "id", "code", "message", "retryable"]
    assert (missing["op"], missing["code"], missing["retryable"]) == ("error", "not_found", False)
    assert link.ask(op="pick")["code"] == "no_match"
    refused = link.ask(op="pick", strategy="sticky")
    assert (refused["code"], refused["field"]) == ("bad_request", "key")


def test_pong() -> None:
    link = World().connect()
    assert link.ask(op="ping") == {"op": "pong", "id": "q1"}


def test_ids_are_given_back_as_they_came() -> None:
    link = World().connect()
    for request_id in (0, -5, 2**63 - 1, "", 'ü"\\', "x" * 64):
        link.say(op="ping", id=request_id)
        link.say(op="find", id=request_id)
    assert (
        link.answered_ids()[::2]
        == link.answered_ids()[1::2]
        == [0, -5, 2**63 - 1, "", 'ü"\\', "x" * 64]
    )


def test_an_answer_is_at_most_1_mib_and_the_cursor_leads_through_all_of_them() -> None:
    world = World()
    for number in range(100):
        world.agent(f"a{number}", metadata={"k": "x" * 15_000})
    link = world.connect()
    found: list[str] = []
    cursor: dict[str, str] = {}
    sizes = []
    while not sizes or cursor:
        answer = link.ask(op="find", limit=10_000, **cursor)
        sizes.append(len(encode(answer)))
        found += [each["id"] for each in answer["agents"]]
        assert answer["count"] == len(answer["agents"])
        cursor = {"cursor": answer["next_cursor"]} if "next_cursor" in answer else {}
    assert len(sizes) == 2
    assert max(sizes) <= 1024 * 1024 + 500
    assert found == sorted(found)
    assert len(set(found)) == 100
