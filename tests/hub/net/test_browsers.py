"""What browsers may do: hosts, origins and fetch metadata against the rules of a hub."""

from __future__ import annotations

import pytest

from hub.net.browsers import PLAIN, BrowserPolicy, Permit, check_browser, make_rules
from hub.net.head import read_head
from hub.net.raw_response import Refused


def ask(
    headers: dict[str, str] | None = None,
    *,
    host: str | None = "localhost:8080",
    method: str = "GET",
    path: str = "/agents",
    bound: tuple[str, ...] = ("127.0.0.1",),
    name: str = "127.0.0.1",
    hosts: tuple[str, ...] = (),
    origins: tuple[str, ...] = (),
    asks: bool = False,
    secure: bool = False,
    version: str = "1.1",
) -> Permit | int:
    """The permit, or the status of the refusal."""
    given = {} if host is None else {"Host": host}
    sent = [
        (key.lower().encode(), value.encode()) for key, value in (given | (headers or {})).items()
    ]
    rules = make_rules(
        name,
        bound,
        BrowserPolicy(allowed_hosts=hosts, allowed_origins=origins, pages=("/", "/ready")),
    )
    try:
        head = read_head(method, version, path.encode(), sent, secure=secure)
        return check_browser(head, rules, asks=asks)
    except Refused as refused:
        return refused.status


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8080",
        "LOCALHOST:1",
        "localhost.",
        "localhost:",
        "127.0.0.1",
        "127.0.0.1:8080",
        "[::ffff:127.0.0.1]:8080",
        "[::FFFF:7f00:1]",
    ],
)
def test_localhost_and_the_bound_address_are_the_hubs_on_any_port(host: str) -> None:
    assert ask(host=host) == PLAIN


@pytest.mark.parametrize(
    "host",
    [
        "rebound.example",
        "rebound.example:8080",
        "localhost.rebound.example",
        "127.0.0.1.rebound.example",
        "sub.localhost",
        "xlocalhost",
        "",
        ":8080",
        ".",
        "localhost..",
        "127.0.0.2",
        "10.0.0.1",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.000.000.001",
        "[::1]:8080",
        "[::]",
        "[::127.0.0.1]",
        "host.docker.internal",
    ],
)
def test_any_other_host_is_421_where_nobody_is_asked(host: str) -> None:
    assert ask(host=host) == 421
    assert ask(host=host, asks=True) == PLAIN
    assert ask(host=host, asks=True, hosts=("hub.example.org",)) == 421


@pytest.mark.parametrize(
    "host",
    ["user@localhost", "localhost:x", "localhost:99999", "[::1", "[::g]", "[127.0.0.1]", "::1",
     "a b", "localhost/x", "localhost,localhost", "http://localhost", "[fe80::1%25eth0]", "é"],
)  # fmt: skip
def test_what_is_no_host_is_400_always(host: str) -> None:
    assert ask(host=host) == 400
    assert ask(host=host, asks=True) == 400


@pytest.mark.parametrize("host", ["[::1]", "[::1]:8080", "[0:0:0:0:0:0:0:1]", "[0::0001]:1"])
def test_an_ipv6_address_counts_in_each_of_its_forms(host: str) -> None:
    assert ask(host=host, bound=("127.0.0.1", "::1")) == PLAIN
    assert ask(host=host, bound=("127.0.0.1",)) == 421


def test_a_hub_on_all_addresses_takes_any_address_and_no_other_name() -> None:
    for bound in ("0.0.0.0", "::"):
        for host in ("192.0.2.7", "[2001:db8::1]:8080", "127.0.0.1", "localhost", "[::1]"):
            assert ask(host=host, bound=(bound,), name=bound) == PLAIN
        for host in ("rebound.example", "127.1", "0x7f000001"):
            assert ask(host=host, bound=(bound,), name=bound) == 421


def test_allowed_hosts_and_the_name_of_the_bind_are_the_hubs() -> None:
    allowed = ("Hub.Example.org", "*.lan", "10.0.0.7", "[2001:db8::1]")
    for host in ("hub.example.org:443", "HUB.example.ORG.", "a.lan", "a.b.lan", "10.0.0.7"):
        assert ask(host=host, hosts=allowed) == PLAIN
        assert ask(host=host, hosts=allowed, asks=True) == PLAIN
    assert ask(host="[2001:db8:0::1]", hosts=allowed) == PLAIN
    for host in ("lan", "x.hub.example.org", "alan", "hub.example.org.evil.example"):
        assert ask(host=host, hosts=allowed) == 421
    assert ask(host="box:8080", name="box", bound=("192.0.2.7",)) == PLAIN


def test_http_1_0_may_have_no_host_and_then_no_origin() -> None:
    assert ask(host=None, version="1.0") == PLAIN
    assert ask({"Origin": "http://localhost:8080"}, host=None, version="1.0") == 403
    assert ask(host=None) == 400


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://evil.example:8080",
        "null",
        "",
        "http://localhost",
        "http://localhost:8081",
        "https://localhost:8080",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "http://sub.localhost:8080",
        "http://localhost:8080.evil.example",
        "http://localhost:8080@evil.example",
        "http://user@localhost:8080",
        "http://localhost:8080/",
        "http://localhost:8080 http://evil.example",
        "http://localhost:8080, http://evil.example",
        "ws://localhost:8080",
        "file://",
        "localhost:8080",
        "chrome-extension://abcdefgh",
        "http://",
        "http://\u00e9.example",
    ],
)
@pytest.mark.parametrize("asks", [False, True])
def test_any_other_origin_is_403_always(origin: str, asks: bool) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"):
        assert ask({"Origin": origin}, method=method, asks=asks) == 403
        preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        assert ask(preflight, method=method, asks=asks) == 403


def test_two_origins_are_400() -> None:
    with pytest.raises(Refused) as refused:
        read_head("GET", "1.1", b"/", [(b"host", b"a"), (b"origin", b"x"), (b"origin", b"x")])
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("origin", "host", "secure"),
    [
        ("http://localhost:8080", "localhost:8080", False),
        ("http://localhost:8080", "LOCALHOST:8080", False),
        ("HTTP://localhost", "localhost:80", False),
        ("http://localhost:80", "localhost", False),
        ("https://localhost", "localhost", True),
        ("https://localhost", "localhost:443", True),
        ("http://[::1]:8080", "[0:0:0:0:0:0:0:1]:8080", False),
    ],
)
def test_the_hubs_own_pages_may_use_it(origin: str, host: str, secure: bool) -> None:
    bound = ("127.0.0.1", "::1")
    assert ask({"Origin": origin}, host=host, secure=secure, bound=bound) == PLAIN
    assert ask({"Origin": origin}, host=host, secure=not secure, bound=bound) == 403


def test_a_rebound_name_is_not_its_own_origins_excuse() -> None:
    headers = {"Origin": "http://rebound.example:8080"}
    assert ask(headers, host="rebound.example:8080") == 421


def test_pages_of_an_allowed_origin_are_answered_and_asked_for_no_cookie() -> None:
    origins = ("https://Dash.example.org:443", "http://[::1]:3000")
    permit = ask({"Origin": "https://dash.example.org"}, origins=origins)
    assert isinstance(permit, Permit)
    assert dict(permit.headers) == {
        b"access-control-allow-origin": b"https://dash.example.org",
        b"vary": b"Origin",
    }
    assert isinstance(ask({"Origin": "http://[0::1]:3000"}, origins=origins), Permit)
    for other in (
        "http://dash.example.org",
        "https://x.dash.example.org",
        "https://dash.example.org:444",
    ):
        assert ask({"Origin": other}, origins=origins) == 403


def test_a_preflight_is_answered_for_allowed_origins_only() -> None:
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "DELETE"}
    permit = ask(preflight, method="OPTIONS", origins=("https://a.example",))
    assert isinstance(permit, Permit)
    assert permit.preflight
    named = dict(permit.headers)
    assert b"DELETE" in named[b"access-control-allow-methods"]
    assert b"Authorization" in named[b"access-control-allow-headers"]
    assert b"access-control-allow-credentials" not in named
    assert ask(preflight, method="OPTIONS") == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_page_loads_without_an_origin_is_403_but_for_links_to_pages(site: str) -> None:
    image = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    frame = link | {"Sec-Fetch-Dest": "iframe"}
    for headers in (image, frame, {"Sec-Fetch-Site": site}):
        for path in ("/", "/ready", "/agents", "/agents/pick"):
            assert ask(headers, path=path) == 403
    assert ask(link, path="/") == ask(link, path="/?x=1") == ask(link, path="/ready") == PLAIN
    assert ask(link, path="/agents/pick") == ask(link, path="/", method="POST") == 403


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_what_the_hubs_own_page_loads_or_a_person_types_is_served(site: str) -> None:
    assert ask({"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}) == PLAIN


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
def test_a_page_may_send_json_only(method: str) -> None:
    own = {"Origin": "http://localhost:8080", "Content-Length": "2"}
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "",
                 "text/plain; x=application/json", "application/jsonx"):  # fmt: skip
        assert ask(own | {"Content-Type": kind}, method=method) == 415
    assert ask(own, method=method) == 415
    assert ask(own | {"Content-Type": "Application/JSON; charset=utf-8"}, method=method) == PLAIN
    chunked = {"Origin": "http://localhost:8080", "Transfer-Encoding": "chunked"}
    assert ask(chunked, method=method) == 415
    assert ask({"Origin": "http://localhost:8080"}, method=method) == PLAIN
    assert ask({"Content-Length": "2", "Content-Type": "text/plain"}, method=method) == PLAIN
