"""Whom a connection and a request are from."""

from __future__ import annotations

import pytest

from hub.net.peer import counted_as, is_trusted, peer_address, plain, read_networks

PROXIES = read_networks(["10.0.0.0/8", "fd00::/8", "192.0.2.7"])


@pytest.mark.parametrize(
    ("socket", "forwarded", "address"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # nobody trusts who says it
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),  # the first was sent by the caller
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("fd00::1", ["[2001:db8::5]:4711"], "2001:db8::5"),
        ("192.0.2.7", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_the_last_address_that_no_trusted_proxy_has_counts(
    socket: str, forwarded: list[str], address: str
):
    assert peer_address(socket, forwarded, PROXIES) == address


def test_without_trusted_proxies_nothing_that_is_sent_counts():
    assert peer_address("10.0.0.1", ["198.51.100.1"], ()) == "10.0.0.1"


def test_an_address_counts_with_its_64_and_ipv4_as_itself():
    assert counted_as("2001:db8:1:2:3::4") == counted_as("2001:db8:1:2::") == "2001:db8:1:2::/64"
    assert counted_as("2001:db8:1:3::") != counted_as("2001:db8:1:2::")
    assert counted_as("fe80::1%eth0") == "fe80::/64"
    assert counted_as("192.0.2.1") == "192.0.2.1"
    assert counted_as("") == ""


def test_ipv4_within_ipv6_is_written_as_ipv4():
    assert plain("::ffff:192.0.2.1") == "192.0.2.1"
    assert plain("::1") == "::1"


def test_networks_are_addresses_or_networks_and_nothing_else():
    assert is_trusted("10.1.2.3", PROXIES)
    assert not is_trusted("192.0.2.8", PROXIES)
    assert not is_trusted("", PROXIES)
    with pytest.raises(ValueError, match=r"example\.org"):
        read_networks(["example.org"])
