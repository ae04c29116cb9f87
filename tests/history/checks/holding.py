"""What is held after a mass loss is bounded, ends, and is really missed."""

from __future__ import annotations

from homeport_protocol.record import AgentRecord
from homeport_protocol.timestamps import parse_timestamp
from tests.history.recorded import Found, History, Slack

CHECKED_EVERY = 1.0
"""Seconds in which a hub that is there removes an agent whose time is over."""

WITHIN = 60.0
"""Seconds before or after a loss in which a successor registers."""

FEW = 10
"""Agents that may be held even where fewer were reachable."""


def held_in_bounds(history: History, slack: Slack) -> list[str]:
    """No agent outlives its lease by more than `hold`, and no more of them than were reachable.

    Judged where there are no faults, since those give agents more time, by what hubs showed.
    """
    hold = history.terms.hold
    if hold is None or history.faults:
        return []
    wrong = []
    most: dict[str, int] = {}
    for found in sorted(history.found, key=lambda each: each.at):
        reachable = sum(each.status != "unreachable" for each in found.agents)
        most[found.hub] = max(most.get(found.hub, 0), reachable)
        held = [each for each in found.agents if _outlived(history, found, each) > 0]
        if len(held) > max(FEW, most[found.hub]):
            wrong.append(
                f"{len(held)} are held at {found.hub} at {found.at:.3f}, and at most "
                f"{most[found.hub]} were reachable"
            )
        wrong += [
            f"{each.id} is held at {found.hub} at {found.at:.3f} without an end"
            for each in held
            if _outlived(history, found, each) > hold + slack.clock
        ]
    return wrong


def replaced_are_not_held(history: History, slack: Slack) -> list[str]:
    """No agent is held while another one of its name and type stands for it.

    Judged where there are no faults, and where the agent is the only lost one of its name and type:
    each new agent stands for one.
    """
    if history.faults:
        return []
    wrong = []
    for found in history.found:
        for held in (each for each in found.agents if each.id in found.held):
            role = [
                each for each in found.agents if (each.name, each.type) == (held.name, held.type)
            ]
            lost_at = parse_timestamp(held.health.since)
            wrong += [
                f"{held.id} is held at {found.hub} at {found.at:.3f}, and {each.id} stands for it"
                for each in role
                if each.status != "unreachable"
                and abs(parse_timestamp(each.registered_at) - lost_at) < WITHIN
                and sum(each.status == "unreachable" for each in role) == 1
            ]
    return wrong


def _outlived(history: History, found: Found, record: AgentRecord) -> float:
    """Seconds by which the agent's lease was over when it was shown; negative before that."""
    if record.status != "unreachable":
        return -1.0
    since = parse_timestamp(record.health.since) - history.wall_offset
    return found.at - since - history.terms.lease_ttl - CHECKED_EVERY
