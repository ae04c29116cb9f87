"""Starting a hub: its settings, what it prints, and what it says when it cannot start."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub_process import Hub
from tests.support.ports import free_port
from tests.support.programs import Homeport, finish
from tests.support.redis_servers import RedisServer, running
from tests.support.waiting import LIMIT


class Failing:
    """A hub that cannot start: `ended` gives its exit status and what it said on stderr."""

    def __init__(self, directory: Path, *options: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.took = 0.0
        self._said = (0, "", "")
        self._homeport = Homeport(directory)
        self._process = self._homeport.begin("serve", "--log-level", "critical", *options)
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        began = time.monotonic()
        try:
            self._said = finish(self._process)
        finally:
            self.took = time.monotonic() - began
            self._homeport.end()

    def ended(self) -> tuple[int, str]:
        self._thread.join()
        status, said, complaint = self._said
        assert "http://" not in said, "it does not say that it listens"
        assert "Traceback" not in complaint
        return status, complaint.strip()


@pytest.fixture(scope="module", autouse=True)
def unusable(
    tmp_path_factory: pytest.TempPathFactory, shared_hub: Hub
) -> Iterator[dict[str, Failing]]:
    """Hubs on stores that cannot be used, begun before all tests: they take their time to fail."""
    with running(RedisServer(password="wanted")) as server:
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
        yield failing
        for each in failing.values():
            each.ended()


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
    assert status == 2
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
    ("--redis", "redis+cluster://h?db=1"),
    ("--redis", "redis+sentinel://h"),
    ("--redis", "redis+sentinel://h/main?nonsense=1"),
    ("--workers", "2", "--redis", "memory://"),
    ("--workers", "2", "--hub-id", "h" * 64),
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
        assert each.took < 60, url


def test_a_redis_that_does_not_answer_is_told_with_what_came_last(
    unusable: dict[str, Failing],
) -> None:
    _, said = unusable["redis://no-such-host.invalid:6379"].ended()
    assert "did not answer within 10 seconds (" in said
    assert "host name is not known)" in said


def test_another_program_at_the_address_of_redis_is_told_as_such(
    unusable: dict[str, Failing], shared_hub: Hub
) -> None:
    _, said = unusable[f"redis://127.0.0.1:{shared_hub.port}"].ended()
    assert "(what answers there is no Redis: another program has this address)" in said
    assert "error in the hub" not in said


def test_tls_is_named_where_a_redis_with_tls_does_not_answer(unusable: dict[str, Failing]) -> None:
    _, with_tls = unusable["rediss://user:s3cret@127.0.0.1:1/0"].ended()
    assert "redis instead of rediss stands for no TLS" in with_tls
    _, without = unusable["redis://:s3cret@127.0.0.1:1"].ended()
    assert without.endswith(": start it, or check its URL.")
