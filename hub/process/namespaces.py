"""The namespaces that a hub serves: made by the first registration, released when unused.

Every hub of a cluster serves every namespace, so that a namespace outlives any one hub. A hub finds
the namespaces that others have opened in a list that all of them keep in Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress

from actors.namespace.supervisor import Supervisor
from actors.ports.conditions import Caution, Reason
from actors.rules.permissions import ANYBODY, Principal
from homeport_protocol.errors import ProtocolError
from homeport_protocol.namespaces import DEFAULT_NAMESPACE
from hub.net.caller import check_namespace
from hub.store import LatentStore, RedisStore, StoreError, StoreUnavailableError
from hub.telemetry import logs
from hub.telemetry.limit_reports import LimitReports
from hub.telemetry.metrics import Metrics

IDLE = 60.0
"""Seconds after which a namespace without agents and connections is released."""

LOAD_TIMEOUT = 2.0
"""Seconds that a request waits for a namespace that is being loaded."""

AT_ONCE = 50
"""Namespaces that are opened at once when another hub has made many."""

MADE_INTERVAL = 0.1
"""Seconds between two looks whether a namespace that somebody watches was made at another hub."""

LOOK_INTERVAL = 5.0
"""Seconds after which keys that no hub wrote are looked at again."""

DISCOVER_INTERVAL = 2.0
"""Seconds between two reads of the namespaces that other hubs have opened."""

logger = logs.get("hub")


class Namespace:
    """A supervisor and the store it writes to."""

    __slots__ = ("busy_at", "latent_store", "opened_at", "supervisor")

    def __init__(self, supervisor: Supervisor, store: LatentStore, now: float) -> None:
        self.supervisor = supervisor
        self.latent_store = store
        self.busy_at = now
        self.opened_at = now

    @property
    def store(self) -> RedisStore:
        """The store of a namespace that exists."""
        store = self.latent_store.real
        assert store is not None
        return store

    async def ready(self) -> None:
        """Wait until it is loaded."""
        ready = asyncio.Event()
        self.supervisor.when_ready(ready.set)
        await ready.wait()


class Namespaces:
    """All namespaces of one hub, `most` of them; `make` creates and starts the one of a name.

    `most_open` is how many there may be before somebody who acts for nobody can make no more.

    A namespace that does not exist answers as an empty one would, and has neither files nor keys.
    It is made by the first registration in it. Iterating is over those that exist.
    """

    def __init__(
        self,
        make: Callable[[str], Namespace],
        most: int,
        most_open: int,
        metrics: Metrics,
        limits: LimitReports,
    ) -> None:
        self._most = most
        self._most_open = most_open
        self._limits = limits
        self._make = make
        self._metrics = metrics
        self._open: dict[str, Namespace] = {}
        self._latent: dict[str, Namespace] = {}
        """Those that do not exist, and in which somebody has a session, or reads."""
        self._seed = b""
        """What all hubs make the names of logs of, which do not exist; "" when not known."""
        self._watching: asyncio.Task[None] | None = None
        self._surplus = 0
        """Namespaces that other hubs have made, and that are too many for this one."""
        self._discovered_at = 0.0
        self._looked_at = 0.0

    def __iter__(self) -> Iterator[tuple[str, Namespace]]:
        return iter(list(self._open.items()))

    def everywhere(self) -> list[Supervisor]:
        """The supervisors of all namespaces, whether or not they exist."""
        return [each.supervisor for each in (*self._open.values(), *self._latent.values())]

    def open(self, name: str) -> Namespace:
        """The namespace, which exists from now on, and may still be loading.

        Raises ProtocolError: `bad_request` for an invalid name, `unavailable` beyond the limit.
        """
        namespace = self._open.get(name)
        if namespace is not None:
            return namespace
        check_namespace(name)
        if len(self._open) >= self._most:
            self._limits.applied("max_namespaces")
            raise ProtocolError(
                "unavailable", f"this hub serves {self._most:,} namespaces already (max_namespaces)"
            )
        namespace = self._latent.pop(name, None) or self._make(name)
        namespace.latent_store.become_real(self._seed)
        self._open[name] = namespace
        self._metrics.add_namespace(name, namespace.supervisor.stats)
        return namespace

    def look_into(self, name: str) -> Namespace:
        """The namespace, which need not exist; it may still be loading.

        Raises ProtocolError `bad_request` for an invalid name.
        """
        namespace = self._open.get(name) or self._latent.get(name)
        if namespace is None:
            check_namespace(name)
            namespace = self._latent[name] = self._make(name)
            if self._watching is None:
                self._watching = asyncio.create_task(self._watch_for_made(), name="namespaces")
        return namespace

    async def _watch_for_made(self) -> None:
        """Look whether other hubs make a namespace in which somebody waits here."""
        while any(self._latent):  # by a name that is not ""
            await self._discover()
            await asyncio.sleep(MADE_INTERVAL)
        self._watching = None

    def _nowhere(self) -> Namespace:
        """Answers all that is read over HTTP of namespaces that do not exist."""
        if "" not in self._latent:  # no namespace has this name
            self._latent[""] = self._make("")
        return self._latent[""]

    def make_for(self, name: str, principal: Principal) -> bool:
        """Make a namespace in which the principal registers; False when it exists already.

        Raises ProtocolError: `forbidden` when the principal may make none, and as `open`.
        """
        if name in self._open:
            return False
        self._check_makes(principal)
        self.open(name)
        return True

    async def for_reading(self, name: str) -> Supervisor:
        """The namespace's supervisor, once it is loaded; an empty one's if it does not exist.

        Raises as `open` does, and `unavailable` when it cannot be loaded in time.
        """
        if name not in self._open:
            check_namespace(name)
            if not await self._exists(name):
                return await self._loaded(self._nowhere())
        return await self.loaded(name)

    async def for_registering(self, name: str, principal: Principal) -> Supervisor:
        """The namespace's supervisor, once it is loaded, for a principal that registers in it.

        Raises as `make_for` does, and `unavailable` when it cannot be loaded in time.
        """
        if name not in self._open:
            check_namespace(name)
            if not await self._exists(name):
                self._check_makes(principal)
                return await self._loaded(self.look_into(name))
        return await self.loaded(name)

    async def loaded(self, name: str) -> Supervisor:
        """The supervisor of a namespace that exists from now on, once it is loaded.

        Raises as `open` does, and `unavailable` when it cannot be loaded in time.
        """
        return await self._loaded(self.open(name))

    async def _loaded(self, namespace: Namespace) -> Supervisor:
        if not namespace.supervisor.ready:
            try:
                async with asyncio.timeout(LOAD_TIMEOUT):
                    await namespace.ready()
            except TimeoutError:
                reasons = "; ".join(
                    each.phrase for each in namespace.supervisor.not_ready_reasons()
                )
                raise ProtocolError(
                    "unavailable", f"the namespace is not loaded: {reasons}"
                ) from None
        return namespace.supervisor

    async def seed_for(self, name: str) -> bytes | None:
        """The cluster's seed; None when a hub has made the namespace, which is open then.

        Raises StoreError.
        """
        store = self._open[DEFAULT_NAMESPACE].store
        if name in self._open:
            return None
        if await store.has_namespace(name):
            try:
                self.open(name)
            except ProtocolError as error:  # beyond the limit
                raise StoreUnavailableError(error.message) from None
            return None
        if not self._seed:
            self._seed = await store.seed()
        return self._seed

    async def _exists(self, name: str) -> bool:
        try:
            return await self._open[DEFAULT_NAMESPACE].store.has_namespace(name)
        except StoreError as error:
            raise ProtocolError("unavailable", f"the namespace is not loaded: {error}") from None

    def _check_makes(self, principal: Principal) -> None:
        """Raise ProtocolError `forbidden` unless the principal may make a namespace."""
        if principal is ANYBODY and len(self._open) > self._most_open:  # besides the default one
            self._limits.applied("open_namespaces")
            raise ProtocolError(
                "forbidden",
                f"the namespace does not exist, and callers without a token can make "
                f"{self._most_open:,} (open_namespaces): use one that exists, or raise the setting",
            )

    async def load(self) -> None:
        """Wait until all are loaded, but for those that wait for a person to mend what is stored.

        Raises StoreError when none can be loaded.
        """
        while waiting := [each for _, each in self if not each.supervisor.ready]:
            if all(each.store.needs_repair for each in waiting):
                break
            await asyncio.sleep(0.02)
        sentences = list(self.unloaded())
        if len(sentences) == len(self._open):
            raise StoreError(sentences[0])
        for sentence in sentences:
            logger.error("a namespace cannot be loaded; the others are served", reason=sentence)

    def unloaded(self) -> Iterator[str]:
        """Why some namespace is not loaded yet, as far as its store told."""
        for name, each in self:
            if each.store.refusal and not each.supervisor.ready:
                yield _within(name, each.store.refusal)

    def not_ready_reasons(self, now: float, only: str | None = None) -> Iterator[Reason]:
        """Why some namespace cannot do all its work, or `only` that one.

        A new namespace is ignored while it loads: otherwise any caller could fail `/ready` by
        naming one.
        """
        for name, each in self._those(only):
            if each.supervisor.ready or now - each.opened_at >= LOAD_TIMEOUT:
                for reason in each.supervisor.not_ready_reasons():
                    yield Reason(reason.kind, _within(name, reason.phrase))

    def warnings(self, only: str | None = None) -> Iterator[Caution]:
        """What an operator should look at although all is ready; `only` as above."""
        if self._surplus and only is None:
            phrase = (
                f"{self._surplus:,} namespaces are not served: this hub serves {self._most:,} "
                "(max_namespaces)"
            )
            yield Caution("namespaces_not_served", phrase)
        default = self._open.get(DEFAULT_NAMESPACE)
        if default is not None:  # every namespace has the same hubs
            for sentence in default.supervisor.differing_hubs:
                yield Caution("hubs_differ", sentence)
        for name, each in self._those(only):
            for caution in each.supervisor.warnings():
                yield Caution(caution.kind, _within(name, caution.phrase))
            for sentence in each.store.findings.sentences():
                yield Caution("store_foreign_data", _within(name, sentence))

    def _those(self, only: str | None) -> Iterator[tuple[str, Namespace]]:
        return (each for each in self if only in (None, each[0]))

    async def maintain(self, now: float) -> None:
        """Release unused namespaces, and open those that other hubs use; called regularly."""
        await self._release(now)
        if now - self._discovered_at >= DISCOVER_INTERVAL:
            self._discovered_at = now
            await self._discover()
        if now - self._looked_at >= LOOK_INTERVAL:
            self._looked_at = now
            for _, each in self:
                with suppress(StoreError):
                    await each.store.look_again()

    async def close(self) -> None:
        """Close all namespaces."""
        if self._watching is not None:
            self._watching.cancel()
        every = [*self._open.values(), *self._latent.values()]
        for each in every:
            each.supervisor.close()
        # Concurrently: each may have to wait for a Redis that does not answer.
        await asyncio.gather(*(each.latent_store.close() for each in every))
        self._open.clear()
        self._latent.clear()

    def open_stored(self, names: list[str], at_once: int | None = None) -> None:
        """Open the namespaces that hubs have made, as far as there is room; not more `at_once`.

        First those that somebody waits for here.
        """
        missing = [name for name in names if name not in self._open]
        missing.sort(key=lambda name: name not in self._latent)
        room = max(0, self._most - len(self._open))
        for name in missing[:room][:at_once]:
            known = name in self._latent
            supervisor = self.open(name).supervisor
            if known:
                supervisor.made()
        surplus = len(missing) - len(missing[:room])
        if at_once is not None and min(room, len(missing)) > at_once:
            self._discovered_at = 0.0  # the others soon
        if surplus > self._surplus:
            self._limits.applied("max_namespaces", not_served=surplus)
        self._surplus = surplus

    async def _release(self, now: float) -> None:
        for name, each in self:
            if name == DEFAULT_NAMESPACE or not each.supervisor.unused:
                each.busy_at = now
            elif now - each.busy_at >= IDLE:
                del self._open[name]
                self._metrics.remove_namespace(name)
                each.supervisor.close()
                await each.store.forget()
                await each.store.close()
                await self._renew_seed()
        for name, each in list(self._latent.items()):
            if each.supervisor.unused and name:
                del self._latent[name]
                each.supervisor.close()
                await each.latent_store.close()

    async def _renew_seed(self) -> None:
        """Have the logs of namespaces that are made again other names than they had."""
        self._seed = b""
        with suppress(StoreError):
            await self._open[DEFAULT_NAMESPACE].store.renew_seed()

    async def _discover(self) -> None:
        default = self._open.get(DEFAULT_NAMESPACE)
        if default is None or default.supervisor.store_is_away:
            return
        try:
            listed = await default.store.namespaces()
            self._seed = await default.store.seed()
            self.open_stored(listed, AT_ONCE)
            for name, each in self:
                if name not in listed and not each.supervisor.unused:
                    await each.store.remember()  # another hub released it
        except StoreError as error:
            logger.debug("namespaces of other hubs could not be read", reason=str(error))


def _within(name: str, phrase: str) -> str:
    """The phrase with its namespace, unless that is the default one."""
    return phrase if name == DEFAULT_NAMESPACE else f"namespace {name}: {phrase}"
