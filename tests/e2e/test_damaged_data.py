"""Data directories that were cut, lost files, or cannot grow: said, repaired, nothing lost."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_starting import assert_sentence, fails
from tests.support.hub_process import Hub, Place
from tests.support.programs import environment, homeport
from tests.support.waiting import LIMIT, wait_until

AOF = "appendonlydir"


class Store:
    """A data directory in which a hub has registered an agent, and which no hub uses now."""

    def __init__(self, path: Path, agent_id: str) -> None:
        self.path = path
        self.agent_id = agent_id

    @property
    def increment(self) -> Path:
        (found,) = (self.path / AOF).glob("*.incr.aof")
        return found

    def repair(self, *options: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*homeport(), "repair", "--data-dir", str(self.path), *options],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(self.path.parent),
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def store(tmp_path: Path, start_hub: Any, enter: Any) -> Store:
    path = tmp_path / "store"
    hub = start_hub("--data-dir", str(path))
    agent_id = enter(hub, None).register()
    hub.signal(signal.SIGTERM)
    assert hub.wait(LIMIT) == 0
    return Store(path, agent_id)


def snapshot(path: Path) -> dict[str, bytes]:
    return {
        str(each.relative_to(path)): each.read_bytes()
        for each in path.rglob("*")
        if each.is_file() and "lock" not in each.name and "log" not in each.name
    }


# --- cut -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_a_command_that_was_cut_is_told_in_log_and_ready(
    store: Store, start_hub: Any, enter: Any, options: tuple[str, ...]
) -> None:
    if options and not sys.platform.startswith("linux"):
        pytest.skip("workers share a port on Linux only")
    with store.increment.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$5\r\nhalf")
    place = enter(start_hub("--data-dir", str(store.path), *options), None)
    ready = place.get("/ready")
    assert ready.status_code == 200
    (warning,) = ready.json()["warnings"]
    assert "was cut: the last 21 bytes of" in warning
    assert store.increment.name in warning
    assert warning.partition(":")[0] in place.hub.log()
    assert place.record(store.agent_id) is not None


def test_a_file_that_was_cut_between_commands_is_told(
    store: Store, start_hub: Any, enter: Any
) -> None:
    """The server itself cannot know: what is left is whole."""
    size = store.increment.stat().st_size
    os.truncate(store.increment, 0)
    place = enter(start_hub("--data-dir", str(store.path)), None)
    (warning,) = place.get("/ready").json()["warnings"]
    assert f"{store.increment.name} is {size} bytes shorter than it was" in warning


def test_a_clean_restart_warns_of_nothing(store: Store, start_hub: Any, enter: Any) -> None:
    place = enter(start_hub("--data-dir", str(store.path)), None)
    assert place.get("/ready").json()["warnings"] == []
    place.hub.kill()
    place.hub.wait(LIMIT)
    place = enter(start_hub("--data-dir", str(store.path)), None)
    assert place.get("/ready").json()["warnings"] == []


# --- missing -------------------------------------------------------------------------------------


def lose_folder(store: Store) -> None:
    shutil.rmtree(store.path / AOF)


def lose_manifest(store: Store) -> None:
    (store.path / AOF / "appendonly.aof.manifest").unlink()


def empty_manifest(store: Store) -> None:
    (store.path / AOF / "appendonly.aof.manifest").write_bytes(b"")


def lose_increment(store: Store) -> None:
    store.increment.unlink()


def lose_base(store: Store) -> None:
    (base,) = (store.path / AOF).glob("*.base.*")
    base.unlink()


def break_base(store: Store) -> None:
    (base,) = (store.path / AOF).glob("*.base.rdb")
    base.write_bytes(base.read_bytes()[:-9] + b"\0" * 9 + b"junk")


def break_increment(store: Store) -> None:
    data = store.increment.read_bytes()
    at = data.rfind(b"\r\n*", 0, data.rfind(b"\r\n*")) + 2
    store.increment.write_bytes(data[:at] + b"\xff" * 20 + data[at:])


DAMAGE = [
    lose_folder,
    lose_manifest,
    empty_manifest,
    lose_increment,
    lose_base,
    break_base,
    break_increment,
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda each: each.__name__)
def test_a_hub_does_not_start_without_data_that_was_there_until_it_is_repaired(
    store: Store, start_hub: Any, enter: Any, tmp_path: Path, damage: Callable[[Store], None]
) -> None:
    damage(store)
    before = snapshot(store.path)
    status, said = fails(tmp_path / "h", "--port", "0", "--data-dir", str(store.path))
    assert status == 1
    assert_sentence(said)
    assert f"homeport repair --data-dir {store.path}" in said
    status, would, _ = store.repair("--dry-run")
    assert status == 0
    assert snapshot(store.path) == before
    status, done, complaints = store.repair()
    assert (status, complaints) == (0, "")
    assert (
        re.sub(r"-\d{8}T\d{6}Z", "", done).splitlines()[0]
        == (re.sub(r"-\d{8}T\d{6}Z", "", would).splitlines()[0])
    )
    kept = snapshot(store.path)
    assert all(
        any(content == data or content in data or data in content for data in kept.values())
        for name, content in before.items()
        if name.startswith(AOF) and "manifest" not in name and damage is not break_increment
    ), "something was deleted"
    assert store.repair()[1] == "There is nothing to repair.\n"
    place = enter(start_hub("--data-dir", str(store.path)), None)
    assert place.get("/ready").status_code == 200
    if damage in (lose_manifest, empty_manifest):  # nothing was lost
        assert place.record(store.agent_id) is not None
    assert place.record(place.register()) is not None


def test_the_data_of_a_running_hub_is_not_repaired(
    store: Store, start_hub: Any, enter: Any
) -> None:
    enter(start_hub("--data-dir", str(store.path)), None)
    status, _, said = store.repair()
    assert status == 1
    assert "in use by another hub" in said


# --- a disk that is full -------------------------------------------------------------------------


def full_disk(hub: Hub, store: Path, room: int) -> int:
    """Let no file of the hub's server grow by more than `room` bytes; returns the server's id."""
    (increment,) = (store / AOF).glob("*.incr.aof")
    server = next(
        int(each.name)
        for each in Path("/proc").iterdir()
        if each.name.isdigit()
        and str(store) in command_of(each)
        and "guard.py" not in command_of(each)
        and int(each.name) != hub.pid
    )
    size = increment.stat().st_size + room
    resource.prlimit(server, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    return server


def command_of(entry: Path) -> str:
    with contextlib.suppress(OSError):
        return (entry / "cmdline").read_bytes().decode(errors="replace")
    return ""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prlimit is Linux's")
@pytest.mark.parametrize("room", [1, 700, 1500, 4000, 9000])
def test_nothing_acknowledged_is_lost_when_the_disk_is_full_and_all_is_killed(
    tmp_path: Path, start_hub: Any, enter: Any, room: int
) -> None:
    path = tmp_path / "store"
    hub = start_hub("--data-dir", str(path))
    place: Place = enter(hub, None)
    acknowledged = [place.agent("first")[1]["agent_id"]]
    server = full_disk(hub, path, room)
    for number in range(12):
        wire = place.connect()
        agent = {"name": f"a{number}", "type": "cost"}
        answer = wire.ask("register", agent=agent)
        if answer["op"] == "registered":
            acknowledged.append(answer["agent_id"])
        else:
            assert answer["code"] == "unavailable"
            break
    else:
        pytest.fail("the disk was never full")
    reasons = wait_until(lambda: place.get("/ready").json().get("reasons"))
    assert "cannot save to its disk: free space there" in reasons[0]
    os.kill(server, signal.SIGKILL)
    hub.kill()
    hub.wait(LIMIT)
    place = enter(start_hub("--data-dir", str(path)), None)
    assert [each for each in acknowledged if place.record(each) is None] == []
