"""What `/ready` says: the one list of the kinds of reasons and warnings.

Each has a machine word, which is the label of its metric. What a hub adds to `/ready` is one of
these objects, and the metric is made from the same objects, so that one cannot know what the other
does not. A new kind needs its line in `meaning_of` and in docs/reference.md.
"""

from __future__ import annotations

from typing import Literal, assert_never, get_args

from msgspec import Struct

ReasonKind = Literal["stopping", "store_away", "not_loaded"]
WarningKind = Literal[
    "tight_times",
    "hubs_differ",
    "mass_loss",
    "store_rolled_back",
    "foreign_writes",
    "store_slow",
    "store_cut",
    "store_foreign_data",
    "namespaces_not_served",
    "audit_log",
    "legacy_callers",
    "tls_certificate",
    "tls_principals",
    "jwt_keys",
]

REASON_KINDS: tuple[ReasonKind, ...] = get_args(ReasonKind)
WARNING_KINDS: tuple[WarningKind, ...] = get_args(WarningKind)


class Reason(Struct, frozen=True):
    """Why a hub is not ready, as one plain phrase."""

    kind: ReasonKind
    phrase: str


class Caution(Struct, frozen=True):
    """What an operator should look at although the hub is ready, as one plain phrase."""

    kind: WarningKind
    phrase: str


def meaning_of(kind: ReasonKind | WarningKind) -> str:
    """What is the case, for the reference."""
    match kind:
        case "stopping":
            return "the hub is stopping"
        case "store_away":
            return "the store does not answer, or refuses writes"
        case "not_loaded":
            return "the directory has not been loaded yet"
        case "tight_times":
            return "heartbeat_timeout is so short that agents flap"
        case "hubs_differ":
            return "another hub of the cluster has other times"
        case "mass_loss":
            return "many agents were lost at once, and their removal is held"
        case "store_rolled_back":
            return "the store came back older within the last day"
        case "foreign_writes":
            return "a program that is no hub wrote agents within 10 minutes"
        case "store_slow":
            return "the store takes 0.25 s or longer to answer"
        case "store_cut":
            return "the data of the embedded store was found cut when the hub started"
        case "store_foreign_data":
            return "the store holds what no hub wrote there"
        case "audit_log":
            return "the audit log cannot be written, or lost lines within the last minute"
        case "legacy_callers":
            return "requests without a token are taken until a date (legacy_until)"
        case "tls_certificate":
            return "the TLS certificate runs out soon, or a new one cannot be used"
        case "tls_principals":
            return "the principals of client certificates could not be read again"
        case "jwt_keys":
            return "the keys that sign JWTs could not be read again"
        case "namespaces_not_served":
            return "hubs have made more namespaces than this one serves"
        case _:
            assert_never(kind)
