"""The program as a whole: help, version, wrong usage, and failures without a traceback."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from hub.cli import main
from hub.cli.main import cli, run
from hub.errors import HubError
from tests.support.fake_hub import ThreadedHub
from tests.support.programs import Homeport
from tests.support.programs import environment as clean
from tests.support.programs import homeport as program

COMMANDS = [
    "acknowledge-loss",
    "agent",
    "agents",
    "bench",
    "hubs",
    "pick",
    "register",
    "remove",
    "repair",
    "serve",
    "token",
    "watch",
]


def test_these_are_the_commands() -> None:
    assert sorted(cli.commands) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([command, "--help"]) == 0
    out, error = capsys.readouterr()
    assert error == ""
    assert out.startswith(f"Usage: homeport {command} ")
    examples = out.split("Examples:\n")[1]
    assert f"  homeport {command}" in examples
    assert all(len(line) <= 80 for line in out.splitlines())


def test_an_example_in_the_help_is_an_acceptable_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command in COMMANDS:
        run([command, "--help"])
        examples = capsys.readouterr().out.split("Examples:\n")[1].replace("\\\n", " ")
        lines = re.findall(r"^ +homeport (.*)$", examples, re.MULTILINE)
        assert lines
        for line in lines:
            plain = re.sub(r" \| .*$|   +.*$", "", line)
            context = cli.commands[command].make_context(command, shlex.split(plain)[1:])
            assert context.info_name == command


def test_the_program_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {command} " in out for command in COMMANDS)
    assert "Exit status: 0 done, 1 failed, 2 wrong usage." in out


@pytest.mark.parametrize("command", [*COMMANDS, ""])
def test_help_fits_80_columns_and_breaks_no_word(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*command.split(), "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    monkeypatch.setenv("COLUMNS", "1000")
    assert run([*command.split(), "--help"]) == 0
    assert set(" ".join(lines).split()) <= set(capsys.readouterr().out.split())


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"homeport {version('homeport')}\n"


def test_without_a_command_the_help_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("Usage: homeport ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["agnets"], "homeport: no such command 'agnets'"),
        (["agents", "--tpye", "cost"], "homeport agents: no such option"),
        (["agents", "extra"], "homeport agents: got unexpected extra argument (extra)"),
        (["agents", "--limit", "0"], "homeport agents: invalid value for '--limit'"),
        (
            ["agents", "--limit", "x"],
            "homeport agents: invalid value for '--limit': 'x' is not a whole",
        ),
        (
            ["register", "--load", "x"],
            "homeport register: invalid value for '--load': 'x' is not a n",
        ),
        (["agents", "--url", "hub:80"], "homeport agents: invalid value for '--url'"),
        (["agents", "--url", "http://hub:99999"], "homeport agents: invalid value for '--url'"),
        (["agents", "--namespace", "a/b"], "homeport agents: invalid value for '--namespace'"),
        (["agent"], "homeport agent: missing argument 'AGENT'"),
        (["agents", "--version", ">>1"], "homeport agents: invalid value for '--version': '>>1'"),
        (["pick", "--version", "1.2"], "homeport pick: invalid value for '--version': '1.2'"),
        (["watch", "--version", ">>1"], "homeport watch: invalid value for '--version': '>>1'"),
        (["pick", "--strategy", "best"], "homeport pick: invalid value for '--strategy'"),
        (["watch", "--since", "-1", "--log", "x"], "homeport watch: invalid value for '--since'"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(sentence)
    assert error.endswith('--help").\n')
    assert error.count("\n") == 1


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli.commands["agents"], "callback", fail)
    return run(["agents"])


def test_a_bug_is_one_sentence_that_says_how_to_learn_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HOMEPORT_DEBUG", raising=False)
    assert failing(monkeypatch, ZeroDivisionError("division\nby zero")) == 1
    assert capsys.readouterr().err == (
        "homeport: internal error: ZeroDivisionError: division by zero; "
        "run with HOMEPORT_DEBUG=1 for the traceback.\n"
    )


def test_the_traceback_is_there_for_who_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOMEPORT_DEBUG", "1")
    assert failing(monkeypatch, ZeroDivisionError("division by zero")) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_failure_of_the_hub_is_its_own_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(monkeypatch, HubError("the data directory /x is in use")) == 1
    assert capsys.readouterr().err == "homeport: the data directory /x is in use.\n"


@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}])
@pytest.mark.parametrize("command", [["agents"], ["agents", "--json"], ["agents", "--help"]])
def test_an_output_that_cannot_be_written_is_one_sentence(
    hub: ThreadedHub, tmp_path: Path, command: list[str], environment: dict[str, str]
) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*program(), *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env=clean(tmp_path, HOMEPORT_URL=hub.url, **environment),
        )
    assert (done.returncode, done.stderr) == (
        1,
        "homeport: the output could not be written: no space left on device.\n",
    )


def test_another_failure_of_this_machine_is_told_in_its_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(monkeypatch, OSError(errno.EMFILE, os.strerror(errno.EMFILE))) == 1
    assert capsys.readouterr().err == "homeport: too many open files.\n"
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/srv/x")
    assert failing(monkeypatch, denied) == 1
    assert capsys.readouterr().err == "homeport: /srv/x: permission denied.\n"


def test_an_interrupt_is_130_and_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(monkeypatch, KeyboardInterrupt()) == main.INTERRUPTED == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("package", ["click", "rich"])
def test_the_light_client_says_how_to_get_the_command_line(
    homeport: Homeport, package: str
) -> None:
    script = f"import sys; sys.modules['{package}'] = None; import hub.__main__ as m; m.main()"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"homeport: the command line needs the package {package}, which is not installed; "
        "in a checkout of Homeport, run: pip install '.[hub]'\n"
    )


def test_python_m_hub_is_the_same_program(homeport: Homeport) -> None:
    done = homeport.run("--version")
    assert (done.returncode, done.stdout) == (0, f"homeport {version('homeport')}\n")


def test_the_bench_is_another_program_that_gets_all_arguments(homeport: Homeport) -> None:
    done = homeport.run("bench", "heartbeats", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: homeport bench heartbeats ")

    refused = homeport.run("bench", "perpetual-motion")
    assert refused.returncode == 2
    assert refused.stderr.startswith("homeport bench: ")
    assert "python -m bench" not in homeport.run("bench").stdout + refused.stderr


def test_where_there_is_no_bench_one_sentence_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run(["bench"]) == 1
    assert capsys.readouterr().err.startswith("homeport: the load tests are not installed")


def test_what_gave_a_bad_url_or_token_is_blamed(homeport: Homeport) -> None:
    for arguments, env, blamed in (
        (["--url", "ftp://x"], {"HOMEPORT_URL": "http://h:1"}, "'--url'"),
        ([], {"HOMEPORT_URL": "ftp://x"}, "HOMEPORT_URL"),
        (["--token", "a b"], {"HOMEPORT_TOKEN": "x"}, "'--token'"),
        ([], {"HOMEPORT_TOKEN": "a b"}, "HOMEPORT_TOKEN"),
    ):
        done = homeport.run("agents", *arguments, **env)
        assert done.returncode == 2
        assert done.stderr.startswith(f"homeport agents: invalid value for {blamed}: ")
        assert "a b" not in done.stderr


def test_a_misspelt_variable_is_told_and_the_command_runs(homeport: Homeport, nobody: str) -> None:
    done = homeport.run("agents", "--url", nobody, HOMEPORT_TOKN="s3cret")
    warning, failure = done.stderr.splitlines()
    assert warning == (
        "homeport: warning: the variable HOMEPORT_TOKN is not one that Homeport reads; "
        "did you mean HOMEPORT_TOKEN?"
    )
    assert failure.startswith("homeport: cannot reach a hub")
