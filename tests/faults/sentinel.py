"""A store that fails over: a primary, a replica and three Sentinels."""

from __future__ import annotations

import time

import redis

from tests.e2e.hubs import wait_until
from tests.store.topologies import SentinelSetup, TcpServer

from .stores import Store, revision_at

LIMIT = 30.0


class SentinelStore(Store):
    """Hubs find the primary by asking the Sentinels, so no proxy stands before it."""

    def __init__(self) -> None:
        self._setup = SentinelSetup(settings=("--appendonly", "yes"))
        self._clients: dict[int, redis.Redis] = {}
        self._killed: list[TcpServer] = []

    def url(self, port: int | None) -> str:
        assert port is None
        return self._setup.url

    @property
    def address(self) -> None:
        return None

    def client(self, prefix: str) -> redis.Redis:
        return self._client(self._setup.primary)

    def _client(self, server: TcpServer) -> redis.Redis:
        if server.port not in self._clients:
            self._clients[server.port] = redis.Redis(
                port=server.port, decode_responses=True, socket_timeout=5
            )
        return self._clients[server.port]

    def start(self) -> None:
        self._setup.start()

    def fail_over(self, prefix: str, *, unreplicated: float) -> int:
        old = self._setup.primary
        new = next(each for each in self._setup.servers if each is not old)
        if unreplicated:
            new.ask("REPLICAOF", "127.0.0.1", 1)
            time.sleep(unreplicated)
        old.kill()
        self._killed.append(old)
        kept = revision_at(self._client(new), prefix)
        self._setup.await_failover(old)
        return kept

    def repair(self) -> None:
        """Both servers run, and the Sentinels agree which one is the primary."""
        for each in self._killed:
            each.start()
            # The Sentinels would tell it so, after some ten seconds.
            each.ask("REPLICAOF", *self._setup.primary.address)
        self._killed.clear()
        wait_until(self._is_whole, LIMIT)

    def _is_whole(self) -> bool:
        try:
            primary = self._setup.primary
            other = next(each for each in self._setup.servers if each is not primary)
            role = other.ask("ROLE")
            follows = role[0] == "slave" and int(role[2]) == primary.port
            return bool(primary.ask("ROLE")[0] == "master" and follows and role[3] == "connected")
        except (redis.RedisError, AssertionError):
            return False

    def end(self) -> None:
        for client in self._clients.values():
            client.close()
        self._setup.remove()
