"""AgentRegistration: it registers when it can, under one id, and takes no proxy for its hub."""

from __future__ import annotations

import gc
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_client import AgentRegistration, BadRequest
from tests.support.legacy_hub import LegacyHub

LIMIT = 30.0


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def hub() -> Iterator[LegacyHub]:
    with LegacyHub() as hub:
        hub.interval, hub.takes_ids = 0.02, True
        yield hub


class Waits(threading.Event):
    """Stands in for `stop_heartbeat`: notes how long the thread means to wait, and waits less."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        return super().wait(0.005)


def agent(url: str, **more: Any) -> AgentRegistration:
    registration = AgentRegistration("cost-1", "cost", "localhost", 8001, [], url, **more)
    registration.stop_heartbeat = Waits()
    return registration


def waits_of(registration: AgentRegistration) -> list[float]:
    assert isinstance(registration.stop_heartbeat, Waits)
    return registration.stop_heartbeat.seconds


def eventually(holds: Callable[[], Any]) -> None:
    until = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < until, "did not come true"
        time.sleep(0.005)


def ids_sent(hub: LegacyHub) -> list[str]:
    return [body["agent_id"] for path, body, _ in hub.calls if path == "/agents/register"]


# --- a hub that comes up later -------------------------------------------------------------------


def test_a_program_that_starts_before_its_hub_is_registered_once_that_is_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    registration = agent(f"http://127.0.0.1:{port}")
    assert registration.register() is False
    assert registration.agent_id is None
    registration.start_heartbeat()
    thread = registration.heartbeat_thread
    eventually(lambda: len(waits_of(registration)) >= 8)
    assert registration.agent_id is None
    with LegacyHub(port) as hub:
        hub.interval = 0.02
        eventually(lambda: len(hub.paths("/heartbeat")) >= 2)
        assert hub.agents == {registration.agent_id}
        assert registration.heartbeat_thread is thread
        registration.unregister()
        assert not hub.agents


def test_it_waits_longer_each_time_and_half_a_minute_at_most() -> None:
    registration = agent("http://127.0.0.1:1")
    assert registration.register() is False
    registration.start_heartbeat()
    eventually(lambda: len(waits_of(registration)) >= 60)
    registration.stop_heartbeat_loop()
    waits = waits_of(registration)
    assert max(waits[:3]) <= 2.0, "soon at first"
    assert max(waits) <= 30.0
    assert max(waits[10:]) > 4.0
    assert len({*waits}) > 50, "with jitter"


def test_a_wait_that_the_hub_or_a_proxy_asks_for_counts_up_to_half_a_minute(hub: LegacyHub) -> None:
    hub.status, hub.headers = 503, {"Retry-After": "3600"}
    registration = agent(hub.url)
    assert registration.register() is False
    registration.start_heartbeat()
    eventually(lambda: len(waits_of(registration)) >= 5)
    hub.status = None
    eventually(lambda: hub.paths("/heartbeat"))
    hub.status = 503
    heard = len(waits_of(registration))
    eventually(lambda: len(waits_of(registration)) > heard + 5)
    registration.stop_heartbeat_loop()
    assert all(15.0 <= wait <= 30.0 for wait in waits_of(registration)[:5])
    assert max(waits_of(registration)) <= 30.0


def test_what_the_hub_refuses_for_good_is_not_tried_again(
    hub: LegacyHub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.status = 400
    registration = agent(hub.url)
    assert registration.register() is False
    registration.start_heartbeat()
    assert registration.heartbeat_thread is None
    assert "Cannot start heartbeat - agent not registered" in caplog.text
    hub.page = b"<html>Bad Request</html>"  # a proxy's, whatever it means
    assert registration.register() is False
    registration.start_heartbeat()
    hub.status = None
    eventually(lambda: hub.paths("/heartbeat"))
    registration.stop_heartbeat_loop()


def test_unregistering_ends_the_attempts() -> None:
    registration = agent("http://127.0.0.1:1")
    registration.register()
    registration.start_heartbeat()
    thread = registration.heartbeat_thread
    assert thread is not None
    registration.unregister()
    thread.join(LIMIT)
    assert not thread.is_alive()
    assert registration.agent_id is None


# --- its id --------------------------------------------------------------------------------------


def test_an_agent_that_the_hub_forgot_comes_back_under_its_id(hub: LegacyHub) -> None:
    registration = agent(hub.url)
    registration.register()
    first = registration.agent_id
    registration.start_heartbeat()
    for _ in range(3):
        eventually(lambda: hub.agents)
        hub.agents.clear()
    eventually(lambda: hub.agents)
    registration.stop_heartbeat_loop()
    assert registration.agent_id == first
    assert set(ids_sent(hub)) == {first}


PROXY_S = [
    (404, b"<html>404 Not Found</html>"),
    (404, b'{"message":"no Route matched with those values"}'),
    (404, b'{"error":"Not Found","path":"/agents"}'),
    (404, b""),
    (401, b'{"error":"login required"}'),
    (409, b"<html>Conflict</html>"),
    (200, b"<html>Welcome to the hotel</html>"),
    (204, b""),
]


@pytest.mark.parametrize(("status", "page"), PROXY_S)
def test_what_a_proxy_says_is_no_reason_to_register_or_stop(
    hub: LegacyHub, status: int, page: bytes
) -> None:
    registration = agent(hub.url)
    registration.register()
    registration.start_heartbeat()
    hub.status, hub.page = status, page
    heard = len(hub.paths("/heartbeat"))
    eventually(lambda: len(hub.paths("/heartbeat")) >= heard + 4)
    hub.status = None
    heard = len(hub.paths("/heartbeat"))
    eventually(lambda: len(hub.paths("/heartbeat")) >= heard + 2)
    registration.stop_heartbeat_loop()
    assert len(ids_sent(hub)) == 1
    assert registration.agent_id in hub.agents
    assert registration.fenced is False


def test_the_next_start_after_a_crash_has_the_same_id(hub: LegacyHub) -> None:
    for _ in range(3):
        agent(hub.url).register()
        gc.collect()  # it is gone, as with its process
    assert len(set(ids_sent(hub))) == 1
    assert len(hub.agents) == 1


def test_two_programs_of_one_agent_at_the_same_time_are_two_agents(hub: LegacyHub) -> None:
    both = [agent(hub.url), agent(hub.url)]
    assert all(each.register() for each in both)
    assert len(hub.agents) == 2
    assert all(each.register() for each in both), "and stay the same two"
    assert len(hub.agents) == 2


def test_agents_of_two_namespaces_are_two_and_each_keeps_its_id(hub: LegacyHub) -> None:
    blue, green = {"Homeport-Namespace": "blue"}, {"homeport-namespace": "green"}
    first = agent(hub.url, headers=blue)
    first.register()
    for _ in range(3):
        agent(hub.url, headers=green).register()
        gc.collect()
    assert len(hub.agents) == 2


def test_an_id_can_be_given(hub: LegacyHub) -> None:
    id_ = str(uuid.uuid4())
    both = [agent(hub.url, agent_id=id_), agent(hub.url, agent_id=id_)]
    assert both[0].agent_id is None, "until it is registered"
    assert all(each.register() for each in both)
    assert ids_sent(hub) == [id_, id_]
    with pytest.raises(BadRequest, match="agent_id: expected a UUID"):
        agent(hub.url, agent_id="cost-1")


def test_the_id_that_the_legacy_service_gives_is_kept(hub: LegacyHub) -> None:
    hub.takes_ids = False
    registration = agent(hub.url)
    registration.register()
    given = registration.agent_id
    assert ids_sent(hub) != [given]
    del registration
    gc.collect()
    hub.takes_ids = True  # a hub has taken its place
    again = agent(hub.url)
    again.register()
    assert again.agent_id == given


def test_where_no_id_can_be_kept_it_is_as_before(
    hub: LegacyHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    monkeypatch.setattr("tempfile.tempdir", str(blocked))
    registration = agent(hub.url)
    registration.register()
    registration.register()
    assert len(hub.agents) == 1, "one program has one id"
    agent(hub.url).register()
    assert len(hub.agents) == 2
    [line, _] = [each for each in caplog.records if "for this start only" in each.message]
    assert line.levelno == logging.DEBUG
