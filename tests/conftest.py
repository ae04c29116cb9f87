"""For all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.support.redis_servers import RedisServer

SLOW = ["test_small_forms.py", "faults", "simulation", "e2e"]
"""Files and directories that come first, so that no process ends long after the others."""

# A suite that is started in the background inherits SIGINT as ignored, and with `nohup` SIGHUP too;
# so would the programs that tests start and interrupt. With handlers here, they begin with the
# default. The suite itself still ends on SIGINT, and still lives through a SIGHUP that was ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        return next((n for n, name in enumerate(SLOW) if name in item.path.parts[-2:]), len(SLOW))

    items.sort(key=rank)


@pytest.fixture(scope="session", autouse=True)
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Programs keep nothing in the home of who runs the tests, and find nothing there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--redis-acl",
        action="store_true",
        help="give the hubs a Redis user that may do what the manual lists, and no more",
    )


def pytest_configure(config: pytest.Config) -> None:
    RedisServer.limited = config.getoption("--redis-acl")
