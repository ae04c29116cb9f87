"""Names: which characters they may have, and that those that look the same are the same."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from typing import Any

import msgspec
import pytest

from homeport_protocol.bounds import LONGEST, NAME, NO_UNSEEN, VISIBLE
from homeport_protocol.codec import convert, decode_json, decode_request
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.http import LegacyRegistration
from homeport_protocol.record import AgentSpec
from homeport_protocol.requests import Find, Register, Resume, Update
from homeport_protocol.tokens import TokenRequest
from tests.protocol.test_requests import AGENT_ID

TWO_FORMS = "Zu\u0308rich", "Zürich"

UNSEEN = {
    "a zero-width space": "cost\u200b",
    "a zero-width joiner": "co\u200dst",
    "a soft hyphen": "co\u00adst",
    "a byte order mark": "\ufeffcost",
    "a mark that turns the text round": "\u202etsoc",
    "an isolate": "\u2066cost",
    "a Hangul filler": "\u3164",
    "an empty Braille pattern": "\u2800",
    "a combining grapheme joiner": "cost\u034f",
    "a variation selector behind a letter": "cost\ufe0f",
    "a tag": "cost\U000e0041",
    "a line separator": "co\u2028st",
    "several emoji joined to one": "👩\u200d💻",
}
BLANK = {"a space": " ", "a wide space": "\u3000", "two spaces": "\u00a0\u2003"}
SEEN = [
    "cost",
    "Zürich 東京",
    "übermäßig/1",
    "⚙\ufe0f worker",
    "❤\ufe0f",
    "😀",
    "😀\ufe0f",
    "नमस्ते",
    "a b",
]


def decoded(op: str, **fields: Any) -> Any:
    if op == "register":
        fields = {"agent": {"name": "a", "type": "t", **fields}}
    elif op == "resume":
        fields = {"agent_id": AGENT_ID, "session_token": "t", "agent": fields}
    elif op == "find":
        fields = {"filter": fields}
    return decode_request(json.dumps({"op": op, "id": 1, **fields}).encode())


def legacy(**fields: Any) -> AgentSpec:
    body = {"name": "a", "type": "t", "host": "h", "port": 1, **fields}
    decoder = msgspec.json.Decoder(LegacyRegistration)
    return decode_json(json.dumps(body).encode(), LegacyRegistration, decoder).spec()


PLACES = [
    *(("register", field) for field in LONGEST),
    *((op, field) for op in ("update", "resume") for field in ("host", "capabilities", "version")),
    *(("legacy", field) for field in LONGEST),
]


def say(place: str, field: str, text: str) -> None:
    value = [text] if field == "capabilities" else text
    if place == "legacy":
        legacy(**{field: value})
    else:
        decoded(place, **{field: value})


@pytest.mark.parametrize(("place", "field"), PLACES)
@pytest.mark.parametrize("text", UNSEEN.values(), ids=UNSEEN.keys())
def test_a_character_that_is_not_seen_is_refused(place: str, field: str, text: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        say(place, field, text)
    assert refused.value.code == "bad_request"
    assert refused.value.field in (field, f"agent.{field}")
    assert "invisible" in refused.value.message


@pytest.mark.parametrize(("place", "field"), [each for each in PLACES if each[1] != "version"])
@pytest.mark.parametrize("text", BLANK.values(), ids=BLANK.keys())
def test_a_blank_name_is_refused(place: str, field: str, text: str) -> None:
    if (place, field) == ("legacy", "capabilities"):
        assert legacy(capabilities=["a", text]).capabilities == ["a"]  # as the empty ones
        return
    with pytest.raises(ProtocolError, match="must not be blank"):
        say(place, field, text)


@pytest.mark.parametrize(("place", "field"), PLACES)
@pytest.mark.parametrize("text", SEEN)
def test_what_is_seen_is_taken(place: str, field: str, text: str) -> None:
    say(place, field, text)


def test_every_format_character_of_unicode_is_refused() -> None:
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(character) in ("Cf", "Zl", "Zp"):
            for pattern in (NAME, VISIBLE, NO_UNSEEN):
                assert not re.search(pattern, f"a{character}"), ascii(character)


def test_each_text_is_brought_to_one_form() -> None:
    other, known = TWO_FORMS
    several = {"host": other, "capabilities": [other, "x"], "version": other}
    registered = decoded("register", name=other, type=other, **several)
    assert isinstance(registered, Register)
    spec = registered.agent
    assert (spec.name, spec.type, spec.host, spec.version) == (known,) * 4
    assert spec.capabilities == [known, "x"]
    spec = legacy(name=other, type=other, **several)
    assert (spec.name, spec.type, spec.host, spec.version) == (known,) * 4
    assert spec.capabilities == [known, "x"]
    for op in ("update", "resume"):
        request = decoded(op, **several)
        assert isinstance(request, Update | Resume)
        changes = request.agent if isinstance(request, Resume) else request
        assert (changes.host, changes.capabilities, changes.version) == (known, [known, "x"], known)
    keys: dict[str, Any] = dict.fromkeys(("name", "type", "host", "version"), other)
    found = decoded("find", **keys, capabilities=[other, "x"], any_capability=[other])
    assert isinstance(found, Find)
    keys = dict.fromkeys(keys, known)
    assert found.filter == Filter(**keys, capabilities=[known, "x"], any_capability=[known])


@pytest.mark.parametrize(("place", "field"), PLACES)
def test_a_text_that_its_one_form_makes_too_long_is_refused(place: str, field: str) -> None:
    grows = "\u0958"  # is two characters in NFC
    say(place, field, grows * (LONGEST[field] // 2))
    with pytest.raises(ProtocolError, match="more than") as refused:
        say(place, field, grows * (LONGEST[field] // 2 + 1))
    assert refused.value.field in (field, f"agent.{field}")


@pytest.mark.parametrize("text", UNSEEN.values(), ids=UNSEEN.keys())
def test_what_is_said_of_a_token_is_seen_as_well(text: str) -> None:
    for field, value in (("note", text), ("names", [text])):
        with pytest.raises(ProtocolError) as refused:
            convert({"role": "agent", field: value}, TokenRequest)
        assert refused.value.field == field
    convert({"role": "agent", "note": "Zürich 東京", "names": ["Zürich-*"]}, TokenRequest)


def test_a_filter_may_ask_for_a_name_that_nobody_may_have() -> None:
    """Stored by a legacy service, perhaps."""
    for text in (*UNSEEN.values(), *BLANK.values()):
        assert decoded("find", name=text).filter.name == text
