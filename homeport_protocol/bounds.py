"""The bounds of every field, as annotated types that msgspec enforces while it decodes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from msgspec import Meta

MAX_METADATA_BYTES = 16 * 1024
"""Encoded size that an agent's metadata may have, after an update was merged."""

MAX_METADATA_DEPTH = 32
"""Levels of nesting in metadata; every JSON parser accepts that many."""

MAX_UNSENT_BYTES = 8 * 1024 * 1024
"""Bytes that a peer may leave unread, by default."""

MAX_TOTAL_UNSENT_BYTES = 512 * 1024 * 1024
"""Bytes that all peers of a hub may leave unread, by default."""

MAX_FRAME_BYTES = 64 * 1024
"""Default limit of one websocket message and of one HTTP body."""

MAX_PAGE_BYTES = 1024 * 1024
"""Bytes of the records in one answer; beyond it there is a cursor to the next page."""

MAX_FIND_LIMIT = 10_000
DEFAULT_FIND_LIMIT = 1_000

MAX_CHANGES = 32
"""Newest changes of an agent that a hub counts to find out whether it flaps."""

MAX_WITHIN = 3600.0
"""Seconds for which they are remembered."""

MAX_FLAPPING_LIMIT = 1_000
DEFAULT_FLAPPING_CHANGES, DEFAULT_FLAPPING_WITHIN, DEFAULT_FLAPPING_LIMIT = 3, 600.0, 100

MAX_INTEGER = 2**1024 - 2**970
"""Integers in metadata beyond ± this, the largest float, are refused: many JSON parsers fail.

Smaller ones are kept digit by digit; a parser whose numbers are floats rounds those beyond 2**53.
"""

# In Python, `$` alone also matches before a final line feed; `$(?!\n)` is the end in every dialect.

# Format characters (category Cf), line and paragraph separators, and letters and marks without an
# image. Beyond U+FFFF the dialects share no escape, so those stand for themselves.
_UNSEEN = (
    r"\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    r"\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0"
    r"\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
# A variation selector is taken where keyboards add it: behind a symbol, for its form as an emoji.
_EMOJI = r"[\u00a9\u00ae\u203c-\u3299" "\U0001f000-\U0001faff" r"]\ufe0f"
_NOT_BLANK = r"(?=.*\S)"


def _without(characters: str) -> str:
    seen = f"[^{characters}{_UNSEEN}]*"
    return rf"{seen}(?:{_EMOJI}{seen})*$(?!\n)"


NO_UNSEEN = "^" + _without("")
VISIBLE = "^" + _NOT_BLANK + _without("")
_CONTROL = r"\x00-\x1f\x7f-\x9f"
PRINTABLE = "^" + _without(_CONTROL)
NAME = "^" + _NOT_BLANK + _without(_CONTROL)
UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$(?!\n)"
NAMESPACE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$(?!\n)"
NAMESPACE_OR_ALL = rf"{NAMESPACE}|^\*$(?!\n)"

AgentId = Annotated[str, Meta(pattern=UUID, description="UUID of the agent")]
LONGEST = {"name": 128, "type": 64, "host": 255, "capabilities": 128, "version": 64}
"""Characters of a text, or of each in a list, by the field of the record."""

Name = Annotated[str, Meta(min_length=1, max_length=LONGEST["name"], pattern=NAME)]
AgentType = Annotated[str, Meta(min_length=1, max_length=LONGEST["type"], pattern=NAME)]
Host = Annotated[str, Meta(min_length=1, max_length=LONGEST["host"], pattern=NAME)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Capability = Annotated[str, Meta(min_length=1, max_length=LONGEST["capabilities"], pattern=VISIBLE)]
Capabilities = Annotated[list[Capability], Meta(max_length=256)]
Version = Annotated[str, Meta(max_length=LONGEST["version"], pattern=NO_UNSEEN)]
Load = Annotated[float, Meta(ge=0)]
Metadata = dict[str, Any]
Status = Literal["healthy", "degraded", "unhealthy", "unreachable"]
Connection = Literal["websocket", "http", "lost"]
Reason = Literal[
    "ok",
    "self_reported",
    "connection_lost",
    "heartbeat_timeout",
    "heartbeat_overdue",
    "draining",
]
Kind = Literal[
    "registered", "lost", "resumed", "updated", "status_changed", "unregistered", "expired"
]
Kinds = Annotated[list[Kind], Meta(min_length=1, max_length=16)]
Role = Literal["agent", "observer", "caller", "operator"]
"""What the holder of a credential may do; `actors.rules.permissions` has the table."""

Strategy = Literal["round_robin", "least_loaded", "random", "sticky"]
FindLimit = Annotated[int, Meta(ge=1, le=MAX_FIND_LIMIT)]
FlappingChanges = Annotated[int, Meta(ge=1, le=MAX_CHANGES)]
FlappingWithin = Annotated[float, Meta(gt=0, le=MAX_WITHIN)]
FlappingLimit = Annotated[int, Meta(ge=1, le=MAX_FLAPPING_LIMIT)]
Revision = Annotated[int, Meta(ge=0, le=2**63 - 1)]
WatchNumber = Annotated[int, Meta(ge=0, le=2**63 - 1)]
RequestId = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | Annotated[str, Meta(max_length=64)]
ShortString = Annotated[str, Meta(max_length=256)]
Position = Annotated[str, Meta(min_length=1, max_length=1024)]

KINDS: tuple[Kind, ...] = get_args(Kind)
STATUSES: tuple[Status, ...] = get_args(Status)
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
_SEEN = "no characters that are invisible or reorder text (such as U+200B or U+202E)"
PATTERNS: dict[str, str] = {
    PRINTABLE: f"must hold no control characters and {_SEEN}",
    NAME: f"must hold no control characters and {_SEEN}, and must not be blank",
    VISIBLE: f"must hold {_SEEN}, and must not be blank",
    NO_UNSEEN: f"must hold {_SEEN}",
    NAMESPACE_OR_ALL: "must be 1 to 63 letters, digits, dots, underscores or hyphens, beginning "
    "with a letter or digit; or * for all",
    UUID: "must be a UUID such as 550e8400-e29b-41d4-a716-446655440000",
}
"""What each pattern requires, in the words of an error."""
