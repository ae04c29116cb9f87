"""The names of the keys in Redis: section 5 of the contract, and the few that are ours."""

from __future__ import annotations

import re

from protocol.bounds import NAMESPACE

DEFAULT_NAMESPACE = "default"

_namespace = re.compile(NAMESPACE)


class Keys:
    """The keys of one namespace, as bytes.

    `prefix` goes before everything. The default namespace has the legacy registry's plain names;
    any other has the prefix `{NAME}:`, whose braces make it a hash tag, so that all keys of one
    namespace lie in one slot of a Redis Cluster. With `hash_tags`, as a cluster needs it, the
    default namespace has one too. Raises ValueError for a bad namespace.
    """

    __slots__ = (
        "_hubs",
        "active",
        "agent_prefix",
        "log",
        "log_name",
        "namespace",
        "namespaces",
        "prefix",
        "secret",
    )

    def __init__(
        self, prefix: str = "", namespace: str = DEFAULT_NAMESPACE, *, hash_tags: bool = False
    ) -> None:
        if _namespace.match(namespace) is None:
            raise ValueError(
                f"namespace {namespace[:80]!r} must be 1 to 63 letters, digits, `.`, `_` and `-`, "
                "beginning with a letter or digit"
            )
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
        self._hubs = f"{base}hub:"
        self.namespaces = f"{prefix}homeport:namespaces".encode()
        """Set of all namespaces that were ever opened; the same key for every namespace."""

    def agent(self, agent_id: str) -> bytes:
        """String: the agent's record, with a time to live."""
        return self.agent_prefix + agent_id.encode()

    def hub(self, hub_id: str) -> bytes:
        """Hash: the lease of a hub, with its writer generation."""
        return f"{self._hubs}{hub_id}".encode()
