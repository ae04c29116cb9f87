"""A store that is spread over shards and fails over: a Redis Cluster."""

from __future__ import annotations

import redis

from tests.e2e.hubs import wait_until
from tests.store.topologies import ClusterSetup, TcpServer

from .stores import Store, revision_at

LIMIT = 30.0


class ClusterStore(Store):
    """Three primaries, each with a replica; hubs find their way by asking the nodes."""

    def __init__(self) -> None:
        self._setup = ClusterSetup(3, replicas=1)
        self._clients: dict[int, redis.Redis] = {}
        self._killed: list[TcpServer] = []

    def url(self, port: int | None) -> str:
        assert port is None
        return self._setup.url

    @property
    def address(self) -> None:
        return None

    def client(self, prefix: str) -> redis.Redis:
        return self._client(self._owner(prefix))

    def _owner(self, prefix: str) -> TcpServer:
        return self._setup.owner(f"{prefix}agents:log".encode())

    def _client(self, node: TcpServer) -> redis.Redis:
        if node.port not in self._clients:
            self._clients[node.port] = redis.Redis(
                port=node.port, decode_responses=True, socket_timeout=5
            )
        return self._clients[node.port]

    def start(self) -> None:
        self._setup.start()

    def fail_over(self, prefix: str, *, unreplicated: float) -> int:
        assert not unreplicated
        old = self._owner(prefix)
        new = self._setup.replica_of(old)
        old.kill()
        self._killed.append(old)
        wait_until(lambda: new.ask("ROLE")[0] == "master", LIMIT)
        return revision_at(self._client(new), prefix)

    def repair(self) -> None:
        for each in self._killed:
            each.start()
        self._killed.clear()
        wait_until(self._is_whole, LIMIT)

    def _is_whole(self) -> bool:
        try:
            return self._setup.is_whole()
        except redis.RedisError:
            return False

    def end(self) -> None:
        for client in self._clients.values():
            client.close()
        self._setup.remove()
