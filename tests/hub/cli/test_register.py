"""`homeport register`: a registration that lives as long as the command beside it."""

from __future__ import annotations

import json
import signal
import sys
import uuid
from pathlib import Path

import pytest

from tests.support.fake_hub import ThreadedHub, silent
from tests.support.programs import Homeport, finish
from tests.support.waiting import wait_for_file

AGENT_ID = "3f2a91bc-8f0e-4c57-9d39-0f1c2d7f5a11"
SIDECAR = ("register", "--name", "web-1", "--type", "application")


def told(script: str) -> list[str]:
    """A command that is a Python program, and tells in a file that its handlers are set."""
    return ["--", sys.executable, "-c", script]


def waiting_for(number: str, status: int, ready: Path) -> list[str]:
    """A command that ends with `status` when signal `number` comes."""
    return told(
        "import pathlib, signal, sys, time\n"
        f"signal.signal(signal.{number}, lambda *_: sys.exit({status}))\n"
        f"pathlib.Path({str(ready)!r}).write_text('ready')\n"
        "while True: time.sleep(0.05)\n"
    )


def test_the_command_runs_while_the_agent_is_registered_and_its_status_is_passed_on(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    done = homeport.run(*SIDECAR, "--url", hub.url, "--", "sh", "-c", "echo out; exit 7")
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert hub.ops() == ["register", "unregister"]
    assert done.stderr.startswith("homeport: registered web-1 as ")
    assert done.stderr.count("\n") == 1


def test_everything_that_was_said_of_the_agent_is_registered(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    done = homeport.run(
        *(*SIDECAR, "--url", hub.url, "--agent-id", AGENT_ID, "--namespace", "blue"),
        *("--capability", "http", "--capability", "sql", "--host", "10.0.0.7", "--port", "80"),
        *("--version", "1.2", "--meta", "region=eu", "--meta", "replicas=3"),
        *("--status", "degraded", "--load", "0.25", "true"),
    )
    assert done.returncode == 0
    asked = hub.wait_for("register")
    assert asked["agent_id"] == AGENT_ID
    assert hub.handshakes[0].headers["Homeport-Namespace"] == "blue"
    said = {key: asked["agent"][key] for key in ("name", "type", "host", "port", "version")}
    assert said == {
        "name": "web-1",
        "type": "application",
        "host": "10.0.0.7",
        "port": 80,
        "version": "1.2",
    }
    assert asked["agent"]["capabilities"] == ["http", "sql"]
    assert asked["agent"]["metadata"] == {"region": "eu", "replicas": 3}
    assert (asked["agent"]["status"], asked["agent"]["load"]) == ("degraded", 0.25)


def test_the_command_finds_the_agents_id_and_the_hub_in_its_environment(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    done = homeport.run(*SIDECAR, "--url", hub.url, *told(show), EXTRA="kept")
    environment = json.loads(done.stdout)
    assert environment["HOMEPORT_AGENT_ID"] == hub.wait_for("register")["agent_id"]
    assert environment["HOMEPORT_URL"] == hub.url
    assert environment["EXTRA"] == "kept"


CREDENTIALS = {"HOMEPORT_TOKEN_FILE": "/no/such", "HOMEPORT_HEADERS": "X-Key: s3cret"}


def test_the_command_gets_no_credentials(hub: ThreadedHub, homeport: Homeport) -> None:
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    url = hub.url.replace("http://", "http://agent:s3cret@")
    done = homeport.run(*SIDECAR, *told(show), HOMEPORT_URL=url, **CREDENTIALS)
    environment = json.loads(done.stdout)
    assert environment["HOMEPORT_URL"] == hub.url
    assert not environment.keys() & {"HOMEPORT_TOKEN", *CREDENTIALS}
    assert "s3cret" not in done.stdout + done.stderr
    assert hub.handshakes[0].headers["Authorization"].startswith("Basic ")


def test_the_command_gets_them_when_asked_to(hub: ThreadedHub, homeport: Homeport) -> None:
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    url = hub.url.replace("http://", "http://agent:s3cret@")
    passed = {**CREDENTIALS, "HOMEPORT_TOKEN": "s3cret", "HOMEPORT_URL": url}
    done = homeport.run(*SIDECAR, "--pass-credentials", *told(show), **passed)
    assert passed.items() <= json.loads(done.stdout).items()


def test_options_after_the_command_are_the_commands_own(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    done = homeport.run(*SIDECAR, "--url", hub.url, "echo", "--name", "x", "--help")
    assert (done.returncode, done.stdout) == (0, "--name x --help\n")


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_is_passed_on_and_the_commands_answer_to_it_counts(
    hub: ThreadedHub, homeport: Homeport, tmp_path: Path, number: str
) -> None:
    ready = tmp_path / "ready"
    process = homeport.begin(*SIDECAR, "--url", hub.url, *waiting_for(number, 9, ready))
    wait_for_file(ready, "ready")
    process.send_signal(getattr(signal, number))
    assert finish(process)[0] == 9
    assert len(hub.requests("unregister")) == 1


def test_a_command_that_a_signal_ends_gives_128_and_its_number(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    done = homeport.run(*SIDECAR, "--url", hub.url, "--", "sh", "-c", "kill -KILL $$")
    assert done.returncode == 128 + signal.SIGKILL
    assert len(hub.requests("unregister")) == 1


def test_a_second_signal_is_passed_on_too(
    hub: ThreadedHub, homeport: Homeport, tmp_path: Path
) -> None:
    heard = tmp_path / "heard"
    script = (
        "import pathlib, signal, time\n"
        f"heard = pathlib.Path({str(heard)!r})\n"
        "signal.signal(signal.SIGINT, lambda *_: heard.write_text('once'))\n"
        "heard.write_text('ready')\n"
        "while True: time.sleep(0.05)\n"
    )
    process = homeport.begin(*SIDECAR, "--url", hub.url, *told(script))
    wait_for_file(heard, "ready")
    process.send_signal(signal.SIGINT)
    wait_for_file(heard, "once")
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 128 + signal.SIGTERM


def test_a_signal_that_was_ignored_from_the_start_stays_ignored(
    hub: ThreadedHub, tmp_path: Path, homeport: Homeport
) -> None:
    ready = tmp_path / "ready"
    script = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGHUP, lambda *_: sys.exit(3))\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        f"pathlib.Path({str(ready)!r}).write_text('ready')\n"
        "while True: time.sleep(0.05)\n"
    )
    under_nohup = homeport.prefixed("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    process = under_nohup.begin(*SIDECAR, "--url", hub.url, *told(script))
    wait_for_file(ready, "ready")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_without_a_command_a_signal_ends_the_registration_with_status_0(
    hub: ThreadedHub, homeport: Homeport, number: signal.Signals
) -> None:
    process = homeport.begin(*SIDECAR, "--url", hub.url, "--agent-id", AGENT_ID)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == f"Registered web-1 as {AGENT_ID} with {hub.url}; Ctrl-C unregisters it.\n"
    process.send_signal(number)
    assert finish(process) == (0, "", "")
    assert len(hub.requests("unregister")) == 1


def test_heartbeats_go_on_while_the_command_runs(hub: ThreadedHub, homeport: Homeport) -> None:
    process = homeport.begin(*SIDECAR, "--url", hub.url, "--", "sleep", "60")
    hub.wait_for("heartbeat", 2)
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 128 + signal.SIGTERM


def test_without_a_hub_the_command_is_not_started(
    homeport: Homeport, nobody: str, tmp_path: Path
) -> None:
    proof = tmp_path / "proof"
    done = homeport.run(*SIDECAR, "--url", nobody, "--wait", "0.3", "--", "touch", str(proof))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"homeport: cannot reach a hub at {nobody} (connection refused); "
        'start one with "homeport serve", or give --url.\n'
    )
    assert not proof.exists()


def test_a_signal_while_no_hub_is_there_ends_the_waiting(homeport: Homeport, nobody: str) -> None:
    # The signal may come before homeport listens for it: then it ends as any program does.
    process = homeport.begin(*SIDECAR, "--url", nobody, "--wait", "600", "--", "true")
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] in (128 + signal.SIGTERM, -signal.SIGTERM)


def test_a_signal_while_the_hub_does_not_answer_ends_the_waiting(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    hub.on("register", silent)
    process = homeport.begin(*SIDECAR, "--url", hub.url, "--", "true")
    hub.wait_for("register")
    process.send_signal(signal.SIGTERM)
    assert finish(process) == (128 + signal.SIGTERM, "", "")


def test_a_refusal_is_told_and_the_command_is_not_started(
    hub: ThreadedHub, homeport: Homeport, tmp_path: Path
) -> None:
    proof = tmp_path / "proof"
    hub.refuse("register", "forbidden", "this token may not register agents")
    done = homeport.run(*SIDECAR, "--url", hub.url, "--", "touch", str(proof))
    assert done.returncode == 1
    assert done.stderr == "homeport: this token may not register agents.\n"
    assert not proof.exists()


def test_with_exclusive_it_fails_while_another_session_of_the_id_lives(
    hub: ThreadedHub, homeport: Homeport, tmp_path: Path
) -> None:
    proof = tmp_path / "proof"
    hub.refuse("register", "conflict", "another living session holds this id")
    given = (*SIDECAR, "--url", hub.url, "--agent-id", str(uuid.uuid4()))
    done = homeport.run(*given, "--exclusive", "--", "touch", str(proof))
    assert done.returncode == 1
    assert done.stderr == "homeport: another living session holds this id.\n"
    assert not proof.exists()
    assert hub.wait_for("register")["exclusive"] is True
    hub.behave("register")
    assert homeport.run(*given, "--", "touch", str(proof)).returncode == 0
    assert "exclusive" not in hub.wait_for("register", 2)


def test_a_command_that_does_not_exist_is_127_and_registers_nothing(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    done = homeport.run(*SIDECAR, "--url", hub.url, "--", "no-such-program-here")
    assert (done.returncode, done.stderr) == (
        127,
        "homeport: no-such-program-here: command not found.\n",
    )
    assert hub.ops() == []


def test_a_command_that_cannot_be_run_is_126(
    hub: ThreadedHub, homeport: Homeport, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.write_text("text")
    done = homeport.run(*SIDECAR, "--url", hub.url, "--", str(plain))
    assert done.returncode == 126
    assert done.stderr == f"homeport: {plain} cannot be run: it is not an executable file.\n"
    assert hub.ops() == []
    plain.chmod(0o755)
    done = homeport.run(*SIDECAR, "--url", hub.url, "--", str(plain))
    assert done.returncode == 126
    assert f"homeport: {plain} cannot be run: Exec format error.\n" in done.stderr
    assert hub.ops() == ["register", "unregister"]


def test_the_command_runs_on_while_the_hub_is_away_and_the_agent_comes_back(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    process = homeport.begin(*SIDECAR, "--url", hub.url, "--", "sleep", "60")
    hub.wait_for("heartbeat")
    hub.close_connections(1001, "retry in 0 s")
    hub.wait_for("resume")
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    status, _, error = finish(process)
    assert status == 128 + signal.SIGTERM
    assert "homeport: the hub is away (" in error
    assert "homeport: back at the hub, the agent is registered\n" in error
    assert "Traceback" not in error


def test_an_end_that_no_hub_could_be_told_of_is_said(hub: ThreadedHub, homeport: Homeport) -> None:
    process = homeport.begin(*SIDECAR, "--url", hub.url, "--", "sleep", "60")
    hub.wait_for("heartbeat")
    hub.handshake = (503, "refused\n", {})
    hub.close_connections(1001, "retry in 0 s")
    assert process.stderr is not None
    assert "registered" in process.stderr.readline()
    assert "the hub is away" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert finish(process) == (
        128 + signal.SIGTERM,
        "",
        "homeport: no hub could be told of the end; the agent's lease runs out by itself\n",
    )


def test_a_fenced_agents_command_runs_on_and_its_user_is_told(
    hub: ThreadedHub, homeport: Homeport, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    process = homeport.begin(*SIDECAR, "--url", hub.url, *waiting_for("SIGTERM", 5, ready))
    wait_for_file(ready, "ready")
    hub.wait_for("heartbeat")
    hub.close_connections(4409, "fenced by a newer session")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("homeport: registered web-1")
    assert process.stderr.readline() == (
        "homeport: a newer session has taken over this agent's id; "
        "the command runs on without being registered\n"
    )
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 5
    assert hub.requests("unregister") == []


def test_a_fenced_agent_without_a_command_fails(hub: ThreadedHub, homeport: Homeport) -> None:
    process = homeport.begin(*SIDECAR, "--url", hub.url)
    hub.wait_for("heartbeat")
    hub.close_connections(4409, "fenced by a newer session")
    status, _, error = finish(process)
    assert (status, error) == (1, "homeport: a newer session has taken over this agent's id.\n")


def test_no_lease_is_left_to_tell_of_when_the_agent_was_removed(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    process = homeport.begin(*SIDECAR, "--url", hub.url)
    hub.wait_for("heartbeat")
    hub.refuse("resume", "not_found")
    hub.close_connections(1000, "unregistered")
    status, _, error = finish(process)
    assert status == 1
    assert "homeport: the registration has ended: the agent was removed" in error
    assert "lease" not in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("register", "--type", "cost"), "missing option '--name'"),
        ((*SIDECAR, "--port", "70000"), "--port"),
        ((*SIDECAR, "--meta", "region"), "KEY=VALUE"),
        ((*SIDECAR, "--agent-id", "web-1"), "agent_id"),
        ((*SIDECAR, "--wait", "nan"), "--wait"),
        ((*SIDECAR, "--status", "well"), "--status"),
        ((*SIDECAR, "--load", "-1"), "--load"),
        ((*SIDECAR, "--load", "nan"), "load"),
        ((*SIDECAR, "--name", "x" * 129), "name"),
        (("register", "--name", "n", "--type", "x" * 65), "type"),
        ((*SIDECAR, "--namespace", "a b"), "'a b' is not a namespace"),
    ],
)
def test_what_no_hub_could_accept_is_wrong_usage(
    homeport: Homeport, arguments: tuple[str, ...], words: str
) -> None:
    done = homeport.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("homeport register: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
