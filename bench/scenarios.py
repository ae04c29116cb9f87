"""All scenarios there are, by group. A new one is imported here and put in its group's list."""

from __future__ import annotations

from msgspec import Struct

from bench.abuse import abuse
from bench.costs import costs
from bench.faults import (
    agent_death,
    cluster_lag,
    failover,
    fairness,
    fleet,
    outgrow,
    redis_stop,
    restart,
    rolling,
    silence,
)
from bench.faults.soak import soak
from bench.scenario import Scenario
from bench.speed import auth, death, fanout, find, growth, heartbeats, http, hubs, memory, storm


class Group(Struct, frozen=True):
    """Scenarios that are alike, which can be run by one name."""

    name: str
    title: str
    scenarios: tuple[Scenario, ...]


GROUPS = (
    Group(
        "speed",
        "how fast the hub is, against a baseline measured in the same rounds",
        (
            heartbeats.run,
            storm.run,
            auth.run,
            memory.run,
            find.run,
            http.run,
            fanout.run,
            death.run,
            growth.run,
            hubs.run,
        ),
    ),
    Group(
        "faults",
        "what must hold, whatever dies or stops",
        (
            restart.run,
            fleet.run,
            silence.run,
            agent_death.run,
            redis_stop.run,
            outgrow.run,
            failover.run,
            rolling.run,
            cluster_lag.run,
            fairness.run,
            soak.run,
        ),
    ),
    Group(
        "abuse",
        "attacks: what they cost the hub, and that honest agents hardly notice",
        abuse.SCENARIOS,
    ),
    Group(
        "costs",
        "what things cost, to plan with",
        (costs.run,),
    ),
)

SCENARIOS = {each.name: each for group in GROUPS for each in group.scenarios}


def named(name: str) -> tuple[Scenario, ...]:
    """The scenarios that a name on the command line means: one, a group, or `all`; else none."""
    if name == "all":
        return tuple(SCENARIOS.values())
    for group in GROUPS:
        if group.name == name:
            return group.scenarios
    return (SCENARIOS[name],) if name in SCENARIOS else ()
