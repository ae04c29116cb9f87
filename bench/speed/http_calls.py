"""The calls of the HTTP scenario: what is sent, and what must come back."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from bench.load.records import bench_spec

REGISTRATIONS = 100  # different registrations that are sent in turn; each of them makes a new agent


class Call(Struct, frozen=True, kw_only=True):
    """One kind of request. `{id}` in its path stands for each agent's id in turn.

    A `changing` one is measured while agents change. `must` and `aim` are shares of the rate of
    the constant answers.
    """

    title: str
    method: str
    path: str
    bodies: tuple[bytes, ...] = (b"",)
    status: int = 200
    changing: bool = False
    must: float | None = None
    aim: float | None = None

    def requests(self, authority: str, head: str, ids: list[str]) -> list[bytes]:
        """All different requests; `head` holds more header lines."""
        paths = [self.path.replace("{id}", each) for each in ids if "{id}" in self.path]
        return [
            request(self.method, path, authority, head, body)
            for path in paths or [self.path]
            for body in self.bodies
        ]


def request(method: str, path: str, authority: str, head: str, body: bytes = b"") -> bytes:
    """One HTTP/1.1 request."""
    if method == "POST":
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: {authority}\r\n{head}\r\n".encode() + body


def registration(number: int) -> bytes:
    """The body with which an agent of the bench's usual size registers."""
    return msgspec.json.encode(bench_spec(number))


CALLS = {
    "heartbeat": Call(
        title="heartbeat",
        method="POST",
        path="/agents/{id}/heartbeat",
        bodies=(b'{"status":"healthy"}',),
        must=0.5,
    ),
    "register": Call(
        title="register",
        method="POST",
        path="/agents/register",
        bodies=tuple(registration(number) for number in range(REGISTRATIONS)),
        status=201,
        aim=0.5,
    ),
    "get": Call(title="GET one", method="GET", path="/agents/{id}", must=0.7),
    "list": Call(title="GET list, unchanged", method="GET", path="/agents", must=0.7, aim=0.9),
    "changing": Call(
        title="GET list, changing", method="GET", path="/agents", changing=True, must=0.7, aim=0.9
    ),
    "type": Call(title="GET by type without hit", method="GET", path="/agents/type/none", must=0.7),
}
