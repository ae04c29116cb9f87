"""Checking that a Redis server is suitable for a directory."""

from __future__ import annotations

import re

from redis.exceptions import NoPermissionError, ResponseError

from hub.store.backends.failures import StoreError
from hub.store.backends.lane import Lane
from hub.version import OLDEST_REDIS, OLDEST_REDIS_TEXT

_VERSION = re.compile(r"(\d+)\.(\d+)")


async def check_server(lane: Lane, *, in_cluster: bool = False) -> list[str]:
    """Warnings about the server's settings, one sentence each; empty when all is well.

    `lane` is used only here, and dropped. `in_cluster` when the server is used as a node of a Redis
    Cluster. Raises StoreError when the server is unsuitable, and as `lane` does.
    """
    try:
        info = _parse(await lane.ask(b"INFO"))
    except NoPermissionError:
        return [
            "the Redis user may not use INFO, so the server's version and memory policy could not "
            f"be checked: it should be {OLDEST_REDIS_TEXT} or newer, with maxmemory-policy "
            "noeviction"
        ]
    except ResponseError as error:
        if "unknown command" in str(error).lower():  # the server in memory
            return []
        raise
    finally:
        await lane.drop()
    # For Valkey this is the version of Redis that it is compatible with.
    version = _VERSION.match(info.get("redis_version", ""))
    if version is not None and (int(version[1]), int(version[2])) < OLDEST_REDIS:
        raise StoreError(
            f"the Redis server is version {info['redis_version']}: "
            f"{OLDEST_REDIS_TEXT} or newer is needed, or any Valkey"
        )
    modes = (info.get("redis_mode"), info.get("server_mode"))
    if "cluster" in modes and not in_cluster:
        raise StoreError(
            "the Redis server is part of a Redis Cluster: its URL begins with redis+cluster:// (or "
            "rediss+cluster:// for TLS) and names one or more of the nodes"
        )
    if "sentinel" in modes:
        raise StoreError(
            "the Redis server is a Redis Sentinel, which keeps no data: its URL has the form "
            "redis+sentinel://HOST:PORT/PRIMARY, with the name that it knows the primary by"
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if int(info.get("maxmemory", "0")) > 0 and policy != "noeviction":
        return [
            f"Redis will drop agents when its memory is full, because its maxmemory-policy is "
            f"{policy}: set it to noeviction"
        ]
    return []


def _parse(info: bytes) -> dict[str, str]:
    lines = info.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
