"""What somebody else's credential grants: the claim of a JWT, the entry of a certificate."""

from __future__ import annotations

from msgspec import Struct, field

from actors.rules.permissions import EVERY_NAMESPACE
from homeport_protocol.bounds import Role
from homeport_protocol.namespaces import DEFAULT_NAMESPACE
from homeport_protocol.tokens import Globs, TokenNamespace

READING_ALL: tuple[Role, ...] = ("observer", "operator")
"""The roles that may have every namespace."""


class Grant(Struct, frozen=True, kw_only=True):
    """A role, with the bounds that a token has.

    Without `namespace` it is `*` for an operator, and `default` for any other role.
    """

    role: Role
    namespace: TokenNamespace | None = None
    names: Globs = field(default_factory=lambda: ["*"])

    def __post_init__(self) -> None:
        if self.namespace == EVERY_NAMESPACE and self.role not in READING_ALL:
            raise ValueError('namespace: * is only for the roles "operator" and "observer"')

    @property
    def reach(self) -> str:
        """The namespace, or `*` for all."""
        if self.namespace is not None:
            return self.namespace
        return EVERY_NAMESPACE if self.role == "operator" else DEFAULT_NAMESPACE
