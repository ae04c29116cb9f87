"""What was found in Redis that no hub wrote, for the log and for `/ready`."""

from __future__ import annotations

from hub.store.backends.lane import Lane
from hub.telemetry import logs

MOST = 100
"""Keys that are told of; beyond them nothing is."""

logger = logs.get("hub.store")


def shown(key: bytes) -> str:
    """A key as people read it, shortened."""
    text = key.decode(errors="backslashreplace")
    return text if len(text) <= 120 else text[:120] + "…"


class Findings:
    """Sentences by the key that each is about, until the key is in order or gone."""

    def __init__(self) -> None:
        self._sentences: dict[bytes, tuple[str, bytes]] = {}

    def sentences(self) -> list[str]:
        """One sentence for each key: what was found there, and what to do."""
        return [sentence for sentence, _ in self._sentences.values()]

    def no_record(self, key: bytes, agent_id: str) -> None:
        """The key of an agent's entry holds something else."""
        self._add(
            key,
            f"the Redis key {shown(key)} holds no record of an agent and is left alone: "
            "`homeport repair` sets it aside",
            b'{"id":"%s"' % agent_id.encode(),
        )

    def set_aside(self, key: bytes, name: bytes) -> None:
        """The key held no record, and what it held is under another name now."""
        self._sentences.pop(key, None)
        self._add(
            name,
            f"the Redis key {shown(key)} held no record of an agent and was renamed {shown(name)}: "
            "look at it, then delete it",
        )

    def of_another_type(self, key: bytes, effect: str) -> None:
        """The key holds another type than a hub writes there."""
        self._add(
            key,
            f"the Redis key {shown(key)} holds another type than a hub writes there, and {effect}: "
            "`homeport repair` sets it aside",
        )

    def mended(self, sentence: str) -> None:
        """Something was found and mended; there is no key to look at any more."""
        logger.warning(sentence)

    async def look_again(self, lane: Lane) -> None:
        """Forget what is in order by now. Raises as `lane` does."""
        for key, (_, sound) in list(self._sentences.items()):
            if not await lane.ask(b"EXISTS", key):
                del self._sentences[key]
            elif sound and await lane.ask(b"TYPE", key) == b"string":
                begins = await lane.ask(b"GETRANGE", key, b"0", b"%d" % (len(sound) - 1))
                if begins == sound:
                    del self._sentences[key]

    def _add(self, key: bytes, sentence: str, sound: bytes = b"") -> None:
        if key not in self._sentences and len(self._sentences) < MOST:
            self._sentences[key] = (sentence, sound)
            logger.warning(sentence)
