"""A second hub that is started by mistake, with the name, port and Redis of the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.test_starting import fails


def test_it_fails_and_the_first_notices_nothing(
    tmp_path: Path, start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    options = ("--redis", server.url, "--hub-id", "one")
    hub = start_hub(*options)
    place = enter(hub, None)
    agent, _ = place.agent("a")
    watcher = place.watcher()
    status, said = fails(tmp_path / "second", "--port", str(hub.port), *options)
    assert (status, "already in use" in said) == (1, True)
    watcher.listen(0.5)
    assert watcher.said_by_now() == []
    assert agent.ask("heartbeat")["durable"] is True
    assert "writer generation" not in hub.log()
