"""The head of a request, before anything else looks at it: what no request may have.

The parser (llhttp) is strict about framing. What it leaves to its user and what two readers could
take differently is refused here, as RFC 9112 says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from msgspec import Struct

from homeport_protocol.http import SESSION_TOKEN_HEADER
from homeport_protocol.namespaces import NAMESPACE_HEADER
from hub.net.raw_response import Refused

Address = IPv4Address | IPv6Address

ONCE = frozenset(
    name.lower().encode()
    for name in (
        "Host",
        "Origin",
        "Authorization",
        NAMESPACE_HEADER,
        SESSION_TOKEN_HEADER,
        "Content-Type",
        "Content-Length",
        "Transfer-Encoding",
        "Sec-Fetch-Site",
        "Sec-Fetch-Mode",
        "Sec-Fetch-Dest",
        "Access-Control-Request-Method",
    )
)
"""The headers that are read and may occur once: of two, another reader may take the other one."""

_AUTHORITY = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]*))(?::([0-9]{0,5}))?")
_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?]*)")


class Authority(Struct, frozen=True):
    """A host and its port, as they stand in `Host` and in an origin; None is the scheme's port.

    A name is in lower case, without the dot at its end. An address is one only where it is written
    in full: `127.1` and `0x7f000001` are names, which nobody has. IPv4 within IPv6 is IPv4.
    """

    host: str | Address
    port: int | None = None


class Head(Struct, frozen=True):
    """What has been checked of a request: its method and path, and the headers of `ONCE`."""

    method: str
    path: bytes
    once: dict[bytes, bytes]
    secure: bool
    host: Authority | None
    """None only in HTTP/1.0."""

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        return (
            self.once.get(b"content-length", b"0").strip(b"0") != b""
            or b"transfer-encoding" in self.once
        )


def read_head(
    method: str,
    version: str,
    target: bytes,
    headers: Sequence[tuple[bytes, bytes]],
    *,
    secure: bool = False,
) -> Head:
    """The head of a request whose header names are in lower case; `secure` for TLS.

    Raises Refused; what follows on the connection cannot be trusted then.
    """
    if version not in ("1.1", "1.0"):
        raise Refused(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    once: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in ONCE:
            if name in once:
                raise Refused(400, f"the header {name.decode()} is there twice")
            once[name] = value.strip(b" \t")
    coding = once.get(b"transfer-encoding")
    if coding is not None:
        if version == "1.0":
            raise Refused(400, "HTTP/1.0 has no Transfer-Encoding")
        if coding.lower() != b"chunked":
            raise Refused(501, "of transfer codings only chunked is known here")
    sent = once.get(b"host")
    if sent is None and version == "1.1":
        raise Refused(400, "the header Host is missing")
    host = None if sent is None else read_authority(sent)
    if sent is not None and host is None:
        raise Refused(400, "the header Host is not a host and a port")
    return Head(method, _path(target, sent), once, secure, host)


@lru_cache(maxsize=256)
def read_authority(text: bytes) -> Authority | None:
    """A host with its port, if any, as it stands in `Host`; None for what is none."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    literal, name, digits = match.groups()
    port = int(digits) if digits else None
    if port is not None and port > 65535:
        return None
    if literal is not None:
        try:
            return Authority(plain_address(IPv6Address(literal.decode())), port)
        except ValueError:
            return None
    return Authority(read_host(name.decode()), port)


def read_host(text: str) -> str | Address:
    """A name or an address, in the form in which it can be compared."""
    text = text.lower().removeprefix("[").removesuffix("]")
    try:
        return plain_address(ip_address(text))
    except ValueError:
        return text.removesuffix(".")


def plain_address(address: Address) -> Address:
    """The address, and that within it where it is IPv4 in IPv6."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _path(target: bytes, host: bytes | None) -> bytes:
    if b"#" in target:
        raise Refused(400, "the URL of a request has no fragment (#)")
    if not target.startswith(b"/"):
        absolute = _ABSOLUTE.match(target)
        if absolute is not None:
            if host is not None and absolute[1].lower() != host.lower():
                raise Refused(400, "the URL and the header Host name different hosts")
            target = target[absolute.end() :]
    return target.partition(b"?")[0]
