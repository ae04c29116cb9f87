"""How a namespace is named, for every surface that takes a name: hub, command line, client."""

from __future__ import annotations

import re

from homeport_protocol.bounds import NAMESPACE

NAMESPACE_HEADER = "Homeport-Namespace"
"""The header of a request or a websocket handshake that names the namespace."""

NAMESPACE_PARAMETER = "namespace"
"""The query parameter that does so where the header is absent."""

DEFAULT_NAMESPACE = "default"
"""The namespace of a caller that names none."""

NAMESPACE_RULE = (
    "1 to 63 letters, digits, dots, underscores or hyphens, beginning with a letter or digit"
)
"""What a name must be, in the words of an error."""

_pattern = re.compile(NAMESPACE)


def is_namespace(name: str) -> bool:
    """Whether a namespace may have this name."""
    return _pattern.match(name) is not None
