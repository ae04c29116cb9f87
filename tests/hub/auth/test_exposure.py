"""When a hub asks for tokens, and when it must not start."""

from __future__ import annotations

import pytest

from hub.auth.exposure import Auth, ExposedError, asks, nobody_can_come_in

LOOPBACK = [["127.0.0.1"], ["127.0.0.2"], ["127.255.255.254"], ["::1"], ["127.0.0.1", "::1"]]
ELSEWHERE = [["0.0.0.0"], ["::"], ["10.0.0.1"], ["127.0.0.1", "192.168.1.2"], ["fe80::1%eth0"]]


@pytest.mark.parametrize("addresses", LOOPBACK)
def test_on_loopback_only_required_asks(addresses: list[str]) -> None:
    expected: dict[Auth, bool] = {"loopback": False, "none": False, "required": True}
    for auth, asking in expected.items():
        assert asks(auth, addresses, insecure=False) is asking


@pytest.mark.parametrize("addresses", ELSEWHERE)
def test_elsewhere_everybody_is_asked_and_none_needs_insecure(addresses: list[str]) -> None:
    assert asks("loopback", addresses, insecure=False)
    assert asks("loopback", addresses, insecure=True)
    assert asks("required", addresses, insecure=True)
    assert not asks("none", addresses, insecure=True)
    with pytest.raises(ExposedError, match="--insecure"):
        asks("none", addresses, insecure=False)


def test_the_error_where_there_is_no_token_says_what_to_do() -> None:
    error = str(nobody_can_come_in(["0.0.0.0"], "--data-dir '/my data'"))
    assert "homeport token create --role operator --data-dir '/my data'" in error
    assert "HOMEPORT_OPERATOR_TOKEN_SHA256" in error
    assert "or listen on 127.0.0.1, so that nobody is asked" in error
    assert "homeport token" not in str(nobody_can_come_in(["0.0.0.0"], None))


def test_the_error_does_not_advise_to_listen_where_the_hub_listens() -> None:
    error = str(nobody_can_come_in(["127.0.0.1"], None))
    assert error.endswith("; or let auth be loopback, so that nobody is asked")
