"""The rule for a namespace's name, for every surface that takes one: hub, command line, client."""

from __future__ import annotations

import re

from homeport_protocol.bounds import NAMESPACE

DEFAULT_NAMESPACE = "default"
"""The namespace of a caller that names none."""

NAMESPACE_RULE = (
    "1 to 63 letters, digits, dots, underscores or hyphens, beginning with a letter or digit"
)
"""What a name has to be, in the words that an error uses."""

_pattern = re.compile(NAMESPACE)


def is_namespace(name: str) -> bool:
    """Whether a namespace may have this name."""
    return _pattern.match(name) is not None
