"""One hub: its namespaces, its listener, and the order in which they start and stop."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from actors.cluster.differing_times import shared_times
from actors.namespace.supervisor import Supervisor
from actors.ports.audit import Audited
from actors.ports.conditions import Caution, Reason
from actors.ports.link import Link
from actors.ports.store import HubLease
from actors.rules.permissions import Principal
from actors.rules.registration_rate import RegistrationRate
from actors.runtime.dispatch import Runtime
from actors.session.session import Session
from homeport_protocol.errors import CloseCode, ProtocolError
from homeport_protocol.namespaces import DEFAULT_NAMESPACE
from homeport_protocol.timestamps import format_timestamp
from hub.auth.access import Access
from hub.auth.administration import TokenAdministration
from hub.auth.login_cookies import LoginCookies
from hub.auth.tokens import REVOKED
from hub.engine import EmbeddedEngine
from hub.errors import HubError, RivalError
from hub.http.app import App
from hub.net.admission import Admission, ConnectionLimits
from hub.net.browsers import BrowserPolicy
from hub.net.caller import Authenticator, Caller
from hub.net.intake import Intake
from hub.net.listener import Listener
from hub.net.open_files import UNLIMITED, connection_room, raise_open_file_limit
from hub.net.peer import is_loopback, read_networks
from hub.net.sockets import url_of
from hub.net.unsent import UnsentBudget
from hub.process.clock import LoopScheduler
from hub.process.credentials import Credentials
from hub.process.garbage import GarbageCollection
from hub.process.heap import Heap
from hub.process.namespaces import Namespace, Namespaces
from hub.process.parent_link import MetricsTimeoutError, ParentLink
from hub.process.reload import reload_settings
from hub.settings import Settings, Source, describe
from hub.store import (
    EMBEDDED,
    IN_MEMORY,
    MEMORY,
    REDIS,
    Backend,
    Keys,
    LatentStore,
    RedisStore,
    SharedLanes,
    StoreError,
    StoreUnavailableError,
    connect,
)
from hub.store.backends.connect import DEFAULT_TIMEOUT
from hub.telemetry import logs
from hub.telemetry.audit import AuditLog
from hub.telemetry.figures import only_namespace
from hub.telemetry.limit_reports import LimitReports
from hub.telemetry.metered_store import MeteredStore
from hub.telemetry.metrics import Metrics
from hub.telemetry.observer import HubObserver
from hub.telemetry.peer_reports import PeerReports
from hub.version import VERSION
from hub.websocket.gateway import Gateway
from hub.websocket.ports import OpenWebsocket

START_TIMEOUT = 10.0
"""Seconds that Redis may take to answer when the hub starts."""

START_PAUSE = 0.5
"""Seconds between two attempts to reach Redis at the start."""

SETTLE_TIMEOUT = 4.0
"""Seconds that a stopping hub waits for its last changes to become durable."""

CLOSE_TIMEOUT = 2.0
"""Seconds that a stopping hub waits for its peers to close."""

RETRIES_PER_SECOND = 500
"""How many agents a second are asked to reconnect to a hub that restarts."""

OPEN_NAMESPACES = 100
"""Namespaces that anybody may make where a hub is reached from its own machine only."""

LAG_INTERVAL = 0.5
"""Seconds between two measurements of the event loop's lag."""

STRANGERS = (403, 421)
"""The statuses of what pages of other sites send, and what comes under another name."""

logger = logs.get("hub")


class Hub:
    """A hub process: call `start`, and later `stop`; the event loop drives everything in between.

    It implements `HubPort` of the HTTP application and `WebsocketHub` of the gateway. With
    `shared_port` it is one of several workers on its port. `reload` reads the settings again from
    `source`. `embedded` when its parent has started the store for it; `warnings` are what the
    parent has to tell of it. `stdout` is the descriptor to which an audit log goes that is `-`.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source | None = None,
        *,
        shared_port: bool = False,
        embedded: bool = False,
        warnings: Sequence[str] = (),
        stdout: int = 1,
    ) -> None:
        self.hub_id = settings.hub_id
        self.version = VERSION
        self.metrics = Metrics(settings.hub_id, VERSION)
        self.limits = LimitReports(self.metrics)
        self.audit = AuditLog(settings.audit_log, settings.hub_id, self.metrics, stdout=stdout)
        self.unsent = UnsentBudget(
            settings.max_unsent_bytes,
            settings.max_total_unsent_bytes,
            settings.send_timeout,
            self.limits.applied,
        )
        self.metrics.watch_unsent(lambda: self.unsent.total)
        self.metrics.watch_conditions(self.not_ready_reasons, self.warnings)
        self.access = Access(settings, self.metrics, self.audit, self._principals_revoked)
        self.accepting = False
        self.connections: set[Link] = set()
        self.max_frame_bytes = settings.max_frame_bytes
        self.max_body_bytes = settings.max_body_bytes
        self.max_rate = settings.max_rate or UNLIMITED
        self.burst = settings.burst or self.max_rate
        self._registration_rate = RegistrationRate(
            settings.max_registrations_per_second, settings.registration_burst
        )
        self.admission = Admission(applied=self.limits.applied)
        self._settings = settings
        self._source = source or Source()
        self._shared_port = shared_port
        self._warnings = warnings
        self._parent = ParentLink(self.metrics) if shared_port else None
        if embedded or settings.redis is None:
            self.store_name = EMBEDDED
        else:
            self.store_name = IN_MEMORY if settings.redis == MEMORY else REDIS
        self._timing = settings.timing
        self._limits = settings.limits
        self._scheduler = LoopScheduler(asyncio.get_running_loop())
        loop = self._scheduler.loop
        self.metrics.watch_loop(
            tasks=lambda: len(asyncio.all_tasks(loop)), timers=lambda: self._scheduler.timers
        )
        self._runtime = Runtime(self._scheduler, self._actor_failed)
        self._random = random.SystemRandom()
        self._started = format_timestamp(self._scheduler.wall())
        self._incarnation = secrets.token_hex(4)
        self._namespaces = Namespaces(
            self._make_namespace,
            settings.max_namespaces,
            open_namespaces(settings),
            self.metrics,
            self.limits,
        )
        self._maintenance: asyncio.Task[None] | None = None
        self._agents = 0  # as of a moment ago
        self._garbage = GarbageCollection()
        self._heap = Heap()
        self._engine: EmbeddedEngine | None = None
        self._backend: Backend | None = None
        self._lanes: SharedLanes | None = None
        self._confirm = False
        self._listener: Listener | None = None
        self._credentials = Credentials()
        self._url = ""
        self._failure: asyncio.Future[HubError] = asyncio.get_running_loop().create_future()

    # --- start and stop ------------------------------------------------------------------------

    async def start(self) -> str:
        """Open the store, load its agents, and listen; return the URL.

        Raises HubError with one plain sentence, and leaves nothing running then.
        """
        settings = self._settings
        logger.info("starting", version=VERSION, **describe(settings))
        if self._timing.warning:
            logger.warning(self._timing.warning)
        await self._credentials.read(settings)
        self.admission.limits = connection_limits(settings)
        self.admission.room = connection_room(raise_open_file_limit())
        app = App(self)
        intake = Intake(settings.max_unparsed_bytes, self.limits.applied)
        listener = Listener(
            app,
            Gateway(self, intake).protocol,
            settings.host,
            settings.port,
            admission=self.admission,
            shared_port=self._shared_port,
            unsent=self.unsent,
            intake=intake,
            certificate=self._credentials.certificate,
            browsers=BrowserPolicy(
                allowed_hosts=settings.allowed_hosts,
                allowed_origins=settings.allowed_origins,
                pages=app.pages,
                asks=lambda: self.access.asks_all,
            ),
            reports=PeerReports(self._stranger_refused),
        )
        # The port first: a second hub with the same id that is started by mistake must fail before
        # it takes over the lease of the first one in Redis.
        host, port = await listener.bind()
        self._url = url = url_of(host, port, tls=settings.tls_cert is not None)
        try:
            self.audit.open()
            asks = self.access.must_ask(listener.addresses)
            await self._open_store()
            if asks:
                await self._ask_for_tokens(listener.addresses)
            elif self._credentials.recognisers:
                logger.warning(
                    "jwt_keys and tls_principals are of no use: this hub asks nobody who it is; "
                    "set auth = required"
                )
            self._garbage.freeze_loaded()
            self.accepting = True
            await listener.start()
            self._listener = listener
        except BaseException:
            listener.release()
            await self._close_store()
            raise
        if self._parent is not None:
            await self._parent.start()
        self._maintenance = asyncio.create_task(self._maintain(), name="caretaker")
        self._credentials.follow(self.access.check)
        agents = sum(len(each.supervisor.directory) for _, each in self._namespaces)
        logger.info(
            "listening",
            url=url,
            agents=agents,
            room_for_connections=self.admission.max_connections,
        )
        return url

    async def failure(self) -> HubError:
        """Wait until this hub cannot continue: another one uses its id, and started later."""
        return await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """Hand the agents over and stop: nothing acknowledged is lost, every request is answered.

        Takes less than ten seconds, even when peers or Redis do not answer.
        """
        logger.info("stopping", connections=len(self.connections))
        self.accepting = False
        supervisors = self._namespaces.everywhere()
        for supervisor in supervisors:
            supervisor.drain()
        await self._wait_until(lambda: all(each.settled for each in supervisors), SETTLE_TIMEOUT)
        self._close_sessions(supervisors)
        await self._wait_until(lambda: not self.connections, CLOSE_TIMEOUT)
        if self._listener is not None:
            await self._listener.stop(1.0)
        self._credentials.close()
        if self._maintenance is not None:
            self._maintenance.cancel()  # before the namespaces are closed, which it uses
        await self._close_store()
        if self._parent is not None:
            await self._parent.close()
        logger.info("stopped")

    def reload(self) -> None:
        """Read the settings again, and take over those that apply at once."""
        self._settings = reload_settings(self._settings, self._source, quiet=self._shared_port)
        self.max_rate = self._settings.max_rate or UNLIMITED
        self.burst = self._settings.burst or self.max_rate
        self.access.reload(self._settings)
        self.admission.limits = connection_limits(self._settings)
        self.audit.reopen()
        self._registration_rate.rate = self._settings.max_registrations_per_second
        self._registration_rate.burst = self._settings.registration_burst

    def report(self) -> None:
        """Log where the hub is, in figures."""
        stats = {name: each.supervisor.stats() for name, each in self._namespaces}
        logger.info(
            "report",
            connections=len(self.connections),
            namespaces=len(stats),
            agents=sum(sum(each.agents.values()) for each in stats.values()),
            pending_changes=sum(each.pending_changes for each in stats.values()),
            tasks=len(asyncio.all_tasks()),
            timers=self._scheduler.timers,
            not_ready=[each.phrase for each in self.not_ready_reasons()],
            warnings=[each.phrase for each in self.warnings()],
        )

    def _close_sessions(self, supervisors: list[Supervisor]) -> None:
        sessions = [session for each in supervisors for session in each.sessions()]
        spread = min(len(sessions) / RETRIES_PER_SECOND, self._timing.heartbeat_timeout / 3)
        for session in sessions:
            delay = self._random.uniform(0.1, 0.5 + spread)
            session.end(CloseCode.GOING_AWAY, f"hub going away, retry in {delay:.1f} s")

    async def _wait_until(self, done: Callable[[], bool], seconds: float) -> None:
        until = self._scheduler.now() + seconds
        while not done() and self._scheduler.now() < until:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)

    # --- the store -----------------------------------------------------------------------------

    async def _open_store(self) -> None:
        settings = self._settings
        url = settings.redis
        if url is None:
            self._engine = EmbeddedEngine(settings.data_dir)
            url = await self._engine.start()
        elif url == MEMORY:
            logger.warning("memory:// keeps nothing: all agents are forgotten when this hub ends")
        # A question more costs next to nothing on this machine, and a round trip elsewhere.
        self._confirm = url.startswith("unix:")
        self._backend = await connect(url, hub_id=self.hub_id)
        if not self._backend.hash_tags:  # else several servers hold the namespaces
            wake = Keys(settings.key_prefix).wake(self.hub_id)
            self._lanes = SharedLanes(self._backend, wake, DEFAULT_TIMEOUT)
        reasons: list[str] = []
        try:
            async with asyncio.timeout(START_TIMEOUT):
                store = self._namespaces.open(DEFAULT_NAMESPACE).store
                for warning in await self._ask_until_answered(store.check_server, reasons):
                    logger.warning(warning)
                names = await self._ask_until_answered(store.namespaces, reasons)
                self._namespaces.open_stored(names)
                reasons.clear()  # it answers
                await self._namespaces.load()
        except TimeoutError:
            why = f" ({reasons[-1]})" if reasons else ""
            blocked = next(self._namespaces.unloaded(), None)
            if blocked is not None and not reasons:
                at = self._store_at(url)
                if blocked.startswith(self.store_name):
                    raise HubError(blocked.replace(self.store_name, at, 1)) from None
                raise HubError(f"{at} answers, but {blocked}") from None
            remedy = ": start it, or check its URL" if self.store_name == REDIS else ""
            if url.startswith("rediss"):  # A server without TLS just waits for the rest.
                remedy += ", where redis instead of rediss stands for no TLS"
            raise HubError(
                f"{self._store_at(url)} did not answer within {START_TIMEOUT:g} seconds"
                f"{why}{remedy}"
            ) from None
        except StoreError as error:
            raise HubError(f"{self._store_at(url)} cannot be used: {error}") from None

    def _store_at(self, url: str) -> str:
        """The store and where it is, for a sentence."""
        where = logs.redact_text(url) if self.store_name == REDIS else self._settings.data_dir
        return f"{self.store_name} at {where}"

    def _make_namespace(self, name: str) -> Namespace:
        settings = self._settings
        store = LatentStore(
            self.store_name,
            name,
            hubs=lambda: self._hubs,
            seed=partial(self._namespaces.seed_for, name),
            make=partial(self._make_store, name),
        )
        supervisor = Supervisor(
            hub_id=self.hub_id,
            timing=self._timing,
            scheduler=self._scheduler,
            runtime=self._runtime,
            store=MeteredStore(store, self._scheduler, self.metrics),
            random=self._random,
            observer=HubObserver(
                name,
                self.metrics,
                self.limits,
                settings.lease_ttl,
                store.unreadable,
                audit=self.audit,
                store=self.store_name,
                exists=lambda: store.real is not None,
            ),
            limits=self._limits,
            incarnation=self._incarnation,
            authority=self.access,
            make=partial(self._namespaces.make_for, name),
            registration_rate=self._registration_rate,
        )
        supervisor.start()
        return Namespace(supervisor, store, self._scheduler.now())

    async def _ask_for_tokens(self, addresses: Sequence[str]) -> None:
        assert self._backend is not None
        try:
            others = self._credentials.recognisers
            await self.access.open(addresses, self._backend, self.store_name, others)
        except StoreError as error:
            raise HubError(f"the tokens cannot be read: {error}") from None

    @property
    def _hubs(self) -> list[HubLease]:
        """All hubs of the cluster; in a namespace that does not exist as well."""
        return self._namespaces.open(DEFAULT_NAMESPACE).supervisor.roster

    def _make_store(self, name: str, first_log: str, first_secret: bytes) -> RedisStore:
        assert self._backend is not None
        return RedisStore(
            self._backend,
            Keys(self._settings.key_prefix, name, hash_tags=self._backend.hash_tags),
            self.hub_id,
            url=self._url,
            version=VERSION,
            started=self._started,
            times=shared_times(self._timing),
            limits=self._limits,
            rival_found=self._rival_found,
            confirm=self._confirm,
            name=self.store_name,
            first_log=first_log,
            first_secret=first_secret,
            shared=self._lanes,
        )

    async def _close_store(self) -> None:
        await self.access.close()
        await self._namespaces.close()
        if self._lanes is not None:
            await self._lanes.close()
            self._lanes = None
        if self._backend is not None:
            await self._backend.aclose()
            self._backend = None
        if self._engine is not None:
            await self._engine.stop()
            self._engine = None
        await self.audit.close()

    async def _ask_until_answered(
        self, ask: Callable[[], Awaitable[list[str]]], reasons: list[str]
    ) -> list[str]:
        """Ask the store until it answers; each reason other than the last is added to `reasons`."""
        while True:
            try:
                return await ask()
            except StoreUnavailableError as away:
                if reasons[-1:] != [str(away)]:
                    reasons.append(str(away))
                    logger.warning("waiting for the store", store=self.store_name, reason=str(away))
                await asyncio.sleep(START_PAUSE)

    # --- the ports of HTTP and of the gateway ----------------------------------------------------

    async def namespace(self, name: str) -> Supervisor:
        """The supervisor of a namespace, once it is loaded; of an empty one if there is none.

        Raises ProtocolError: `bad_request` for an invalid name, `unavailable` when it cannot be
        loaded in time.
        """
        return await self._namespaces.for_reading(name)

    async def namespace_to_register(self, caller: Caller) -> Supervisor:
        """The supervisor of the caller's namespace, which a registration makes if need be.

        Raises as `namespace` does, and ProtocolError `forbidden` when the caller may not make it.
        """
        return await self._namespaces.for_registering(caller.namespace, caller.principal)

    def session(self, caller: Caller, link: Link) -> Session:
        """A session in the caller's namespace, which may still be loading.

        Raises as `namespace` does.
        """
        supervisor = self._namespaces.look_into(caller.namespace).supervisor
        return Session(supervisor, link, caller.principal)

    @property
    def authenticator(self) -> Authenticator:
        """Who answers for whom a request acts."""
        return self.access.authenticator

    @property
    def tokens(self) -> TokenAdministration | None:
        """The tokens; None where nobody is asked for one."""
        return self.access.administration

    @property
    def logins(self) -> LoginCookies | None:
        """The cookies of browsers; None where nobody is asked for a token."""
        return self.access.logins

    def opened(self, connection: OpenWebsocket, principal: Principal) -> None:
        """A websocket is open."""
        self.connections.add(connection)
        self.access.opened(connection, principal)
        self._garbage.adapt(len(self.connections) + self._agents)
        self.metrics.websocket_opened()

    def closed(self, connection: OpenWebsocket, code: int) -> None:
        """A websocket has ended."""
        self.connections.discard(connection)
        self.access.closed(connection)
        self.metrics.websocket_closed(code)

    async def metrics_text(self, namespace: str | None = None) -> bytes:
        """The metrics in Prometheus text format; of all workers where there are several.

        With `namespace` only the series of that one, and what hub this is.
        """
        if self._parent is None:
            return self.metrics.text(namespace)
        try:
            text = await self._parent.metrics_of_all()
            return text if namespace is None else only_namespace(text, namespace)
        except MetricsTimeoutError:
            words = "the figures of all workers could not be added up in time"
            raise ProtocolError("unavailable", words) from None

    def not_ready_reasons(self, namespace: str | None = None) -> list[Reason]:
        """Why this hub cannot take registrations; empty when it can.

        With `namespace` without those of other namespaces.
        """
        own = [] if self.accepting else [Reason("stopping", "the hub is stopping")]
        now = self._scheduler.now()
        return list(dict.fromkeys([*own, *self._namespaces.not_ready_reasons(now, namespace)]))

    def warnings(self, namespace: str | None = None) -> list[Caution]:
        """What an operator should look at although the hub is ready; `namespace` as above."""
        tight = [Caution("tight_times", self._timing.warning)] if self._timing.warning else []
        cut = self._engine.warnings if self._engine is not None else self._warnings
        return [
            *tight,
            *self._credentials.warnings(),
            *(Caution("store_cut", sentence) for sentence in cut),
            *(Caution("store_foreign_data", sentence) for sentence in self.access.warnings()),
            *self.audit.warnings(),
            *self.access.cautions(),
            *self._namespaces.warnings(namespace),
        ]

    # --- internals -------------------------------------------------------------------------------

    def _actor_failed(self, name: str, message: object, error: BaseException) -> None:
        # Only the type of the message is logged: its content may include session tokens.
        logger.error("actor failed", actor=name, message=type(message).__name__, exc_info=error)

    def _stranger_refused(self, peer: str, status: int) -> None:
        self.metrics.http_answered("refused", "other", status, 0.0)
        if status in STRANGERS:
            self.audit.refused(Audited(what="connect", outcome="forbidden", address=peer))

    def _principals_revoked(self, principal_ids: set[str]) -> None:
        for _, each in self._namespaces:
            each.supervisor.end_sessions_of(principal_ids, REVOKED)

    def _rival_found(self, url: str, goes_on: bool) -> None:
        """Of two hubs with one id the later one continues, and both log the conflict."""
        if self._failure.done():
            return
        where = f", at {url}," if url else ""
        sentence = (
            f"another hub{where} uses this hub's id {self.hub_id}: give each its own --hub-id"
        )
        logger.error(sentence)
        if goes_on:
            self._failure.set_result(RivalError(sentence))

    async def _maintain(self) -> None:
        """Measure the event loop's lag, and do the regular work of namespaces and collections."""
        while True:
            before = self._scheduler.now()
            await asyncio.sleep(LAG_INTERVAL)
            self.metrics.loop_lagged(self._scheduler.now() - before - LAG_INTERVAL)
            self._agents = sum(len(each.supervisor.registry.agents) for _, each in self._namespaces)
            self._garbage.adapt(len(self.connections) + self._agents)
            self._heap.adapt(
                self.unsent.total + sum(each.supervisor.held_bytes for _, each in self._namespaces)
            )
            self.audit.look()
            await self._namespaces.maintain(self._scheduler.now())


def connection_limits(settings: Settings) -> ConnectionLimits:
    """The settings that bound connections."""
    return ConnectionLimits(
        trusted_proxies=read_networks(settings.trusted_proxies),
        max_connections=settings.max_connections,
        max_connections_per_address=settings.max_connections_per_address,
        max_handshakes=settings.max_handshakes,
        handshake_timeout=settings.handshake_timeout,
        request_timeout=settings.request_timeout,
    )


def open_namespaces(settings: Settings) -> int:
    """How many namespaces callers without a token may make."""
    if settings.open_namespaces is not None:
        return settings.open_namespaces
    return OPEN_NAMESPACES if is_loopback(settings.host) else 0
