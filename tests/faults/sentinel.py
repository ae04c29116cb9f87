"""A store that fails over: a primary, a replica and three Sentinels."""

from __future__ import annotations

import time

from tests.faults.replicated import ReplicatedStore
from tests.faults.stores import revision_at
from tests.support.topologies import SentinelSetup, TcpServer


class SentinelStore(ReplicatedStore):
    """One primary for all keys; hubs ask the Sentinels for it."""

    _setup: SentinelSetup

    def __init__(self) -> None:
        super().__init__(SentinelSetup(settings=("--appendonly", "yes")))

    def _primary(self, prefix: str) -> TcpServer:
        return self._setup.primary

    def fail_over(self, prefix: str, *, unreplicated: float) -> int:
        old = self._setup.primary
        new = self._setup.other(old)
        if unreplicated:
            new.ask("REPLICAOF", "127.0.0.1", 1)
            time.sleep(unreplicated)
        self._kill(old)
        kept = revision_at(self._client(new), prefix)
        self._setup.await_failover(old)
        return kept

    def _started(self, server: TcpServer) -> None:
        # The Sentinels would tell it so, after some ten seconds.
        server.ask("REPLICAOF", *self._setup.primary.address)
