"""The one failure of the embedded engine."""

from __future__ import annotations

from hub.errors import HubError


class EngineError(HubError):
    """The embedded engine cannot run; says why, where, and what to do."""
