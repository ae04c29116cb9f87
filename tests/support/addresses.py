"""Names with the addresses that a test gives them, and an address that swallows connections."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

DEAD = "127.0.0.9"
"""Answers nothing on a port of `swallowing`."""


def resolve(monkeypatch: pytest.MonkeyPatch, **names: list[str]) -> None:
    """Have `hub_test=[...]` be the addresses of `hub.test`, for this process."""
    usual = socket.getaddrinfo
    known = {name.replace("_", "."): addresses for name, addresses in names.items()}

    def getaddrinfo(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        if host not in known:
            return usual(host, port, *args, **more)
        return [each for one in known[host] for each in usual(one, port, *args, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@contextmanager
def swallowing(port: int) -> Iterator[None]:
    """Within, connections to `port` of DEAD get no answer: its queue is full."""
    with ExitStack() as stack:
        dead = stack.enter_context(socket.socket())
        dead.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        dead.bind((DEAD, port))
        dead.listen(0)
        for _ in range(4):
            fill = stack.enter_context(socket.socket())
            fill.setblocking(False)
            fill.connect_ex((DEAD, port))
        yield
