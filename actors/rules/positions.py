"""Positions in the log, as watchers are given them: proof of how far a watch had come.

A position is `{log}.{revision}.{entry}.{mac}`. `entry` is a digest of the key of the log's entry at
that revision, by which a log that went back and has grown again is told apart (log matching); for a
log's beginning, which is no entry, the key is "". mac = HMAC-SHA256(secret, what stands before), so
that only what a hub has given counts as evidence of what the log once held.
"""

from __future__ import annotations

import hashlib
import hmac

from msgspec import Struct

_ENTRY_DIGITS = 12
_MAC_DIGITS = 16
_HEXADECIMAL = frozenset("0123456789abcdef")
_DECIMAL = frozenset("0123456789")
_LONGEST_REVISION = 16


class LogPosition(Struct, frozen=True):
    """A position that a watcher has sent; `entry` is the digest of the entry's key."""

    log: str
    revision: int
    entry: str


class PositionIssuer(Struct, frozen=True):
    """Issues the positions in one log; `secret` signs them, and the cluster shares it."""

    log: str
    secret: bytes

    def issue(self, revision: int, key: str) -> str:
        """The position of the entry with that revision and key."""
        named = f"{self.log}.{revision}.{entry_digest(key)}"
        return f"{named}.{_mac(self.secret, named)}"


def entry_digest(key: str) -> str:
    """What stands for an entry's key in a position."""
    return hashlib.sha256(key.encode()).hexdigest()[:_ENTRY_DIGITS]


def is_position(text: str) -> bool:
    """Whether the text has the form of a position, whoever made it."""
    log, revision, entry, mac = _parts(text)
    return (
        bool(log)
        and 0 < len(revision) <= _LONGEST_REVISION
        and _DECIMAL.issuperset(revision)
        and len(entry) == _ENTRY_DIGITS
        and len(mac) == _MAC_DIGITS
        and _HEXADECIMAL.issuperset(entry + mac)
    )


def read_position(secret: bytes, text: str) -> LogPosition | None:
    """The position that the text names; None unless a hub of this cluster has given it."""
    if not is_position(text):
        return None
    named, _, mac = text.rpartition(".")
    if not hmac.compare_digest(_mac(secret, named).encode(), mac.encode()):
        return None
    log, revision, entry, _ = _parts(text)
    return LogPosition(log, int(revision), entry)


def _parts(text: str) -> tuple[str, str, str, str]:
    parts = text.rsplit(".", 3)  # a log's name may have dots
    log, revision, entry, mac = ["", "", "", "", *parts][-4:]
    return log, revision, entry, mac


def _mac(secret: bytes, named: str) -> str:
    digest = hmac.digest(secret, f"position\n{named}".encode(), "sha256")
    return digest.hex()[:_MAC_DIGITS]
