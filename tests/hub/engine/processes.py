"""The embedded server as its tests see it: serving or not, under a hub that may be killed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import redis

from tests.support.programs import Program, parent

ENGINE_PROGRAM = str(Path(__file__).with_name("engine_program.py"))


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True, socket_timeout=5)


def answers(url: str) -> bool:
    try:
        return bool(client(url).ping())
    except redis.RedisError:
        return False


class EngineProgram(Program):
    """A process that runs nothing but the engine, as a hub does."""

    def __init__(self, data_dir: Path, directory: Path) -> None:
        command = [sys.executable, ENGINE_PROGRAM, str(data_dir)]
        super().__init__(command, directory / "engine-program.log", cwd=directory)
        self.launch()
        self.said: dict[str, Any] = json.loads(self.read_line())
        self.url: str = self.said.get("url", "")
        self.server: int = self.said.get("server", 0)
        self.guard = parent(self.server) if self.server else 0
