"""The Lua scripts: each is one atomic step in Redis; its head has its arguments and results."""

from __future__ import annotations

import hashlib
from importlib.resources import files


class Script:
    """A script's text, and the digest by which a server knows it once it has run it."""

    __slots__ = ("digest", "name", "source")

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = _read("common") + b"\n" + _read(name)
        # Redis identifies scripts by SHA-1; no secret depends on it.
        self.digest = hashlib.sha1(self.source, usedforsecurity=False).hexdigest().encode()


def _read(name: str) -> bytes:
    return files(__name__).joinpath(f"{name}.lua").read_bytes()


OPEN = Script("open")
CLOSE = Script("close")
FORGET = Script("forget")
COMMIT = Script("commit")
ROSTER = Script("roster")
READ_LOG = Script("read_log")
READ_ENTRIES = Script("read_entries")
READ_RENEWALS = Script("read_renewals")
ACKNOWLEDGE_LOSS = Script("acknowledge_loss")
DROP_GHOSTS = Script("drop_ghosts")
LOOK = Script("look")
PROBE = Script("probe")
SET_ASIDE = Script("set_aside")
TOKEN_CREATE = Script("token_create")
TOKEN_REVOKE = Script("token_revoke")
TOKEN_USE = Script("token_use")
TOKEN_USED = Script("token_used")
TOKEN_PUT_BACK = Script("token_put_back")
COOKIE_KEY = Script("cookie_key")
