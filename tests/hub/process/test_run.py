"""What the event loop of a hub does with failures that nobody handles."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl

import pytest

from hub.process.run import report_unhandled


@pytest.mark.parametrize(
    ("error", "told"),
    [(ssl.SSLError(1, "no trust"), False), (ConnectionResetError(), False), (ValueError(), True)],
)
async def test_a_connection_that_fails_unwaited_for_is_no_error_and_a_bug_is(
    error: Exception, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(report_unhandled)
    future = loop.create_future()
    future.set_exception(error)
    del future
    gc.collect()
    await asyncio.sleep(0)
    errors = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert bool(errors) is told


async def test_a_task_that_fails_is_told_whatever_its_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise ConnectionResetError

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(report_unhandled)
    task = loop.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert task.done()
    del task
    gc.collect()
    assert [each for each in caplog.records if each.levelno >= logging.ERROR]
