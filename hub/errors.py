"""Failures that are shown to a person: each is one plain sentence."""

from __future__ import annotations


class HubError(Exception):
    """A failure that the user can understand and act on; `str` is one plain sentence.

    The command line prints it on stderr and exits with `status`: 1, or 2 for wrong usage. It never
    contains a secret: the password of a URL in it is removed.
    """

    status = 1


class RivalError(HubError):
    """Another hub uses this one's id, and continues in its place."""


class EngineError(HubError):
    """The embedded engine cannot run; the sentence says why, where, and what to do."""
