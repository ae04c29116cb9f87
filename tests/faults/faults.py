"""The faults: what is done to a scene, and what must hold of it beyond what always must."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Literal

from msgspec import Struct

from tests.faults.cluster import TERMS, side_by_side
from tests.faults.scene import Scene
from tests.faults.stores import revision_at

SHORT = 3.0
"""Seconds that most faults last."""

LAPSE = TERMS.hub_lease + TERMS.resume_window
"""Seconds after which a hub that is away has been judged dead, and its agents."""

FEW, MANY = 6, 14
"""Agents; the guard against mass loss holds removal from 10 on."""

SLACK = 15.0
"""Seconds by which a busy machine may be late with what has a deadline."""


class FaultPlan(Struct, frozen=True):
    """A fault. `do` injects it and returns when it is over.

    `blameless`: no living agent may ever be told unreachable for it. `mortal`: so many agents
    there must be that it may kill. `store`: the kind of store it takes. `apart`: it does
    nothing to hubs, store and network, and may go on at the same time as others. `long`: only the
    long form does it.
    """

    name: str
    what: str
    do: Callable[[Scene], None]
    blameless: bool = True
    mortal: int = 0
    store: Literal["server", "sentinel", "cluster"] = "server"
    apart: bool = False
    long: bool = False


def _any_hub(scene: Scene) -> str:
    return random.choice(sorted(scene.cluster.hubs))


def kill_hub(scene: Scene) -> None:
    """kill -9, and a start again after a while."""
    name = _any_hub(scene)
    with scene.fault("killed", name):
        scene.cluster.hubs[name].kill()
        time.sleep(SHORT)
        scene.cluster.restart(name)


def bury_hub(scene: Scene) -> None:
    """kill -9 of a hub and of agents at once; the others judge what it left, and go on alone."""
    assert scene.mortal is not None
    name = _any_hub(scene)
    with scene.fault("killed", name):
        scene.mortal.kill()
        scene.cluster.hubs[name].kill()
        scene.wait_until_gone(scene.dead(), LAPSE + TERMS.lease_ttl + SLACK, besides=name)
        scene.cluster.restart(name)


def kill_all_hubs(scene: Scene) -> None:
    """kill -9 of every hub at once; then they start again."""
    with ExitStack() as faults:
        for name, hub in scene.cluster.hubs.items():
            faults.enter_context(scene.fault("killed", name))
            hub.kill()
        time.sleep(random.uniform(0.0, SHORT / 2))
        side_by_side([partial(scene.cluster.restart, name) for name in scene.cluster.hubs])


def lose_unseen(scene: Scene) -> None:
    """kill -9 of every hub and the store, whose file has lost its end: nobody is left who knows."""
    store = scene.cluster.store
    with ExitStack() as faults:
        loss = faults.enter_context(scene.loss())
        size = store.size()
        time.sleep(1.0)
        faults.enter_context(scene.fault("away", "store"))
        for name, hub in scene.cluster.hubs.items():
            faults.enter_context(scene.fault("killed", name))
            hub.kill()
        loss.at, loss.unseen = time.monotonic(), True
        store.kill()
        store.truncate(size)
        store.start()
        loss.kept = revision_at(store.client(scene.prefix), scene.prefix)
        side_by_side([partial(scene.cluster.restart, name) for name in scene.cluster.hubs])


def kill_hub_and_store(scene: Scene) -> None:
    """kill -9 of a hub and of the store, which keeps its data; both start again."""
    name = _any_hub(scene)
    with scene.fault("killed", name), scene.fault("away", "store"):
        scene.cluster.store.kill()
        scene.cluster.hubs[name].kill()
        time.sleep(SHORT)
        scene.cluster.store.start()
        scene.cluster.restart(name)


def pause_hub(scene: Scene) -> None:
    """SIGSTOP and SIGCONT of a hub, several times, for less than its lease."""
    name = _any_hub(scene)
    for _ in range(3):
        with scene.fault("stopped", name):
            scene.cluster.hubs[name].suspend()
            time.sleep(random.uniform(0.5, SHORT + 1.0))
            scene.cluster.hubs[name].wake()
        time.sleep(random.uniform(0.0, 1.0))


def stop_hub(scene: Scene) -> None:
    """SIGSTOP until its lease has lapsed, and SIGCONT: it must find that others went on."""
    name = _any_hub(scene)
    hub = scene.cluster.hubs[name]
    with scene.fault("stopped", name):
        hub.suspend()
        time.sleep(TERMS.hub_lease + 1.0)
        hub.wake()


def restart_hubs(scene: Scene) -> None:
    """SIGTERM and a start again, one hub after the other."""
    for name, hub in scene.cluster.hubs.items():
        with scene.fault("killed", name):
            hub.signal(signal.SIGTERM)
            hub.wait(15)
            scene.cluster.restart(name)


def kill_agents(scene: Scene) -> None:
    """kill -9 of agents: they must be told unreachable, and removed everywhere."""
    assert scene.mortal is not None
    scene.mortal.kill()
    scene.wait_until_gone(scene.dead(), TERMS.resume_window + TERMS.lease_ttl + SLACK)


def lose_agents(scene: Scene) -> None:
    """kill -9 of so many agents that their removal is held; until somebody acknowledges it."""
    assert scene.mortal is not None
    scene.mortal.kill()
    dead = scene.dead()
    time.sleep(TERMS.resume_window + TERMS.lease_ttl + 2.0)
    scene.wait_until_shown(dead, SLACK)
    scene.acknowledge_loss(_any_hub(scene))
    scene.wait_until_gone(dead, SLACK)


def stop_agents(scene: Scene) -> None:
    """SIGSTOP of agents for longer than silence is borne, and SIGCONT."""
    assert scene.mortal is not None
    scene.mortal.suspend()
    scene.exempt(scene.mortal)
    time.sleep(TERMS.heartbeat_timeout + 1.0)
    scene.mortal.wake()


def kill_store(scene: Scene) -> None:
    """kill -9 of the store; its data is there when it comes back."""
    with scene.fault("away", "store"):
        scene.cluster.store.kill()
        time.sleep(SHORT)
        scene.cluster.store.start()


def empty_store(scene: Scene) -> None:
    """kill -9 of the store, which has forgotten everything when it comes back."""
    with scene.fault("away", "store"), scene.loss():
        scene.cluster.store.kill(forget=True)
        time.sleep(SHORT)
        scene.cluster.store.start()


def stop_store(scene: Scene) -> None:
    """SIGSTOP of the store, for longer than commands wait."""
    with scene.fault("away", "store"):
        scene.cluster.store.suspend()
        time.sleep(SHORT + 2.0)
        scene.cluster.store.wake()


def stop_store_long(scene: Scene) -> None:
    """SIGSTOP of the store until every hub's lease has lapsed."""
    with scene.fault("away", "store"):
        scene.cluster.store.suspend()
        time.sleep(LAPSE + 2.0)
        scene.cluster.store.wake()


def cut_store_ways(scene: Scene) -> None:
    """Every connection between hubs and the store is reset, again and again."""
    with scene.fault("cut", "store"):
        for _ in range(10):
            scene.cluster.store_ways[_any_hub(scene)].cut()
            time.sleep(random.uniform(0.1, 0.5))


def fail_over(scene: Scene) -> None:
    """kill -9 of the primary; its replica takes over, and had heard of nearly everything."""
    with scene.fault("away", "store"), scene.loss() as loss:
        loss.kept = scene.cluster.store.fail_over(scene.prefix, unreplicated=0.0)


def fail_over_behind(scene: Scene) -> None:
    """kill -9 of the primary; its replica takes over without the last acknowledged changes."""
    with scene.fault("away", "store"), scene.loss() as loss:
        loss.kept = scene.cluster.store.fail_over(scene.prefix, unreplicated=1.0)


def slow_network(scene: Scene) -> None:
    """Everything between agents, hubs and the store takes long."""
    cluster = scene.cluster
    with scene.fault("slow", "network"):
        for way in cluster.ways.values():
            way.slow(0.2)
        for way in cluster.store_ways.values():
            way.slow(0.05)
        time.sleep(SHORT + 3.0)
        cluster.network.heal()


def half_open_network(scene: Scene) -> None:
    """Between a hub and its agents nothing arrives any more, and no connection ends."""
    name = _any_hub(scene)
    with scene.fault("half open", "network"):
        scene.cluster.ways[name].stall()
        time.sleep(TERMS.heartbeat_timeout + 2.0)
        scene.cluster.network.heal()


def cut_network(scene: Scene) -> None:
    """Every connection between a hub and its agents is reset, several times."""
    name = _any_hub(scene)
    for _ in range(3):
        with scene.fault("cut", name):
            scene.cluster.ways[name].cut()
        time.sleep(1.0)


def isolate_hub(scene: Scene) -> None:
    """Between one hub and the store nothing arrives, until its lease has lapsed."""
    name = _any_hub(scene)
    with scene.fault("isolated", name):
        scene.cluster.store_ways[name].stall()
        time.sleep(LAPSE + 1.0)
        scene.cluster.network.heal()


def duplicate_sessions(scene: Scene) -> None:
    """Old sessions' messages arrive late, and are said again, after newer ones have begun."""
    first = min(scene.cluster.hubs)
    scene.duplicate("join")
    with scene.fault("half open", "network"):
        scene.cluster.ways[first].stall()
        scene.duplicate("speak")
        scene.cluster.network.heal()
    scene.duplicate("listen")


def several(scene: Scene) -> None:
    """Three of the others at random, one after the other, with no time to recover in between."""
    for do in random.sample(MIXED, 3):
        do(scene)


MIXED = [
    kill_hub,
    kill_all_hubs,
    kill_hub_and_store,
    pause_hub,
    stop_hub,
    restart_hubs,
    kill_store,
    empty_store,
    stop_store,
    cut_store_ways,
    slow_network,
    half_open_network,
    cut_network,
    isolate_hub,
]

FAULTS: dict[str, FaultPlan] = {
    plan.name: plan
    for plan in (
        FaultPlan("hub-killed", "kill -9 of a hub", kill_hub),
        FaultPlan(
            "hub-and-agents-killed",
            "kill -9 of a hub and of agents; it stays away",
            bury_hub,
            mortal=FEW,
        ),
        FaultPlan("hub-stopped", "SIGSTOP of a hub beyond its lease", stop_hub),
        FaultPlan("hubs-restarted", "SIGTERM of each hub in turn", restart_hubs),
        FaultPlan("all-hubs-killed", "kill -9 of all hubs", kill_all_hubs, long=True),
        FaultPlan("hub-paused", "SIGSTOP of a hub within its lease", pause_hub, long=True),
        FaultPlan("agents-killed", "kill -9 of agents", kill_agents, mortal=FEW, apart=True),
        FaultPlan(
            "agents-lost",
            "kill -9 of so many agents that removal is held",
            lose_agents,
            mortal=MANY,
            apart=True,
        ),
        FaultPlan(
            "agents-stopped",
            "SIGSTOP of agents beyond the timeout",
            stop_agents,
            mortal=FEW,
            apart=True,
        ),
        FaultPlan("store-killed", "kill -9 of Redis, restart with data", kill_store),
        FaultPlan("store-emptied", "kill -9 of Redis, restart without data", empty_store),
        FaultPlan(
            "store-older",
            "kill -9 of all hubs and Redis, which lacks the last second",
            lose_unseen,
        ),
        FaultPlan("store-stopped", "SIGSTOP of Redis", stop_store),
        FaultPlan(
            "store-stopped-long",
            "SIGSTOP of Redis beyond all leases",
            stop_store_long,
            long=True,
        ),
        FaultPlan("store-cut", "connections to Redis reset", cut_store_ways, long=True),
        FaultPlan(
            "hub-and-store-killed", "kill -9 of a hub and Redis", kill_hub_and_store, long=True
        ),
        FaultPlan("several", "three of these in a row", several, blameless=False, long=True),
        FaultPlan("failover", "kill -9 of the primary under Sentinel", fail_over, store="sentinel"),
        FaultPlan(
            "failover-behind",
            "the same, and the replica lacks the last second",
            fail_over_behind,
            store="sentinel",
        ),
        FaultPlan(
            "failover-cluster",
            "kill -9 of the namespace's primary in a Redis Cluster",
            fail_over,
            store="cluster",
            long=True,
        ),
        FaultPlan("slow-network", "agents, hubs and Redis far apart", slow_network),
        FaultPlan(
            "half-open-network",
            "silence between a hub and its agents",
            half_open_network,
            blameless=False,
        ),
        FaultPlan("cut-network", "connections of a hub reset", cut_network),
        FaultPlan("hub-isolated", "silence between a hub and Redis", isolate_hub, blameless=False),
        FaultPlan(
            "duplicate-sessions", "old sessions' messages after newer ones", duplicate_sessions
        ),
    )
}
