"""Environment variables that begin like Homeport's and are none of them: most are misspelt."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from hub.settings.fields import FIELDS

PREFIX = "HOMEPORT_"

OTHERS = frozenset(
    {
        "HOMEPORT_AGENT_ID",
        "HOMEPORT_BROWSER",
        "HOMEPORT_CA_FILE",
        "HOMEPORT_CI_ENV",
        "HOMEPORT_CLIENT_CERT",
        "HOMEPORT_CLIENT_KEY",
        "HOMEPORT_CONFIG",
        "HOMEPORT_DEBUG",
        "HOMEPORT_HEADERS",
        "HOMEPORT_TOKEN",
        "HOMEPORT_TOKEN_FILE",
        "HOMEPORT_URL",
    }
)
"""Variables that are no setting of a hub: those of clients, commands and this project's tools."""

# Kubernetes sets these in every pod for each service whose name begins with "homeport".
_SERVICE_LINK = re.compile(
    r"HOMEPORT(_\w+)?_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that nothing of Homeport reads, with the nearest one's name."""
    known = {*(field.variable for field in FIELDS.values()), *OTHERS}
    tails = [each.removeprefix(PREFIX) for each in known]  # All begin alike: that is no likeness.
    sentences = []
    for name in sorted(environ):
        wanted = name.upper()
        if not wanted.startswith(PREFIX) or name in known or _SERVICE_LINK.fullmatch(name):
            continue
        near = difflib.get_close_matches(wanted.removeprefix(PREFIX), tails, n=1, cutoff=0.7)
        hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
        sentences.append(f"the variable {name} is not one that Homeport reads{hint}")
    return sentences
