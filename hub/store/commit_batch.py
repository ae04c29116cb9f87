"""A batch of changes on its way through the commit script: there, and back."""

from __future__ import annotations

from typing import cast

from msgspec import UNSET

from actors.ports.store import Applied, Change, Committed, Refusal, Renewal
from homeport_protocol.codec import encode
from hub.store.findings import Findings
from hub.store.keys import Keys

_WITH_TOMBSTONE = frozenset({"register", "claim", "adopt", "remove", "restore"})
_REFUSALS = (b"fenced", b"missing", b"deleted", b"stale", b"owned", b"poisoned")


def milliseconds(seconds: float) -> bytes:
    """A time to live as Redis takes it, which refuses zero."""
    return b"%d" % max(1, round(seconds * 1000))


def keys_of(changes: list[Change | Renewal], keys: Keys) -> list[bytes]:
    """The keys of the changes, in the script's order: entries, some followed by a tombstone."""
    names: list[bytes] = []
    for change in changes:
        names.append(keys.agent(change.agent_id))
        if isinstance(change, Change) and change.operation in _WITH_TOMBSTONE:
            names.append(keys.epoch(change.agent_id))
    return names


def arguments_of(changes: list[Change | Renewal], *, announce: bool) -> list[bytes]:
    """The script's arguments for each change, in the script's order.

    A renewal has no more than it needs, since it is what nearly all changes are. The load is told
    apart from its record only if it is to be announced.
    """
    arguments: list[bytes] = []
    for change in changes:
        arguments += (
            b"renew" if isinstance(change, Renewal) else change.operation.encode(),
            change.agent_id.encode(),
            b"%d" % change.epoch,
            milliseconds(change.ttl),
            b"%d" % change.revision,
            change.hub.encode(),
            change.head,
        )
        if isinstance(change, Change):
            arguments += (
                change.kind.encode(),
                change.key.encode(),
                change.seen.encode(),
                change.times.encode(),
                _owner(change),
            )
        if announce:
            arguments.append(b"" if change.load is UNSET else encode(change.load))
    return arguments


def _owner(change: Change) -> bytes:
    """Whose the agent is from then on: "" as before; behind "=" only if it is nobody else's."""
    if change.owner is None:
        return b""
    return (b"=" if change.only_own else b"!") + change.owner.encode(errors="replace")


def committed(log: str, answer: bytes, findings: Findings, keys: Keys) -> Committed:
    """The script's answer to a batch that was written into `log`."""
    answer, _, aside = answer.partition(b"\n")
    for line in aside.splitlines():
        agent_id, _, name = line.partition(b" ")
        findings.set_aside(keys.agent_prefix + agent_id, name)
    words = answer.split()
    return Committed(
        log=log,
        before=int(words[1]),
        results=[
            cast(Refusal, revision.decode())
            if revision in _REFUSALS
            else Applied(int(revision), int(epoch))
            for revision, epoch in zip(words[2::2], words[3::2], strict=True)
        ],
    )
