"""A store of several servers, where a replica takes over from a primary that is killed."""

from __future__ import annotations

import redis

from tests.faults.stores import Store
from tests.support.topologies import ClusterSetup, SentinelSetup, TcpServer
from tests.support.waiting import wait_until

LIMIT = 30.0


class ReplicatedStore(Store):
    """Hubs find the primaries by asking the servers, so no proxy stands before them."""

    def __init__(self, setup: SentinelSetup | ClusterSetup) -> None:
        self._setup = setup
        self._clients: dict[int, redis.Redis] = {}
        self._killed: list[TcpServer] = []

    def _primary(self, prefix: str) -> TcpServer:
        """Who takes writes to the keys that begin so, now."""
        raise NotImplementedError

    def url(self, port: int | None) -> str:
        assert port is None
        return self._setup.url

    @property
    def address(self) -> None:
        return None

    def client(self, prefix: str) -> redis.Redis:
        return self._client(self._primary(prefix))

    def _client(self, server: TcpServer) -> redis.Redis:
        if server.port not in self._clients:
            self._clients[server.port] = redis.Redis(
                port=server.port, decode_responses=True, socket_timeout=5
            )
        return self._clients[server.port]

    def start(self) -> None:
        self._setup.start()

    def _kill(self, server: TcpServer) -> None:
        server.kill()
        self._killed.append(server)

    def repair(self) -> None:
        """All servers run, and agree which of them are primaries."""
        for each in self._killed:
            each.start()
            self._started(each)
        self._killed.clear()
        wait_until(self._is_whole, LIMIT)

    def _started(self, server: TcpServer) -> None:
        """A server that had been killed runs again."""

    def _is_whole(self) -> bool:
        try:
            return self._setup.is_whole()
        except (redis.RedisError, AssertionError):  # the latter while Sentinels do not agree
            return False

    def end(self) -> None:
        for client in self._clients.values():
            client.close()
        self._setup.end()
