"""Real hubs against pages of other sites: the settings, all workers, the log."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest

from tests.e2e.conftest import StartHub
from tests.support.hub_process import Hub

UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def status(hub: Hub, path: str, host: str, more: str = "", method: str = "GET") -> int:
    """The status of a request with these headers, on a connection of its own."""
    with socket.create_connection(("127.0.0.1", hub.port), 30) as peer:
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"
        peer.sendall(head.replace("{port}", str(hub.port)).encode())
        return int(peer.recv(65536).split()[1])


def statuses(hub: Hub, host: str, more: str = "") -> set[int]:
    """Those of requests of every kind."""
    return {
        *(status(hub, path, host, more) for path in ("/agents", "/health", "/none")),
        status(hub, "/agents/x/unregister", host, more, "POST"),
        status(hub, "/ws", host, more + UPGRADE),
    }


def test_a_hub_on_loopback_serves_programs_and_its_own_pages_only(start_hub: StartHub) -> None:
    hub = start_hub("--redis", "memory://")
    served = {200, 404, 101}
    assert statuses(hub, "localhost:{port}") == statuses(hub, "127.0.0.1:{port}") == served
    assert statuses(hub, "localhost:{port}", "Origin: http://localhost:{port}\r\n") == served
    assert statuses(hub, "localhost:{port}", "Origin: http://localhost:1\r\n") == {403}
    assert statuses(hub, "localhost:{port}", "Origin: null\r\n") == {403}
    assert statuses(hub, "rebound.example") == {421}
    assert statuses(hub, "hub.example.org") == {421}
    lines = [line for line in hub.log().splitlines() if "request refused" in line]
    assert len(lines) == 1
    assert "peer=127.0.0.1" in lines[0]


@pytest.mark.parametrize(
    "options",
    [
        (),
        pytest.param(
            ("--workers", "2"),
            marks=pytest.mark.skipif(
                not sys.platform.startswith("linux"), reason="workers share a port on Linux only"
            ),
        ),
    ],
)
def test_allowed_hosts_and_origins_are_served(
    start_hub: StartHub, tmp_path: Any, options: tuple[str, ...]
) -> None:
    store = () if options else ("--redis", "memory://")
    hub = start_hub(
        *options,
        *store,
        "--allowed-hosts",
        "hub.example.org, *.lan",
        "--allowed-origins",
        "https://dash.example.org",
    )
    for _ in range(8):  # whichever worker takes it
        page = "Origin: https://dash.example.org\r\n"
        assert statuses(hub, "hub.example.org", page) == {200, 404, 101}
        assert statuses(hub, "a.lan:81") == {200, 404, 101}
        assert statuses(hub, "other.example.org") == {421}
        assert statuses(hub, "a.lan", "Origin: http://dash.example.org\r\n") == {403}
