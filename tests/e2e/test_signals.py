"""What signals do to a serving hub, alone and with workers: nothing sent by mistake ends it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import LIMIT, wait_until

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="workers share a port on Linux only"
)
ALONE = ("--redis", "memory://")
FORMS = [
    pytest.param(ALONE, id="alone"),
    pytest.param(("--workers", "2"), id="workers", marks=linux_only),
]


def start(start_hub: Any, directory: Path, options: tuple[str, ...], **more: Any) -> Any:
    store = () if "--redis" in options else ("--data-dir", str(directory / "store"))
    return start_hub(*options, *store, **more)


def lines(hub: Any, text: str) -> int:
    return sum(text in line for line in hub.log().splitlines())


def last_line(hub: Any, text: str) -> str:
    return [line for line in hub.log().splitlines() if text in line][-1]


@pytest.mark.parametrize("options", FORMS)
@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_a_signal_that_asks_for_no_end_ends_nothing(
    start_hub: Any, enter: Any, tmp_path: Path, options: tuple[str, ...], name: str
) -> None:
    hub = start(start_hub, tmp_path, options)
    place = enter(hub)
    wire, agent = place.agent()
    for count in (1, 2):
        hub.signal(signal.Signals[name])
        wait_until(lambda count=count: lines(hub, name) >= count)
        assert wire.ask("heartbeat")["op"] == "heartbeat_ack"
    assert place.record(agent["agent_id"])["epoch"] == agent["epoch"]
    hub.signal(signal.SIGTERM)
    assert hub.wait(LIMIT) == 0


@pytest.mark.parametrize("options", FORMS)
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGQUIT"])
def test_one_signal_stops_gracefully(
    start_hub: Any, enter: Any, tmp_path: Path, options: tuple[str, ...], name: str
) -> None:
    hub = start(start_hub, tmp_path, options)
    wire, _ = enter(hub).agent()
    hub.signal(signal.Signals[name])
    assert wire.closing()[0] == 1001
    assert hub.wait(LIMIT) == 0


@pytest.mark.parametrize(
    ("second", "status"),
    [("SIGTERM", -signal.SIGTERM), ("SIGINT", -signal.SIGINT), ("SIGQUIT", -signal.SIGTERM)],
)
def test_a_second_signal_of_any_kind_ends_at_once_and_says_so(
    start_hub: Any, enter: Any, tmp_path: Path, second: str, status: int
) -> None:
    hub = start(start_hub, tmp_path, ALONE)
    place = enter(hub)
    place.agent()  # it does not answer the close, so that the graceful stop takes its time
    hub.signal(signal.SIGTERM)
    wait_until(lambda: lines(hub, "signal received"))
    hub.signal(signal.Signals[second])
    assert hub.wait(LIMIT) == status
    assert second in last_line(hub, "signal received again; ending at once")


def test_usr1_logs_where_the_hub_is(start_hub: Any, enter: Any, tmp_path: Path) -> None:
    hub = start(start_hub, tmp_path, ALONE)
    enter(hub).agent()
    hub.signal(signal.SIGUSR1)
    wait_until(lambda: lines(hub, "report"))
    said = last_line(hub, "report")
    assert "connections=1" in said
    assert "agents=1" in said
    assert "hub/process/service.py" in hub.log() or "most recent call first" in hub.log()


# --- reloading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", FORMS)
def test_hup_takes_over_what_can_change_and_names_what_cannot(
    start_hub: Any, enter: Any, tmp_path: Path, options: tuple[str, ...]
) -> None:
    file = tmp_path / "homeport.toml"
    file.write_text('log_level = "info"\nmax_rate = 1000\n')
    hub = start(start_hub, tmp_path, ("--config", str(file), *options))
    wire, _ = enter(hub).agent()
    file.write_text('log_level = "debug"\nmax_rate = 7\nlease_ttl = 90\n')
    hub.signal(signal.SIGHUP)
    processes = 3 if "--workers" in options else 1
    wait_until(lambda: lines(hub, "settings reloaded") >= processes)
    said = last_line(hub, "settings reloaded")
    assert "log_level=debug" in said
    assert "max_rate=7" in said
    assert lines(hub, "settings changed that need a restart") == 1
    assert "lease_ttl" in last_line(hub, "need a restart")
    for number in range(40):  # the new limit holds for connections that are open already
        wire.send({"op": "ping", "id": number})
    assert wire.closing()[0] == 4429


@pytest.mark.parametrize("options", FORMS)
def test_hup_with_nothing_new_says_so_once(
    start_hub: Any, tmp_path: Path, options: tuple[str, ...]
) -> None:
    hub = start(start_hub, tmp_path, options)
    hub.signal(signal.SIGHUP)
    wait_until(lambda: lines(hub, "nothing changed"))
    hub.signal(signal.SIGTERM)
    assert hub.wait(LIMIT) == 0
    assert lines(hub, "nothing changed") == 1


def test_a_file_that_is_wrong_leaves_the_old_settings(
    start_hub: Any, enter: Any, tmp_path: Path
) -> None:
    file = tmp_path / "homeport.toml"
    file.write_text("max_rate = 1000\n")
    hub = start(start_hub, tmp_path, ("--config", str(file), *ALONE))
    wire, _ = enter(hub).agent()
    for count, text in enumerate(("max_rate = ", "max_rate = -1\n", "no_such = 1\n"), 1):
        file.write_text(text)
        hub.signal(signal.SIGHUP)
        wait_until(lambda count=count: lines(hub, "the old ones stay in force") == count)
        assert wire.ask("heartbeat")["op"] == "heartbeat_ack"
    assert "no_such" in last_line(hub, "the old ones stay in force")
    file.unlink()
    hub.signal(signal.SIGHUP)
    wait_until(lambda: lines(hub, "the old ones stay in force") == 4)
    assert str(file) in last_line(hub, "the old ones stay in force")
