"""The URLs of several servers: who is to be asked, and what is for whom."""

from __future__ import annotations

import pytest

from hub.settings.redis_url import several_servers


def test_sentinels_have_addresses_and_a_primary_with_a_login_of_its_own() -> None:
    url = several_servers(
        "redis+sentinel://ann:p%40ss@a:1,b,[::1]:3/my%20primary/2"
        "?sentinel_username=s&sentinel_password=s%26cret&ssl_cert_reqs=none"
    )
    assert url is not None
    assert url.kind == "sentinel"
    assert url.addresses == (("a", 1), ("b", 26379), ("::1", 3))
    assert url.primary == "my primary"
    assert url.login == {"username": "s", "password": "s&cret"}
    assert url.data_url == "redis://ann:p%40ss@host/2?ssl_cert_reqs=none"


def test_a_cluster_has_nodes_and_one_database() -> None:
    url = several_servers("rediss+cluster://:pw@a:1,b,a:1?sentinel_password=x")
    assert url is not None
    assert (url.kind, url.primary, url.login) == ("cluster", "", {})
    assert url.addresses == (("a", 1), ("b", 6379))
    # Nobody knows that option here; the library will say so.
    assert url.data_url == "rediss://:pw@host/0?sentinel_password=x"


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis+sentinel://h",
        "redis+cluster://h/1",
        "redis+cluster://h?db=1",
        "redis+cluster://h:99999",
        "x+y://h",
    ],
)
def test_anything_else_is_none(url: str) -> None:
    assert several_servers(url) is None
