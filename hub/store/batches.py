"""A batch of changes on its way through the commit script: there, and back."""

from __future__ import annotations

from typing import cast

from actors.ports import Applied, Change, Committed, Refusal

_REFUSALS = (b"fenced", b"missing", b"poisoned")


def milliseconds(seconds: float) -> bytes:
    """A time to live as Redis takes it, which refuses zero."""
    return b"%d" % max(1, round(seconds * 1000))


def arguments_of(changes: list[Change]) -> list[bytes]:
    """The script's nine arguments for each change, in the script's order."""
    arguments: list[bytes] = []
    for change in changes:
        arguments += (
            change.operation.encode(),
            change.agent_id.encode(),
            b"%d" % change.epoch,
            milliseconds(change.ttl),
            b"%d" % change.revision,
            change.hub.encode(),
            change.kind.encode(),
            change.key.encode(),
            change.head,
        )
    return arguments


def committed(log: str, answer: bytes) -> Committed:
    """The script's answer to a batch that was written into `log`."""
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
