"""In a real terminal: colours, fitted tables, live changes, and the keyboard's signals."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.hub.cli.records import agent
from tests.support.fake_hub import ThreadedHub, hub_status
from tests.support.programs import END_LIMIT, Homeport, environment
from tests.support.programs import homeport as homeport_command
from tests.support.waiting import wait_for_file, wait_until

ONE = agent("one", capabilities=[f"skill-{n}" for n in range(40)])
SILENT = {
    **ONE,
    "status": "unreachable",
    "health": {**ONE["health"], "reason": "heartbeat_timeout"},
}

ANSI = re.compile(r"\x1b\[[0-9;]*m")
AGE = re.compile(r" *\d+[smhd]\b")


class Terminal:
    """A pseudo-terminal with `homeport` in its foreground."""

    def __init__(self, columns: int, *arguments: str, **variables: str) -> None:
        self.text = ""
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
            env = environment(Path.home(), **{"TERM": "xterm-256color", **variables})
            command = [*homeport_command(), *arguments]
            os.execve(command[0], command, env)

    def press(self, key: str) -> None:
        os.write(self._end, key.encode())

    def read_until(self, wanted: str) -> str:
        """What has been shown up to and including `wanted`."""
        deadline = time.monotonic() + END_LIMIT
        while wanted not in self.text:
            assert time.monotonic() < deadline, f"{wanted!r} was not shown: {self.text!r}"
            if not self._read():
                break
        assert wanted in self.text, f"{wanted!r} was not shown: {self.text!r}"
        return self.text

    def finish(self) -> int:
        """The exit status, once the program has ended."""
        while self._read():
            pass
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._end)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._end], [], [], END_LIMIT)
        assert ready, f"nothing more was shown after: {self.text!r}"
        try:
            data = os.read(self._end, 65536)
        except OSError:  # how Linux says that the other side is closed
            return False
        self.text += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def show(terminals: list[Terminal], columns: int, *arguments: str, **variables: str) -> Terminal:
    terminals.append(Terminal(columns, *arguments, **variables))
    return terminals[-1]


def test_a_table_is_coloured_and_fitted(hub: ThreadedHub, terminals: list[Terminal]) -> None:
    hub.add(ONE)
    terminal = show(terminals, 90, "agents", "--url", hub.url)
    assert terminal.finish() == 0
    assert ONE["id"] not in terminal.text
    assert ONE["id"][:8] in terminal.text
    assert "\x1b[32mhealthy" in terminal.text
    assert "1 agent: " in terminal.text
    wide = show(terminals, 180, "agents", "--url", hub.url)
    assert wide.finish() == 0
    assert ONE["id"] in wide.text


@pytest.mark.parametrize(
    "variables", [{"TERM": "dumb"}, {"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}]
)
def test_colours_can_be_turned_off_without_changing_the_table(
    hub: ThreadedHub, terminals: list[Terminal], variables: dict[str, str]
) -> None:
    hub.add(ONE, SILENT | {"id": "0" + ONE["id"][1:]})
    for arguments in (["agents"], ["agent", ONE["id"]], ["hubs"]):
        coloured = show(terminals, 100, *arguments, "--url", hub.url)
        assert coloured.finish() == 0
        bare = show(terminals, 100, *arguments, "--url", hub.url, **variables)
        assert bare.finish() == 0
        assert "\x1b" not in bare.text
        assert AGE.sub("", bare.text) == AGE.sub("", ANSI.sub("", coloured.text))


def test_letters_that_the_terminal_has_not_are_counted_as_they_are_shown(
    hub: ThreadedHub, terminals: list[Terminal]
) -> None:
    hub.add({**ONE, "name": "東京"}, {**ONE, "id": "0" + ONE["id"][1:], "name": "plain" * 20})
    terminal = show(
        terminals, 60, "agents", "--url", hub.url, PYTHONIOENCODING="latin-1", NO_COLOR="1"
    )
    assert terminal.finish() == 0
    head, plain, tokyo, *_ = terminal.text.splitlines()
    assert head.index("STATUS") == plain.index("healthy") == tokyo.index("healthy")
    assert "\\u6771\\u4eac " in tokyo
    assert "plain" * 3 in plain
    assert "~  healthy" in plain


def test_the_width_can_be_given(hub: ThreadedHub, terminals: list[Terminal]) -> None:
    hub.add(ONE)
    terminal = show(terminals, 200, "agents", "--url", hub.url, COLUMNS="60")
    assert terminal.finish() == 0
    assert "left out for 60 columns: " in terminal.text
    assert max(map(len, ANSI.sub("", terminal.text).splitlines())) <= 60


def test_a_pipe_is_plain_whatever_is_asked_of_colours(hub: ThreadedHub, homeport: Homeport) -> None:
    hub.add(ONE)
    for arguments in (["agents"], ["agent", ONE["id"]], ["hubs"]):
        plain = {"FORCE_COLOR": "1", "COLUMNS": "40", "TERM": "xterm-256color"}
        done = homeport.run(*arguments, "--url", hub.url, **plain)
        assert "\x1b" not in done.stdout
        assert "…" not in done.stdout
        assert "left out" not in done.stdout


def test_json_on_a_terminal_is_escaped_and_in_a_pipe_it_is_not(
    hub: ThreadedHub, terminals: list[Terminal], homeport: Homeport
) -> None:
    name = "evil\x7f\x9b2J\u202egnp.exe\u2066\u200b 東京"
    hub.add(agent(name))
    terminal = show(terminals, 100, "agents", "--json", "--url", hub.url)
    assert terminal.finish() == 0
    assert all(line.isprintable() for line in terminal.text.splitlines())
    assert json.loads(terminal.text)["agents"][0]["name"] == name
    assert "東京" in terminal.text
    piped = homeport.run("agents", "--json", "--url", hub.url).stdout
    assert name in piped
    watch = show(terminals, 100, "watch", "--json", "--url", hub.url)
    line = watch.read_until("\n")
    assert line.rstrip("\n").isprintable()
    assert json.loads(line)["agents"][0]["name"] == name


@pytest.mark.parametrize("columns", [60, 100])
def test_a_change_is_one_line_whatever_the_agent_is_called(
    hub: ThreadedHub, terminals: list[Terminal], columns: int
) -> None:
    evil = "\x1b[2J\u202e東京" + "n" * 100
    terminal = show(terminals, columns, "watch", "--url", hub.url)
    terminal.read_until("No agents match yet.")
    hub.wait_for("watch")
    agents = [{**ONE, "name": evil}, {**ONE, "name": "cost-1"}]
    for each in agents:
        hub.emit("registered", {**each, "id": f"{len(each['name']):08}{ONE['id'][8:]}"})
    for each in agents:
        state = {key: SILENT[key] for key in ("status", "health")}
        changed = {**each, **state, "id": f"{len(each['name']):08}{ONE['id'][8:]}"}
        hub.emit("status_changed", changed, coalesced=True)
    hub.emit("unregistered", {**ONE, "name": "the-last"})
    terminal.read_until("the-last")
    terminal.press("\x03")
    assert terminal.finish() == 0
    lines = ANSI.sub("", terminal.text).replace("^C", "").strip().splitlines()[2:]
    assert len(lines) == 5
    assert max(map(cell_len, lines)) <= columns
    assert all(line.isprintable() for line in lines)
    assert all("unreachable (heartbeat_timeout)" in line for line in lines[2:4])
    assert "cost-1" in lines[3]


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_the_hubs_fit_and_are_summed_up(
    hub: ThreadedHub, terminals: list[Terminal], columns: int
) -> None:
    far = hub_status("hub-10", url="http://10.0.0.10:8080", agents=1200, sessions=900, lag=12)
    hub.hubs = [hub_status("hub-1"), far]
    terminal = show(terminals, columns, "hubs", "--url", hub.url)
    assert terminal.finish() == 0
    lines = ANSI.sub("", terminal.text).splitlines()
    assert all(len(line) <= columns for line in lines)
    head, one, ten, empty, summary, *note = lines
    missing = {"URL", "VERSION"} if columns == 60 else set()
    every = ["HUB", "URL", "VERSION", "UP", "AGENTS", "SESSIONS", "LAG"]
    assert head.split()[0] == "HUB"
    assert set(every) - set(head.split()) <= missing
    assert one.startswith("hub-1*  ")
    assert ten.split()[-3:] == ["1200", "900", "12"]
    assert (empty, summary) == ("", "2 hubs, 1201 agents, 901 sessions, revision 100")
    assert all(line.startswith(f"left out for {columns} columns: ") for line in note)


def test_one_hub_is_one(hub: ThreadedHub, terminals: list[Terminal]) -> None:
    terminal = show(terminals, 80, "hubs", "--url", hub.url)
    assert terminal.finish() == 0
    assert terminal.text.splitlines()[-1] == "1 hub, 1 agent, 1 session, revision 100"


def test_json_for_a_person_is_indented(hub: ThreadedHub, terminals: list[Terminal]) -> None:
    hub.add(ONE)
    terminal = show(terminals, 90, "pick", "--json", "--url", hub.url)
    assert terminal.finish() == 0
    assert terminal.text.startswith(f'{{\n  "id": "{ONE["id"]}",\n')


def test_a_watch_is_live_and_ctrl_c_ends_it_quietly(
    hub: ThreadedHub, terminals: list[Terminal]
) -> None:
    hub.add(ONE)
    terminal = show(terminals, 90, "watch", "--url", hub.url)
    terminal.read_until("CAPABILITIES")
    hub.wait_for("watch")
    terminal.read_until("1 agent: ")
    hub.emit("status_changed", SILENT)
    shown = terminal.read_until("(heartbeat_timeout)")
    assert "healthy -> \x1b[1;31munreachable (heartbeat_timeout)" in shown
    terminal.press("\x03")
    assert terminal.finish() == 0
    assert "Traceback" not in terminal.text


def test_ctrl_c_reaches_the_command_of_a_sidecar_once(
    hub: ThreadedHub, terminals: list[Terminal], tmp_path: Path
) -> None:
    heard = tmp_path / "heard"
    script = (
        "import pathlib, signal, sys, time\n"
        f"heard = pathlib.Path({str(heard)!r})\n"
        "count = []\n"
        "def hear(*_):\n"
        "    count.append(1)\n"
        "    heard.write_text(f'ready {len(count)}')\n"
        "signal.signal(signal.SIGINT, hear)\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "heard.write_text('ready')\n"
        "while True: time.sleep(0.05)\n"
    )
    terminal = show(
        terminals,
        *(90, "register", "--name", "n", "--type", "cost", "--url", hub.url),
        *("--", sys.executable, "-c", script),
    )
    wait_for_file(heard, "ready")
    terminal.press("\x03")
    wait_until(lambda: heard.read_text().startswith("ready "), END_LIMIT)
    # Signals are passed on in order, and Python hears the one of the lower number first: whatever
    # the sidecar made of Ctrl-C has been heard before the command ends.
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.finish() == 5
    assert heard.read_text() == "ready 1"
    assert len(hub.requests("unregister")) == 1
