"""What an agent's actor is made of, for the modules that say what it does."""

from __future__ import annotations

from typing import Protocol

from actors.agent.ask_queue import AskQueue
from actors.agent.context import AgentContext
from actors.agent.monitor import Monitor
from actors.agent.record_writer import RecordWriter


class AgentParts(Protocol):
    """The parts that hold the state of one agent's actor."""

    @property
    def context(self) -> AgentContext: ...

    @property
    def asks(self) -> AskQueue: ...

    @property
    def writer(self) -> RecordWriter: ...

    @property
    def monitor(self) -> Monitor: ...
