"""Real servers that belong together: a primary under Redis Sentinel, and a Redis Cluster.

All listen on ports of 127.0.0.1, and die with the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import redis
from redis.crc import key_slot

from tests.support.ports import free_port
from tests.support.redis_servers import RedisServer, find_program
from tests.support.waiting import wait_until

LIMIT = 20.0
SLOTS = 16384


def servers_agree(holds: Callable[[], object], what: str) -> None:
    """Wait for servers; those that do not answer are not ready."""
    wait_until(holds, LIMIT, what=what, ignoring=redis.RedisError)


class TcpServer(RedisServer):
    """A server with a port besides its unix socket."""

    def __init__(self, *settings: str) -> None:
        # A primary waits for more replicas, usually.
        super().__init__("--repl-diskless-sync-delay", "0", *settings, port=free_port())
        self.url = f"redis://127.0.0.1:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    def ask(self, *command: object) -> Any:
        """Send one command over a new connection; answers are texts."""
        with closing(
            redis.Redis(unix_socket_path=str(self.path), decode_responses=True, socket_timeout=5)
        ) as client:
            return client.execute_command(*command)


class SentinelServer(TcpServer):
    """A Redis Sentinel, which keeps what it knows in its file of settings."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.identity = f"{number:x}" * 40
        self.file = self.directory / "conf"

    def command(self) -> list[str]:
        return [find_program(), str(self.file), "--sentinel"]

    def configure(self, *lines: str) -> None:
        """Write the file of settings."""
        own = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"unixsocket {self.path}",
            f"dir {self.directory}",
            f"logfile {self.directory / 'log'}",
            f"sentinel myid {self.identity}",
        ]
        self.file.write_text("\n".join([*own, *lines, ""]))


class SentinelSetup:
    """A primary with one replica, and three Sentinels that know each other from the start."""

    def __init__(
        self, name: str = "mymaster", *, down_after: int = 300, settings: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.servers = [TcpServer(*settings) for _ in range(2)]
        self.sentinels = [SentinelServer(number) for number in (1, 2, 3)]
        self._down_after = down_after

    @property
    def url(self) -> str:
        """The hubs' `--redis`."""
        addresses = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://{addresses}/{self.name}"

    def start(self) -> None:
        """Start everything; whichever server was made first is the primary."""
        primary, replica = self.servers
        for each in self.servers:
            each.start()
        replica.ask("REPLICAOF", *primary.address)
        servers_agree(lambda: _synchronized(replica), "the replica has what the primary has")
        for sentinel in self.sentinels:
            others = [each for each in self.sentinels if each is not sentinel]
            sentinel.configure(
                f"sentinel monitor {self.name} 127.0.0.1 {primary.port} 2",
                f"sentinel down-after-milliseconds {self.name} {self._down_after}",
                f"sentinel failover-timeout {self.name} 1000",
                f"sentinel known-replica {self.name} 127.0.0.1 {replica.port}",
                *(
                    f"sentinel known-sentinel {self.name} 127.0.0.1 {each.port} {each.identity}"
                    for each in others
                ),
            )
            sentinel.start()
        servers_agree(self._is_ready, "the Sentinels know both servers and each other")

    @property
    def primary(self) -> TcpServer:
        """The server that the Sentinels agree on; AssertionError while they do not."""
        ports = {self._named_by(each) for each in self.sentinels}
        assert len(ports) == 1, f"the Sentinels name {ports}"
        return next(each for each in self.servers if {each.port} == ports)

    def other(self, server: TcpServer) -> TcpServer:
        """The second of the two servers."""
        return next(each for each in self.servers if each is not server)

    def await_failover(self, old: TcpServer) -> TcpServer:
        """Wait until every Sentinel names another primary than `old`; returns the new one."""
        new = self.other(old)
        servers_agree(
            lambda: (
                {self._named_by(each) for each in self.sentinels} == {new.port}
                and new.ask("ROLE")[0] == "master"
            ),
            "the replica is the primary",
        )
        return new

    def is_whole(self) -> bool:
        """Whether there is one primary, and the replica is synchronized with it."""
        primary = self.primary
        replica = self.other(primary)
        follows = _synchronized(replica) and int(replica.ask("ROLE")[2]) == primary.port
        return bool(follows and primary.ask("ROLE")[0] == "master")

    def end(self) -> None:
        for each in [*self.sentinels, *self.servers]:
            each.end()

    def _named_by(self, sentinel: SentinelServer) -> int:
        return int(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)[1])

    def _is_ready(self) -> bool:
        for sentinel in self.sentinels:
            (state,) = _tables(sentinel.ask("SENTINEL", "MASTERS"))
            counts = (state["num-other-sentinels"], state["num-slaves"], state["flags"])
            if counts != ("2", "1", "master"):
                return False
            replicas = _tables(sentinel.ask("SENTINEL", "REPLICAS", self.name))
            peers = _tables(sentinel.ask("SENTINEL", "SENTINELS", self.name))
            if any(each["flags"] not in ("slave", "sentinel") for each in [*replicas, *peers]):
                return False
            if replicas[0]["master-link-status"] != "ok":
                return False
        return True


class ClusterSetup:
    """A Redis Cluster: `primaries` nodes that share the slots, each with so many replicas."""

    def __init__(
        self,
        primaries: int = 3,
        *,
        replicas: int = 0,
        node_timeout: int = 1000,
        server: Callable[..., TcpServer] = TcpServer,
    ) -> None:
        settings = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes")
        settings += ("--cluster-node-timeout", str(node_timeout))
        settings += ("--cluster-replica-validity-factor", "0")
        self.nodes = [server(*settings) for _ in range(primaries * (1 + replicas))]
        """First those that begin as primaries, then their replicas in the same order, in turns."""
        self._primaries = primaries

    @property
    def url(self) -> str:
        """The hubs' `--redis`; names the first three nodes."""
        addresses = ",".join(f"127.0.0.1:{each.port}" for each in self.nodes[:3])
        return f"redis+cluster://{addresses}"

    def start(self) -> None:
        for each in self.nodes:
            each.start()
        first, *rest = self.nodes
        primaries = self.nodes[: self._primaries]
        for number, node in enumerate(primaries):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            slots = range(SLOTS * number // len(primaries), SLOTS * (number + 1) // len(primaries))
            node.ask("CLUSTER", "ADDSLOTS", *slots)
        for node in rest:
            first.ask("CLUSTER", "MEET", *node.address)
        servers_agree(self._everyone_knows, "all nodes know each other")
        for number, node in enumerate(self.nodes[self._primaries :]):
            node.ask("CLUSTER", "REPLICATE", self.identity(primaries[number % len(primaries)]))
        servers_agree(self.is_whole, "the cluster is whole")

    def identity(self, node: TcpServer) -> str:
        return str(node.ask("CLUSTER", "MYID"))

    def owner(self, key: bytes) -> TcpServer:
        """The node that owns the key's slot, according to the first node that answers."""
        for node in self.nodes:
            try:
                node.ask("EXISTS", key)
            except redis.exceptions.MovedError as moved:
                return next(each for each in self.nodes if each.port == moved.port)
            except redis.RedisError:
                continue
            return node
        raise AssertionError("no node lives")

    def replica_of(self, node: TcpServer) -> TcpServer:
        """A node that replicates this one."""
        return next(
            each
            for each in self.nodes
            if each is not node and each.ask("ROLE")[:3] == ["slave", *node.address]
        )

    def move_slot(self, key: bytes, target: TcpServer) -> None:
        """Move the key's slot, with all that is in it, to another node."""
        source = self.begin_to_move(key, target)
        self.finish_move(key, source, target)

    def begin_to_move(self, key: bytes, target: TcpServer) -> TcpServer:
        """From here on, the keys of the key's slot may be at either node; returns the owner."""
        slot, source = key_slot(key), self.owner(key)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self.identity(source))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self.identity(target))
        return source

    def finish_move(self, key: bytes, source: TcpServer, target: TcpServer) -> None:
        """Move what is left in the slot, and hand it over."""
        slot = key_slot(key)
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask("MIGRATE", *target.address, "", 0, 5000, "KEYS", *keys)
        for node in (target, source):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", self.identity(target))

    def end(self) -> None:
        for each in self.nodes:
            each.end()

    def is_whole(self) -> bool:
        """Whether every node finds all slots served, and every replica is synchronized."""
        return all(
            "cluster_state:ok" in each.ask("CLUSTER", "INFO")
            and (each.ask("ROLE")[0] == "master" or _synchronized(each))
            for each in self.nodes
        ) and len(self.nodes) - self._primaries == sum(
            each.ask("ROLE")[0] == "slave" for each in self.nodes
        )

    def _everyone_knows(self) -> bool:
        known = f"cluster_known_nodes:{len(self.nodes)}\r"
        return all(
            known in each.ask("CLUSTER", "INFO") and "handshake" not in each.ask("CLUSTER", "NODES")
            for each in self.nodes
        )


def _synchronized(replica: TcpServer) -> bool:
    role = replica.ask("ROLE")
    return bool(role[0] == "slave" and role[3] == "connected")


def _tables(rows: list[Any]) -> list[dict[str, Any]]:
    """Rows of names and values in turns; redis-py makes tables of some answers by itself."""
    return [
        row if isinstance(row, dict) else dict(zip(row[::2], row[1::2], strict=True))
        for row in rows
    ]
