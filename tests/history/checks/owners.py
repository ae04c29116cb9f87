"""Principals and their agents: an agent never changes hands before its end."""

from __future__ import annotations

from msgspec import UNSET

from tests.history.logs import REMOVALS, by_agent, logs_of
from tests.history.recorded import Entry, History, Slack

CLAIMED_BY = "claimed_by"
"""The key of metadata under which claimants of an identity say for which principal they speak."""


def owners_keep_their_agents(history: History, slack: Slack) -> list[str]:
    """A registration has one owner for ever, and no other principal's follows before its end.

    And what a principal says of an agent is in the log only if the agent belongs to it. Where the
    store lost changes, the log does not show all ends.
    """
    wrong: list[str] = []
    owners: dict[tuple[str, str], str] = {}
    lossy = {loss.log for loss in history.losses}
    for log, entries in logs_of(history).items():
        for agent_id, lives in by_agent(entries).items():
            wrong += _told_wrongly(owners, lives)
            if log not in lossy and not history.ran_out.get(agent_id):
                wrong += _taken(lives)
    return wrong


def _told_wrongly(owners: dict[tuple[str, str], str], lives: list[Entry]) -> list[str]:
    wrong = []
    for entry in lives:
        agent = entry.agent
        registration = agent.id, agent.registered_at
        where = f"in {entry.log} at {entry.revision}"
        if entry.kind == "registered" and entry.owner is not None:
            first = owners.setdefault(registration, entry.owner)
            if first != entry.owner:
                wrong.append(f"{agent.id} of {first!r} was put back as {entry.owner!r}'s {where}")
        claimed = None if agent.metadata is UNSET else agent.metadata.get(CLAIMED_BY)
        owner = owners.get(registration)
        if claimed is not None and owner is not None and claimed != owner:
            wrong.append(f"{agent.id} of {owner!r} says what {claimed!r} said {where}")
    return wrong


def _taken(lives: list[Entry]) -> list[str]:
    wrong, owner = [], ""
    for entry in lives:
        if entry.kind in REMOVALS:
            owner = ""
        elif entry.kind == "registered" and entry.owner is not None:
            if owner not in ("", entry.owner):
                wrong.append(
                    f"{entry.agent.id} of {owner!r} was taken by {entry.owner!r} in {entry.log} "
                    f"at {entry.revision}"
                )
            owner = entry.owner
    return wrong
