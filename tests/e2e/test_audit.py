"""The audit log of real hubs: who did what, from where, and what came of it."""

from __future__ import annotations

import base64
import json
import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.conftest import StartHub, StartServer
from tests.support.hub_process import Hub
from tests.support.redis_servers import RedisServer
from tests.support.tokens import bearer, make_tokens
from tests.support.waiting import LIMIT, wait_until
from tests.support.wire import RefusedError, Wire

ID = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
AGENT = {"name": "cost-1", "type": "cost", "host": "h", "port": 1}


@pytest.fixture
def server(start_server: StartServer) -> RedisServer:
    return start_server()


@pytest.fixture
def tokens(server: RedisServer) -> dict[str, str]:
    return make_tokens(
        server.url,
        a={"role": "agent"},
        b={"role": "agent"},
        operator={"role": "operator"},
    )


def principal(token: str) -> str:
    return f"token:{token.split('_')[1]}"


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def acts(path: Path, *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(line.get(field) for field in fields) for line in lines(path)]


def call(hub: Hub, token: str, method: str, path: str, **options: Any) -> requests.Response:
    return requests.request(method, hub.url + path, headers=bearer(token), timeout=LIMIT, **options)


def test_each_act_is_a_line_over_both_transports(
    server: RedisServer, tokens: dict[str, str], start_hub: StartHub, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    hub = start_hub(
        *("--redis", server.url, "--auth", "required", "--hub-id", "hub-1"),
        *("--audit-log", str(path)),
    )
    a, operator = tokens["a"], tokens["operator"]
    wire = Wire(hub.url, headers=bearer(a))
    lease = wire.register("cost-1", agent_id=ID, metadata={"k": "value of metadata"})
    wire.ask("heartbeat", metadata={"k": "value of a heartbeat"})
    taker = Wire(hub.url, headers=bearer(a))
    taken = taker.register("cost-1", agent_id=ID)
    taker.ask("unregister")
    body = {**AGENT, "agent_id": OTHER}
    assert call(hub, a, "POST", "/agents/register", json=body).status_code == 201
    assert call(hub, a, "POST", f"/agents/{OTHER}/heartbeat", json={}).status_code == 200
    assert call(hub, operator, "DELETE", f"/agents/{OTHER}").status_code == 200
    assert call(hub, a, "POST", "/agents/register", json=body).status_code == 201
    assert call(hub, a, "POST", f"/agents/{OTHER}/unregister").status_code == 200
    made = call(hub, operator, "POST", "/tokens", json={"role": "observer"}).json()
    assert call(hub, operator, "DELETE", f"/tokens/{made['id']}").status_code == 200
    wait_until(lambda: len(lines(path)) >= 9)
    who, by = principal(a), principal(operator)
    assert acts(path, "what", "outcome", "principal", "agent_id") == [
        ("register", "ok", who, ID),
        ("take_over", "ok", who, ID),
        ("end", "ok", who, ID),
        ("register", "ok", who, OTHER),
        ("remove", "ok", by, OTHER),
        ("register", "ok", who, OTHER),
        ("end", "ok", who, OTHER),
        ("create_token", "ok", by, None),
        ("revoke_token", "ok", by, None),
    ]
    assert lines(path)[1]["epoch"] == taken["epoch"]
    first = lines(path)[0]
    assert first.pop("time").endswith("Z")
    assert first == {
        "hub": "hub-1",
        "what": "register",
        "outcome": "ok",
        "principal": who,
        "address": "127.0.0.1",
        "namespace": "default",
        "agent_id": ID,
        "name": "cost-1",
        "epoch": lease["epoch"],
        "revision": lease["revision"],
    }
    assert [line.get("token_id") for line in lines(path)][-2:] == [made["id"]] * 2
    text = path.read_text()
    for secret in (a, operator, made["token"], lease["session_token"], "value of"):
        assert secret not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for each in (wire, taker):
        each.drop()


def test_who_is_refused_and_by_what(
    server: RedisServer, tokens: dict[str, str], start_hub: StartHub, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    hub = start_hub("--redis", server.url, "--auth", "required", "--audit-log", str(path))
    a, b = tokens["a"], tokens["b"]
    body = {**AGENT, "agent_id": ID}
    assert call(hub, a, "POST", "/agents/register", json=body).status_code == 201
    assert call(hub, b, "POST", "/agents/register", json=body).status_code == 403
    assert call(hub, b, "POST", f"/agents/{ID}/heartbeat", json={}).status_code == 403
    assert call(hub, b, "DELETE", f"/agents/{ID}").status_code == 403
    assert call(hub, b, "GET", "/agents", params={"namespace": "blue"}).status_code == 403
    assert requests.get(f"{hub.url}/agents", timeout=LIMIT).status_code == 401
    login = base64.b64encode(f"agent:{a[:-1]}".encode()).decode()
    wrong = {"Authorization": f"Basic {login}"}
    assert requests.get(f"{hub.url}/agents", headers=wrong, timeout=LIMIT).status_code == 401
    with pytest.raises(RefusedError):
        Wire(hub.url)
    with pytest.raises(RefusedError):
        Wire(hub.url, headers=bearer(b), namespace="blue")
    foreign = {"Origin": "https://evil.example", **bearer(a)}
    assert requests.get(f"{hub.url}/agents", headers=foreign, timeout=LIMIT).status_code == 403
    who = principal(b)
    expected = [
        ("register", "ok", principal(a)),
        ("register", "forbidden", who),
        ("change", "forbidden", who),
        ("remove", "forbidden", who),
        ("read", "forbidden", who),
        ("connect", "unauthorized", None),
        ("connect", "forbidden", who),
        ("connect", "forbidden", None),
    ]
    wait_until(lambda: len(lines(path)) >= len(expected))
    assert acts(path, "what", "outcome", "principal") == expected
    assert {line["address"] for line in lines(path)} == {"127.0.0.1"}
    assert a[20:40] not in path.read_text()


def test_a_thousand_refusals_are_two_lines(
    server: RedisServer, tokens: dict[str, str], start_hub: StartHub, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    hub = start_hub("--redis", server.url, "--auth", "required", "--audit-log", str(path))
    with requests.Session() as http:
        for _ in range(1000):
            assert http.get(f"{hub.url}/agents", timeout=LIMIT).status_code == 401
    hub.signal(signal.SIGTERM)  # what is not told yet is told now
    hub.wait(LIMIT)
    told = lines(path)
    assert len(told) < 50, "two, and two more for each 10 seconds that this took"
    assert sum(line.get("count", 1) for line in told) == 1000
    assert {line["what"] for line in told} == {"connect"}


def test_expiry_is_told_by_the_hub_that_removes_and_by_no_other(
    server: RedisServer, start_hub: StartHub, tmp_path: Path
) -> None:
    times = ("--heartbeat-interval", "0.5", "--heartbeat-timeout", "1", "--lease-ttl", "1")
    paths = [tmp_path / f"audit-{n}" for n in (1, 2)]
    hubs = [
        start_hub(*("--redis", server.url, "--hub-id", f"hub-{n}", *times, "--audit-log", str(p)))
        for n, p in enumerate(paths, 1)
    ]
    body = {**AGENT, "agent_id": ID}
    assert requests.post(f"{hubs[0].url}/agents/register", json=body, timeout=LIMIT).ok

    def told() -> list[tuple[Any, ...]]:
        return [act for path in paths for act in acts(path, "what", "principal", "agent_id")]

    wait_until(lambda: ("expire", None, ID) in told(), 60)
    for hub in hubs:
        hub.signal(signal.SIGTERM)
        hub.wait(LIMIT)
    assert sorted(told()) == [("expire", None, ID), ("register", None, ID)]


def test_logrotate_renames_the_file_and_sends_sighup(
    start_hub: StartHub, server: RedisServer, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    hub = start_hub("--redis", server.url, "--audit-log", str(path))
    register = f"{hub.url}/agents/register"
    requests.post(register, json=AGENT, timeout=LIMIT)
    wait_until(lambda: lines(path))
    path.rename(tmp_path / "audit.1")
    hub.signal(signal.SIGHUP)
    wait_until(path.exists)
    requests.post(register, json=AGENT, timeout=LIMIT)
    wait_until(lambda: lines(path))
    assert len(lines(tmp_path / "audit.1")) == len(lines(path)) == 1


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_standard_output_gets_nothing_but_lines(
    workers: tuple[str, ...], server: RedisServer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    hub = Hub(tmp_path / "hub", "--redis", server.url, "--audit-log", "-", *workers)
    hub._command = ["sh", "-c", f'exec "$@" > {out}', "sh", *hub._command]
    hub.launch(subprocess.DEVNULL)
    try:
        wait_until(lambda: "Homeport is listening on" in hub.log(), 30)
        url = hub.log().partition("listening on ")[2].split()[0]
        for _ in range(20):
            assert requests.post(f"{url}/agents/register", json=AGENT, timeout=LIMIT).ok
        wait_until(lambda: len(lines(out)) == 20)
    finally:
        hub.end()
    assert {line["what"] for line in lines(out)} == {"register"}


def test_workers_append_whole_lines_to_one_file(
    server: RedisServer, start_hub: StartHub, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    hub = start_hub("--redis", server.url, "--workers", "2", "--audit-log", str(path))
    for _ in range(60):  # a connection each, so that both get some
        assert requests.post(f"{hub.url}/agents/register", json=AGENT, timeout=LIMIT).ok
    wait_until(lambda: len(lines(path)) == 60)
    assert len({line["hub"] for line in lines(path)}) == 2


def test_a_full_disk_delays_no_heartbeat_and_shows(
    server: RedisServer, start_hub: StartHub
) -> None:
    hub = start_hub("--redis", server.url, "--audit-log", "/dev/full")
    wire = Wire(hub.url)
    wire.register("a")
    assert wire.ask("heartbeat")["durable"] is True

    def warnings() -> list[str]:
        told: list[str] = requests.get(f"{hub.url}/ready", timeout=LIMIT).json()["warnings"]
        return told

    wait_until(lambda: "the audit log cannot be written: No space left on device" in warnings())
    wait_until(lambda: "the audit log cannot be written" in hub.log())
    metrics = requests.get(f"{hub.url}/metrics", timeout=LIMIT).text
    assert 'homeport_audit_lines_total{result="taken"} 1.0' in metrics
    assert 'homeport_warning{warning="audit_log"} 1.0' in metrics
    assert wire.ask("heartbeat")["durable"] is True
    wire.drop()


def test_a_file_that_cannot_be_opened_ends_the_start_in_one_sentence(tmp_path: Path) -> None:
    hub = Hub(tmp_path / "hub", "--redis", "memory://", "--audit-log", str(tmp_path))
    hub.launch()
    assert hub.wait(LIMIT) == 1
    assert f"audit_log: {tmp_path} cannot be opened: Is a directory" in hub.log()
    assert "Traceback" not in hub.log()
    hub.end()
    assert os.path.isdir(tmp_path)
