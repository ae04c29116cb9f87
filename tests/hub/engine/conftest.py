from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from hub.engine import EmbeddedEngine
from tests.hub.engine.processes import EngineProgram


@pytest.fixture
def start_hub(tmp_path: Path) -> Iterator[Callable[[Path], EngineProgram]]:
    hubs: list[EngineProgram] = []

    def start(data_dir: Path) -> EngineProgram:
        hubs.append(EngineProgram(data_dir, tmp_path))
        return hubs[-1]

    yield start
    for hub in hubs:
        hub.end()


@pytest.fixture
async def start_engine() -> AsyncIterator[Callable[[Path], Awaitable[tuple[EmbeddedEngine, str]]]]:
    engines: list[EmbeddedEngine] = []

    async def start(data_dir: Path) -> tuple[EmbeddedEngine, str]:
        engine = EmbeddedEngine(data_dir)
        url = await engine.start()
        engines.append(engine)
        return engine, url

    yield start
    for engine in engines:
        await engine.stop()
