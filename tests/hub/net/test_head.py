"""Heads that no request may have, and what is read of the others."""

from __future__ import annotations

import pytest

from hub.net.head import ONCE, read_head
from hub.net.raw_response import Refused

HOST = (b"host", b"localhost")


def status(
    *headers: tuple[bytes, bytes], target: bytes = b"/", version: str = "1.1", method: str = "GET"
) -> int:
    """The status of the refusal, 200 for none."""
    try:
        read_head(method, version, target, headers)
    except Refused as refused:
        return refused.status
    return 200


def test_only_http_1_is_spoken() -> None:
    assert status(HOST, version="1.1") == status(HOST, version="1.0") == 200
    for version in ("0.9", "2.0", "1.2"):
        assert status(HOST, version=version) == 505


@pytest.mark.parametrize("name", sorted(ONCE))
def test_a_header_that_is_read_may_occur_once(name: bytes) -> None:
    others = [] if name == b"host" else [HOST]
    value = b"chunked" if name == b"transfer-encoding" else b"localhost"
    for second in (value, b"other"):
        assert status(*others, (name, value), (name, second)) == 400


def test_another_header_may_occur_again() -> None:
    assert (
        status(HOST, (b"accept", b"a"), (b"accept", b"b"), (b"cookie", b"a"), (b"cookie", b"b"))
        == 200
    )


def test_a_missing_host_is_400_in_http_1_1() -> None:
    assert status() == 400
    assert status(version="1.0") == 200


def test_a_body_is_chunked_or_has_a_length() -> None:
    for coding, expected in ((b"chunked", 200), (b"Chunked", 200), (b"gzip, chunked", 501),
                             (b"gzip", 501), (b"chunked, chunked", 501), (b"", 501)):  # fmt: skip
        assert status(HOST, (b"transfer-encoding", coding)) == expected
    assert status(HOST, (b"transfer-encoding", b"chunked"), version="1.0") == 400


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/agents?x=1", 200),
        (b"http://localhost/agents", 200),
        (b"HTTP://LOCALHOST/", 200),
        (b"http://evil.example/agents", 400),
        (b"http://localhost:81/agents", 400),
        (b"http://u@localhost/", 400),
        (b"http://[", 400),
        (b"*", 200),
        (b"/a#b", 400),
        (b"/agents#/../x", 400),
    ],
)
def test_a_url_names_no_other_host_and_no_fragment(target: bytes, expected: int) -> None:
    assert status(HOST, target=target) == expected


def test_the_path_is_that_of_the_url_without_its_query() -> None:
    for target in (b"/a/b?c=/d", b"http://localhost/a/b?c"):
        assert read_head("GET", "1.1", target, [HOST]).path == b"/a/b"


def test_a_body_of_no_bytes_is_none() -> None:
    def has_body(*headers: tuple[bytes, bytes]) -> bool:
        return read_head("POST", "1.1", b"/", [HOST, *headers]).has_body

    assert not has_body()
    assert not has_body((b"content-length", b"0"))
    assert not has_body((b"content-length", b"000"))
    assert has_body((b"content-length", b"10"))
    assert has_body((b"transfer-encoding", b"chunked"))
