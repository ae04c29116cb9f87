"""AgentRegistration: the legacy helper's drop-in, against the legacy routes."""

from __future__ import annotations

import inspect
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent_client import AgentRegistration
from tests.support.legacy_hub import LegacyHub


@pytest.fixture
def hub() -> Iterator[LegacyHub]:
    with LegacyHub() as hub:
        yield hub


@pytest.fixture
def registration(hub: LegacyHub) -> Iterator[AgentRegistration]:
    registration = AgentRegistration(
        "cost-1", "cost", "localhost", 8001, ["spot"], hub.url, "2.0", {"zone": "a"}
    )
    yield registration
    registration.stop_heartbeat_loop()


def eventually(holds: Callable[[], Any]) -> None:
    for _ in range(2000):
        if holds():
            return
        time.sleep(0.005)
    raise AssertionError("did not come true")


def test_its_constructor_and_attributes_are_those_of_the_helper_it_replaces() -> None:
    parameters = inspect.signature(AgentRegistration).parameters
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert [name for name, each in parameters.items() if each.kind is positional] == [
        "agent_name",
        "agent_type",
        "host",
        "port",
        "capabilities",
        "orchestrator_url",
        "version",
        "metadata",
    ]
    assert parameters["orchestrator_url"].default == "http://localhost:8080"
    assert parameters["version"].default == "1.0.0"
    new = AgentRegistration("a", "cost", "h", 1, [])
    assert (new.agent_name, new.agent_type, new.host, new.port) == ("a", "cost", "h", 1)
    assert (new.capabilities, new.metadata, new.agent_id) == ([], {}, None)
    assert (new.heartbeat_interval, new.heartbeat_thread) == (30, None)
    assert isinstance(new.stop_heartbeat, threading.Event)


def test_it_registers_with_the_documented_request(
    hub: LegacyHub, registration: AgentRegistration
) -> None:
    hub.interval = 12
    assert registration.register() is True
    assert registration.agent_id in hub.agents
    assert registration.heartbeat_interval == 12
    [(path, body, headers)] = hub.calls
    assert path == "/agents/register"
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in headers
    assert body == {
        "name": "cost-1",
        "type": "cost",
        "host": "localhost",
        "port": 8001,
        "capabilities": ["spot"],
        "version": "2.0",
        "metadata": {"zone": "a"},
        "agent_id": body["agent_id"],
    }
    assert uuid.UUID(body["agent_id"])


def test_it_heartbeats_from_its_thread_until_it_unregisters(
    hub: LegacyHub, registration: AgentRegistration
) -> None:
    hub.interval = 0.02
    registration.register()
    registration.start_heartbeat()
    thread = registration.heartbeat_thread
    assert thread is not None
    assert thread.daemon
    registration.start_heartbeat()
    assert registration.heartbeat_thread is thread
    eventually(lambda: len(hub.paths("/heartbeat")) >= 3)
    path, body, _ = next(call for call in hub.calls if call[0].endswith("/heartbeat"))
    assert path == f"/agents/{registration.agent_id}/heartbeat"
    assert body == {"status": "healthy", "metadata": {"zone": "a"}}
    registration.unregister()
    assert not thread.is_alive()
    assert not hub.agents
    assert hub.calls[-1][0] == f"/agents/{registration.agent_id}/unregister"


def test_it_can_be_stopped_and_started_again(
    hub: LegacyHub, registration: AgentRegistration
) -> None:
    hub.interval = 0.02
    registration.register()
    registration.start_heartbeat()
    registration.stop_heartbeat_loop()
    heard = len(hub.calls)
    registration.start_heartbeat()
    eventually(lambda: len(hub.calls) > heard + 2)


def test_it_registers_again_when_the_hub_forgot_it(
    hub: LegacyHub, registration: AgentRegistration
) -> None:
    hub.interval = 0.02
    registration.register()
    first = registration.agent_id
    registration.start_heartbeat()
    eventually(lambda: hub.paths(f"{first}/heartbeat"))
    hub.agents.clear()
    eventually(lambda: registration.agent_id != first)
    second = registration.agent_id
    assert hub.agents == {second}
    eventually(lambda: hub.paths(f"{second}/heartbeat"))
    registration.unregister()
    assert not hub.agents


def test_it_goes_on_heartbeating_through_failures(
    hub: LegacyHub, registration: AgentRegistration, caplog: pytest.LogCaptureFixture
) -> None:
    hub.interval = 0.02
    registration.register()
    hub.status = 503
    registration.start_heartbeat()
    eventually(lambda: len(hub.paths("/heartbeat")) >= 3)
    assert "Heartbeat failed: 503" in caplog.text
    hub.status = None
    heard = len(hub.calls)
    eventually(lambda: len(hub.calls) >= heard + 3)
    assert registration.agent_id in hub.agents


def test_it_follows_the_interval_that_a_heartbeat_is_answered_with(
    hub: LegacyHub, registration: AgentRegistration
) -> None:
    registration.register()
    hub.interval = 17
    registration.start_heartbeat()
    eventually(lambda: registration.heartbeat_interval == 17)


def test_nothing_is_ever_raised(
    hub: LegacyHub, registration: AgentRegistration, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    registration.start_heartbeat()
    assert "Cannot start heartbeat - agent not registered" in caplog.text
    registration.unregister()
    assert not hub.calls

    hub.status = 400
    assert registration.register() is False
    assert 'Registration failed: 400 - {"error": "refused by the test"}' in caplog.text

    hub.status = 200
    assert registration.register() is False

    registration.metadata = {"thing": object()}
    assert registration.register() is False
    assert "Registration error" in caplog.text

    registration.agent_id = "gone"
    hub.status = 500
    registration.unregister()
    assert "Unregister failed: 500" in caplog.text

    for url in ("http://127.0.0.1:1", "nonsense", "file:///etc/passwd"):
        registration.orchestrator_url = url
        assert registration.register() is False
        registration.unregister()
    assert "Unregister error" in caplog.text


def test_it_presents_the_token_of_the_environment_and_never_logs_it(
    hub: LegacyHub,
    registration: AgentRegistration,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HOMEPORT_TOKEN", "secret-token")
    assert registration.register()
    assert hub.calls[0][2]["Authorization"] == "Bearer secret-token"
    monkeypatch.setenv("HOMEPORT_TOKEN", "secret token")
    assert registration.register() is False
    assert "secret" not in caplog.text


def test_a_proxy_of_the_environment_is_not_asked_about_this_machine(
    registration: AgentRegistration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert registration.register()


@pytest.fixture
def hubs() -> Iterator[list[LegacyHub]]:
    with LegacyHub() as first, LegacyHub() as second:
        second.agents = first.agents  # one cluster
        yield [first, second]


def among(hubs: list[LegacyHub]) -> AgentRegistration:
    urls = ", ".join(hub.url for hub in hubs)
    return AgentRegistration("cost-1", "cost", "localhost", 8001, [], urls)


def test_several_hubs_may_be_named_and_one_that_cannot_serve_is_left_for_the_next(
    hubs: list[LegacyHub], caplog: pytest.LogCaptureFixture
) -> None:
    registration = among(hubs)
    assert registration.register()
    [asked] = [hub for hub in hubs if hub.calls]
    [other] = [hub for hub in hubs if not hub.calls]
    asked.interval = other.interval = 0.02
    asked.status = 503
    registration.start_heartbeat()
    eventually(lambda: len(other.paths("/heartbeat")) >= 3)
    assert len(asked.paths("/heartbeat")) == 1, "the hub that answered is asked first"
    assert f"{asked.url} answers 503" in caplog.text
    registration.unregister()
    assert not asked.agents
    assert len(asked.calls) == 2


def test_a_fleet_of_registrations_spreads_over_the_hubs(hubs: list[LegacyHub]) -> None:
    for _ in range(40):
        assert among(hubs).register()
    assert all(5 < len(hub.calls) < 35 for hub in hubs)


def test_a_hub_that_refuses_connections_or_never_answers_is_passed_over(
    hub: LegacyHub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_client.transport.endpoints.ATTEMPT_TIMEOUT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = f"http://127.0.0.1:{mute.getsockname()[1]}"
        for _ in range(5):
            urls = f"{silent},http://user:password@127.0.0.1:1,{hub.url}"
            registration = AgentRegistration("cost-1", "cost", "localhost", 8001, [], urls)
            assert registration.register()
        assert len(hub.calls) == 5
        registration.orchestrator_url = f"{silent},http://127.0.0.1:1"
        assert registration.register() is False
    assert "No answer from" in caplog.text
    assert "password" not in caplog.text


def test_a_refusal_is_an_answer_and_no_reason_to_ask_another_hub(hubs: list[LegacyHub]) -> None:
    for hub in hubs:
        hub.status = 400
    assert among(hubs).register() is False
    assert sum(len(hub.calls) for hub in hubs) == 1


# --- session tokens ------------------------------------------------------------------------------


def test_it_shows_the_token_of_its_registration(
    hub: LegacyHub, registration: AgentRegistration
) -> None:
    hub.session_token = "token-1"
    registration.register()
    registration.start_heartbeat()
    eventually(lambda: hub.paths("/heartbeat"))
    registration.unregister()
    shown = [headers.get("Homeport-Session-Token") for _, _, headers in hub.calls]
    assert shown[0] is None
    assert set(shown[1:]) == {"token-1"}
    assert hub.calls[-1][0].endswith("/unregister")


def test_the_legacy_service_gives_no_token_and_is_shown_none(
    hub: LegacyHub, registration: AgentRegistration
) -> None:
    registration.register()
    registration.start_heartbeat()
    eventually(lambda: hub.paths("/heartbeat"))
    assert all("Homeport-Session-Token" not in headers for _, _, headers in hub.calls)


def test_once_a_newer_registration_holds_its_id_it_stops_and_registers_no_more(
    hub: LegacyHub, registration: AgentRegistration, caplog: pytest.LogCaptureFixture
) -> None:
    hub.interval, hub.session_token = 0.02, "token-1"
    registration.register()
    assert registration.fenced is False
    hub.status = 409
    registration.start_heartbeat()
    thread = registration.heartbeat_thread
    assert thread is not None
    thread.join(5)
    assert not thread.is_alive()
    assert registration.fenced is True
    assert len(hub.paths("/heartbeat")) == len(hub.paths("/register")) == 1
    assert f"A newer registration holds agent {registration.agent_id}" in caplog.text
    registration.unregister()
    hub.status = None
    assert registration.register() is True
    assert registration.fenced is False


def test_a_token_that_the_hub_does_not_know_has_it_register_again(
    hub: LegacyHub, registration: AgentRegistration
) -> None:
    hub.interval, hub.session_token = 0.02, "token-1"
    registration.register()
    first = registration.agent_id
    answer, refused = hub.answer, [401]

    def once(path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        if path.endswith("/heartbeat") and refused:
            return refused.pop(), {"error": "session_token: not of this agent's registration"}
        return answer(path, body, headers)

    hub.answer = once  # type: ignore[method-assign]
    registration.start_heartbeat()
    eventually(lambda: registration.agent_id != first)
    assert registration.fenced is False


def test_its_repr_tells_who_it_is_and_whether_it_is_registered(
    registration: AgentRegistration,
) -> None:
    shown = "<AgentRegistration name='cost-1' agent_id="
    assert repr(registration) == f"{shown}None not registered>"
    assert registration.register()
    assert repr(registration) == f"{shown}{registration.agent_id!r} registered>"
    registration.fenced = True
    assert repr(registration) == f"{shown}{registration.agent_id!r} fenced>"
