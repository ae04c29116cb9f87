"""COMMAND as a child process: it dies with the sidecar, and leaves no defunct processes behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fake_hub import ThreadedHub, silent
from tests.support.programs import Homeport, alive, bound, finish
from tests.support.waiting import wait_for_file, wait_until

SIDECAR = ("register", "--name", "web-1", "--type", "application")
LIMIT = 30.0

CONTAINER = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")
"""What makes a program process 1, as a container does."""

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a kernel's own feature")


def may_be_process_1() -> bool:
    try:
        return (
            subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:
        return False


# Where it may not, the kernel gives the orphans to the sidecar all the same, as a subreaper.
ANCESTORS = [(), CONTAINER] if may_be_process_1() else [()]


def status_of(pid: int) -> dict[str, str]:
    """What the kernel says of a process; {} when there is none."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def children(pid: int) -> dict[int, str]:
    """The states of the children of a process, such as `Z` for one that is defunct."""
    found = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and (status := status_of(int(each.name))).get("PPid") == str(pid):
            found[int(each.name)] = status["State"][0]
    return found


def only_child(pid: int) -> int:
    wait_until(lambda: len(children(pid)) == 1, LIMIT)
    return next(iter(children(pid)))


@linux
@pytest.mark.parametrize("before", ANCESTORS, ids=["subreaper", "process 1"][: len(ANCESTORS)])
def test_orphans_of_the_command_are_waited_for(
    hub: ThreadedHub, homeport: Homeport, tmp_path: Path, before: tuple[str, ...]
) -> None:
    ready = tmp_path / "ready"
    script = (
        "import os, pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "for number in range(5):\n"  # forked twice, as a daemon is: the middle one ends first
        "    if os.fork() == 0:\n"
        "        middle = os.getpid()\n"
        "        if os.fork() == 0:\n"
        "            while os.getppid() == middle: time.sleep(0.01)\n"
        f"            pathlib.Path({str(tmp_path)!r}, f'orphan-{{number}}').write_text('')\n"
        "            os._exit(3)\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
        f"pathlib.Path({str(ready)!r}).write_text('ready')\n"
        "while True: time.sleep(0.05)\n"
    )
    process = homeport.prefixed(*before).begin(
        *SIDECAR, "--url", hub.url, "--", sys.executable, "-c", script
    )
    wait_for_file(ready, "ready")
    sidecar = only_child(process.pid) if before else process.pid
    wait_until(lambda: len(list(tmp_path.glob("orphan-*"))) == 5, LIMIT)
    wait_until(lambda: len(children(sidecar)) == 1, LIMIT)
    assert "Z" not in children(sidecar).values()
    if before:
        assert status_of(sidecar)["NSpid"].split()[-1] == "1"
    os.kill(sidecar, signal.SIGTERM)
    assert finish(process)[0] == 7
    assert len(hub.requests("unregister")) == 1


@linux
@pytest.mark.parametrize("trap", ["", "trap '' TERM HUP INT; "])
def test_a_sidecar_that_is_killed_takes_its_command_with_it(
    hub: ThreadedHub, homeport: Homeport, trap: str
) -> None:
    process = homeport.begin(
        *(*SIDECAR, "--url", hub.url),
        *("--", "sh", "-c", f"{trap}echo $$; while :; do sleep 0.1; done"),
    )
    assert process.stdout is not None
    command = int(process.stdout.readline())
    process.kill()
    process.wait()
    wait_until(lambda: not alive(command), LIMIT)


@linux
def test_one_that_is_killed_before_it_is_registered_leaves_nothing(
    hub: ThreadedHub, homeport: Homeport, tmp_path: Path
) -> None:
    hub.on("register", silent)
    proof = tmp_path / "proof"
    process = homeport.begin(*SIDECAR, "--url", hub.url, "--", "touch", str(proof))
    hub.wait_for("register")
    waiting = only_child(process.pid)
    process.kill()
    process.wait()
    wait_until(lambda: not alive(waiting), LIMIT)
    assert not proof.exists()


@linux
def test_a_child_whose_parent_has_just_ended_ends_as_well() -> None:
    script = (
        "import os, signal\n"
        "from hub.cli.prctl import end_with\n"
        "end_with(os.getppid(), signal.SIGKILL)\n"
        "print('goes on', flush=True)\n"
        "end_with(os.getpid(), signal.SIGKILL)\n"
        "print('too late')\n"
    )
    done = subprocess.run(
        bound([sys.executable, "-c", script]), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "goes on\n", "")


def test_a_command_that_ignores_a_signal_runs_on_registered(
    hub: ThreadedHub, homeport: Homeport, tmp_path: Path
) -> None:
    ready, go = tmp_path / "ready", tmp_path / "go"
    process = homeport.begin(
        *(*SIDECAR, "--url", hub.url, "--", "sh", "-c"),
        f"trap '' TERM; echo ready > {ready}; while [ ! -e {go} ]; do sleep 0.05; done; exit 4",
    )
    wait_for_file(ready, "ready\n")
    process.send_signal(signal.SIGTERM)
    hub.wait_for("heartbeat", len(hub.requests("heartbeat")) + 2)
    assert process.poll() is None
    assert hub.requests("unregister") == []
    go.touch()
    assert finish(process)[0] == 4
    assert len(hub.requests("unregister")) == 1


def test_a_command_that_ends_at_once_is_not_missed(hub: ThreadedHub, homeport: Homeport) -> None:
    for _ in range(5):
        assert homeport.run(*SIDECAR, "--url", hub.url, "--", "false").returncode == 1


def test_the_status_is_not_lost_where_ends_of_children_are_ignored(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    ignoring = homeport.prefixed(
        *(sys.executable, "-c"),
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
        "os.execv(sys.argv[1], sys.argv[1:])",
    )
    done = ignoring.run(*SIDECAR, "--url", hub.url, "--", "sh", "-c", "exit 9")
    assert done.returncode == 9


def test_a_script_without_its_interpreter_cannot_be_run(
    hub: ThreadedHub, homeport: Homeport, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    done = homeport.run(*SIDECAR, "--url", hub.url, "--", str(script))
    assert done.returncode == 126
    assert done.stderr.splitlines()[-1] == (
        f"homeport: {script} cannot be run: there is no such interpreter as its first line names."
    )
    assert hub.ops() == ["register", "unregister"]


@linux
def test_the_command_has_the_signals_and_streams_of_a_shells_command(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    command = ["cat", "/proc/self/status"]
    plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    beside = homeport.run(*SIDECAR, "--url", hub.url, "--", *command).stdout
    for what in ("SigBlk", "SigIgn", "SigCgt"):
        assert re.findall(f"{what}:.*", beside) == re.findall(f"{what}:.*", plain)
    done = homeport.run(*SIDECAR, "--url", hub.url, "--", "ls", "/proc/self/fd")
    assert done.stdout.split() == ["0", "1", "2", "3"]  # 3: the directory that ls reads
