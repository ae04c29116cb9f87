"""Positions: only what a hub has given is read, and each names one entry of one log."""

from __future__ import annotations

import pytest

from actors.rules.positions import (
    LogPosition,
    PositionIssuer,
    entry_digest,
    is_position,
    read_position,
)

SECRET = b"of this cluster"
ISSUED = PositionIssuer("2ce7e222d2ea2667", SECRET).issue(184, "hub-1/0c7e51d2:77")


def test_what_was_issued_is_read_again() -> None:
    position = read_position(SECRET, ISSUED)
    assert position == LogPosition("2ce7e222d2ea2667", 184, entry_digest("hub-1/0c7e51d2:77"))


@pytest.mark.parametrize("log", ["a.b", ".", "5", 'log "of" somebody'])
def test_a_log_may_have_any_name(log: str) -> None:
    position = read_position(SECRET, PositionIssuer(log, SECRET).issue(0, ""))
    assert position == LogPosition(log, 0, entry_digest(""))


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("2ce7e222d2ea2667", "2ce7e222d2ea2668"),
        (".184.", ".185."),
        (entry_digest("hub-1/0c7e51d2:77"), entry_digest("hub-1/0c7e51d2:78")),
        (ISSUED[-16:], "0" * 16),
    ],
)
def test_what_was_changed_is_not_genuine(part: str, other: str) -> None:
    forged = ISSUED.replace(part, other)
    assert is_position(forged)
    assert read_position(SECRET, forged) is None


def test_another_cluster_s_is_not_genuine() -> None:
    assert read_position(b"of another cluster", ISSUED) is None


@pytest.mark.parametrize(
    "text",
    ["", ".", "184", "nonsense", ISSUED[:-1], ISSUED + "0", ISSUED.replace("184", ""), "....."]
    + [ISSUED.replace("184", each) for each in ("-1", "\u0661", "1" * 17, "1_0")]
    + [ISSUED[:-16] + "g" * 16, "." + ISSUED.partition(".")[2]],
)
def test_other_text_is_no_position(text: str) -> None:
    assert not is_position(text)
    assert read_position(SECRET, text) is None


def test_each_entry_has_its_own() -> None:
    issuer = PositionIssuer("a", SECRET)
    issued = {issuer.issue(revision, key) for revision in (1, 2) for key in ("", "a:1", "a:2")}
    assert len(issued) == 6
