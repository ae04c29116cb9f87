"""The files of a hub about who is who: its own certificate, and what others issue to callers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from actors.ports.conditions import Caution
from hub.auth.external import ExternalCredentials
from hub.auth.recogniser import Recogniser
from hub.net.certificate import ServerCertificate
from hub.net.file_changes import LOOK_EVERY
from hub.settings import Settings


class Credentials:
    """What `read` found; `follow` reads it again whenever it changes. Needs a running loop."""

    def __init__(self) -> None:
        self.certificate: ServerCertificate | None = None
        """What the port shows; None without TLS."""
        self._external: ExternalCredentials | None = None
        self._following: asyncio.Task[None] | None = None

    async def read(self, settings: Settings) -> None:
        """Read what the settings name. Raises HubError."""
        if settings.tls_cert is not None:
            self.certificate = ServerCertificate(
                settings.tls_cert, settings.tls_key or "", settings.tls_client_ca or ""
            )
        if settings.jwt_keys is not None or settings.tls_principals is not None:
            # In a thread: it may be on another machine.
            self._external = await asyncio.to_thread(ExternalCredentials, settings)

    @property
    def recognisers(self) -> Sequence[Recogniser]:
        """Those of callers with what others issue."""
        return [] if self._external is None else self._external.recognisers

    def follow(self, changed: Callable[[], None]) -> None:
        """Look every second; `changed` is called when principals may have ended by a change."""
        if self.certificate is not None or self._external is not None:
            self._following = asyncio.create_task(self._look(changed), name="credentials")

    def close(self) -> None:
        """Look no more."""
        if self._following is not None:
            self._following.cancel()

    def warnings(self) -> list[Caution]:
        """What could not be read again, or runs out soon."""
        own = [] if self.certificate is None else self.certificate.warnings()
        others = [] if self._external is None else self._external.warnings()
        return [*(Caution("tls_certificate", sentence) for sentence in own), *others]

    async def _look(self, changed: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self.certificate is not None:
                await asyncio.to_thread(self.certificate.look)
            if self._external is not None and await asyncio.to_thread(self._external.look):
                changed()
