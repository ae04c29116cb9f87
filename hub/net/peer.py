"""The address of a peer: what limits, logs and the audit log know it by."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Networks = Sequence[IPv4Network | IPv6Network]

FORWARDED = b"x-forwarded-for"
FORWARDED_PROTO = b"x-forwarded-proto"

PREFIX = 64
"""Bits of an IPv6 address that one customer has at least: an attacker has all addresses within."""


def read_networks(names: Sequence[str]) -> Networks:
    """The addresses and networks (`10.0.0.7`, `10.0.0.0/8`, `fd00::/8`) of a setting.

    Raises ValueError, whose text names what is neither.
    """
    return tuple(ip_network(each.strip(), strict=False) for each in names)


def socket_address(transport: asyncio.BaseTransport) -> str:
    """The address at the other end of the connection; "" for one without, such as a unix socket."""
    name = transport.get_extra_info("peername")
    return plain(name[0]) if isinstance(name, tuple | list) and name else ""


def peer_address(address: str, forwarded: Sequence[str], trusted: Networks) -> str:
    """Whom a request is from: the last address of `X-Forwarded-For` that no trusted proxy has.

    `address` is that of the socket, and `forwarded` all values of the header in their order. They
    count only as far as trusted proxies added them: whoever else could write anything.
    """
    if not trusted:
        return address
    hops = [each.strip() for value in forwarded for each in value.split(",")]
    while hops and _is_within(address, trusted):
        before = _without_port(hops.pop())
        try:
            address = plain(str(ip_address(before)))
        except ValueError:
            break  # a trusted proxy wrote no address: it is the last one that is known
    return address


def counted_as(address: str) -> str:
    """What connections of an address are counted under: an IPv6 address with its /64."""
    if ":" not in address:
        return address
    try:
        return str(IPv6Network((IPv6Address(address.partition("%")[0]), PREFIX), strict=False))
    except ValueError:
        return address


def is_trusted(address: str, trusted: Networks) -> bool:
    """Whether the address is that of a trusted proxy."""
    return bool(trusted) and _is_within(address, trusted)


def is_loopback(host: str) -> bool:
    """Whether a hub that listens on this host is reached from its own machine only."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def plain(address: str) -> str:
    """An address as people write it: IPv4 within IPv6 as IPv4."""
    if address.startswith("::ffff:"):
        mapped = IPv6Address(address).ipv4_mapped
        return address if mapped is None else str(mapped)
    return address


def _without_port(hop: str) -> str:
    """`[2001:db8::1]:8080` and `192.0.2.1:8080`, as some proxies write them, without the port."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _is_within(address: str, networks: Networks) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in each for each in networks)
