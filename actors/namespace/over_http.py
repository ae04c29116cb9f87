"""Asks over HTTP, which come without a session, and may come to any hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from actors.agent.outcomes import Outcome, Reply
from actors.agent.ref import AgentRef
from homeport_protocol.errors import ProtocolError

_MAYBE_OUTDATED = ("conflict", "fenced", "forbidden", "not_found", "unauthorized")
"""Refusals that a newer registration, unknown here yet, may make wrong."""


class Locator(Protocol):
    """What an ask needs of its namespace; `Supervisor` implements it."""

    @property
    def alone(self) -> bool: ...

    def locate(
        self,
        agent_id: str,
        found: Callable[[AgentRef | ProtocolError | None], None],
        *,
        current: bool = False,
    ) -> None: ...

    def find_foreign(self, agent_id: str, found: Callable[[AgentRef | None], None]) -> None: ...


def ask_over_http(
    locator: Locator,
    agent_id: str,
    ask: Callable[[AgentRef, Reply], None],
    reply: Reply,
    *,
    unknown: Callable[[], Outcome],
) -> None:
    """Ask an agent something; `unknown` is the answer when it does not exist.

    A refusal may be due to an older registration than the one that the caller has just made at
    another hub. Then everything durable is folded, and the agent is asked once more. An agent that
    another program has just registered in the store is taken in first.
    """

    def locate(*, current: bool) -> None:
        def found(agent: AgentRef | ProtocolError | None) -> None:
            if isinstance(agent, AgentRef):
                ask(agent, reply if current else answered)
            elif agent is None:
                locator.find_foreign(agent_id, found_foreign)
            else:
                reply(agent)

        def found_foreign(agent: AgentRef | None) -> None:
            if agent is None:
                reply(unknown())
            else:
                ask(agent, reply)

        locator.locate(agent_id, found, current=current)

    def answered(outcome: Outcome) -> None:
        if isinstance(outcome, ProtocolError) and outcome.code in _MAYBE_OUTDATED:
            locate(current=True)
        else:
            reply(outcome)

    locate(current=locator.alone)
