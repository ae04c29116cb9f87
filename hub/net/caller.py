"""Who a request is from, over HTTP and for a websocket alike.

Both transports agree here on the caller, before anything is asked of the hub.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from actors.rules.permissions import ANYBODY, Principal
from homeport_protocol.errors import ProtocolError
from homeport_protocol.namespaces import DEFAULT_NAMESPACE, NAMESPACE_RULE, is_namespace


class Caller(Struct, frozen=True, gc=False):
    """The peer that sent a request: whom it acts for, and in which namespace."""

    namespace: str
    principal: Principal = ANYBODY


def read_caller(headers: Sequence[str], parameters: Callable[[], Sequence[str]]) -> Caller:
    """The caller, from every value of `NAMESPACE_HEADER` and of the parameter `namespace`.

    The header counts before the query string, which is read only without it, so that a proxy can
    decide the namespace by setting the header. Raises ProtocolError `bad_request` for a name that
    is not valid, and for two names in one place: a proxy may have checked the other one.
    """
    names = headers or parameters()
    if len(names) > 1:
        raise ProtocolError(
            "bad_request", "the request names more than one namespace", field="namespace"
        )
    namespace = names[0] if names else DEFAULT_NAMESPACE
    check_namespace(namespace)
    return Caller(namespace)


def check_namespace(name: str) -> None:
    """Raise ProtocolError `bad_request` unless a namespace may have this name."""
    if not is_namespace(name):
        raise ProtocolError("bad_request", f"namespace: {NAMESPACE_RULE}", field="namespace")
