"""The version of this hub, and the oldest Redis that it works with."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("homeport")
except PackageNotFoundError:  # run from a checkout that was not installed
    VERSION = "0"

OLDEST_REDIS = (6, 2)
"""The oldest version of Redis whose commands the store's scripts use; every Valkey is newer."""

OLDEST_REDIS_TEXT = ".".join(map(str, OLDEST_REDIS))
