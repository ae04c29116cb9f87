"""AgentRegistration at real hubs: late ones, through proxies that misbehave, and after crashes."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent_client import AgentRegistration
from tests.support.hub_process import Hub, Place, new_namespace, running_hub
from tests.support.ports import free_port
from tests.support.waiting import LIMIT, wait_until

QUICK = ("--redis", "memory://", "--heartbeat-interval", "0.2", "--heartbeat-timeout", "20")
PATIENCE = 6 * LIMIT


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


class Proxy:
    """Stands before a hub; `mode` says how it answers, and `asked` counts what it was asked.

    `pass`: as the hub does. `lose`: the hub does it, and the connection ends without the answer.
    `slow`: after a third of a second. `cut`: the connection ends at once. A number and a text: a
    page of its own, with what `location` says.
    """

    def __init__(self, hub: str) -> None:
        self.mode: str | tuple[int, str] = "pass"
        self.location = ""
        self.asked = 0
        self._hub = hub.removeprefix("http://")
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                proxy.asked += 1
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                proxy.handle(self, body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def handle(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        mode = self.mode
        if mode == "cut":
            request.connection.shutdown(socket.SHUT_RDWR)
            return
        if isinstance(mode, tuple):
            status, page = mode
            self._answer(request, status, page.encode(), "text/html")
            return
        if mode == "slow":
            threading.Event().wait(0.3)
        upstream = http.client.HTTPConnection(self._hub, timeout=LIMIT)
        upstream.request("POST", request.path, body, dict(request.headers))
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        if mode == "lose":
            request.connection.shutdown(socket.SHUT_RDWR)
        else:
            self._answer(request, answer.status, data, "application/json")

    def _answer(self, request: BaseHTTPRequestHandler, status: int, body: bytes, kind: str) -> None:
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        if self.location:
            request.send_header("Location", self.location + request.path)
        request.end_headers()
        request.wfile.write(body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), *QUICK) as hub:
        yield hub


@pytest.fixture
def proxy(hub: Hub) -> Iterator[Proxy]:
    proxy = Proxy(hub.url)
    yield proxy
    proxy.close()


@pytest.fixture
def place(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A namespace for the test, which its agents find in the environment."""
    place = Place(hub, new_namespace())
    monkeypatch.setenv("HOMEPORT_HEADERS", f"Homeport-Namespace: {place.namespace}")
    yield place
    place.end()


def agent(url: str, **more: Any) -> AgentRegistration:
    return AgentRegistration("cost-1", "cost", "here", 8001, ["sql"], url, **more)


def heartbeats(place: Place, agent_id: str | None) -> str:
    record = place.record(str(agent_id))
    assert record is not None
    return str(record["last_seen"])


def goes_on(place: Place, agent_id: str | None) -> None:
    """Wait for a further heartbeat."""
    before = heartbeats(place, agent_id)
    wait_until(lambda: heartbeats(place, agent_id) > before, PATIENCE)


def test_a_program_that_starts_before_its_hub_is_registered_once_that_is_up(start_hub: Any) -> None:
    port = free_port()
    registration = agent(f"http://127.0.0.1:{port}")
    assert registration.register() is False
    registration.start_heartbeat()
    hub = start_hub(*QUICK, "--port", str(port), port=False)
    place = Place(hub)
    wait_until(lambda: registration.agent_id, PATIENCE)
    goes_on(place, registration.agent_id)
    registration.unregister()
    assert place.listed() == {}
    place.end()


def test_a_hub_that_forgot_it_has_it_back_under_its_id(hub: Hub, place: Place) -> None:
    registration = agent(hub.url)
    assert registration.register()
    first = registration.agent_id
    registration.start_heartbeat()
    assert place.request("DELETE", f"/agents/{first}").status_code == 200
    wait_until(lambda: place.record(str(first)), PATIENCE)
    goes_on(place, first)
    assert registration.agent_id == first
    registration.unregister()


TROUBLE: list[str | tuple[int, str]] = [
    *("slow", "cut", "lose"),
    (404, "<html><h1>404 Not Found</h1></html>"),
    (404, '{"message":"no Route matched with those values"}'),
    (502, "<html>Bad Gateway</html>"),
    (200, "<html>Sign in to the wireless network</html>"),
    (401, "<html>Authorization required</html>"),
]


@pytest.mark.parametrize("mode", TROUBLE, ids=str)
def test_whatever_a_proxy_does_for_a_while_it_is_one_agent_under_one_id(
    proxy: Proxy, place: Place, mode: str | tuple[int, str]
) -> None:
    registration = agent(proxy.url)
    proxy.mode = mode
    registered = registration.register()
    registration.start_heartbeat()
    asked = proxy.asked
    wait_until(lambda: proxy.asked >= asked + 3, PATIENCE)
    proxy.mode = "pass"
    wait_until(lambda: registration.agent_id, PATIENCE)
    first = registration.agent_id
    goes_on(place, first)
    proxy.mode = mode
    asked = proxy.asked
    wait_until(lambda: proxy.asked >= asked + 3, PATIENCE)
    proxy.mode = "pass"
    goes_on(place, first)
    assert registered is (mode == "slow")
    assert (registration.agent_id, registration.fenced) == (first, False)
    assert [each["id"] for each in place.listed().values()] == [first]
    registration.unregister()


@pytest.mark.parametrize("status", [301, 307, 308])
def test_it_follows_a_proxy_that_leads_to_the_hub(proxy: Proxy, hub: Hub, status: int) -> None:
    place = Place(hub)  # the default namespace: headers of one's own stay with the proxy
    proxy.mode, proxy.location = (status, ""), hub.url
    registration = agent(proxy.url)
    assert registration.register()
    registration.start_heartbeat()
    goes_on(place, registration.agent_id)
    registration.unregister()
    assert place.listed() == {}
    place.end()


def test_a_login_page_is_named(proxy: Proxy, hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    proxy.mode, proxy.location = (302, ""), hub.url
    assert agent(proxy.url).register() is False
    assert "as to the login page of a proxy" in caplog.text


# --- crashes -------------------------------------------------------------------------------------

PROGRAM = """
import sys, threading
from agent_client import AgentRegistration
more = {"agent_id": sys.argv[2]} if len(sys.argv) > 2 else {}
agent = AgentRegistration("crasher", "cost", "10.0.0.7", 9009, [], sys.argv[1], **more)
assert agent.register()
agent.start_heartbeat()
print(agent.agent_id, flush=True)
threading.Event().wait()
"""


def start(url: str, *more: str) -> tuple[subprocess.Popen[str], str]:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url, *more], stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    return program, program.stdout.readline().strip()


@pytest.mark.parametrize("given", [False, True])
def test_a_crash_loop_is_one_agent(hub: Hub, place: Place, given: bool) -> None:
    more, seen = [str(uuid.uuid4())] if given else [], set[str]()
    for _ in range(4):
        program, agent_id = start(hub.url, *more)
        with program:
            program.send_signal(signal.SIGKILL)
        seen.add(agent_id)
    assert len(seen) == 1
    assert place.get("/agents").json()["count"] == 1
    assert not given or seen == {*more}


def test_two_programs_at_the_same_time_are_two_agents_and_each_goes_on(
    hub: Hub, place: Place
) -> None:
    first, first_id = start(hub.url)
    second, second_id = start(hub.url)
    with first, second:
        assert first_id != second_id
        goes_on(place, first_id)
        goes_on(place, second_id)
        second.kill()
        second.wait()
        third, third_id = start(hub.url)
        with third:
            assert third_id != first_id, "the first one has it still"
            goes_on(place, first_id)
            third.kill()
        first.kill()
    fourth, fourth_id = start(hub.url)
    with fourth:
        fourth.kill()
    assert fourth_id == first_id
