"""A hub that speaks TLS: as a process, with workers, through a change of its certificate."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import requests
from cryptography import x509

from tests.e2e.conftest import StartHub
from tests.support.certificate_authority import Authority, Pair
from tests.support.hub_process import Hub
from tests.support.waiting import wait_until
from tests.support.wire import Wire

MEMORY = ("--redis", "memory://")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue()


def tls(pair: Pair) -> tuple[str, ...]:
    return ("--tls-cert", str(pair.cert), "--tls-key", str(pair.key))


def ready(hub: Hub, authority: Authority) -> dict[str, list[str]]:
    with requests.Session() as http:
        http.trust_env = False
        answer: dict[str, list[str]] = http.get(
            f"{hub.url}/ready", verify=str(authority.file), timeout=10
        ).json()
    return answer


def shown(wire: Wire) -> int:
    """The serial number of the certificate that the hub showed on this connection."""
    der = wire.socket.getpeercert(binary_form=True)  # type: ignore[attr-defined]
    return x509.load_der_x509_certificate(der).serial_number


def test_an_agent_lives_and_is_watched_over_tls(
    start_hub: StartHub, authority: Authority, pair: Pair
) -> None:
    hub = start_hub(*MEMORY, *tls(pair))
    assert hub.line == f"Homeport is listening on https://127.0.0.1:{hub.port}\n"
    watcher = Wire(hub.url, tls=authority.trusting())
    watcher.watch()
    assert watcher.snapshot() == []
    agent = Wire(hub.url, tls=authority.trusting())
    agent.register("a")
    assert watcher.event("registered")["agent"]["name"] == "a"
    agent.ask("unregister")
    assert agent.closing() == (1000, "unregistered")
    watcher.event("unregistered")
    watcher.drop()
    assert ready(hub, authority)["warnings"] == []


def test_a_large_watch_that_is_read_late_is_whole(
    start_hub: StartHub, authority: Authority, pair: Pair
) -> None:
    hub = start_hub(*MEMORY, *tls(pair))
    agents = []
    for number in range(120):
        agents.append(Wire(hub.url, tls=authority.trusting()))
        agents[-1].register(f"a-{number}", metadata={"k": "x" * 14_000})
    late = Wire(hub.url, tls=authority.trusting())
    late.watch()
    for number, agent in enumerate(agents):  # 1.7 MB of snapshot and as much of events, unread
        answer = agent.ask("update", version=str(number))
        assert answer["op"] == "updated", answer
    versions = {each["id"]: each["version"] for each in late.snapshot()}
    while len([each for each in versions.values() if each]) < len(agents):
        event = late.event()
        versions[event["agent"]["id"]] = event["agent"]["version"]
    assert sorted(versions.values(), key=int) == [str(number) for number in range(120)]
    for each in [*agents, late]:
        each.drop()


def test_a_certificate_that_is_replaced_reaches_new_connections_and_drops_no_agent(
    start_hub: StartHub, authority: Authority, pair: Pair
) -> None:
    hub = start_hub(*MEMORY, *tls(pair))
    agent = Wire(hub.url, tls=authority.trusting())
    agent.register("a")
    first = shown(agent)
    authority.issue(into=pair)

    def replaced() -> bool:
        wire = Wire(hub.url, tls=authority.trusting())
        serial = shown(wire)
        wire.drop()
        return serial != first

    wait_until(replaced, 20)
    assert agent.ask("heartbeat")["op"] == "heartbeat_ack"
    agent.drop()


def test_a_broken_certificate_keeps_the_old_one_and_is_told_at_ready(
    start_hub: StartHub, authority: Authority, pair: Pair
) -> None:
    hub = start_hub(*MEMORY, *tls(pair))
    pair.cert.write_text("nothing\n")
    wait_until(lambda: ready(hub, authority)["warnings"], 20)
    (warning,) = ready(hub, authority)["warnings"]
    assert warning.startswith("the old TLS certificate is still in use: tls_cert: ")
    assert warning in hub.log() or "certificate not read again" in hub.log()
    authority.issue(into=pair)
    wait_until(lambda: not ready(hub, authority)["warnings"], 20)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are for Linux only")
def test_workers_speak_tls(
    start_hub: StartHub, authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    hub = start_hub("--workers", "2", "--data-dir", str(tmp_path / "store"), *tls(pair))
    assert hub.url.startswith("https://")
    wires = [Wire(hub.url, tls=authority.trusting()) for _ in range(8)]
    for number, wire in enumerate(wires):
        wire.register(f"a-{number}")
    for wire in wires:
        wire.ping()
        wire.drop()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tls-key", "hub.key"], "--tls-key: there is no TLS without tls_cert; give it too"),
        (["--tls-client-ca", "ca.pem"], "--tls-client-ca: there is no TLS without tls_cert"),
        (["--tls-cert", "none.pem"], "none.pem: no such file or directory"),
        (["--tls-cert", "none.pem", "--workers", "2"], "none.pem: no such file or directory"),
    ],
)
def test_what_cannot_be_used_is_wrong_usage_in_one_sentence(
    tmp_path: Path, options: list[str], words: str
) -> None:
    hub = Hub(tmp_path, "--data-dir", str(tmp_path / "store"), *options)
    assert hub.launch().wait(30) == 2
    assert words in hub.log()
    assert "Traceback" not in hub.log()
