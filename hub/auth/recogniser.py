"""One way to show who one is: the interface of all of them."""

from __future__ import annotations

from typing import Protocol

from actors.rules.permissions import Principal
from hub.auth.evidence import Evidence


class Recogniser(Protocol):
    """Recognises callers by one kind of evidence: a token, a JWT, a certificate, a cookie."""

    def claims(self, evidence: Evidence) -> bool:
        """Whether this kind of evidence is there; then no later recogniser is asked."""
        ...

    def recognise(self, evidence: Evidence) -> Principal | None:
        """The principal; None if only `look_up` can tell. Raises Unauthorized.

        Called for every request: it waits for nothing.
        """
        ...

    async def look_up(self, evidence: Evidence) -> Principal:
        """The principal, having asked whoever knows. Raises Unauthorized.

        Raises ProtocolError `unavailable` when that one cannot be asked now.
        """
        ...

    def ended(self, principal: Principal) -> str | None:
        """Why a principal that was recognised before is none any more; None while it is.

        The words end a sentence that begins with "the". Called for the principals of other
        recognisers too, which are none of this one's business: None.
        """
        ...
