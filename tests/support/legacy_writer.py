"""The legacy registry as a writer of Redis: the commands that its source sends, in their order."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from tests.support.model_store import ModelStore

TTL = 60
"""Seconds, `agentTTL` of its source."""


class Commands(Protocol):
    """What it uses of Redis."""

    def set(self, name: str, value: str, *, ex: int) -> object: ...

    def get(self, name: str) -> Any: ...

    def delete(self, name: str) -> object: ...

    def sadd(self, name: str, value: str) -> object: ...

    def srem(self, name: str, value: str) -> object: ...


class LegacyWriter:
    """The service; `wall` is its clock. It knows the documented fields, and drops all others."""

    def __init__(self, redis: Commands, wall: Callable[[], float]) -> None:
        self._redis = redis
        self._wall = wall

    def register(self, name: str = "legacy", **fields: Any) -> str:
        """`Register`: SET with its time to live, SADD. Returns its `id`, made up if not given."""
        agent_id = str(fields.pop("id", uuid.uuid4()))
        now = self._now()
        agent = {
            "id": agent_id,
            "name": name,
            "type": "cost",
            "host": "h",
            "port": 1,
            "capabilities": None,
            "status": "healthy",
            "version": "",
            "registered_at": now,
            "last_seen": now,
            **fields,
        }
        self._store(agent)
        self._redis.sadd("agents:active", agent_id)
        return agent_id

    def heartbeat(self, agent_id: str, status: str = "", **metadata: Any) -> bool:
        """`Heartbeat`: GET, and SET of what it knows of that; False where it answers 404."""
        return self.write_read(self.read(agent_id), status, **metadata)

    def read(self, agent_id: str) -> dict[str, Any] | None:
        """The GET of a heartbeat."""
        text = self._redis.get(f"agent:{agent_id}")
        return None if text is None else json.loads(text)

    def write_read(self, agent: dict[str, Any] | None, status: str = "", **metadata: Any) -> bool:
        """The SET of a heartbeat that has read this."""
        if agent is None:
            return False
        agent["last_seen"], agent["status"] = self._now(), status
        if metadata:
            agent["metadata"] = agent.get("metadata", {}) | metadata
        self._store(agent)
        return True

    def judge(self, agent_id: str) -> None:
        """`checkAgentHealth`, for an agent that it finds silent."""
        agent = self.read(agent_id)
        assert agent is not None
        self._store(agent | {"status": "unreachable"})

    def unregister(self, agent_id: str) -> None:
        """`Unregister`: SREM, DEL."""
        self._redis.srem("agents:active", agent_id)
        self._redis.delete(f"agent:{agent_id}")

    def _store(self, agent: dict[str, Any]) -> None:
        names = "id name type host port capabilities status version registered_at last_seen"
        known = {name: agent[name] for name in names.split()}
        for name in ("registered_at", "last_seen"):
            known[name] = _go_time(known[name])
        if agent.get("metadata"):
            known["metadata"] = _go_value(agent["metadata"])
        text = json.dumps(known, separators=(",", ":"), ensure_ascii=False)
        self._redis.set(f"agent:{agent['id']}", text, ex=TTL)

    def _now(self) -> str:
        now = datetime.fromtimestamp(self._wall(), UTC)
        return now.strftime("%Y-%m-%dT%H:%M:%S.%f") + "789Z"


class ModelRedis:
    """The commands on the model of the store."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store

    def set(self, name: str, value: str, *, ex: int) -> None:
        expires = self._store.scheduler.now() + ex
        self._store.entries[name.removeprefix("agent:")] = (value.encode(), 0, expires)

    def get(self, name: str) -> str | None:
        self._store.expire()
        entry = self._store.entries.get(name.removeprefix("agent:"))
        return None if entry is None else entry[0].decode()

    def delete(self, name: str) -> None:
        self._store.entries.pop(name.removeprefix("agent:"), None)

    def sadd(self, name: str, value: str) -> None:
        self._store.active.add(value)

    def srem(self, name: str, value: str) -> None:
        self._store.active.discard(value)


def writer_of(store: ModelStore) -> LegacyWriter:
    """The service beside hubs on the model of the store; its clock is five minutes behind."""
    return LegacyWriter(ModelRedis(store), lambda: store.scheduler.wall() - 300)


def _go_time(text: str) -> str:
    """A time as Go writes what it has read: without zeros at the end."""
    seconds, dot, rest = text.removesuffix("Z").partition(".")
    rest = rest.rstrip("0")
    return f"{seconds}{dot}{rest}Z" if rest else f"{seconds}Z"


def _go_value(value: Any) -> Any:
    """A JSON value as Go writes what it has read: numbers are floats, keys are sorted."""
    if isinstance(value, dict):
        return {key: _go_value(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_go_value(each) for each in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
        return int(number) if number.is_integer() and abs(number) < 1e21 else number
    return value
