"""The version of this hub, from the installed distribution."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("homeport")
except PackageNotFoundError:  # run from a checkout that was not installed
    VERSION = "0"
