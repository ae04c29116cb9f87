"""A hub that stops hands its agents over: watches at others hear only that they are back."""

from __future__ import annotations

import signal
from typing import Any

from tests.support.waiting import LIMIT, wait_until


def test_watches_hear_resumed_alone_where_the_agent_is_back_in_time(
    start_server: Any, start_hub: Any, enter: Any
) -> None:
    server = start_server()
    times = ("--redis", server.url, "--resume-window", "3")
    first, second = (start_hub(*times, "--hub-id", name) for name in ("one", "two"))
    leaving, staying = enter(first, None), enter(second, None)
    back, gone = leaving.agent("back"), leaving.agent("gone")
    wait_until(lambda: len(staying.listed()) == 2)
    watcher = staying.watcher()
    first.signal(signal.SIGTERM)
    for wire, _ in (back, gone):
        assert wire.closing()[0] == 1001
    wait_until(lambda: {it["health"]["reason"] for it in staying.listed().values()} == {"draining"})
    assert staying.get("/agents/pick").status_code == 404  # none is picked meanwhile
    resumed = staying.connect().ask(
        "resume", agent_id=back[1]["agent_id"], session_token=back[1]["session_token"]
    )
    assert resumed["resumed"] is True
    assert watcher.event("resumed")["agent"]["name"] == "back"
    lost = watcher.event("lost", timeout=LIMIT)  # once its resume window is over
    assert lost["agent"]["name"] == "gone"
    assert lost["agent"]["health"]["reason"] == "ok"
    assert first.wait(LIMIT) == 0
