"""A hub's own life: starting, stopping, being killed, and what it says when it cannot start."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .bound import bound
from .hubs import Hub, environment, program, wait_until
from .servers import RedisServer
from .wire import LIMIT

RETRY = re.compile(r"retry in (\d+(?:\.\d+)?) s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Failing:
    """A hub that cannot start: `ended` gives its exit status and what it said on stderr."""

    def __init__(self, directory: Path, *options: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.took = 0.0
        self._said = ("", "")
        self._process = subprocess.Popen(
            bound([*program(), "serve", "--log-level", "critical", *options]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(directory),
            cwd=directory,
        )
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        began = time.monotonic()
        try:
            self._said = self._process.communicate(timeout=30)
        finally:
            self.took = time.monotonic() - began
            self._process.kill()
            self._process.wait()

    def ended(self) -> tuple[int, str]:
        self._thread.join()
        said, complaint = self._said
        assert "http://" not in said, "it does not say that it listens"
        assert "Traceback" not in complaint
        return self._process.returncode, complaint.strip()


@pytest.fixture(scope="module", autouse=True)
def unusable(
    tmp_path_factory: pytest.TempPathFactory, shared_hub: Hub
) -> Iterator[dict[str, Failing]]:
    """Hubs on stores that cannot be used, begun before all tests: they take their time to fail."""
    server = RedisServer(password="wanted")
    server.start()
    urls = [
        "redis://:s3cret@127.0.0.1:1",
        "rediss://user:s3cret@127.0.0.1:1/0",
        "unix:///nowhere/at/all.sock",
        "redis://no-such-host.invalid:6379",
        f"redis://127.0.0.1:{shared_hub.port}",
        server.url,
        server.url.replace("unix://", "unix://:s3cret@"),
    ]
    directory = tmp_path_factory.mktemp("unusable")
    failing = {
        url: Failing(directory / str(number), "--port", "0", "--redis", url)
        for number, url in enumerate(urls)
    }
    try:
        yield failing
        for each in failing.values():
            each.ended()
    finally:
        server.end()


# -- stopping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_hub_gracefully(
    start_server: Any, start_hub: Any, enter: Any, number: signal.Signals
) -> None:
    server = start_server()
    hub = start_hub("--redis", server.url)
    place = enter(hub)
    agents = [place.agent(f"n{n}") for n in range(20)]
    observer = place.watcher()
    # Sent, and not yet answered: it is committed or it is not, but not half.
    agents[0][0].send({"op": "update", "id": 99, "version": "last words"})
    began = time.monotonic()
    hub.signal(number)
    hints = []
    for wire in [observer, *(wire for wire, _ in agents)]:
        code, reason = wire.closing()
        assert code == 1001
        found = RETRY.search(reason)
        assert found is not None, reason
        hints.append(float(found[1]))
    assert hub.wait(LIMIT) == 0
    assert time.monotonic() - began < 10
    assert len(set(hints)) > 1, "spread over the fleet"
    assert all(0 <= hint <= 60 for hint in hints)
    ids = {registered["agent_id"] for _, registered in agents}
    assert server.active(place.prefix) == ids, "agents outlive the hub"
    assert len(server.entries(place.prefix)) == 20
    assert "Traceback" not in hub.log()


def test_everything_acknowledged_before_the_end_is_stored(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    hub = start_hub("--redis", server.url)
    place = enter(hub)
    acknowledged: list[str] = []

    def keep_registering() -> None:
        body = {"name": "n", "type": "cost", "host": "h", "port": 1}
        while True:
            try:
                response = place.post("/agents/register", json=body)
            except OSError:
                return
            if response.status_code != 201:
                return
            acknowledged.append(response.json()["agent_id"])

    thread = threading.Thread(target=keep_registering, daemon=True)
    thread.start()
    wait_until(lambda: len(acknowledged) >= 20)
    hub.signal(signal.SIGTERM)
    assert hub.wait(LIMIT) == 0
    thread.join(LIMIT)
    assert set(acknowledged) <= server.active(place.prefix)


def test_clients_that_do_not_answer_do_not_hold_up_the_end(start_hub: Any, enter: Any) -> None:
    hub = start_hub("--redis", "memory://")
    place = enter(hub)
    deaf = [place.connect(answers_pings=False) for _ in range(5)]
    deaf[0].watch()
    chatty, _ = place.agent("chatty", metadata={"pad": "x" * 15_000})
    for load in range(100):
        chatty.ask("update", load=load)
    with socket.create_connection(("127.0.0.1", hub.port)) as half:
        half.sendall(b"POST /agents/register HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n")
        hub.signal(signal.SIGTERM)
        assert hub.wait(12) == 0


def test_a_stopped_store_does_not_hold_up_the_end(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    hub = start_hub("--redis", server.url)
    wire, _ = enter(hub).agent("owed")
    server.suspend()
    try:
        wire.send({"op": "heartbeat", "id": 1, "status": "degraded"})
        hub.signal(signal.SIGTERM)
        assert hub.wait(12) in (0, 1)
    finally:
        server.wake()


def test_a_second_start_after_a_graceful_end_finds_everything(
    start_hub: Any, enter: Any, tmp_path: Path
) -> None:
    store = ("--data-dir", str(tmp_path / "store"))
    hub = start_hub(*store)
    place = enter(hub)
    watcher = place.connect()
    watching = watcher.watch()
    watcher.snapshot()
    wire, registered = place.agent("kept", metadata={"k": 1}, capabilities=["c"])
    revision = watcher.event("registered")["revision"]
    http_id = place.register(name="http-kept")
    hub.signal(signal.SIGTERM)
    assert wire.closing()[0] == 1001
    watcher.closing()
    assert hub.wait(LIMIT) == 0

    again = enter(start_hub(*store), place.namespace)
    assert {a["id"] for a in again.get("/agents").json()["agents"]} == {
        registered["agent_id"],
        http_id,
    }
    watcher = again.connect()
    assert watcher.watch(since=revision, log=watching["log"])["resumed"] is True
    answer = again.connect().ask(
        "resume", agent_id=registered["agent_id"], session_token=registered["session_token"]
    )
    assert answer["resumed"] is True
    assert answer["epoch"] > registered["epoch"]
    told = watcher.said_by_now()
    assert "unreachable" not in [event["agent"]["status"] for event in told]
    assert told[-1]["kind"] == "resumed"
    assert told[-1]["agent"]["metadata"] == {"k": 1}


# -- kill -9 ------------------------------------------------------------------------------------


def test_after_kill_9_a_restart_finds_all_agents_and_nobody_was_unreachable(
    start_hub: Any, enter: Any, tmp_path: Path
) -> None:
    store = ("--data-dir", str(tmp_path / "store"))
    hub = start_hub(*store)
    place = enter(hub)
    watcher = place.connect()
    watching = watcher.watch()
    watcher.snapshot()
    agents = [place.agent(f"n{n}", metadata={"n": n}, load=n) for n in range(30)]
    http_ids = {place.register(name=f"h{n}") for n in range(5)}
    last = [watcher.event("registered") for _ in range(35)][-1]["revision"]
    records = {a["id"]: a for a in watcher.ask("find")["agents"]}
    hub.kill()
    for wire, _ in agents:
        assert wire.closing()[0] is None

    again = enter(start_hub(*store), place.namespace)
    found = {a["id"]: a for a in again.get("/agents").json()["agents"]}
    assert set(found) == set(records)
    for agent_id, record in found.items():
        before = records[agent_id]
        for name in ("name", "metadata", "load", "registered_at", "capabilities", "status"):
            assert record.get(name) == before.get(name)

    watcher = again.connect()
    rewatching = watcher.watch(since=last, log=watching["log"])
    assert rewatching["resumed"] is True
    assert rewatching["log"] == watching["log"]
    for _, registered in agents:
        wire = again.connect()
        answer = wire.ask(
            "resume",
            agent_id=registered["agent_id"],
            session_token=registered["session_token"],
        )
        assert answer["op"] == "registered", answer
        assert answer["resumed"] is True
        assert answer["agent_id"] == registered["agent_id"]
        assert answer["epoch"] > registered["epoch"]
        assert wire.ask("heartbeat")["durable"] is True
    for agent_id in http_ids:
        assert again.post(f"/agents/{agent_id}/heartbeat", json={}).status_code == 200
    told = watcher.said_by_now()
    assert all(message["op"] == "event" for message in told), "no snapshot"
    assert {event["agent"]["status"] for event in told} == {"healthy"}
    resumed = [e["agent"]["id"] for e in told if e["kind"] == "resumed"]
    assert sorted(resumed) == sorted(registered["agent_id"] for _, registered in agents)
    revisions = [event["revision"] for event in told]
    assert revisions == sorted(set(revisions))
    assert revisions[0] == last + 1, "no gap"


def test_a_wrong_token_is_still_wrong_after_a_restart(
    start_hub: Any, enter: Any, tmp_path: Path
) -> None:
    store = ("--data-dir", str(tmp_path / "store"))
    hub = start_hub(*store)
    place = enter(hub)
    _, mine = place.agent("mine")
    _, other = place.agent("other")
    hub.kill()
    again = enter(start_hub(*store), place.namespace)
    wire = again.connect()
    for token in (other["session_token"], "", mine["session_token"] + "x"):
        answer = wire.ask("resume", agent_id=mine["agent_id"], session_token=token)
        assert answer["code"] == "unauthorized", answer
    answer = wire.ask("resume", agent_id=mine["agent_id"], session_token=mine["session_token"])
    assert answer["resumed"] is True


def test_a_fenced_token_stays_fenced_after_a_restart(
    start_hub: Any, enter: Any, tmp_path: Path
) -> None:
    store = ("--data-dir", str(tmp_path / "store"))
    hub = start_hub(*store)
    place = enter(hub)
    old, first = place.agent("doubled")
    new = place.connect()
    second = new.register("doubled", agent_id=first["agent_id"])
    assert old.closing()[0] == 4409
    hub.kill()
    again = enter(start_hub(*store), place.namespace)
    wire = again.connect()
    answer = wire.ask("resume", agent_id=first["agent_id"], session_token=second["session_token"])
    assert answer["op"] == "registered", answer
    assert answer["epoch"] > second["epoch"]
    answer = again.connect().ask("register", agent={"name": "x", "type": "cost"})
    assert answer["op"] == "registered"


def test_memory_keeps_nothing_and_says_so(start_hub: Any, enter: Any) -> None:
    hub = start_hub("--redis", "memory://")
    place = enter(hub)
    place.register()
    assert place.get("/agents").json()["count"] == 1
    assert re.search(r"keeps? nothing|nothing is kept", hub.line + hub.log())


# -- starting -----------------------------------------------------------------------------------


def fails(directory: Path, *options: str) -> tuple[int, str]:
    return Failing(directory, *options).ended()


def assert_sentence(said: str) -> None:
    assert said.count("\n") == 0, f"not one sentence:\n{said}"
    assert len(said) > 10
    assert not re.search(r"\w+Error|Errno|Exception|<[a-z]+\.|0x[0-9a-f]{6}", said), said


def test_a_port_in_use_is_one_plain_sentence(tmp_path: Path, shared_hub: Hub) -> None:
    status, said = fails(tmp_path / "h", "--port", str(shared_hub.port), "--redis", "memory://")
    assert status == 1
    assert_sentence(said)
    assert str(shared_hub.port) in said


def test_a_port_in_use_does_not_harm_the_data(
    tmp_path: Path, shared_hub: Hub, start_hub: Any, enter: Any
) -> None:
    store = str(tmp_path / "store")
    status, said = fails(tmp_path / "h", "--port", str(shared_hub.port), "--data-dir", store)
    assert status == 1
    assert_sentence(said)
    assert enter(start_hub("--data-dir", store)).register()


def test_a_data_directory_in_use_is_one_plain_sentence(
    tmp_path: Path, start_hub: Any, enter: Any
) -> None:
    store = str(tmp_path / "store")
    place = enter(start_hub("--data-dir", store))
    agent_id = place.register()
    status, said = fails(tmp_path / "h", "--port", "0", "--data-dir", store)
    assert status == 1
    assert_sentence(said)
    assert store in said
    assert place.record(agent_id) is not None
    assert place.post(f"/agents/{agent_id}/heartbeat", json={}).status_code == 200


def test_a_data_directory_that_cannot_be_made_is_one_plain_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    path = str(tmp_path / "file" / "store")
    status, said = fails(tmp_path / "h", "--port", "0", "--data-dir", path)
    assert status == 1
    assert_sentence(said)
    assert path in said or str(tmp_path / "file") in said


@pytest.mark.parametrize("content", [None, "redis = ", 'no_such_setting = "x"', "port = 'x'"])
def test_a_file_of_settings_that_cannot_be_used_is_said(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "homeport.toml"
    if content is not None:
        file.write_text(content)
    status, said = fails(tmp_path / "h", "--config", str(file))
    # "Failed" or "wrong usage": both describe it.
    assert status in (1, 2)
    assert str(file) in said or "no_such_setting" in said or "port" in said


def test_a_starting_hub_prints_one_line_with_its_url(start_hub: Any) -> None:
    hub = start_hub("--redis", "memory://", "--log-format", "json")
    assert hub.line.count("\n") == 1
    assert hub.url in hub.line
    hub.signal(signal.SIGTERM)
    assert hub.wait(LIMIT) == 0
    assert hub.process.stdout.read() == b""
    import json  # noqa: PLC0415

    for line in hub.log().splitlines():
        assert isinstance(json.loads(line), dict), line


# -- settings -----------------------------------------------------------------------------------


def test_port_redis_addr_and_redis_password_of_the_legacy_service_are_honoured(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    port, redis_port = free_port(), free_port()
    server = start_server(port=redis_port, password="s3cret")
    env = {
        "PORT": str(port),
        "REDIS_ADDR": f"127.0.0.1:{redis_port}",
        "REDIS_PASSWORD": "s3cret",
    }
    hub = start_hub(env=env, port=False)
    assert hub.port == port
    agent_id = enter(hub, None).register()
    assert server.record(agent_id) is not None
    assert "s3cret" not in hub.log() + hub.line


def test_a_flag_beats_the_environment_which_beats_the_file(
    start_hub: Any, enter: Any, tmp_path: Path
) -> None:
    file = tmp_path / "homeport.toml"
    file.write_text(
        'redis = "memory://"\nheartbeat_interval = 3\nheartbeat_timeout = 13\nlease_ttl = 23.5\n'
    )
    env = {
        "HOMEPORT_HEARTBEAT_INTERVAL": "4",
        "HOMEPORT_HEARTBEAT_TIMEOUT": "14",
        "HOMEPORT_PORT": "1",
        "PORT": "2",
    }
    hub = start_hub("--config", str(file), "--heartbeat-interval", "5", env=env)
    wire, registered = enter(hub).agent("told")
    terms = [registered[n] for n in ("heartbeat_interval", "heartbeat_timeout", "lease_ttl")]
    assert terms == [5, 14, 23.5]
    wire.ping()


def test_a_key_prefix_goes_before_all_keys(start_server: Any, start_hub: Any, enter: Any) -> None:
    server = start_server()
    place = enter(start_hub("--redis", server.url, "--key-prefix", "app1:"), None)
    agent_id = place.register()
    assert server.record(agent_id, "app1:") is not None
    keys = {str(key) for key in server.client.scan_iter("*")}
    assert keys
    assert all(key.startswith("app1:") for key in keys), keys


# -- what takes its time, last ------------------------------------------------------------------


WRONG_USAGE = [
    ("--port", "x"),
    ("--port", "65536"),
    ("--port", "-1"),
    ("--redis", "ftp://x"),
    ("--redis", "nonsense"),
    ("--heartbeat-interval", "soon"),
    ("--heartbeat-interval", "-1"),
    ("--heartbeat-interval", "nan"),
    ("--lease-ttl", "0"),
    ("--log-format", "xml"),
    ("--no-such-option",),
    ("surplus",),
]


def test_wrong_usage_is_said_with_exit_status_2(tmp_path: Path) -> None:
    failing = {options: Failing(tmp_path / "h", *options) for options in WRONG_USAGE}
    outcomes = {options: each.ended() for options, each in failing.items()}
    assert {options: status for options, (status, _) in outcomes.items() if status != 2} == {}
    assert [options for options, (_, said) in outcomes.items() if not said] == []


def test_a_store_that_cannot_be_used_is_one_plain_sentence_within_12_seconds(
    unusable: dict[str, Failing],
) -> None:
    for url, each in unusable.items():
        status, said = each.ended()
        assert status == 1, (url, said)
        assert_sentence(said)
        assert "s3cret" not in said, url
        assert "wanted" not in said, url
        # They started side by side, on however few cores.
        assert each.took < 20, url
