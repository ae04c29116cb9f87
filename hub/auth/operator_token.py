"""The operator's token that every hub is given as a SHA-256, so that it needs no store."""

from __future__ import annotations

import hashlib
import hmac

from actors.rules.permissions import Principal
from hub.auth.evidence import Evidence
from hub.auth.token_store import TOKEN_SUBJECT

OPERATOR = Principal(id=f"{TOKEN_SUBJECT}operator", role="operator")
"""Its id cannot be that of a token in the store, which has twelve characters."""


class OperatorToken:
    """Recognises the tokens with one of these SHA-256: two while one is rotated.

    `setting` has them in hexadecimal, with commas between; it may be empty.
    """

    def __init__(self, setting: str) -> None:
        self.digests = _read(setting)

    def replace(self, setting: str) -> bool:
        """Take others from now on; returns whether one that was taken is not any more."""
        before = list(self.digests)
        self.digests[:] = _read(setting)
        return any(each not in self.digests for each in before)

    def claims(self, evidence: Evidence) -> bool:
        """Whether the credential is one of them."""
        if evidence.credential is None or not self.digests:
            return False
        digest = hashlib.sha256(evidence.credential.encode()).digest()
        # Not `any`, which would stop at the first that fits.
        return sum(hmac.compare_digest(digest, each) for each in self.digests) > 0

    def recognise(self, evidence: Evidence) -> Principal:
        """The operator."""
        return OPERATOR

    async def look_up(self, evidence: Evidence) -> Principal:
        """The operator."""
        return OPERATOR

    def ended(self, principal: Principal) -> str | None:
        """Not by itself: which token a websocket was opened with is not kept."""
        return None


def _read(setting: str) -> list[bytes]:
    return [bytes.fromhex(each) for each in setting.split(",") if each]
