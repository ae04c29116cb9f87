"""The id that a program has again when it starts after a crash, and that no other takes from it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from agent_client import kept_id
from agent_client.kept_id import KeptId, NotKeptError, keep_id


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    return tmp_path / "state/homeport/agents"


def taken_again(*agent: object) -> str:
    kept = keep_id(*agent)
    return kept.agent_id


def test_the_next_program_of_the_same_agent_has_the_same_id() -> None:
    first = taken_again("http://hub", "cost-1", "cost", "h", 1)
    assert uuid.UUID(first)
    assert taken_again("http://hub", "cost-1", "cost", "h", 1) == first


@pytest.mark.parametrize("place", range(5))
def test_another_agent_has_another_id(place: int) -> None:
    agent: list[object] = ["http://hub", "cost-1", "cost", "h", 1]
    first = taken_again(*agent)
    agent[place] = 2 if place == 4 else "other"
    assert taken_again(*agent) != first


def test_another_machine_with_the_same_home_has_another_id(monkeypatch: pytest.MonkeyPatch) -> None:
    first = taken_again("a")
    monkeypatch.setattr("platform.node", lambda: "another")
    assert taken_again("a") != first


def test_while_one_has_it_another_in_the_same_process_does_not_get_it() -> None:
    first = keep_id("a")
    with pytest.raises(NotKeptError, match="another program of the same agent has it"):
        keep_id("a")
    id_ = first.agent_id
    del first
    assert taken_again("a") == id_


PROGRAM = """
import os, sys
from agent_client.kept_id import keep_id
kept = keep_id("a")
id_ = kept.agent_id
if sys.argv[1] == "fork" and os.fork() == 0:
    print(id_, flush=True)  # once the child runs, which has let go of the lock by then
    os.close(1)
    sys.stdin.read()
    os._exit(0)
if sys.argv[1] != "fork":
    print(id_, flush=True)
sys.stdin.readline()
"""


def start(mode: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("mode", ["", "fork"])
def test_another_process_has_it_until_it_is_killed(mode: str) -> None:
    with start(mode) as program:
        assert program.stdout is not None
        id_ = program.stdout.readline().strip()
        with pytest.raises(NotKeptError):
            keep_id("a")
        program.kill()
        program.wait()
        # A forked child of it lives on, and does not hold the lock.
        assert taken_again("a") == id_


FORKING = """
import os
from agent_client.kept_id import NotKeptError, keep_id

def refused():
    try:
        keep_id("a")
    except NotKeptError:
        return True

kept = keep_id("a")
child = os.fork()
if child == 0:
    os._exit(0 if refused() else 1)
assert os.waitpid(child, 0)[1] == 0
assert refused(), "the child's end freed the lock"
"""


def test_a_fork_leaves_its_parent_s_id_to_its_parent() -> None:
    subprocess.run([sys.executable, "-c", FORKING], check=True)


def test_the_directory_and_the_file_are_the_user_s_alone(state: Path) -> None:
    taken_again("a")
    assert state.stat().st_mode & 0o777 == 0o700
    assert state.parent.stat().st_mode & 0o777 == 0o700
    [file] = state.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.name != "a"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"no uuid", b"x" * 36, b"{" * 1000])
def test_a_file_that_holds_no_id_is_written_anew(state: Path, content: bytes) -> None:
    taken_again("a")
    [file] = state.iterdir()
    file.write_bytes(content)
    id_ = taken_again("a")
    assert file.read_text() == id_ == str(uuid.UUID(id_))


def test_another_id_can_be_kept_from_now_on() -> None:
    kept, id_ = keep_id("a"), str(uuid.uuid4())
    kept.replace(id_)
    assert kept.agent_id == id_
    del kept
    assert taken_again("a") == id_


# --- where it cannot be kept, or others meddle ---------------------------------------------------


def test_a_file_that_is_a_link_is_not_followed(state: Path, tmp_path: Path) -> None:
    taken_again("a")
    [file] = state.iterdir()
    file.unlink()
    target = tmp_path / "precious"
    target.write_text("precious")
    file.symlink_to(target)
    with pytest.raises(NotKeptError):
        keep_id("a")
    assert target.read_text() == "precious"


@pytest.mark.parametrize("kind", ["link", "writable", "file"])
def test_a_directory_that_is_not_the_user_s_alone_is_not_used(state: Path, kind: str) -> None:
    state.parent.mkdir(parents=True)
    if kind == "link":
        elsewhere = state.parent / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        state.symlink_to(elsewhere)
    elif kind == "writable":
        state.mkdir()
        state.chmod(0o777)
    else:
        state.write_text("")
    first = taken_again("a")
    assert taken_again("a") == first, "the temporary directory serves"
    if kind != "file":
        assert not list(state.iterdir())


def test_a_directory_of_another_user_is_not_used(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_again("a")
    nobody = os.geteuid() + 1
    monkeypatch.setattr("os.geteuid", lambda: nobody)
    (tmp_path / "temp" / f"homeport-{nobody}").mkdir(mode=0o700)
    with pytest.raises(NotKeptError, match="others may write"):
        keep_id("a")


def test_without_a_directory_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    monkeypatch.setattr("tempfile.tempdir", str(blocked))
    with pytest.raises(NotKeptError):
        keep_id("a")


def test_a_relative_state_directory_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    taken_again("a")
    assert not (tmp_path / "here").exists()


def test_without_locks_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_id, "fcntl", None)
    with pytest.raises(NotKeptError, match="no file locks"):
        keep_id("a")


def test_one_process_keeps_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    already = len(kept_id._held)
    monkeypatch.setattr(kept_id, "MOST_HELD", already + 3)
    held: list[KeptId] = [keep_id(number) for number in range(3)]
    with pytest.raises(NotKeptError, match="keeps"):
        keep_id("a")
    held.pop()
    assert keep_id("a").agent_id


# --- old ones ------------------------------------------------------------------------------------


def test_what_nobody_took_for_long_is_removed(state: Path) -> None:
    old, held, fresh = taken_again("old"), keep_id("held"), taken_again("fresh")
    long_ago = time.time() - 31 * 86_400
    for file in state.iterdir():
        if file.read_text() != fresh:
            os.utime(file, (long_ago, long_ago))
    other = state / "not-one-of-these"
    other.write_text("")
    os.utime(other, (long_ago, long_ago))
    taken_again("new")
    left = {file.read_text() for file in state.iterdir()}
    assert old not in left
    assert {held.agent_id, fresh} < left
    assert other.exists()


def test_of_too_many_the_oldest_are_removed(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_id, "MOST_FILES", 5)
    ids = []
    for number in range(8):
        ids.append(taken_again(number))
        for file in state.iterdir():
            if file.read_text() == ids[-1]:
                os.utime(file, (number, time.time() - 100 + number))
    taken_again(7)
    assert {file.read_text() for file in state.iterdir()} == set(ids[3:])
