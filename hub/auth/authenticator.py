"""The authenticator of a hub that asks: an ordered list of recognisers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from actors.rules.permissions import NOBODY, Principal
from homeport_protocol.errors import ProtocolError
from hub.auth.evidence import HOW, Evidence, read_evidence
from hub.auth.recogniser import Recogniser
from hub.auth.refusals import Unauthorized
from hub.net.caller import Shown
from hub.telemetry.metrics import Authentication

EXPIRED = "the token has run out"


class Authenticators:
    """Implements `hub.net.caller.Authenticator` with recognisers, which are asked in their order.

    `count` is told how each request ended; `report` of each caller that was refused: its address,
    and why.
    """

    asks = True

    def __init__(
        self,
        recognisers: Sequence[Recogniser],
        count: Callable[[Authentication], None],
        report: Callable[[str, Unauthorized], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._recognisers = recognisers
        self._count = count
        self._report = report
        self._wall = wall

    def recognise(self, shown: Shown) -> Principal | None:
        """See `hub.net.caller.Authenticator.recognise`."""
        try:
            evidence, recogniser = self._recogniser_of(shown)
            principal = recogniser.recognise(evidence)
            if principal is not None:
                self._accept(principal)
        except Unauthorized as refusal:
            self._refuse(shown, refusal)
            raise
        return principal

    async def look_up(self, shown: Shown) -> Principal:
        """See `hub.net.caller.Authenticator.look_up`."""
        try:
            evidence, recogniser = self._recogniser_of(shown)
            principal = await recogniser.look_up(evidence)
            self._accept(principal)
        except Unauthorized as refusal:
            self._refuse(shown, refusal)
            raise
        except ProtocolError:
            self._count("unavailable")
            raise
        return principal

    def ended(self, principal: Principal) -> str | None:
        """Why a principal may go on no longer, in a sentence; None while it may."""
        if principal.not_after is not None and principal.not_after <= self._wall():
            return EXPIRED
        reasons = (each.ended(principal) for each in self._recognisers)
        return next((reason for reason in reasons if reason is not None), None)

    def _recogniser_of(self, shown: Shown) -> tuple[Evidence, Recogniser]:
        evidence = read_evidence(shown)
        for each in self._recognisers:
            if each.claims(evidence):
                return evidence, each
        if evidence.credential is None:
            raise Unauthorized("missing", f"this hub asks for a token: {HOW}")
        raise Unauthorized("malformed", "Authorization: this is no token that the hub takes")

    def _accept(self, principal: Principal) -> None:
        if principal.not_after is not None and principal.not_after <= self._wall():
            raise Unauthorized("expired", EXPIRED, principal.id)
        self._count("legacy" if principal.id == NOBODY else "accepted")

    def _refuse(self, shown: Shown, refusal: Unauthorized) -> None:
        self._count(refusal.result)
        self._report(shown.peer, refusal)
