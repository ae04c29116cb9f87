"""What was found in Redis that no hub wrote, for the log and for `/ready`."""

from __future__ import annotations

from hub.store.backends.lane import Lane
from hub.store.names import REDIS, named
from hub.telemetry import logs

MOST = 100
"""Keys that are told of; beyond them nothing is."""

_BEGINNING = 4096
"""Bytes of a text by which it is known again."""

logger = logs.get("hub.store")


def shown(key: bytes) -> str:
    """A key as people read it, shortened."""
    text = key.decode(errors="backslashreplace")
    return text if len(text) <= 120 else text[:120] + "…"


class _Finding:
    """A sentence, and what the key held when it was first looked at again.

    `wanted` is the type that the key should have, where that is what is wrong with it.
    """

    __slots__ = ("held", "sentence", "wanted")

    def __init__(self, sentence: str, wanted: bytes) -> None:
        self.sentence = sentence
        self.wanted = wanted
        self.held: object = None


class Findings:
    """Sentences by the key that each is about, until the key is gone or holds something else."""

    def __init__(self, store: str = REDIS) -> None:
        self._store = store
        self._findings: dict[bytes, _Finding] = {}

    def sentences(self) -> list[str]:
        """One sentence for each key: what was found there, and what to do."""
        return [finding.sentence for finding in self._findings.values()]

    def no_record(self, key: bytes) -> None:
        """The key of an agent's entry holds something else."""
        self._add(
            key,
            f"the Redis key {shown(key)} holds no record of an agent and is left alone: "
            "`homeport repair` sets it aside",
        )

    def set_aside(self, key: bytes, name: bytes) -> None:
        """The key held no record, and what it held is under another name now."""
        self._findings.pop(key, None)
        self._add(
            name,
            f"the Redis key {shown(key)} held no record of an agent and was renamed {shown(name)}: "
            "look at it, then delete it",
        )

    def of_another_type(self, key: bytes, wanted: bytes, effect: str) -> None:
        """The key holds another type than the `wanted` one, which has this effect."""
        self._add(
            key,
            f"the Redis key {shown(key)} holds another type than a hub writes there, and {effect}: "
            "`homeport repair` sets it aside",
            wanted,
        )

    def mended(self, sentence: str) -> None:
        """Something was found and mended; there is no key to look at any more."""
        logger.warning(named(sentence, self._store))

    async def look_again(self, lane: Lane) -> None:
        """Forget the keys that are in order by now. Raises as `lane` does."""
        for key, finding in list(self._findings.items()):
            held = kind = await lane.ask(b"TYPE", key)
            if kind == b"string":
                held = await lane.ask(b"GETRANGE", key, b"0", b"%d" % _BEGINNING)
            if finding.held is None:
                finding.held = held
            if kind in (b"none", finding.wanted) or held != finding.held:
                self._findings.pop(key, None)

    def _add(self, key: bytes, sentence: str, wanted: bytes = b"") -> None:
        if key not in self._findings and len(self._findings) < MOST:
            sentence = named(sentence, self._store)
            self._findings[key] = _Finding(sentence, wanted)
            logger.warning(sentence)
