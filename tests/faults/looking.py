"""A thread that keeps reading a hub's directory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from homeport_protocol.record import AgentRecord
from tests.history.recorded import Found, History, Living
from tests.support.hub_process import Hub
from tests.support.wire import Wire

EVERY = 0.2


class Eye:
    """Reads one hub's whole directory again and again; `latest` is the newest reading.

    A hub that is stopped or dead shows nothing. `trouble` says why there is no newer reading.
    """

    def __init__(self, name: str, hub: Hub, namespace: str, take: Callable[[Found], None]) -> None:
        self.latest: Found | None = None
        self.trouble = "nobody has looked"
        self._name = name
        self._hub = hub
        self._namespace = namespace
        self._take = take
        self._wire: Wire | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _look_on(self) -> None:
        while not self._over.wait(EVERY):
            try:
                self.latest = self._read()
                self._take(self.latest)
                self.trouble = ""
            except (AssertionError, OSError) as error:
                self.trouble = f"{self._name} does not answer: {error}"
                self._drop()
        self._drop()

    def _drop(self) -> None:
        if self._wire is not None:
            self._wire.drop()
            self._wire = None

    def _read(self) -> Found:
        if self._wire is None:
            self._wire = Wire(self._hub.url, namespace=self._namespace)
        answer = self._wire.ask("find", limit=10_000)
        assert answer["op"] == "agents", answer
        return Found(
            at=time.monotonic(),
            hub=self._name,
            log=answer["log"],
            revision=answer["revision"],
            agents=msgspec.convert(answer["agents"], list[AgentRecord]),
        )


def missing(found: Found, living: list[Living]) -> list[str]:
    """Who is not there, or not well, of those who should be."""
    shown = {record.id: record for record in found.agents}
    words = []
    for each in living:
        record = shown.get(each.agent_id)
        if record is None:
            words.append(f"{each.agent_id} ({each.way}) is not at {found.hub}")
        elif (record.status, record.health.connection) != ("healthy", each.way):
            health = record.health
            seen = f"{record.status}, {health.connection}, {health.reason}"
            words.append(f"{record.name} at {found.hub} is {seen}")
    return words


def back_at(history: History, begin: float) -> float:
    """When the last agent had a session again, and was found well at every hub that answered.

    `begin` is when the fault began; who was well all the time was back then.
    """
    living = {each.agent_id for each in history.living}
    back = begin
    for session in history.sessions:
        if session.agent_id in living and session.joined is not None:
            back = max(back, session.joined)
    for hub in {found.hub for found in history.found}:
        readings = [each for each in history.found if each.hub == hub and each.at >= begin]
        bad = [n for n, each in enumerate(readings) if missing(each, history.living)]
        if bad and bad[-1] + 1 < len(readings):
            back = max(back, readings[bad[-1] + 1].at)
    return back
