"""What a seed decides before anything happens: sizes, settings, and the plan of faults."""

from __future__ import annotations

from random import Random
from typing import Literal

from msgspec import Struct, structs

from actors.limits import Limits
from actors.timing import Timing

HubFault = Literal["kill", "vanish", "stop", "drain", "isolate", "stall", "trouble"]
StoreFault = Literal[
    "store stops",
    "store crashes",
    "store forgets",
    "store rolls back",
    "store goes back",
    "store is far",
]
OtherFault = Literal["connections drop", "slow network"]
Kind = HubFault | StoreFault | OtherFault

HUB_FAULTS: tuple[HubFault, ...] = (
    "kill",
    "vanish",
    "stop",
    "drain",
    "isolate",
    "stall",
    "trouble",
)
STORE_FAULTS: tuple[StoreFault, ...] = (
    "store stops",
    "store crashes",
    "store forgets",
    "store rolls back",
    "store is far",
)
KINDS: tuple[Kind, ...] = (*HUB_FAULTS, *STORE_FAULTS, "connections drop", "slow network")


HOLD = 8.0
"""Seconds for which agents that were lost at once are held."""


class Planned(Struct, frozen=True):
    """A fault that begins at `at` and lasts for `lasts` seconds; `hub` is a number."""

    at: float
    lasts: float
    kind: Kind
    hub: int
    share: float
    """How much of it: of connections that drop, of requests in trouble."""


class Deed(Struct, frozen=True):
    """Something that an agent or a watcher does, or that befalls it."""

    at: float
    what: Literal["leave", "die", "vanish", "hang", "restart", "move", "turn"]
    number: int


class Scenario(Struct, frozen=True, kw_only=True):
    """Everything a seed decides in advance. Times are in seconds of virtual time."""

    hubs: int
    agents: int
    callers: int
    watchers: int
    timings: list[Timing]
    """Of each hub; mostly they are all the same."""
    crashes_every: float = 0.0
    """Seconds between two agents that come and crash at once; 0 for none."""
    deployed: int = 0
    """Agents that are killed at `deployed_at`, each for another one of its name and type."""
    deployed_at: float = 0.0
    active: float
    calm: float
    limits: Limits
    trim_to: int | None
    skew: float
    work_cost: float
    """Seconds that each step of queries' work takes; 0: none."""
    faults: list[Planned]
    deeds: list[Deed]


def scenario_of(seed: int) -> Scenario:
    """The scenario of a seed."""
    random = Random(f"scenario {seed}")
    timing = _timing(random)
    large = random.random() < 0.04
    agents = random.randint(60, 150) if large else random.randint(4, 22)
    callers = random.randint(10, 50) if large else random.randint(2, 8)
    watchers = random.randint(3, 6)
    hubs = random.choice([2, 2, 3, 3, 3, 4])
    active = 22.0 if large else random.uniform(25.0, 60.0)
    unseen = _unseen_loss(seed, active)
    # One such thing a seed: few seeds have the one or the other.
    timings = [timing] * hubs if unseen else _timings(Random(f"times {seed}"), timing, hubs)
    longest = 10.0 + timing.resume_window
    longest += max(each.heartbeat_timeout for each in timings)
    longest += max(each.lease_ttl for each in timings)
    scenario = Scenario(
        hubs=hubs,
        agents=agents,
        callers=callers,
        watchers=watchers,
        timings=timings,
        active=active,
        calm=longest + HOLD + 25.0,
        limits=Limits(
            log_length=random.choice([5, 50, 1000, 1000, 1000]),
            max_log_bytes=Random(f"bytes {seed}").choice([1, 5_000, 2**20, 2**20]),
        ),
        trim_to=random.choice([None, None, None, 30]),
        work_cost=Random(f"work {seed}").choice([0.0, 0.0, 0.0, 0.0003]),
        skew=random.choice([0.0, 0.0, 0.0, 0.3]),
        faults=_faults(random, hubs, active) + unseen,
        deeds=_deeds(random, agents, callers, watchers, active),
    )
    # Faults give agents more time: what is held is judged where there are none.
    if scenario.faults:
        return scenario
    deploying = Random(f"deploying {seed}")
    return structs.replace(
        scenario,
        crashes_every=_crashes_every(Random(f"crashes {seed}")),
        deployed=deploying.randint(20, 40),
        deployed_at=deploying.uniform(8.0, 14.0),
    )


def _timing(random: Random) -> Timing:
    interval = random.uniform(3.0, 5.0)
    timeout = interval * random.uniform(1.5, 2.2)
    # Usually long enough that hubs can take over from a dead one before entries run out.
    lease_ttl = random.uniform(18.0, 20.0) if random.random() < 0.85 else timeout * 1.3
    return Timing(
        heartbeat_interval=interval,
        heartbeat_timeout=timeout,
        lease_ttl=lease_ttl,
        resume_window=random.uniform(0.5, 4.0),
        loss_hold=HOLD,
    )


def _timings(random: Random, timing: Timing, hubs: int) -> list[Timing]:
    """Now and then each hub has its own times."""
    if random.random() >= 0.2:
        return [timing] * hubs
    timings = []
    for _ in range(hubs):
        factor = random.choice([0.6, 1.0, 1.8])
        timeout = timing.heartbeat_timeout * factor
        timings.append(
            structs.replace(
                timing,
                heartbeat_interval=timing.heartbeat_interval * factor,
                heartbeat_timeout=timeout,
                lease_ttl=max(timing.lease_ttl, timeout * 1.3),
            )
        )
    return timings


def _crashes_every(random: Random) -> float:
    return random.uniform(0.3, 0.6) if random.random() < 0.7 else 0.0


def _faults(random: Random, hubs: int, active: float) -> list[Planned]:
    """Nothing, one kind again and again, or anything at once."""
    style = random.random()
    if style < 0.08:
        return []
    count = random.randint(1, 3) if style < 0.5 else random.randint(2, 8)
    kinds = [random.choice(KINDS)] if style < 0.5 else KINDS
    faults = [
        Planned(
            at=random.uniform(3.0, active),
            lasts=random.choice([0.1, 0.5, 1.5, 3.0, 6.0, 12.0]) * random.uniform(0.5, 1.5),
            kind=random.choice(kinds),
            hub=random.randrange(hubs),
            share=random.choice([0.2, 0.5, 1.0]),
        )
        for _ in range(count)
    ]
    return sorted(faults, key=lambda each: each.at)


def _unseen_loss(seed: int, active: float) -> list[Planned]:
    """Now and then the store comes back older while all hubs are dead.

    Decided apart, so that all else of a seed is as it was before there was this fault.
    """
    random = Random(f"unseen loss {seed}")
    if random.random() > 0.2:
        return []
    at, lasts = random.uniform(6.0, active), random.choice([0.2, 1.0, 4.0])
    return [Planned(at=at, lasts=lasts, kind="store goes back", hub=0, share=1.0)]


def _deeds(random: Random, agents: int, callers: int, watchers: int, active: float) -> list[Deed]:
    deeds = []
    for number in range(agents + callers):
        if random.random() < 0.5:
            what = random.choice(["leave", "die", "vanish", "hang", "restart", "move", "move"])
            deeds.append(Deed(random.uniform(2.0, active), what, number))
    for number in range(watchers):
        deeds += [
            Deed(random.uniform(2.0, active), "turn", number) for _ in range(random.randrange(4))
        ]
    return sorted(deeds, key=lambda each: each.at)
