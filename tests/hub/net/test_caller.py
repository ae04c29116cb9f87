"""Who a request is from: one rule for both transports."""

from __future__ import annotations

import asyncio

import pytest

from actors.rules.permissions import ANYBODY, Principal
from homeport_protocol.errors import ProtocolError
from hub.net import caller
from hub.net.caller import (
    Caller,
    NobodyAsked,
    Shown,
    authenticate,
    caller_of,
    read_shown,
)

NAMESPACE = b"homeport-namespace"


def named(headers: list[str], query: str = "") -> str | None:
    return read_shown([(NAMESPACE, each.encode()) for each in headers], query.encode()).namespace


def test_the_header_or_the_query_string_names_the_namespace() -> None:
    assert named(["blue"]) == "blue"
    assert named([], "x=1&namespace=green") == "green"
    assert named(["blue"], "namespace=blue") == "blue"
    assert named([]) is None


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([], "namespace=a&namespace=b"),
        ([], "namespace=a&namespace=a"),
        ([], "namespace=a&%6eamespace=b"),
        (["a"], "namespace=b"),
        (["a"], "namespace="),
        (["a"], "namespace=a&namespace=a"),
    ],
)
def test_two_names_are_refused(headers: list[str], query: str) -> None:
    with pytest.raises(ProtocolError, match="more than one namespace") as refused:
        named(headers, query)
    assert (refused.value.code, refused.value.field) == ("bad_request", "namespace")


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "a\n", "é", "x" * 64])
def test_what_is_no_name_is_refused_with_the_rule(name: str) -> None:
    for headers, query in (([name], ""), ([], f"namespace={name}")):
        if headers and name.strip() != name:
            continue
        with pytest.raises(ProtocolError, match="namespace: 1 to 63 letters") as refused:
            named(headers, query)
        assert (refused.value.code, refused.value.field) == ("bad_request", "namespace")


@pytest.mark.parametrize("name", ["Homeport-Namespace", "Authorization"])
@pytest.mark.parametrize("values", [("a", "b"), ("a", "a"), ("", "")])
def test_a_header_that_is_given_twice_is_refused(name: str, values: tuple[str, str]) -> None:
    with pytest.raises(ProtocolError, match=f"{name}: given twice") as refused:
        read_shown([(name.lower().encode(), each.encode()) for each in values], b"")
    assert refused.value.code == "bad_request"


@pytest.mark.parametrize(
    "query",
    [
        "token=s3cret",
        "x=1&access_token=s3cret",
        "Token=s3cret",
        "t=hp1_s3cret",
        "hp1_s3cret",
        "hp1_s3cret=hp1_s3cret",
        "t%3D=%68p1_s3cret",
        "jwt=s3cret",
    ],
)
def test_a_token_in_the_query_string_is_refused_by_name(query: str) -> None:
    with pytest.raises(ProtocolError, match="a token may not be in the URL") as refused:
        read_shown([], query.encode())
    assert "s3cret" not in str(refused.value) + repr(refused.value)


def test_what_is_shown_is_no_part_of_a_repr() -> None:
    shown = read_shown([(b"authorization", b"Bearer s3cret"), (b"cookie", b"a=s3cret")], b"")
    assert (shown.authorization, shown.cookie) == ("Bearer s3cret", "a=s3cret")
    assert "s3cret" not in f"{shown!r} {shown} {[shown]}"


def test_of_a_query_beyond_its_bounds_nothing_is_read() -> None:
    for query in (b"&" * 200, b"a=" + b"x" * 20_000):
        with pytest.raises(ProtocolError, match="query: more than"):
            read_shown([], query)


def test_a_principal_of_one_namespace_is_there_and_nowhere_else() -> None:
    principal = Principal(id="token:a", role="agent", namespace="blue")
    assert caller_of(principal, Shown()) == Caller("blue", principal)
    assert caller_of(principal, Shown(namespace="blue")) == Caller("blue", principal)
    words = set()
    for other in ("default", "green", "no-such"):
        with pytest.raises(ProtocolError) as refused:
            caller_of(principal, Shown(namespace=other))
        assert refused.value.code == "forbidden"
        words.add(str(refused.value))
    assert len(words) == 1


def test_a_principal_of_all_namespaces_names_one_or_gets_the_default() -> None:
    operator = Principal(id="token:o", role="operator", namespace="*")
    assert caller_of(operator, Shown()).namespace == "default"
    assert caller_of(operator, Shown(namespace="green")).namespace == "green"
    assert caller_of(ANYBODY, Shown()) == Caller("default")


async def test_where_nobody_is_asked_everybody_is_anybody() -> None:
    shown = Shown(authorization="Bearer nonsense")
    assert await authenticate(NobodyAsked(), shown) is ANYBODY


async def test_a_store_that_does_not_answer_is_waited_for_in_vain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stuck(NobodyAsked):
        def recognise(self, shown: Shown) -> Principal | None:
            return None

        async def look_up(self, shown: Shown) -> Principal:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr(caller, "LOOK_UP_TIMEOUT", 0.01)
    with pytest.raises(ProtocolError) as refused:
        await authenticate(Stuck(), Shown())
    assert refused.value.code == "unavailable"
