"""Tokens for peers of a hub that asks for one."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE
from pathlib import Path

from bench.errors import BenchError
from bench.rig.processes import homeport, spawn


async def make_token(data_dir: Path, role: str) -> str:
    """Make a token in the embedded store of a hub that runs; raises BenchError."""
    command = [*homeport(), "token", "create", "--role", role, "--data-dir", str(data_dir)]
    process = await spawn(command, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(60.0):
        out, error = await process.communicate()
    if process.returncode:
        raise BenchError(f"no token could be made: {error.decode(errors='replace').strip()}")
    return out.decode().strip()
