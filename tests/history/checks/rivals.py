"""Programs of one identity: they come to rest, and an exclusive one takes no living one's place."""

from __future__ import annotations

from collections import defaultdict

from actors.rules.takeovers import TAKEOVERS, WINDOW
from tests.history.logs import REMOVALS, by_agent, logs_of, troubled
from tests.history.recorded import Ask, History, Session, Slack

HEARD = 0.1
"""Seconds after which other hubs have heard of a registration, if nothing hinders."""

LATE = 5.0
"""Seconds by which an answer may come later than a hub counted."""

FENCED = 4409


def takeovers_come_to_rest(history: History, slack: Slack) -> list[str]:
    """At no hub an identity is taken from living sessions more than twice within a minute.

    As long as nothing is done to the cluster: a hub that starts again counts anew.
    """
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for ask in history.asks:
        if ask.op == "register" and ask.session is not None and _takes_over(history, ask):
            assert ask.answered is not None
            times[ask.agent_id, ask.hub].append(ask.answered)
    wrong = []
    for (agent_id, hub), each in times.items():
        each.sort()
        for first, third in zip(each, each[TAKEOVERS:], strict=False):
            if third - first < WINDOW - LATE and not troubled(history, first, third):
                wrong.append(
                    f"{agent_id} was taken over at {hub} more than {TAKEOVERS} times from "
                    f"{first:.3f} to {third:.3f}"
                )
    return wrong


def _takes_over(history: History, ask: Ask) -> bool:
    """Whether a session was fenced off by this registration that its hub had heard of."""
    if not ask.acknowledged:
        return False
    older = [
        each
        for each in history.sessions
        if each.agent_id == ask.agent_id and each.joined is not None and each.epoch < ask.given
    ]
    victim: Session | None = max(older, key=lambda each: each.epoch, default=None)
    if victim is None or victim.code != FENCED:
        return False
    assert victim.joined is not None
    assert victim.closed is not None
    return victim.joined + HEARD < ask.said < victim.closed


def exclusive_takes_nothing(history: History, slack: Slack) -> list[str]:
    """In the log, an exclusive registration follows on no living one of its agent.

    So of several at once only one is granted. Where something is done to the cluster, what lives
    is not always in the log.
    """
    logs = {log: by_agent(entries) for log, entries in logs_of(history).items()}
    wrong = []
    for ask in history.asks:
        if not (ask.op == "register" and ask.acknowledged and ask.says.get("exclusive")):
            continue
        assert ask.answered is not None
        entries = logs.get(ask.log, {}).get(ask.agent_id, [])
        before = [entry for entry in entries if entry.revision < ask.revision]
        if not before or before[-1].kind in REMOVALS:
            continue
        agent = before[-1].agent
        lives = agent.health.connection != "lost" and agent.status != "unreachable"
        if lives and not troubled(history, ask.said, ask.answered):
            wrong.append(
                f"{ask.agent_id}: the exclusive registration {ask.revision} of {ask.log} took the "
                f"place of {before[-1].revision}, which lived"
            )
    return wrong
