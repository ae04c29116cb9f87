"""The store under the hubs: one server with its data on disk, which tests kill and suspend."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import redis

from homeport_protocol.record import AgentRecord
from tests.history.logs import is_drained
from tests.history.recorded import Entry, Stored
from tests.support.ports import free_port
from tests.support.redis_servers import RedisServer


class Store:
    """One server; what it acknowledged is on disk."""

    def __init__(self) -> None:
        self._port = free_port()
        self._server = RedisServer(port=self._port, keeps=True)

    @property
    def address(self) -> tuple[str, int] | None:
        """Where hubs reach it through a proxy; None where they find it by themselves."""
        return ("127.0.0.1", self._port)

    def url(self, port: int | None) -> str:
        """The hubs' `--redis`, through the proxy at this port if there is one."""
        return f"redis://127.0.0.1:{port}"

    def client(self, prefix: str) -> redis.Redis:
        """A client of the server that now takes writes to the keys with this prefix."""
        return self._server.client

    def start(self) -> None:
        """Start, or start again on the data that is there."""
        self._server.start()
        self._server.client.config_set("appendfsync", "always")

    def kill(self, *, forget: bool = False) -> None:
        """kill -9."""
        self._server.kill()
        if forget:
            self._server.forget()

    def size(self) -> int:
        """How many bytes are on disk."""
        return self._append_only_file.stat().st_size

    def truncate(self, size: int) -> None:
        """Lose what came after so many bytes; only while the server is not running."""
        os.truncate(self._append_only_file, size)

    @property
    def _append_only_file(self) -> Path:
        """The part of the append-only file that grows."""
        return max((self._server.directory / "appendonlydir").glob("*.incr.aof"))

    def suspend(self) -> None:
        """SIGSTOP."""
        self._server.suspend()

    def wake(self) -> None:
        """SIGCONT."""
        self._server.wake()

    def fail_over(self, prefix: str, *, unreplicated: float) -> int:
        """kill -9 of the primary that holds the keys with this prefix; its replica takes over.

        The replica has not heard of the last `unreplicated` seconds. Returns the revision that it
        had reached.
        """
        raise NotImplementedError

    def repair(self) -> None:
        """Make it work again, whatever was done to it."""
        if not self._server.running:
            self.start()
        self.wake()

    def end(self) -> None:
        """End and clean up."""
        self._server.end()

    def log_name(self, prefix: str) -> str:
        """The name of the log of the namespace whose keys have this prefix."""
        return str(self.client(prefix).get(f"{prefix}agents:log:name"))

    def stored(self, prefix: str) -> Stored:
        """All that is stored of that namespace now."""
        client = self.client(prefix)
        keys = sorted(client.scan_iter(f"{prefix}agent:*"))
        texts = [client.get(key) for key in keys]
        records = [msgspec.json.decode(str(text), type=AgentRecord) for text in texts if text]
        members: set[str] = client.smembers(f"{prefix}agents:active")  # type: ignore[assignment]
        return Stored(
            at=time.monotonic(),
            log=self.log_name(prefix),
            revision=revision_at(client, prefix),
            records={record.id: record for record in records},
            active=sorted(members),
        )

    def drained(self, prefix: str) -> list[Entry]:
        """The entries of the log that watches need not hear; see `is_drained`."""
        log, found = self.log_name(prefix), []
        for entry_id, fields in self.client(prefix).xrange(f"{prefix}agents:log"):
            agent = msgspec.json.decode(fields["agent"], type=AgentRecord)
            revision = int(str(entry_id).partition("-")[0])
            entry = Entry(log=log, revision=revision, kind=fields["kind"], agent=agent)
            if is_drained(entry):
                found.append(entry)
        return found


def revision_at(client: redis.Redis, prefix: str) -> int:
    """The revision that the log of that namespace has reached at this server."""
    info = client.xinfo_stream(f"{prefix}agents:log")
    return int(str(info["last-generated-id"]).partition("-")[0])
