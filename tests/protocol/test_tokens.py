"""The form of a token: a typing error is found without asking anybody."""

from __future__ import annotations

import hashlib

import pytest

from homeport_protocol.tokens import (
    SECRET_ALPHABET,
    TokenError,
    digest_of,
    make_token,
    read_token_id,
)

ID, SECRET = "4k2m9x7q1zab", "0123456789abcdefghijABCDEFGHIJ0123456789"
TOKEN = make_token(ID, SECRET)


def test_a_token_has_the_form_of_the_contract() -> None:
    assert f"hp1_{ID}_{SECRET}{TOKEN[-6:]}" == TOKEN
    assert len(TOKEN) == 63
    assert set(TOKEN[-6:]) <= set(SECRET_ALPHABET)
    assert read_token_id(TOKEN) == ID
    assert len(SECRET_ALPHABET) ** 40 > 2**235


def test_the_check_is_the_crc_32_of_what_stands_before() -> None:
    crc = 0xFFFFFFFF
    for byte in TOKEN[:-6].encode():
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    number, digits = crc ^ 0xFFFFFFFF, ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = SECRET_ALPHABET[digit] + digits
    assert TOKEN[-6:] == digits


def test_what_is_kept_of_it_is_its_sha_256() -> None:
    assert digest_of(TOKEN) == hashlib.sha256(TOKEN.encode()).hexdigest()


def test_every_character_that_is_typed_wrong_is_noticed() -> None:
    for at in range(4, len(TOKEN)):
        wrong = TOKEN[:at] + ("x" if TOKEN[at] != "x" else "y") + TOKEN[at + 1 :]
        with pytest.raises(TokenError):
            read_token_id(wrong)


def test_two_characters_that_are_swapped_are_noticed() -> None:
    for at in range(4, len(TOKEN) - 1):
        if TOKEN[at] != TOKEN[at + 1]:
            with pytest.raises(TokenError):
                read_token_id(TOKEN[:at] + TOKEN[at + 1] + TOKEN[at] + TOKEN[at + 2 :])


@pytest.mark.parametrize(
    "text",
    ["", "hp1_", TOKEN[:-1], TOKEN + "0", f" {TOKEN}", f"{TOKEN}\n", TOKEN.upper(), "é" * 63],
)
def test_an_error_says_what_is_wrong_and_not_what_was_shown(text: str) -> None:
    with pytest.raises(TokenError) as error:
        read_token_id(text)
    assert SECRET not in str(error.value)
    assert "token" in str(error.value)


def test_an_error_of_the_check_does_not_repeat_the_token() -> None:
    with pytest.raises(TokenError, match="does not fit") as error:
        read_token_id(TOKEN[:-1] + ("0" if TOKEN[-1] != "0" else "1"))
    assert "hp1" not in str(error.value)
