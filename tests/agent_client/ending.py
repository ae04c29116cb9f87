"""Programs with agents that tests end by a signal."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.fake_hub import ThreadedHub
from tests.support.legacy_hub import LegacyHub
from tests.support.programs import Program, environment

END_LIMIT = 30.0
"""Seconds for a program to end, on a busy machine."""

HEAD = """
import asyncio, os, signal, sys, threading, time
import agent_client
from agent_client import AgentClient

def client(number=0, **more):
    return AgentClient(sys.argv[1], name=f"a-{number}", type="test", **more)

def say(*words):
    print(*words, flush=True)
"""


@contextmanager
def running(hub: ThreadedHub | LegacyHub, text: str, directory: Path) -> Iterator[Program]:
    """The program HEAD + `text`, from its start to its end."""
    command = [sys.executable, "-c", HEAD + textwrap.dedent(text), hub.url]
    log = directory / "stderr"
    program = Program(command, log, cwd=directory, env=environment(directory, PYTHONPATH=_ROOT))
    program.launch()
    try:
        yield program
    finally:
        program.end()


def rest(program: Program) -> str:
    """What the ended program printed after what was read."""
    assert program.process is not None
    assert program.process.stdout is not None
    return program.process.stdout.read().decode()


_ROOT = str(Path(__file__).parents[2])
