"""Checks, for several scenarios, of agents and watchers that outlive a hub."""

from __future__ import annotations

from collections.abc import Mapping

from agent_client import AgentRecord
from bench.peers.client_fleet import Session
from bench.peers.watcher import Watcher
from bench.results.report import Report


def judge_sessions(
    report: Report, before: Mapping[str, Session], after: Mapping[str, Session], whose: str = ""
) -> None:
    """Check that each of these agents resumed by itself."""
    strange = [
        agent_id
        for agent_id, session in before.items()
        if agent_id not in after
        or not after[agent_id].resumed
        or after[agent_id].epoch <= session.epoch
    ]
    report.none(
        f"every agent{whose} resumed by itself, under its id and a higher epoch",
        strange,
        "" if strange else f"{len(before):,} of {len(before):,}",
    )


def judge_directory(
    report: Report, agents: set[str], directory: Mapping[str, AgentRecord], hubs: set[str]
) -> None:
    """Check that all are there, healthy, and owned by one of these hubs."""
    missing = [agent_id for agent_id in agents if agent_id not in directory]
    report.none("every agent is in the directory", missing)
    judge_health(report, agents, directory)
    elsewhere = [r.name for r in directory.values() if r.id in agents and r.hub not in hubs]
    report.none(f"held by {' or '.join(sorted(hubs))}", elsewhere)


def judge_health(report: Report, agents: set[str], directory: Mapping[str, AgentRecord]) -> None:
    """Check that those of them that are there are healthy and connected."""
    unwell = [
        f"{record.name}: {record.status}, {record.health.connection} at {record.hub}"
        for record in directory.values()
        if record.id in agents
        and (record.status, record.health.connection) != ("healthy", "websocket")
    ]
    report.none("every one of them is healthy and connected", unwell)


def judge_watch(
    report: Report, watcher: Watcher, agents: set[str], who: str = "it", whose: str = ""
) -> None:
    """Check that a watcher heard everything, and of the return of each of the agents."""
    report.none(f"no revision was missing to {who}", watcher.gaps())
    report.none(f"none was ever unreachable to it{whose}", watcher.ever_unreachable())
    returned = watcher.ids("resumed")
    report.check(
        f"it was told of every agent's return{whose}",
        returned >= agents,
        f"{len(returned & agents):,}",
    )
