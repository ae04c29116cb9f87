"""The failures a person sees: each is one plain sentence."""

from __future__ import annotations


class HubError(Exception):
    """A failure that the user can understand and act on; `str` is one plain sentence.

    The command line prints it on stderr and exits with `status`: 1, or 2 for wrong usage. It never
    holds a secret: a URL named in it has lost its password.
    """

    status = 1


class RivalError(HubError):
    """Another hub uses this one's id, and goes on in its place."""


class EngineError(HubError):
    """The embedded engine cannot run; says why, where, and what to do."""
