"""`homeport watch`: all agents first, then every change as it happens."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from typing import Any

import pytest

from tests.hub.cli.records import agent
from tests.support.fake_hub import ThreadedHub, event, watching
from tests.support.programs import END_LIMIT, Homeport, finish

ONE, TWO = agent("one"), agent("two", type="resource")
SILENT = {
    **ONE,
    "status": "unreachable",
    "health": {**ONE["health"], "reason": "heartbeat_timeout"},
}


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def told(process: subprocess.Popen[str]) -> Any:
    return json.loads(line(process))


def stop(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    process.send_signal(signal.SIGINT)
    return finish(process)


def test_json_lines_come_at_once_and_each_says_where_it_stands(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    hub.add(ONE, TWO)
    process = homeport.begin("watch", "--url", hub.url, "--json")
    assert told(process) == {
        "op": "snapshot",
        "agents": [ONE, TWO],
        "log": "log-a",
        "revision": 100,
    }
    hub.emit("status_changed", SILENT)
    assert told(process) == {
        "op": "event",
        "kind": "status_changed",
        "agent": {**SILENT, "revision": 101},
        "log": "log-a",
        "revision": 101,
    }
    hub.emit("expired", SILENT, coalesced=True)
    event = told(process)
    assert (event["revision"], event["coalesced"]) == (102, True)
    assert list(event["agent"]) == list(ONE)
    assert stop(process) == (0, "", "")


def test_a_new_log_is_a_resync(hub: ThreadedHub, homeport: Homeport) -> None:
    process = homeport.begin("watch", "--url", hub.url, "--json")
    assert told(process)["agents"] == []
    hub.add(ONE)
    hub.revision = 500
    hub.begin_log("log-b")
    assert told(process) == {"op": "resync", "agents": [ONE], "log": "log-b", "revision": 500}
    hub.emit("updated", ONE)
    assert told(process)["log"] == "log-b"
    assert stop(process)[0] == 0


def test_a_watch_goes_on_from_a_position_and_tells_each(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    answers = [{**watching(100, resumed=True)}, event(101, "updated", position="p101")]
    hub.on("watch", lambda _peer, _request: answers)
    process = homeport.begin("watch", "--url", hub.url, "--json", "--position", "p100")
    assert hub.wait_for("watch")["position"] == "p100"
    told_first = told(process)
    del told_first["agent"]
    assert told_first == {
        "op": "event",
        "kind": "updated",
        "log": "log-a",
        "revision": 101,
        "position": "p101",
    }
    assert stop(process)[0] == 0


def test_a_position_stands_for_since_and_log(homeport: Homeport) -> None:
    done = homeport.run("watch", "--position", "p100", "--since", "1", "--log", "a")
    assert done.returncode == 2
    assert "--position" in done.stderr


def test_a_watch_goes_on_after_a_revision_without_a_snapshot(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    process = homeport.begin("watch", "--url", hub.url, "--json", "--since", "90", "--log", "log-a")
    asked = hub.wait_for("watch")
    assert (asked["since"], asked["log"]) == (90, "log-a")
    hub.emit("updated", ONE)
    event = told(process)
    assert (event["op"], event["log"], event["revision"]) == ("event", "log-a", 101)
    assert stop(process)[0] == 0


def test_a_watch_goes_on_over_a_lost_connection(hub: ThreadedHub, homeport: Homeport) -> None:
    process = homeport.begin("watch", "--url", hub.url, "--json")
    told(process)
    hub.close_connections(1001, "retry in 0 s")
    asked = hub.wait_for("watch", 2)
    assert (asked["since"], asked["log"]) == (100, "log-a")
    hub.emit("updated", ONE)
    assert told(process)["revision"] == 101
    status, out, error = stop(process)
    assert (status, out) == (0, "")
    assert error.startswith("homeport: ")
    assert "retry in 0 s" in error
    assert error.count("\n") == 1


def test_the_filter_reaches_the_hub(hub: ThreadedHub, homeport: Homeport) -> None:
    process = homeport.begin("watch", "--url", hub.url, "--type", "cost", "--any-capability", "a")
    assert hub.wait_for("watch")["filter"] == {"type": "cost", "any_capability": ["a"]}
    assert stop(process)[0] == 0


def test_the_kinds_reach_the_hub(hub: ThreadedHub, homeport: Homeport) -> None:
    process = homeport.begin("watch", "--url", hub.url, "--kind", "lost", "--kind", "expired")
    assert hub.wait_for("watch")["kinds"] == ["lost", "expired"]
    assert stop(process)[0] == 0


def test_readings_are_asked_for_and_shown(hub: ThreadedHub, homeport: Homeport) -> None:
    hub.add(ONE)
    process = homeport.begin("watch", "--url", hub.url, "--readings", "--json")
    assert hub.wait_for("watch")["readings"] is True
    assert told(process)["op"] == "snapshot"
    hub.read({ONE["id"]: 0.25})
    assert told(process) == {"op": "reading", "loads": {ONE["id"]: 0.25}}
    assert stop(process)[0] == 0


def test_people_read_a_line_for_each_load_that_moves(hub: ThreadedHub, homeport: Homeport) -> None:
    hub.add(ONE)
    process = homeport.begin("watch", "--url", hub.url, "--readings")
    hub.wait_for("watch")
    while line(process).strip():
        pass
    hub.read({ONE["id"]: 0.25})
    words = line(process).split()
    assert words[1:] == ["reading", "one", f"({ONE['id']})", "load", "0.25"]
    assert stop(process)[0] == 0


def test_a_kind_that_does_not_exist_is_wrong_usage(homeport: Homeport) -> None:
    done = homeport.run("watch", "--kind", "gone")
    assert done.returncode == 2
    assert "'gone' is not one of 'registered', 'lost'" in done.stderr


def test_people_read_a_table_and_then_a_line_for_each_change(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    hub.add(ONE)
    process = homeport.begin("watch", "--url", hub.url)
    assert line(process).split()[:3] == ["ID", "NAME", "TYPE"]
    assert line(process).split()[:2] == [ONE["id"], "one"]
    assert line(process) == "\n"
    hub.emit("status_changed", SILENT)
    change = line(process)
    assert re.fullmatch(
        rf"\d\d:\d\d:\d\d  status_changed  one \({ONE['id']}\)  "
        r"healthy -> unreachable \(heartbeat_timeout\)\n",
        change,
    )
    hub.emit("expired", SILENT)
    assert line(process).endswith(
        f"  expired         one ({ONE['id']})  unreachable (heartbeat_timeout)\n"
    )
    hub.emit("registered", TWO, coalesced=True)
    assert line(process).endswith(
        f"  registered      two ({TWO['id']})  healthy  (earlier changes were skipped)\n"
    )
    hub.begin_log("log-b")
    assert line(process) == "\n"
    assert line(process) == ("What happened meanwhile is not known; the agents as they are now:\n")
    assert stop(process)[0] == 0


def test_people_are_told_that_there_is_nobody_yet(hub: ThreadedHub, homeport: Homeport) -> None:
    process = homeport.begin("watch", "--url", hub.url)
    assert line(process) == "No agents match yet.\n"
    assert stop(process)[0] == 0


def test_a_refused_watch_is_told_in_the_hubs_words(hub: ThreadedHub, homeport: Homeport) -> None:
    hub.refuse("watch", "bad_request", "filter.version: '>=1.2' is refused")
    done = homeport.run("watch", "--url", hub.url, "--version", ">=1.2")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "homeport: filter.version: '>=1.2' is refused.\n"


@pytest.mark.parametrize("arguments", [("--since", "1"), ("--log", "log-a")])
def test_since_and_log_go_together(homeport: Homeport, arguments: tuple[str, str]) -> None:
    done = homeport.run("watch", *arguments)
    assert done.returncode == 2
    assert "go together" in done.stderr


def test_a_reader_that_goes_ends_the_watch_at_its_next_line(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    process = homeport.begin("watch", "--url", hub.url, "--json")
    told(process)
    assert process.stdout is not None
    process.stdout.close()
    hub.emit("updated", ONE)
    assert process.wait(END_LIMIT) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
