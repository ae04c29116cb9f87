"""Session tokens: of one registration, of one agent, of one cluster."""

from __future__ import annotations

import hmac

import pytest

from actors.rules.tokens import check_token, issue_token

SECRET = b"secret"
AGENT = "550e8400-e29b-41d4-a716-446655440000"
FIRST = "2026-01-01T00:00:00.000000Z"
SECOND = "2026-01-02T00:00:00.000000Z"


def test_a_token_is_valid_for_its_registration() -> None:
    token = issue_token(SECRET, AGENT, FIRST, 7)
    assert check_token(SECRET, AGENT, FIRST, 7, token) == "valid"
    assert token == issue_token(SECRET, AGENT, FIRST, 7), "so that it outlives hubs"


def test_a_token_of_an_earlier_registration_is_superseded() -> None:
    assert (
        check_token(SECRET, AGENT, SECOND, 8, issue_token(SECRET, AGENT, FIRST, 7)) == "superseded"
    )


def test_a_token_of_a_later_registration_than_is_stored_was_lost() -> None:
    token = issue_token(SECRET, AGENT, SECOND, 8)
    assert check_token(SECRET, AGENT, FIRST, 7, token) == "lost"
    assert check_token(SECRET, AGENT, FIRST, 8, token) == "superseded", "whatever the clocks say"
    assert check_token(SECRET, AGENT, SECOND, 12, token) == "valid", "after resumptions"


def test_a_token_from_before_there_were_epochs_in_them_is_valid() -> None:
    mac = hmac.digest(SECRET, f"{AGENT}\n{FIRST}".encode(), "sha256").hex()[:32]
    assert check_token(SECRET, AGENT, FIRST, 7, f"{FIRST}.{mac}") == "valid"
    assert check_token(SECRET, AGENT, SECOND, 1, f"{FIRST}.{mac}") == "superseded"


def test_a_token_is_of_one_agent_and_one_cluster() -> None:
    token = issue_token(SECRET, AGENT, FIRST, 7)
    assert check_token(SECRET, AGENT.replace("5", "6"), FIRST, 7, token) == "invalid"
    assert check_token(b"other", AGENT, FIRST, 7, token) == "invalid"


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "x",
        FIRST,
        f"{FIRST}.",
        f"{FIRST}.0123456789abcdef0123456789abcdef",
        f"{FIRST}.7.0123456789abcdef0123456789abcdef",
        issue_token(SECRET, AGENT, FIRST, 7).replace(".7.", ".9."),
        issue_token(SECRET, AGENT, FIRST, 7).replace(".7.", "."),
        issue_token(SECRET, AGENT, FIRST, 7)[:-1],
        issue_token(SECRET, AGENT, FIRST, 7) + "0",
        issue_token(SECRET, AGENT, FIRST, 7).replace("2026", "2027"),
        "ü.é",
        "\x00",
    ],
)
def test_anything_else_is_invalid(token: str) -> None:
    assert check_token(SECRET, AGENT, FIRST, 7, token) == "invalid"


def test_the_secret_is_not_in_the_token() -> None:
    assert "secret" not in issue_token(SECRET, AGENT, FIRST, 7)
