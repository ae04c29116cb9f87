"""The access to one hub: whom it lets in, the websockets that are open, and its tokens."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence

from actors.ports.audit import Audited
from actors.ports.conditions import Caution
from actors.rules.permissions import Principal
from homeport_protocol.errors import ProtocolError
from hub.auth.administration import TokenAdministration
from hub.auth.authenticator import Authenticators
from hub.auth.exposure import asks, is_loopback, nobody_can_come_in
from hub.auth.jwts import Jwts
from hub.auth.legacy import LegacyCallers
from hub.auth.login_cookies import LoginCookies
from hub.auth.operator_token import OPERATOR, OperatorToken
from hub.auth.recogniser import Recogniser
from hub.auth.refusals import Unauthorized
from hub.auth.sessions import OpenSession, OpenSessions
from hub.auth.token_store import TokenStore
from hub.auth.tokens import Tokens
from hub.auth.uses import Uses
from hub.net.caller import Authenticator, NobodyAsked
from hub.settings import Settings
from hub.store import EMBEDDED, MEMORY, Backend
from hub.telemetry import logs
from hub.telemetry.audit import AuditLog
from hub.telemetry.metrics import Metrics
from hub.telemetry.peer_reports import PeerReports

SHOWN = 20
"""Ids of tokens in one log line."""

logger = logs.get("hub.auth")


class Access:
    """Asks nobody until `open` has decided otherwise; `close` ends what it started.

    It implements `actors.ports.authority.Authority`. `on_revoked` is called with the ids of
    principals whose tokens were revoked.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        audit: AuditLog,
        on_revoked: Callable[[set[str]], None] = lambda _ids: None,
    ) -> None:
        self.authenticator: Authenticator = NobodyAsked()
        self.administration: TokenAdministration | None = None
        """None where nobody is asked for a token."""
        self.logins: LoginCookies | None = None
        """None where nobody is asked for a token."""
        self._settings = settings
        self._metrics = metrics
        self._audit = audit
        self._tell = on_revoked
        self._store: TokenStore | None = None
        self._operator: OperatorToken | None = None
        self._tokens: Tokens | None = None
        self._uses: Uses | None = None
        self._sessions: OpenSessions | None = None
        self._legacy = LegacyCallers(settings.legacy_until)
        self._reports = PeerReports()

    def must_ask(self, addresses: Sequence[str]) -> bool:
        """Whether a hub that listens on these addresses asks for tokens. Raises ExposedError."""
        settings = self._settings
        asking = asks(settings.auth, addresses, insecure=settings.insecure)
        if not asking and not is_loopback(addresses):
            logger.warning(
                "auth is none: everybody who reaches this hub may do everything",
                addresses=addresses,
            )
        return asking

    async def open(
        self,
        addresses: Sequence[str],
        backend: Backend,
        store_name: str,
        others: Sequence[Recogniser] = (),
    ) -> None:
        """Begin to ask; `others` are recognisers beside those of tokens.

        Raises StoreError, and ExposedError when nobody could come in.
        """
        settings = self._settings
        self._store = store = TokenStore(backend, settings.key_prefix, name=store_name)
        self._tokens = tokens = Tokens(store, self._on_revoked, in_use=self._in_use)
        self._uses = Uses(store)
        await tokens.start()
        self._operator = operator = OperatorToken(settings.operator_token_sha256)
        if not (operator.digests or others or store.wrong_type):
            await self._check_tokens(addresses, store, store_name)
        jwts = next((each for each in others if isinstance(each, Jwts)), None)
        self.logins = LoginCookies(
            store,
            tokens,
            operator.digests,
            jwts,
            tls=settings.tls_cert is not None,
        )
        authenticator = Authenticators(
            [operator, tokens, self.logins, *others, self._legacy],
            self._metrics.authenticated,
            self._report,
        )
        self._sessions = OpenSessions(authenticator.ended)
        self.administration = TokenAdministration(store)
        self.authenticator = authenticator

    def reload(self, settings: Settings) -> None:
        """Take over the settings that apply at once.

        When an operator's token is given no more, all websockets that such a token opened are
        ended: one that shows another may connect again.
        """
        self._settings = settings
        self._legacy.replace(settings.legacy_until)
        if self._operator is not None and self._operator.replace(settings.operator_token_sha256):
            self._tell({OPERATOR.id})

    @property
    def asks_all(self) -> bool:
        """Whether every caller is asked for a token, on all routes."""
        return self.authenticator.asks and not self._legacy.are_taken

    def opened(self, session: OpenSession, principal: Principal) -> None:
        """A websocket is open."""
        if self._sessions is not None:
            self._sessions.opened(session, principal)

    def closed(self, session: OpenSession) -> None:
        """It has ended."""
        if self._sessions is not None:
            self._sessions.closed(session)

    def warnings(self) -> list[str]:
        """What was found among the tokens that no hub wrote, in sentences."""
        return [] if self._store is None else self._store.warnings()

    def cautions(self) -> list[Caution]:
        """What else an operator should know, for `/ready`."""
        return self._legacy.warnings() if self.authenticator.asks else []

    def check(self) -> None:
        """Close the websockets of principals that have ended; what others issue has changed."""
        if self._sessions is not None:
            self._sessions.check()

    # --- actors.ports.authority.Authority --------------------------------------------------------

    def revoked(self, principal_id: str) -> bool:
        """Whether this is the principal of a token that was revoked."""
        return self._tokens is not None and self._tokens.is_revoked(principal_id)

    def take_use(self, principal_id: str, reply: Callable[[ProtocolError | None], None]) -> None:
        """Take one of the registrations that the principal's token has left."""
        assert self._uses is not None, "only the principal of a token has limited uses"
        self._uses.take(principal_id, reply)

    def give_back_use(self, principal_id: str) -> None:
        """Give one back whose registration was not made."""
        assert self._uses is not None
        self._uses.give_back(principal_id)

    # ---------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Follow the tokens no more; the websockets are closed by others."""
        if self._sessions is not None:
            self._sessions.close()
        if self._uses is not None:
            await self._uses.close()
        if self._tokens is not None:
            await self._tokens.close()

    def _on_revoked(self, principal_ids: set[str]) -> None:
        some = sorted(each.partition(":")[2] for each in principal_ids)[:SHOWN]
        logger.info("tokens revoked", count=len(principal_ids), ids=some)
        if self._sessions is not None:
            self._sessions.check()
        self._tell(principal_ids)

    def _in_use(self) -> set[str]:
        return set() if self._sessions is None else self._sessions.principal_ids()

    def _report(self, peer: str, refusal: Unauthorized) -> None:
        act = Audited(what="connect", outcome=refusal.code, address=peer)
        self._audit.refused(act, claims=refusal.subject)
        claimed = f" ({refusal.subject})" if refusal.subject else ""
        self._reports.refused(peer, 401, refusal.message + claimed)

    async def _check_tokens(
        self, addresses: Sequence[str], store: TokenStore, store_name: str
    ) -> None:
        """Raise ExposedError where no token was ever made; warn where none is good any more.

        A hub whose tokens have run out starts again, so that its agents are still known.
        """
        tokens = await store.all()
        now = time.time()
        if any(
            each.revoked is None and (each.facts.not_after is None or each.facts.not_after > now)
            for each in tokens
        ):
            return
        error = nobody_can_come_in(addresses, self._store_options(store_name))
        if not tokens and not is_loopback(addresses):
            raise error
        logger.warning(str(error))

    def _store_options(self, store_name: str) -> str | None:
        """The options that name this hub's store for a command."""
        settings = self._settings
        if settings.redis is None or store_name == EMBEDDED:  # a worker has its socket as a URL
            return f"--data-dir {shlex.quote(settings.data_dir)}"
        if settings.redis == MEMORY:
            return None
        prefix = f" --key-prefix {settings.key_prefix}" if settings.key_prefix else ""
        return f"--redis {logs.redact_text(settings.redis)}{prefix}"
