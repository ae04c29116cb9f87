"""What people know a hub's store by, and phrases about Redis in its name."""

from __future__ import annotations

import re

REDIS = "Redis"
"""A store that `--redis` names."""

EMBEDDED = "the embedded store"
"""The private server that a hub starts where `--redis` names none."""

IN_MEMORY = "the store in memory"
"""What `--redis memory://` names, which keeps nothing."""

_OWNED = re.compile(r"\b[Tt]he Redis (?=key|user|server)")
_ONE_OF = re.compile(r"\b([Aa]) Redis (key|user)\b")


def named(phrase: str, name: str) -> str:
    """A phrase about Redis as one about the store of that name."""
    if name == REDIS:
        return phrase
    phrase = _OWNED.sub(f"{name}'s ", phrase)
    return _ONE_OF.sub(rf"\1 \2 of {name}", phrase).replace(REDIS, name)
