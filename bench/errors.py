"""What a run can die of that is not the product's failing: told in one plain sentence."""

from __future__ import annotations


class BenchError(Exception):
    """The run cannot go on; the words say what happened and where to look."""
