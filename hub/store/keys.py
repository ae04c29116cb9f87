"""The names of the keys in Redis: those of the contract (section 5), and some internal ones."""

from __future__ import annotations

from homeport_protocol.namespaces import DEFAULT_NAMESPACE, NAMESPACE_RULE, is_namespace

LARGEST = 2**53 - 2**32
"""The largest revision and epoch that are believed, as in `scripts/common.lua`."""


class Keys:
    """The keys of one namespace, as bytes.

    `prefix` goes before every key. The default namespace has the legacy registry's plain names; any
    other has the prefix `{NAME}:`, whose braces make it a hash tag, so that all keys of one
    namespace are in one slot of a Redis Cluster. With `hash_tags`, for a cluster, the default
    namespace has one too. Raises ValueError for an invalid namespace.
    """

    __slots__ = (
        "_epoch_prefix",
        "_lease_prefix",
        "active",
        "agent_prefix",
        "aside",
        "base",
        "ended",
        "hubs",
        "log",
        "log_name",
        "loss",
        "namespace",
        "namespaces",
        "owners",
        "prefix",
        "probe",
        "secret",
        "seen",
        "times",
        "tokens",
    )

    def __init__(
        self, prefix: str = "", namespace: str = DEFAULT_NAMESPACE, *, hash_tags: bool = False
    ) -> None:
        if not is_namespace(namespace):
            raise ValueError(f"namespace {namespace[:80]!r} is not {NAMESPACE_RULE}")
        plain = namespace == DEFAULT_NAMESPACE and not hash_tags
        base = prefix if plain else f"{prefix}{{{namespace}}}:"
        self.prefix = prefix
        self.namespace = namespace
        self.agent_prefix = f"{base}agent:".encode()
        self.active = f"{base}agents:active".encode()
        """Set of the ids of all agents that have an entry."""
        self.log = f"{base}agents:log".encode()
        """Stream: the ordered changes."""
        self.log_name = f"{base}agents:log:name".encode()
        """String: the log's random name."""
        self.secret = f"{base}agents:secret".encode()
        """String: signs session tokens, shared by the cluster."""
        self.hubs = f"{base}agents:hubs".encode()
        """Set of the ids of all hubs; hubs whose lease has expired are removed."""
        self.seen = f"{base}agents:seen".encode()
        """Stream: the entries that hubs have renewed within the last half minute."""
        self.loss = f"{base}agents:loss".encode()
        """Hash: the revision up to which a loss of agents has been acknowledged."""
        self.base = base.encode()
        """What all keys of the namespace begin with."""
        self.aside = f"{base}set-aside:".encode()
        """What the name of a key begins with that held what no hub wrote; its old name follows."""
        self.probe = f"{base}agents:probe".encode()
        """Nothing; used for a moment when permissions are checked."""
        self.times = f"{base}agents:times".encode()
        """Hash: the times that agents were told, where they are not the usual ones; and those."""
        self.owners = f"{base}agents:owners".encode()
        """Hash: the principals that agents belong to, by the agents' ids."""
        self.ended = f"{base}agents:ended".encode()
        """Stream: the ids and last epochs of removed agents, so that not too many are kept."""
        self._epoch_prefix = f"{base}epoch:".encode()
        self._lease_prefix = f"{base}hub:".encode()
        self.namespaces = f"{prefix}homeport:namespaces".encode()
        """Set of all namespaces that hubs have opened; the same key for every namespace."""
        self.tokens = f"{prefix}auth:tokens".encode()
        """Hash: the tokens; the same key for every namespace."""

    def wake(self, hub_id: str) -> bytes:
        """Stream that only this hub writes, to wake itself; it belongs to no namespace."""
        return f"{self.prefix}homeport:wake:{hub_id}".encode()

    def agent(self, agent_id: str) -> bytes:
        """String: the agent's record, with a time to live."""
        return self.agent_prefix + agent_id.encode()

    def hub(self, hub_id: str) -> bytes:
        """Hash: the lease of a hub, with its writer generation."""
        return self.lease(hub_id.encode())

    def lease(self, hub_id: bytes) -> bytes:
        """The key of a hub's lease, by an id that was read from Redis."""
        return self._lease_prefix + hub_id

    def epoch(self, agent_id: str) -> bytes:
        """String, kept for an hour: the last epoch of an agent that was removed."""
        return self._epoch_prefix + agent_id.encode()
