"""Hubs whose Redis speaks TLS: one server, Sentinel, and a cluster, with a failover."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import StartHub
from tests.support.certificate_authority import Authority
from tests.support.hub_process import Hub
from tests.support.tls_servers import (
    KINDS,
    Secrets,
    TlsClusterSetup,
    TlsSentinelSetup,
    TlsServer,
)
from tests.support.topologies import TcpServer
from tests.support.waiting import wait_until
from tests.support.wire import Wire

Run = Callable[..., object]


@pytest.fixture
def run() -> Iterator[Run]:
    """Starts servers, and ends them after the hubs that were started later."""
    with ExitStack() as ends:

        def started(servers: TlsServer | TcpServer | TlsSentinelSetup | TlsClusterSetup) -> object:
            ends.callback(servers.end)
            servers.start()
            return servers

        yield started


def agents_of(hub: Hub) -> dict[str, str]:
    """The status of every agent in the hub's directory, by its name."""
    wire = Wire(hub.url)
    found = {each["name"]: each["status"] for each in wire.ask("find", filter={})["agents"]}
    wire.drop()
    return found


def lives(hub: Hub, other: Hub) -> Wire:
    """An agent at one hub that the other one lists."""
    agent = Wire(hub.url)
    agent.register("a")
    wait_until(lambda: agents_of(other) == {"a": "healthy"}, 20)
    return agent


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clients", [False, True], ids=["server-only", "mutual"])
def test_two_hubs_share_a_server_over_tls(
    run: Run, start_hub: StartHub, tmp_path: Path, kind: str, clients: bool
) -> None:
    server = TlsServer(Secrets(tmp_path, clients=clients), kind)
    run(server)
    hubs = [start_hub("--redis", server.url, "--hub-id", f"hub-{number}") for number in (1, 2)]
    lives(*hubs).drop()


@pytest.mark.parametrize("kind", KINDS)
def test_hubs_follow_a_failover_of_sentinel_over_tls(
    run: Run, start_hub: StartHub, tmp_path: Path, kind: str
) -> None:
    setup = TlsSentinelSetup(Secrets(tmp_path, clients=kind == "server"), kind)
    run(setup)
    hubs = [start_hub("--redis", setup.url, "--hub-id", f"hub-{number}") for number in (1, 2)]
    agent = lives(*hubs)
    old = setup.primary
    old.kill()
    setup.await_failover(old)
    wait_until(lambda: agent.ask("update", version="2", timeout=30)["op"] == "updated", 30)
    other = Wire(hubs[1].url)
    wait_until(lambda: other.ask("find", filter={"version": "==2"})["count"] == 1, 30)
    other.drop()
    agent.drop()


@pytest.mark.parametrize("kind", KINDS)
def test_hubs_share_a_cluster_over_tls(
    run: Run, start_hub: StartHub, tmp_path: Path, kind: str
) -> None:
    setup = TlsClusterSetup(Secrets(tmp_path, clients=kind == "server"), kind)
    run(setup)
    hubs = [start_hub("--redis", setup.url, "--hub-id", f"hub-{number}") for number in (1, 2)]
    lives(*hubs).drop()
    for name in ("blue", "green", "red", "white"):  # of other slots, at other nodes
        wire = Wire(hubs[0].url, namespace=name)
        wire.register("b")
        other = Wire(hubs[1].url, namespace=name)
        wait_until(lambda other=other: other.ask("find", filter={})["count"] == 1, 20)
        wire.drop()
        other.drop()


def refused(directory: Path, url: str, status: int = 1) -> str:
    """The one line with which a hub ends that cannot use its Redis."""
    hub = Hub(directory, "--redis", url)
    assert hub.launch().wait(60) == status
    assert "Traceback" not in hub.log()
    return hub.log().splitlines()[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_wrong_with_tls_is_told_with_what_to_do(
    run: Run, tmp_path: Path, kind: str
) -> None:
    (other := tmp_path / "other").mkdir()
    (elsewhere := tmp_path / "elsewhere").mkdir()
    secrets = Secrets(tmp_path, clients=True)
    server = TlsServer(secrets, kind)
    run(server)
    run(plain := TcpServer())
    stranger = TlsServer(Secrets(elsewhere, names=("redis.example",)), kind)
    run(stranger)
    address = f"127.0.0.1:{server.port}"
    ca, client = secrets.authority.file, secrets.client
    assert client is not None
    for url, words in [
        (f"rediss://{address}", "of an authority that is not known"),
        (
            f"rediss://{address}?ssl_ca_certs={Authority(other).file}",
            "of an authority that is not known: name its file in --redis, as ?ssl_ca_certs=FILE",
        ),
        (stranger.url, "that is not for the host name in --redis"),
        (f"rediss://{address}?ssl_ca_certs={ca}", "asks for a client certificate that it knows"),
        (
            f"rediss://127.0.0.1:{plain.port}?ssl_ca_certs={ca}",
            "redis instead of rediss stands for no TLS",
        ),
    ]:
        assert words in refused(tmp_path / "hubs", url), url


def test_a_file_of_the_url_that_cannot_be_read_is_wrong_usage(tmp_path: Path) -> None:
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        words = refused(tmp_path, f"rediss://127.0.0.1:1?{name}=/none.pem", 2)
        assert f"its {name}, /none.pem, cannot be read: no such file or directory" in words
