"""Who a request is from: one rule for both transports."""

from __future__ import annotations

import pytest

from homeport_protocol.errors import ProtocolError
from hub.net.caller import Caller, read_caller


def never() -> list[str]:
    raise AssertionError("the query string was read")


def test_the_header_counts_before_the_query_string_which_is_not_read_then() -> None:
    assert read_caller(["blue"], never) == Caller("blue")
    assert read_caller([], lambda: ["green"]) == Caller("green")


def test_without_a_name_it_is_the_default_namespace() -> None:
    assert read_caller([], list) == Caller("default")


@pytest.mark.parametrize("names", [["a", "b"], ["a", "a"], ["a", ""]])
def test_two_names_in_one_place_are_refused(names: list[str]) -> None:
    for headers, parameters in ((names, never), ([], lambda: names)):
        with pytest.raises(ProtocolError, match="more than one namespace") as refused:
            read_caller(headers, parameters)
        assert (refused.value.code, refused.value.field) == ("bad_request", "namespace")


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "a\n", "é", "x" * 64])
def test_what_is_no_name_is_refused_with_the_rule(name: str) -> None:
    for headers, parameters in (([name], never), ([], lambda: [name])):
        with pytest.raises(ProtocolError, match="namespace: 1 to 63 letters") as refused:
            read_caller(headers, parameters)
        assert (refused.value.code, refused.value.field) == ("bad_request", "namespace")
