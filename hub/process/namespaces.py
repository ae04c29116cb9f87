"""The namespaces that a hub serves: opened when a request names them, released when unused.

Every hub of a cluster serves every namespace, so that a namespace outlives any one hub. A hub finds
the namespaces that others have opened in a list that all of them keep in Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress

from actors.namespace.supervisor import Supervisor
from actors.ports.conditions import Caution, Reason
from homeport_protocol.errors import ProtocolError
from homeport_protocol.namespaces import DEFAULT_NAMESPACE
from hub.net.caller import check_namespace
from hub.store import RedisStore, StoreError
from hub.telemetry import logs
from hub.telemetry.limit_reports import LimitReports
from hub.telemetry.metrics import Metrics

IDLE = 60.0
"""Seconds after which a namespace without agents and connections is released."""

LOAD_TIMEOUT = 2.0
"""Seconds that a request waits for a namespace that is being loaded."""

LOOK_INTERVAL = 5.0
"""Seconds after which keys that no hub wrote are looked at again."""

DISCOVER_INTERVAL = 2.0
"""Seconds between two reads of the namespaces that other hubs have opened."""

logger = logs.get("hub")


class Namespace:
    """A supervisor and the store it writes to."""

    __slots__ = ("busy_at", "opened_at", "store", "supervisor")

    def __init__(self, supervisor: Supervisor, store: RedisStore, now: float) -> None:
        self.supervisor = supervisor
        self.store = store
        self.busy_at = now
        self.opened_at = now

    async def ready(self) -> None:
        """Wait until it is loaded."""
        ready = asyncio.Event()
        self.supervisor.when_ready(ready.set)
        await ready.wait()


class Namespaces:
    """All namespaces of one hub, `most` of them; `make` creates and starts the one of a name."""

    def __init__(
        self, make: Callable[[str], Namespace], most: int, metrics: Metrics, limits: LimitReports
    ) -> None:
        self._most = most
        self._limits = limits
        self._make = make
        self._metrics = metrics
        self._open: dict[str, Namespace] = {}
        self._discovered_at = 0.0
        self._looked_at = 0.0

    def __iter__(self) -> Iterator[tuple[str, Namespace]]:
        return iter(list(self._open.items()))

    def open(self, name: str) -> Namespace:
        """The namespace, which may still be loading.

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
        namespace = self._open[name] = self._make(name)
        self._metrics.add_namespace(name, namespace.supervisor.stats)
        return namespace

    async def loaded(self, name: str) -> Supervisor:
        """The namespace's supervisor, once it is loaded.

        Raises as `open` does, and `unavailable` when it cannot be loaded in time.
        """
        namespace = self.open(name)
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

    def not_ready_reasons(self, now: float) -> Iterator[Reason]:
        """Why some namespace cannot do all its work.

        A new namespace is ignored while it loads: otherwise any caller could fail `/ready` by
        naming one.
        """
        for name, each in self:
            if each.supervisor.ready or now - each.opened_at >= LOAD_TIMEOUT:
                for reason in each.supervisor.not_ready_reasons():
                    yield Reason(reason.kind, _within(name, reason.phrase))

    def warnings(self) -> Iterator[Caution]:
        """What an operator should look at although all is ready."""
        default = self._open.get(DEFAULT_NAMESPACE)
        if default is not None:  # every namespace has the same hubs
            for sentence in default.supervisor.differing_hubs:
                yield Caution("hubs_differ", sentence)
        for name, each in self:
            for caution in each.supervisor.warnings():
                yield Caution(caution.kind, _within(name, caution.phrase))
            for sentence in each.store.findings.sentences():
                yield Caution("store_foreign_data", _within(name, sentence))

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
        for _, each in self:
            each.supervisor.close()
        # Concurrently: each may have to wait for a Redis that does not answer.
        await asyncio.gather(*(each.store.close() for _, each in self))
        self._open.clear()

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

    async def _discover(self) -> None:
        default = self._open.get(DEFAULT_NAMESPACE)
        if default is None or default.supervisor.store_is_away:
            return
        try:
            listed = await default.store.namespaces()
            for name in listed:
                self.open(name)
            for name, each in self:
                if name not in listed and not each.supervisor.unused:
                    await each.store.remember()  # another hub released it
        except StoreError as error:
            logger.debug("namespaces of other hubs could not be read", reason=str(error))
        except ProtocolError as error:  # beyond the limit
            logger.warning("a namespace of another hub is not served here", reason=error.message)


def _within(name: str, phrase: str) -> str:
    """The phrase with its namespace, unless that is the default one."""
    return phrase if name == DEFAULT_NAMESPACE else f"namespace {name}: {phrase}"
