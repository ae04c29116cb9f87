"""Epochs only rise, and an older session changes nothing once a newer one holds the agent."""

from __future__ import annotations

from tests.history.logs import REMOVALS, by_agent, logs_of, lost_between, troubled, was_lost
from tests.history.recorded import OLDER, OLDER_TYPE, Ask, History, Session, Slack


def epochs_only_rise(history: History, slack: Slack) -> list[str]:
    """In a log an agent's epochs never fall; and no two sessions are given the same one.

    Not even when the store came back without the first: epochs grow from the clock.
    """
    wrong = []
    for log, entries in logs_of(history).items():
        for agent_id, each in by_agent(entries).items():
            highest, gone = 0, False
            for entry in each:
                again = gone and entry.kind in REMOVALS  # removing what is not there does no harm
                gone = entry.kind in REMOVALS
                lower = entry.agent.epoch < highest
                if lower and not again and not was_lost(history, log, entry.revision):
                    wrong.append(
                        f"{agent_id}: epoch {entry.agent.epoch} at {entry.revision} of {log}, "
                        f"after epoch {highest}"
                    )
                highest = max(highest, entry.agent.epoch)
    for agent_id, asks in _given(history).items():
        for i, older in enumerate(asks):
            assert older.answered is not None
            for newer in asks[i + 1 :]:
                assert newer.answered is not None
                same = newer.given == older.given
                if same or (newer.said > older.answered and newer.given < older.given):
                    wrong.append(
                        f"{agent_id}: given epoch {older.given} at {older.answered:.3f} and "
                        f"{newer.given} at {newer.answered:.3f}"
                    )
    return wrong


def _given(history: History) -> dict[str, list[Ask]]:
    given: dict[str, list[Ask]] = {}
    for ask in history.asks:
        if ask.acknowledged and ask.given:
            given.setdefault(ask.agent_id, []).append(ask)
    for asks in given.values():
        asks.sort(key=lambda ask: ask.answered or 0.0)
    return given


def no_stale_write(history: History, slack: Slack) -> list[str]:
    """A session's request is not accepted once a newer session of its agent has begun.

    Where the answer names a revision, the log decides: no entry of a higher epoch stands before
    it. Where it names none (a heartbeat that is durable), time does: it was not said after the
    newer session had been acknowledged.
    """
    logs = {log: by_agent(entries) for log, entries in logs_of(history).items()}
    given = _given(history)
    wrong = []
    for ask in history.asks:
        if not ask.acknowledged or ask.session is None or ask.op in ("register", "resume"):
            continue
        assert ask.answered is not None
        words = f"{ask.op} of {ask.agent_id}, epoch {ask.epoch}, said at {ask.said:.3f}"
        if ask.log and not was_lost(history, ask.log, ask.revision):
            for entry in logs.get(ask.log, {}).get(ask.agent_id, ()):
                if entry.revision < ask.revision and entry.agent.epoch > ask.epoch:
                    wrong.append(f"{words}: accepted as {ask.revision} after {entry.revision}")
                    break
        if not ask.durable:
            continue
        for newer in given.get(ask.agent_id, ()):
            assert newer.answered is not None
            if (
                newer.given > ask.epoch
                and newer.answered + slack.clock < ask.said
                and not lost_between(history, newer.said, ask.answered, ask.agent_id)
            ):
                wrong.append(f"{words}: accepted after epoch {newer.given} had begun")
                break
    return wrong


def fenced_in_time(history: History, slack: Slack) -> list[str]:
    """An older session is closed soon after a newer one was acknowledged, if nothing hinders."""
    given = _given(history)
    wrong = []
    for session in history.sessions:
        if session.joined is None:
            continue
        newer = [
            ask
            for ask in given.get(session.agent_id, ())
            if ask.given > session.epoch
            and ask.session != session.number
            and (ask.answered or 0.0) > session.joined  # else of before the store's loss
        ]
        for ask in newer:
            assert ask.answered is not None
            by = ask.answered + slack.fenced_within + slack.clock
            if by > history.end or troubled(history, ask.said, by):
                continue
            if not _over(session, by):
                wrong.append(
                    f"{session.agent_id}: session of epoch {session.epoch} at {session.hub} lived "
                    f"on after epoch {ask.given} had begun at {ask.answered:.3f}"
                )
                break
    return wrong


def _over(session: Session, by: float) -> bool:
    ends = [each for each in (session.ended, session.closed) if each is not None]
    return any(each <= by for each in ends)


def older_process_changes_nothing(history: History, slack: Slack) -> list[str]:
    """What an older process says over HTTP is in no record of a newer registration.

    Nor does it end one: whoever is unregistered has asked for that over its session. The older
    process registers as another type, which tells its own registration from a newer one.
    """
    older = {ask.agent_id for ask in history.asks if ask.says.get("metadata") == OLDER}
    goodbyes = {
        ask.agent_id for ask in history.asks if ask.op == "unregister" and ask.session is not None
    }
    wrong = []
    for log, entries in logs_of(history).items():
        for entry in entries.values():
            agent = entry.agent
            if agent.id not in older or agent.type == OLDER_TYPE:
                continue
            words = f"{agent.id}, epoch {agent.epoch}, at {entry.revision} of {log}: "
            if agent.metadata == OLDER:
                wrong.append(f"{words}an older process changed it")
            elif entry.kind == "unregistered" and agent.id not in goodbyes:
                wrong.append(f"{words}an older process ended it")
    return wrong
