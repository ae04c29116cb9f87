"""Why a caller was not recognised, in words for it and in one word for the metric."""

from __future__ import annotations

from homeport_protocol.errors import ProtocolError
from hub.telemetry.metrics import Authentication


class Unauthorized(ProtocolError):  # noqa: N818 - an outcome, not a fault
    """The caller showed nothing that the hub takes; the words never repeat what it showed.

    `subject` is the id of the principal that it claimed to be, where that can be told.
    """

    def __init__(self, result: Authentication, message: str, subject: str = "") -> None:
        super().__init__("unauthorized", message)
        self.result: Authentication = result
        self.subject = subject
