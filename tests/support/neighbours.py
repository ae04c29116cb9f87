"""Agents that share a namespace with a client that misbehaves, and the shape of errors."""

from __future__ import annotations

from typing import Any

import requests

from tests.support.hub_process import Place


class Neighbour:
    """An agent and a watcher in the same namespace, which must notice nothing."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.wire, registered = place.agent("neighbour", metadata={"k": 1})
        self.id = registered["agent_id"]
        self.record = self.wire.record(self.id)
        self.watcher = place.watcher({"name": "neighbour"})

    def check(self) -> None:
        ack = self.wire.ask("heartbeat")
        assert ack["op"] == "heartbeat_ack", ack
        assert ack["durable"] is True
        now = self.wire.record(self.id)
        assert now | {"last_seen": ""} == self.record | {"last_seen": ""}
        assert self.watcher.said_by_now() == []


def assert_error(answer: dict[str, Any], code: str, field: str | None, id: Any) -> None:
    assert answer["op"] == "error", answer
    assert answer["code"] == code, answer
    assert answer["id"] == id, answer
    assert answer["retryable"] is False, answer
    assert isinstance(answer["message"], str), answer
    assert answer["message"], answer
    assert len(answer["message"]) < 1000, "an error does not send back what it was sent"
    assert "Traceback" not in answer["message"]
    if field is not None:
        assert answer.get("field") == field, answer


def assert_refused(response: requests.Response, *statuses: int, naming: str = "") -> None:
    """An HTTP answer of one of these statuses, with `{"error"}` for a body."""
    assert response.status_code in statuses, (response.status_code, response.text)
    assert response.headers["content-type"].startswith("application/json")
    body = response.json()
    assert isinstance(body["error"], str)
    assert body["error"]
    assert naming in body["error"], body
    assert "Traceback" not in body["error"]
    assert len(response.content) < 2000, "an error does not send back what it was sent"
