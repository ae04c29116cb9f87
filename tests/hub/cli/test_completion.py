"""Completion in a shell, as the how-to guide sets it up."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from homeport_protocol.bounds import KINDS, STATUSES, STRATEGIES
from tests.docs.pages import HOW_TO
from tests.support.programs import Homeport, environment, homeport

BASH = """
eval "$(_HOMEPORT_COMPLETE=bash_source homeport)"
complete -p homeport > /dev/null || exit 9
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_homeport_completion homeport
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (("ag",), ("agent", "agents")),
        (("agents", "--st"), ("--status",)),
        (("agents", "--status", ""), STATUSES),
        (("agents", "--status", "un"), ("unhealthy", "unreachable")),
        (("register", "--status", "de"), ("degraded",)),
        (("register", "--lo"), ("--load",)),
        (("watch", "--kind", ""), KINDS),
        (("pick", "--strategy", ""), STRATEGIES),
        (("serve", "--log-format", ""), ("console", "json")),
    ],
)
def test_bash_completes_commands_options_and_values(
    words: tuple[str, ...], completions: tuple[str, ...], tmp_path: Path
) -> None:
    folder = str(Path(homeport()[0]).parent)
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH, "bash", "homeport", *words],
        env=environment(tmp_path, PATH=f"{folder}{os.pathsep}{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split()) == sorted(completions)


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("bash", {"COMP_WORDS": "homeport agents --status un", "COMP_CWORD": "3"}),
        ("zsh", {"COMP_WORDS": "homeport agents --status un", "COMP_CWORD": "3"}),
        ("fish", {"COMP_WORDS": "homeport agents --status un", "COMP_CWORD": "un"}),
    ],
)
def test_every_shell_gets_its_script_and_its_answers(
    homeport: Homeport, shell: str, words: dict[str, str]
) -> None:
    script = homeport.run(_HOMEPORT_COMPLETE=f"{shell}_source")
    assert (script.returncode, script.stderr) == (0, "")
    assert f"_HOMEPORT_COMPLETE={shell}_complete" in script.stdout
    done = homeport.run(_HOMEPORT_COMPLETE=f"{shell}_complete", **words)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"\bun\w+", done.stdout) == ["unhealthy", "unreachable"]


def test_the_guide_says_how_for_each() -> None:
    shells = re.findall(r"_HOMEPORT_COMPLETE=(\w+)_source", HOW_TO.read_text(encoding="utf-8"))
    assert shells == ["bash", "zsh", "fish"]
