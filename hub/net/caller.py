"""Who a request is from, over HTTP and for a websocket alike.

Both transports read it here, and in this order: what the request shows (`read_shown`), whom an
`Authenticator` recognises by that, and in which namespace the request is (`caller_of`). Nothing is
asked of the hub before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol
from urllib.parse import parse_qsl

from msgspec import Struct

from actors.rules.permissions import ANYBODY, EVERY_NAMESPACE, Principal
from homeport_protocol.errors import ProtocolError
from homeport_protocol.namespaces import (
    DEFAULT_NAMESPACE,
    NAMESPACE_HEADER,
    NAMESPACE_PARAMETER,
    NAMESPACE_RULE,
    is_namespace,
)
from homeport_protocol.tokens import TOKEN_PREFIX

Headers = Iterable[tuple[bytes, bytes]]
"""Names in lower case, and values."""

MAX_PARAMETERS = 128
"""Parameters of one query string: more than any filter within its bounds needs."""

MAX_QUERY_BYTES = 16 * 1024
"""Bytes of one query string."""

LOOK_UP_TIMEOUT = 5.0
"""Seconds that the store may take to say who a caller is."""

_NAMESPACE = NAMESPACE_HEADER.lower().encode()
_READ = {_NAMESPACE: NAMESPACE_HEADER, b"authorization": "Authorization"}
"""The headers that are read here and may occur once. `Cookie` may be split in several (HTTP/2)."""

_TOKEN_PARAMETERS = frozenset({"token", "access_token", "jwt", "bearer", "authorization"})


class Shown(Struct, frozen=True):
    """What a request shows of its caller. The values are secrets: its repr has none of them.

    `authorization` and `cookie` are the headers' values, None without them. `certificate` is the
    one that the TLS peer proved to hold, in DER. `peer` is the address that it comes from.
    """

    authorization: str | None = None
    cookie: str | None = None
    certificate: bytes | None = None
    peer: str = ""
    namespace: str | None = None
    """The namespace that the request names, which is a valid name."""
    legacy: bool = False
    """Whether it is for a route of the legacy service."""

    @property
    def shows_any(self) -> bool:
        """Whether it shows anything by which somebody could be recognised."""
        return any(each is not None for each in (self.authorization, self.cookie, self.certificate))

    def __repr__(self) -> str:
        return f"Shown(peer={self.peer!r}, namespace={self.namespace!r}, …)"


class Caller(Struct, frozen=True, gc=False):
    """The peer that sent a request: whom it acts for, in which namespace, and from where."""

    namespace: str
    principal: Principal = ANYBODY
    address: str = ""


class Authenticator(Protocol):
    """Answers for whom a request acts, once for each request and each websocket handshake."""

    @property
    def asks(self) -> bool:
        """Whether callers have to show who they are; otherwise everybody is `ANYBODY`."""
        ...

    def recognise(self, shown: Shown) -> Principal | None:
        """The principal, as far as this hub knows; None if the store has to be asked first.

        Raises ProtocolError `unauthorized`.
        """
        ...

    async def look_up(self, shown: Shown) -> Principal:
        """The principal, having asked the store; called where `recognise` returned None.

        Raises ProtocolError: `unauthorized`, or `unavailable` while the store is away.
        """
        ...


class NobodyAsked:
    """The authenticator of a hub that asks nobody: everybody may do everything."""

    asks = False

    def recognise(self, shown: Shown) -> Principal | None:
        """Anybody, whatever is shown."""
        return ANYBODY

    async def look_up(self, shown: Shown) -> Principal:
        """Anybody."""
        return ANYBODY


def read_shown(
    headers: Headers,
    query: bytes,
    *,
    certificate: bytes | None = None,
    peer: str = "",
    legacy: bool = False,
) -> Shown:
    """What a request shows, from all of its headers and its query string.

    Raises ProtocolError `bad_request`: for two values of one thing, in two places or in one, since
    a proxy may have checked the other one; for a name that no namespace may have; and for a token
    in the query string, where logs and histories would keep it.
    """
    found: dict[bytes, str] = {}
    cookies: list[str] = []
    for name, value in headers:
        if name in _READ:
            if name in found:
                raise _bad(f"{_READ[name]}: given twice", _READ[name])
            found[name] = str(value.strip(b" \t"), "latin-1")
        elif name == b"cookie":
            cookies.append(str(value.strip(b" \t"), "latin-1"))
    return Shown(
        authorization=found.get(b"authorization"),
        cookie="; ".join(cookies) or None,
        certificate=certificate,
        peer=peer,
        namespace=_namespace(found.get(_NAMESPACE), query),
        legacy=legacy,
    )


def caller_of(principal: Principal, shown: Shown) -> Caller:
    """The caller that a principal is with this request.

    Raises ProtocolError `forbidden` for a namespace that is not the principal's, in the same words
    whether it exists or not.
    """
    if principal.namespace == EVERY_NAMESPACE:
        return Caller(shown.namespace or DEFAULT_NAMESPACE, principal, shown.peer)
    if shown.namespace not in (None, principal.namespace):
        raise ProtocolError(
            "forbidden",
            f'namespace: only "{principal.namespace}"; a role "operator" for "*" may name another',
            field=NAMESPACE_PARAMETER,
        )
    return Caller(principal.namespace, principal, shown.peer)


async def authenticate(authenticator: Authenticator, shown: Shown) -> Principal:
    """For whom a request acts. Raises ProtocolError as the authenticator's methods do, in time."""
    principal = authenticator.recognise(shown)
    if principal is not None:
        return principal
    try:
        async with asyncio.timeout(LOOK_UP_TIMEOUT):
            return await authenticator.look_up(shown)
    except TimeoutError:
        words = "who you are could not be looked up in time"
        raise ProtocolError("unavailable", words) from None


def certificate_of(transport: asyncio.BaseTransport) -> bytes | None:
    """The certificate that the peer proved to hold, in DER; None without one, or without TLS."""
    tls = transport.get_extra_info("ssl_object")
    certificate: bytes | None = None if tls is None else tls.getpeercert(binary_form=True)
    return certificate


def check_namespace(name: str) -> None:
    """Raise ProtocolError `bad_request` unless a namespace may have this name."""
    if not is_namespace(name):
        raise _bad(f"namespace: {NAMESPACE_RULE}", NAMESPACE_PARAMETER)


def check_query(query: bytes) -> None:
    """Raise ProtocolError `bad_request` for a query string beyond its bounds."""
    if len(query) > MAX_QUERY_BYTES:
        raise _bad(f"query: more than {MAX_QUERY_BYTES} bytes", "query")
    if query.count(b"&") >= MAX_PARAMETERS:
        raise _bad(f"query: more than {MAX_PARAMETERS} parameters", "query")


def _namespace(header: str | None, query: bytes) -> str | None:
    names = [] if header is None else [header]
    if query:
        check_query(query)
        for name, value in parse_qsl(str(query, "latin-1"), keep_blank_values=True):
            if name.startswith(TOKEN_PREFIX):
                raise _token_in_url("query")  # its name is the token
            if name.lower() in _TOKEN_PARAMETERS or value.startswith(TOKEN_PREFIX):
                raise _token_in_url(name[:64])
            if name == NAMESPACE_PARAMETER:
                names.append(value)
    if len(names) > 1 and (header is None or len(names) > 2 or names[0] != names[1]):
        raise _bad("the request names more than one namespace", NAMESPACE_PARAMETER)
    if not names:
        return None
    check_namespace(names[0])
    return names[0]


def _token_in_url(field: str) -> ProtocolError:
    words = "a token may not be in the URL, where logs keep it; send `Authorization: Bearer TOKEN`"
    return _bad(f"{field}: {words}", field)


def _bad(words: str, field: str) -> ProtocolError:
    return ProtocolError("bad_request", words, field=field)
