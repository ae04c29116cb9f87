"""Rounds can fail: the programs' notes become a history in which checkers find what is wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

from homeport_protocol.record import AgentRecord, Health
from tests.bench.test_interruption import descendants, processes
from tests.faults.cluster import TERMS
from tests.faults.notes import (
    Answered,
    Ended,
    Heard,
    Note,
    Opened,
    Pen,
    Said,
    Snapped,
    Watching,
    read_notes,
)
from tests.faults.reading import fill, legacy_ids
from tests.faults.rounds import SLACK, lost_changes
from tests.history.checks import violations
from tests.history.recorded import Fault, Found, History, Living

ROOT = Path(__file__).parents[2]
NOW = "2026-01-01T00:00:00.000000Z"


def record(version: str, revision: int = 2, **changes: Any) -> AgentRecord:
    return AgentRecord(
        id="a",
        name="one",
        type="cost",
        version=version,
        registered_at=NOW,
        last_seen=NOW,
        health=Health("websocket", "healthy", "ok", NOW),
        epoch=1,
        hub="hub-0",
        revision=revision,
        **changes,
    )


def said(number: int, op: str, **says: Any) -> Said:
    return Said(
        at=float(number), number=number, connection=7, op=op, agent_id="a", hub="hub-0", says=says
    )


def life() -> list[Note]:
    """An agent registers, and changes once."""
    return [
        Opened(at=0.5, connection=7, hub="hub-0"),
        said(1, "register", version="0"),
        Answered(at=1.5, number=1, code="ok", given=1, log="log", revision=1),
        said(2, "update", version="1"),
        Answered(at=2.5, number=2, code="ok", log="log", revision=2),
    ]


def watch(*revisions: int) -> list[Note]:
    """A watch from the beginning, which received these."""
    begun = Watching(
        at=0.1,
        connection=8,
        watcher="w",
        hub="hub-0",
        since=None,
        since_log="",
        resumed=False,
        log="log",
        revision=0,
    )
    kinds = {1: "registered", 2: "updated"}
    return [
        Opened(at=0.05, connection=8, hub="hub-0"),
        begun,
        Snapped(at=0.2, connection=8, log="log", revision=0, agents=[]),
        *(
            Heard(
                at=float(each),
                connection=8,
                revision=each,
                kind=kinds.get(each, "updated"),
                agent=record(str(each - 1), each),
            )
            for each in revisions
        ),
    ]


def judged(notes: list[Note], shown: AgentRecord) -> set[str]:
    """Which checkers find something wrong, and `lost` when a change is."""
    history = History(
        terms=TERMS, end=10.0, living=[Living(agent_id="a", way="websocket", since=0)]
    )
    history.found.append(Found(at=9.0, hub="hub-0", log="log", revision=2, agents=[shown]))
    fill(history, notes, None)
    found = {each.checker for each in violations(history, SLACK)}
    return found | ({"lost"} if lost_changes(history) else set())


def test_a_life_as_it_should_be_is_well() -> None:
    assert judged([*life(), *watch(1, 2)], record("1")) == set()


def test_an_acknowledged_change_that_is_gone_is_lost() -> None:
    assert "lost" in judged([*life(), *watch(1, 2)], record("0"))


def test_a_revision_that_a_watch_was_not_told_is_a_gap() -> None:
    assert judged([*life(), *watch(1, 2, 4)], record("1")) >= {"watch_has_no_gap"}


def test_a_revision_told_twice_is_found() -> None:
    assert "watch_is_ordered" in judged([*life(), *watch(1, 2, 2)], record("1"))


def test_a_change_accepted_from_a_session_that_was_fenced_is_found() -> None:
    newer: list[Note] = [
        Opened(at=1.2, connection=9, hub="hub-1"),
        Said(at=1.2, number=9, connection=9, op="register", agent_id="a", hub="hub-1", says={}),
        Answered(at=1.3, number=9, code="ok", given=2, log="log", revision=1),
    ]

    assert "no_stale_write" in judged([*life()[:3], *newer, *life()[3:]], record("1"))


def test_a_session_ends_with_the_hub_that_is_killed_and_with_its_own_program() -> None:
    history = History(terms=TERMS, end=10.0)
    history.faults.append(Fault(at=3.0, until=4.0, kind="killed", subject="hub-0"))
    fill(history, [*life(), Ended(at=3.2, connection=7, code=1006)], None)
    fill(history, life(), 2.7)

    assert [session.ended for session in history.sessions] == [3.0, 2.7]


def test_half_a_line_of_a_killed_program_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    Pen(path).note(Ended, connection=1, code=1000)
    with path.open("ab") as file:
        file.write(b'{"what":"ended","conn')

    assert [note.connection for note in read_notes(path) if isinstance(note, Ended)] == [1]


def test_agents_over_http_are_known_by_the_ids_that_they_were_given() -> None:
    notes: list[Note] = []
    for number, (op, code, given) in enumerate(
        [("register", "ok", "x"), ("heartbeat", "404", ""), ("register", "ok", "y")]
    ):
        notes += [
            Said(at=0.0, number=number, connection=0, op=op, agent_id="x", hub="hub-0", says={}),
            Answered(at=0.0, number=number, code=code, agent_id=given),
        ]

    assert legacy_ids(notes) == ["y"]


async def test_an_interrupted_run_ends_all_that_it_started() -> None:
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults", "--fault", "hub-killed"),
        cwd=ROOT,
        env={**os.environ},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        # The store, three hubs, and the programs of the scene.
        until = time.monotonic() + 40
        while len(started := await descendants(run.pid)) < 6:
            assert time.monotonic() < until, started
            assert run.returncode is None, await run.communicate()
            await asyncio.sleep(0.05)
        run.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(run.communicate(), 40)
    finally:
        if run.returncode is None:
            run.kill()
            await run.wait()

    assert run.returncode == 1
    assert out == b""
    assert b"interrupted; everything that was started has been ended" in err
    assert b"Traceback" not in err
    left = await processes()
    assert {pid: command for pid, command in started.items() if pid in left} == {}
