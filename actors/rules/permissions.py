"""Who may do what to whom: one table, and the two functions that read it.

Every transport and every request asks here (contract, section 8). No function does I/O, and none
knows where a principal came from.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

from msgspec import Struct

from homeport_protocol.bounds import Role
from homeport_protocol.errors import ProtocolError
from homeport_protocol.texts import composed

Act = Literal[
    "read",
    "watch",
    "pick",
    "call",
    "register",
    "change",
    "end",
    "remove",
    "acknowledge_loss",
    "administer_tokens",
]
"""What a request does. `change` and `end` are of an agent by itself: heartbeat, update, resume,
unregister. `remove` ends another's agent."""

MAY: dict[Act, frozenset[Role]] = {
    "read": frozenset({"agent", "observer", "caller", "operator"}),
    "watch": frozenset({"observer", "caller", "operator"}),
    "pick": frozenset({"caller", "operator"}),
    "call": frozenset({"agent", "caller", "operator"}),
    "register": frozenset({"agent", "operator"}),
    "change": frozenset({"agent", "operator"}),
    "end": frozenset({"agent", "operator"}),
    "remove": frozenset({"operator"}),
    "acknowledge_loss": frozenset({"operator"}),
    "administer_tokens": frozenset({"operator"}),
}
"""The roles that may do each act."""

EVERY_NAMESPACE = "*"

NOBODY = ""
"""The owner of an agent that was registered where nobody is asked for a token."""


class Principal(Struct, frozen=True, gc=False, kw_only=True):
    """Who a connection or a request acts for.

    `id` says how it was recognised and who it is: `token:ID`, `jwt:SUB`, `certificate:SUBJECT`;
    `NOBODY` where nobody is asked. `namespace` is the one that it may use, or `EVERY_NAMESPACE`.
    `names` are globs, of which the name of an agent that it registers must match one. `not_after`
    is in seconds since 1970; None for ever. `limited`: each new agent takes one of its uses.
    """

    id: str
    role: Role
    namespace: str = EVERY_NAMESPACE
    names: tuple[str, ...] = ("*",)
    not_after: float | None = None
    limited: bool = False

    @property
    def governs_all(self) -> bool:
        """Whether it may act on every agent, whoever owns it."""
        return self.role == "operator"


ANYBODY = Principal(id=NOBODY, role="operator")
"""The principal of everybody where nobody is asked for a token."""


def check(principal: Principal, act: Act) -> None:
    """Raise ProtocolError `forbidden`, naming the roles that may, unless its role may do this."""
    roles = MAY[act]
    if principal.role not in roles:
        may = " or ".join(f'"{role}"' for role in sorted(roles))
        what = act.replace("_", " ")
        raise ProtocolError(
            "forbidden", f'the role "{principal.role}" may not {what}; the role {may} may'
        )


def check_name(principal: Principal, name: str, field: str = "agent.name") -> None:
    """Raise ProtocolError `forbidden` unless it may register an agent of this name.

    `field` is where the request has the name.
    """
    if not _allows(principal, name):
        allowed = ", ".join(principal.names)
        raise ProtocolError("forbidden", f"{field}: only names that match {allowed}", field=field)


def check_owner(principal: Principal, owner: str, name: str) -> None:
    """Raise ProtocolError `forbidden` unless it may act for an agent of that owner and name.

    An agent of nobody may be taken by a principal that may register one of its name: so a fleet
    that began without tokens goes over to them.
    """
    if principal.governs_all or owner == principal.id:
        return
    if owner != NOBODY or not _allows(principal, name):
        raise not_its_own()


def not_its_own() -> ProtocolError:
    """The agent belongs to another principal than the one that asks."""
    return ProtocolError("forbidden", "the agent belongs to another principal")


def _allows(principal: Principal, name: str) -> bool:
    # Names are in NFC; a glob of a JWT or of a certificate's entry need not be.
    return any(fnmatchcase(name, composed(glob)) for glob in principal.names)
