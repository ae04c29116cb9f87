"""The short forms of the fuzzers find nothing; and what they look for, they find."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from tests.fuzz.campaign import fuzz
from tests.fuzz.parts import PARTS, hub_for
from tests.fuzz.target import MAX_GROWTH, Found


@pytest.mark.parametrize(
    ("what", "examples"), [("frames", 250), ("messages", 250), ("http", 60), ("strangers", 60)]
)
def test_nothing_that_is_sent_harms_the_hub(what: str, examples: int) -> None:
    with hub_for(what) as target:
        report = fuzz(target, what, PARTS[what], seed=1, rounds=2, examples=examples // 2)
    assert report.finds == [], "\n\n".join(report.finds)
    assert report.sent > report.examples // 4


# Each is a line that breaks a hub, what finds it, and the words of the find.
BROKEN = {
    "a hub that takes lengths in any form": (
        "import hub.websocket.frames; hub.websocket.frames._SHORTEST.clear()",
        ("frames", "for 1002"),
    ),
    "a hub that ends": ("import os; upon_a_filter(lambda: os._exit(3))", ("messages", "hub ended")),
    "a hub with a bug": ("upon_a_filter(lambda: 1 / 0)", ("messages", "hub logged")),
    "a hub that stalls": ("upon_a_filter(spin)", ("messages", "honest client waited")),
    "a hub that says what no document has": ("answer_other_codes()", ("messages", "'oops'")),
    "a hub that keeps what it gets": (
        f"kept = []; upon_a_filter(lambda: kept.append(b'x' * {MAX_GROWTH // 10}))",
        ("messages", "grew by"),
    ),
    "a hub that lets anybody in": ("let_anybody_in()", ("strangers", "stranger")),
    "a hub whose route has a bug": (
        "import hub.http.agents; hub.http.agents.json = None",
        ("http", "hub logged"),
    ),
}
BREAK = """
import time
import msgspec
import actors.session.session as session

def upon_a_filter(do):
    known = session.decode_request
    def decode_request(data):
        if b'"filter"' in data:
            do()
        return known(data)
    session.decode_request = decode_request

def spin():
    end = time.thread_time() + 0.3
    while time.thread_time() < end:
        pass

def let_anybody_in():
    from actors.rules.permissions import ANYBODY
    from hub.auth.authenticator import Authenticators
    known = Authenticators.recognise
    def recognise(self, shown):
        return known(self, shown) if shown.authorization else ANYBODY
    Authenticators.recognise = recognise

def answer_other_codes():
    known = session.error_answer
    session.error_answer = lambda *seen: msgspec.structs.replace(known(*seen), code="oops")

"""


@pytest.mark.parametrize("name", BROKEN)
def test_what_the_fuzzers_look_for_they_find(name: str, tmp_path: Path) -> None:
    line, (what, words) = BROKEN[name]
    (tmp_path / "breaking.py").write_text(BREAK + line)
    # An error while Python starts is only printed: without this the hub would be whole.
    start = "import os\ntry: import breaking\nexcept Exception: os._exit(9)"
    (tmp_path / "sitecustomize.py").write_text(start)
    with suppress(Found), hub_for(what, PYTHONPATH=str(tmp_path)) as target:
        report = fuzz(
            target,
            what,
            PARTS[what],
            seed=1,
            rounds=2 if words == "grew by" else 1,
            examples=400 if what == "frames" else 60,
            shrink=False,
        )
    assert any(words in find for find in report.finds), report.finds
