"""The network of the tests does what it says: slow, half open, cut."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.faults.network import Network, Proxy


def echo(listening: socket.socket) -> None:
    """Send back what comes, one connection after the other."""
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection, suppress(OSError):
            while data := connection.recv(4096):
                connection.sendall(data)


@pytest.fixture
def way() -> Iterator[Proxy]:
    """A proxy before something that echoes."""
    network = Network()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=echo, args=(listening,), daemon=True).start()
        yield network.proxy("127.0.0.1", listening.getsockname()[1])
        network.close()


@pytest.fixture
def client(way: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", way.port), timeout=5) as connection:
        yield connection


def test_what_is_sent_arrives(client: socket.socket) -> None:
    client.sendall(b"hello")

    assert client.recv(100) == b"hello"


def test_a_slow_network_delays_each_way(way: Proxy, client: socket.socket) -> None:
    way.slow(0.1)
    began = time.monotonic()
    client.sendall(b"hello")

    assert client.recv(100) == b"hello"
    assert time.monotonic() - began >= 0.2


def test_half_open_nothing_arrives_and_nothing_ends_until_it_is_healed(
    way: Proxy, client: socket.socket
) -> None:
    way.stall()
    client.sendall(b"hello")
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(100)
    client.settimeout(5)
    way.heal()

    assert client.recv(100) == b"hello"


def test_a_connection_made_while_half_open_is_silent_until_it_is_healed(way: Proxy) -> None:
    way.stall()
    with socket.create_connection(("127.0.0.1", way.port), timeout=0.3) as late:
        late.sendall(b"hello")
        with pytest.raises(TimeoutError):
            late.recv(100)
        late.settimeout(5)
        way.heal()

        assert late.recv(100) == b"hello"


def test_what_is_cut_is_reset_also_while_half_open(way: Proxy, client: socket.socket) -> None:
    client.sendall(b"hello")
    assert client.recv(100) == b"hello"
    way.stall()
    way.cut()

    with pytest.raises(ConnectionResetError):
        client.recv(100)
