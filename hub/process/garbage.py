"""Excluding long-lived objects from garbage collection.

A full collection visits every object, which takes half a second with 10,000 connections or as many
agents over HTTP, and frees almost nothing. Frozen objects are not visited.
"""

from __future__ import annotations

import gc

FREEZE_STEP = 500
"""Connections and agents that may be added before they are excluded from collections."""


class GarbageCollection:
    """Decides when the objects of connections and agents are frozen."""

    def __init__(self) -> None:
        self._frozen = 0

    def freeze_loaded(self) -> None:
        """Freeze what was loaded at the start, which lives long."""
        gc.collect()
        gc.freeze()

    def adapt(self, held: int) -> None:
        """Freeze when `held` connections and agents are many more than when it was last done.

        When half of them have gone, unfreeze: there may be garbage among the frozen objects then.
        """
        if held > self._frozen + FREEZE_STEP:
            gc.freeze()
            self._frozen = held
        elif held < self._frozen / 2:
            gc.unfreeze()
            self._frozen = held
