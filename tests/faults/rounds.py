"""Rounds: one fault done to one scene, judged by the checkers of recorded histories."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
from msgspec import Struct

from tests.faults.cluster import Cluster
from tests.faults.faults import FaultPlan
from tests.faults.looking import back_at
from tests.faults.reading import longest_pause, troubles
from tests.faults.scene import FOUND_LIMIT, Scene
from tests.history.checks import longest_until_found, violations
from tests.history.checks.durability import acknowledged_is_kept, acknowledged_is_logged
from tests.history.logs import logs_of
from tests.history.recorded import History, Slack

BEFORE, AFTER = 1.5, 0.7
"""Seconds of ordinary life before a fault, and after everyone was found again."""

SLACK = Slack(
    clock=0.5,
    lease_renewal=3.0,
    fenced_within=3.0,
    found_within=FOUND_LIMIT,
    answered_within=15.0,
    load_lag=5.0,
    last_seen_lag=8.0,
)
"""Wide enough for a busy machine; the bench measures what is promised for an idle one."""

GOODBYE = 8.0
"""Seconds after which nobody who has said goodbye must be shown."""

PAUSE = 1.0
"""Seconds for which a program may stand still, and its agents be blamed for it: no more."""


class Outcome(Struct, kw_only=True):
    """What became of one round.

    All living agents were well again at every hub `since_begin` seconds after the fault began, and
    `since_end` seconds after it was over (None: they were not).
    """

    fault: str
    acknowledged: int = 0
    lost: list[str] = []
    since_begin: float = 0.0
    since_end: float | None = None
    unreachable: list[str] = []
    wrong: list[str] = []


def play(cluster: Cluster, plan: FaultPlan, directory: Path) -> Outcome:
    """One round; whatever happens, its programs are ended and the cluster is whole again."""
    outcome = Outcome(fault=plan.name)
    scene = Scene(cluster, directory, mortal=plan.mortal)
    before = len(cluster.failures())
    try:
        scene.begin()
        time.sleep(BEFORE)
        scene.struck_at = time.monotonic()
        plan.do(scene)
        scene.calm()
        try:
            scene.wait_until_found()
        except AssertionError as error:
            outcome.wrong.append(str(error))
        time.sleep(AFTER)
        scene.quiet()
        scene.settle()
        _judge(outcome, plan, scene)
        outcome.wrong += _leave(scene)
    except (AssertionError, OSError) as error:
        outcome.wrong.append(f"the round could not be finished: {error}")
    finally:
        scene.end()
        if not plan.apart:
            cluster.repair()
    outcome.wrong += cluster.failures()[before:]
    return outcome


def _judge(outcome: Outcome, plan: FaultPlan, scene: Scene) -> None:
    history = scene.recorded()
    outcome.since_end = longest_until_found(history)
    outcome.since_begin = back_at(history, scene.struck_at) - scene.struck_at
    outcome.acknowledged = sum(
        ask.acknowledged and (ask.op != "heartbeat" or bool(ask.says)) for ask in history.asks
    )
    outcome.lost = lost_changes(history)
    outcome.wrong += [f"lost: {words}" for words in outcome.lost]
    living = {each.agent_id for each in history.living}
    unreachable = {each for each in _unreachable(history) if each in living - scene.silent}
    outcome.unreachable = sorted(unreachable)
    for notes in scene.notes():
        outcome.wrong += troubles(notes)
    stood_still = max(
        longest_pause(notes, scene.struck_at, history.end) for notes in scene.running_notes()
    )
    if plan.blameless and unreachable and stood_still < PAUSE:
        outcome.wrong.append(f"told unreachable, while they lived: {len(unreachable)}")
    outcome.wrong += [f"{each.checker}: {each.words}" for each in violations(history, SLACK)]


def lost_changes(history: History) -> list[str]:
    """Acknowledged changes that are gone, whatever the store lost: their owners put them back.

    Only where no hub lived that knew of them, nobody does.
    """
    unseen = [loss for loss in history.losses if loss.unseen]
    unseen_until = max((loss.at for loss in unseen), default=0.0)
    kept = msgspec.structs.replace(history, losses=unseen)
    wrong = acknowledged_is_kept(kept, SLACK) + acknowledged_is_logged(history, SLACK)
    shown = {each.id: each for found in history.found[-1:] for each in found.agents}
    for living in history.living:
        record = shown.get(living.agent_id)
        if living.way != "http" or record is None:
            continue
        asks = [each for each in history.asks if each.agent_id == living.agent_id and each.says]
        done = [each for each in asks if each.acknowledged and each.said > unseen_until]
        value = (record.metadata or {}).get("value", 0)
        last = max((each.says["value"] for each in done), default=0)
        # Over HTTP, one that nobody answered may arrive late, at the hub that was asked.
        late = {each.says["value"] for each in asks if not each.acknowledged}
        if value < last and value not in late:
            wrong.append(f"{record.name} has value {value}, acknowledged was {last}")
    return wrong


def _unreachable(history: History) -> set[str]:
    return {
        entry.agent.id
        for entries in logs_of(history).values()
        for entry in entries.values()
        if entry.agent.status == "unreachable"
    }


def _leave(scene: Scene) -> list[str]:
    """Everyone says goodbye: none of them must be left at any hub.

    A registration over HTTP that was not answered in time may be there still, under an id that
    nobody was told: its caller has asked again, and got another.
    """
    left = {each.agent_id for each in scene.living()}.difference(scene.doubles)
    scene.leave()
    try:
        scene.wait_until_gone(left, GOODBYE)
    except AssertionError as error:
        return [f"after everyone had unregistered: {error}"]
    return []
