"""POST /agents/{id}/heartbeat and /unregister."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from actors.timing import Timing
from homeport_protocol.errors import ErrorCode, ProtocolError
from tests.hub.http.conftest import Ask
from tests.hub.http.fakes import NOW, FakeHub


@pytest.fixture
def path(hub: FakeHub) -> str:
    return f"/agents/{hub.default.add(1)['id']}"


async def test_a_heartbeat_answers_200_with_the_documented_body(ask: Ask, path: str) -> None:
    answer = await ask("POST", f"{path}/heartbeat", b'{"status":"healthy"}')
    assert answer.status == 200
    assert answer.body == (
        b'{"received":true,"next_interval_seconds":30,"timestamp":"%s"}' % NOW.encode()
    )


async def test_the_next_interval_follows_the_setting(hub: FakeHub, ask: Ask, path: str) -> None:
    hub.default.timing = Timing(heartbeat_interval=2.5)
    answer = await ask("POST", f"{path}/heartbeat", b"{}")
    assert answer.json()["next_interval_seconds"] == 2.5


async def test_an_agent_of_another_hub_is_told_the_interval_that_it_was_told_there(
    hub: FakeHub, ask: Ask, path: str
) -> None:
    hub.default.timing = Timing(heartbeat_interval=2.5)
    hub.default.told = Timing(heartbeat_interval=20.0)
    answer = await ask("POST", f"{path}/heartbeat", b"{}")
    assert answer.json()["next_interval_seconds"] == 20


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        (b"{}", (UNSET, UNSET)),
        (b'{"status":"","metadata":null}', (UNSET, UNSET)),
        (b'{"status":null}', (UNSET, UNSET)),
        (b'{"status":"degraded"}', ("degraded", UNSET)),
        (b'{"metadata":{}}', (UNSET, {})),
        (b'{"metadata":{"a":1,"b":null},"other":[]}', (UNSET, {"a": 1, "b": None})),
        (b'{"load":0.5}', (UNSET, UNSET, 0.5)),
        (b'{"load":null}', (UNSET, UNSET)),
        (b" null\n", (UNSET, UNSET)),
        (b'{"STATUS":"degraded","Metadata":{"Queue":1}}', ("degraded", {"Queue": 1})),
        (b'{"Status":"healthy","status":"degraded"}', ("degraded", UNSET)),
    ],
)
async def test_what_is_reported_reaches_the_brain(
    hub: FakeHub, ask: Ask, path: str, sent: bytes, heard: object
) -> None:
    assert (await ask("POST", f"{path}/heartbeat", sent)).status == 200
    assert hub.default.asked[-1][2:] == heard


async def test_an_unknown_agent_is_404_and_told_to_register(ask: Ask) -> None:
    for unknown in ("550e8400-e29b-41d4-a716-446655440000", "x", "%00"):
        answer = await ask("POST", f"/agents/{unknown}/heartbeat", b"{}")
        assert answer.status == 404
        assert answer.error == "agent not found: register again"


@pytest.mark.parametrize(
    "sent",
    [b"", b"[]", b"{", b"\xff", b"[" * 60_000, b'{"status": NaN}', b'{"load": -1}'],
)
async def test_a_bad_body_is_400(hub: FakeHub, ask: Ask, path: str, sent: bytes) -> None:
    answer = await ask("POST", f"{path}/heartbeat", sent)
    assert answer.status == 400
    assert answer.error
    assert hub.default.asked == []


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        ("status", b'{"status":"dead"}'),
        ("status", b'{"status":1}'),
        ("metadata", b'{"metadata":[]}'),
        ("metadata", b'{"metadata":"x"}'),
        ("load", b'{"load":-1}'),
    ],
)
async def test_a_wrong_field_is_named(ask: Ask, path: str, field: str, sent: bytes) -> None:
    answer = await ask("POST", f"{path}/heartbeat", sent)
    assert answer.status == 400
    assert answer.error.startswith(f"{field}: ")


async def test_a_heartbeat_that_is_not_stored_is_503_with_retry_after(
    hub: FakeHub, ask: Ask, path: str
) -> None:
    hub.default.durable = False
    answer = await ask("POST", f"{path}/heartbeat", b"{}")
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert "Redis is away" in answer.error
    assert answer.json()["outcome"] == "unknown", "it counts, and will be stored"


async def test_a_failure_of_the_brain_keeps_its_code(hub: FakeHub, ask: Ask, path: str) -> None:
    hub.default.fault = ProtocolError("too_large", "metadata would be too large")
    assert (await ask("POST", f"{path}/heartbeat", b"{}")).status == 413


async def test_unregistering_answers_200_for_a_known_and_an_unknown_agent(
    hub: FakeHub, ask: Ask, path: str
) -> None:
    for target in (path, "/agents/550e8400-e29b-41d4-a716-446655440000", "/agents/x"):
        answer = await ask("POST", f"{target}/unregister")
        assert answer.status == 200
        assert answer.body == b'{"message":"Agent unregistered successfully"}'
    assert len(hub.default.asked) == 3


async def test_unregistering_does_not_look_at_the_body(ask: Ask, path: str) -> None:
    assert (await ask("POST", f"{path}/unregister", b"{broken")).status == 200


async def test_unregistering_while_redis_is_away_is_503(hub: FakeHub, ask: Ask, path: str) -> None:
    hub.default.fault = ProtocolError("unavailable", "Redis is away")
    answer = await ask("POST", f"{path}/unregister")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"error": "Redis is away"}


async def test_a_change_that_may_have_happened_is_503_and_says_so(
    hub: FakeHub, ask: Ask, path: str
) -> None:
    hub.default.fault = ProtocolError("unavailable", "not known", outcome="unknown")
    answer = await ask("POST", f"{path}/unregister")
    assert answer.status == 503
    assert answer.json() == {"error": "not known", "outcome": "unknown"}


async def test_an_agent_that_is_called_type_can_be_asked_for(hub: FakeHub, ask: Ask) -> None:
    # /agents/type/{type} must not swallow other methods' paths of the same shape.
    answer = await ask("GET", "/agents/type")
    assert answer.status == 404
    assert answer.error == "Agent not found"


# --- session tokens ------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["heartbeat", "unregister"])
@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"Homeport-Session-Token": "abc"}, "abc"),
        ({"HOMEPORT-SESSION-TOKEN": "abc"}, "abc"),
        ({"Homeport-Session-Token": "abc \t"}, "abc"),  # whitespace is not of the value: RFC 9110
        ({"Homeport-Session-Token": ""}, None),
        ({}, None),
    ],
)
async def test_the_token_that_is_shown_reaches_the_brain(
    hub: FakeHub, ask: Ask, route: str, headers: dict[str, str], token: str | None
) -> None:
    path = f"/agents/{hub.default.add(1)['id']}"
    assert (await ask("POST", f"{path}/{route}", b"{}", headers=headers)).status == 200
    assert hub.default.tokens == [token]


@pytest.mark.parametrize("route", ["heartbeat", "unregister"])
@pytest.mark.parametrize(
    ("code", "status"), [("fenced", 409), ("conflict", 409), ("unauthorized", 401)]
)
async def test_a_caller_that_may_not_speak_for_the_agent_is_refused(
    hub: FakeHub, ask: Ask, route: str, code: ErrorCode, status: int
) -> None:
    path = f"/agents/{hub.default.add(1)['id']}"
    hub.default.fault = ProtocolError(code, "why")
    answer = await ask("POST", f"{path}/{route}", b"{}")
    assert (answer.status, answer.error) == (status, "why")


# --- DELETE /agents/{id} -------------------------------------------------------------------------


async def test_an_operator_removes_an_agent_that_is_there(
    hub: FakeHub, ask: Ask, path: str
) -> None:
    answer = await ask("DELETE", path)
    assert (answer.status, answer.json()) == (200, {"message": "Agent removed successfully"})
    assert hub.default.asked == [("remove", path.removeprefix("/agents/"))]


async def test_removing_an_agent_that_is_not_there_is_404(ask: Ask) -> None:
    answer = await ask("DELETE", "/agents/550e8400-e29b-41d4-a716-446655440000")
    assert (answer.status, answer.error) == (404, "Agent not found")


async def test_removing_while_redis_is_away_is_503(hub: FakeHub, ask: Ask, path: str) -> None:
    hub.default.fault = ProtocolError("unavailable", "Redis is away")
    answer = await ask("DELETE", path)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
