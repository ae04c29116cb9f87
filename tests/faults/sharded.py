"""A store that is spread over shards and fails over: a Redis Cluster."""

from __future__ import annotations

from tests.faults.replicated import LIMIT, ReplicatedStore
from tests.faults.stores import revision_at
from tests.support.topologies import ClusterSetup, TcpServer
from tests.support.waiting import wait_until


class ClusterStore(ReplicatedStore):
    """Three primaries, each with a replica; hubs find their way by asking the nodes."""

    _setup: ClusterSetup

    def __init__(self) -> None:
        super().__init__(ClusterSetup(3, replicas=1))

    def _primary(self, prefix: str) -> TcpServer:
        return self._setup.owner(f"{prefix}agents:log".encode())

    def fail_over(self, prefix: str, *, unreplicated: float) -> int:
        assert not unreplicated
        old = self._primary(prefix)
        new = self._setup.replica_of(old)
        self._kill(old)
        wait_until(lambda: new.ask("ROLE")[0] == "master", LIMIT)
        return revision_at(self._client(new), prefix)
