"""What the HTTP side needs from the hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from msgspec import UNSET, UnsetType

from actors.agent.outcomes import Reply
from actors.directory.directory import Page
from actors.ports.conditions import Caution, Reason
from actors.rules.permissions import Principal
from actors.runtime.turns import Steps
from actors.timing import Timing
from homeport_protocol.bounds import Metadata, Status, Strategy
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentSpec
from homeport_protocol.tokens import NewToken, TokenFacts, TokenRequest
from hub.net.caller import Authenticator, Caller
from hub.telemetry.audit import AuditLog
from hub.telemetry.limit_reports import LimitReports
from hub.telemetry.metrics import Metrics

T = TypeVar("T")


class NamespaceApi(Protocol):
    """One namespace, as the routes see it; `Supervisor` implements it.

    Reads are answered from memory and raise ProtocolError; `perform` does their steps. Writes call
    `reply` once.
    """

    @property
    def timing(self) -> Timing: ...

    def timing_of(self, agent_id: str) -> Timing: ...

    def perform(self, steps: Steps[T], done: Callable[[T | ProtocolError], None]) -> object: ...

    def find(
        self,
        filter: Filter,
        limit: int | None = None,
        cursor: str | None = None,
        max_bytes: int | None = None,
    ) -> Steps[Page]: ...

    def look_up(self, agent_id: str, reply: Callable[[bytes | ProtocolError], None]) -> None: ...

    def pick(self, filter: Filter, strategy: Strategy, key: str | None) -> Steps[bytes]: ...

    def register(
        self,
        spec: AgentSpec,
        agent_id: str | None,
        reply: Reply,
        *,
        principal: Principal,
        exclusive: bool = False,
    ) -> object: ...

    def heartbeat(
        self,
        agent_id: str,
        status: Status | UnsetType,
        metadata: Metadata | UnsetType,
        reply: Reply,
        *,
        principal: Principal,
        load: float | UnsetType = UNSET,
        token: str | None = None,
    ) -> None: ...

    def unregister(
        self, agent_id: str, reply: Reply, *, principal: Principal, token: str | None = None
    ) -> None: ...

    def remove(self, agent_id: str, reply: Reply) -> None: ...


class TokensPort(Protocol):
    """The tokens of the cluster, for those who may make and revoke them.

    Every method raises ProtocolError; `unavailable` when the store cannot be asked.
    """

    async def create(self, request: TokenRequest) -> NewToken: ...

    async def all(self) -> list[TokenFacts]: ...

    async def show(self, token_id: str) -> TokenFacts:
        """Raises ProtocolError `not_found`."""
        ...

    async def revoke(self, token_id: str) -> TokenFacts:
        """Raises ProtocolError `not_found`."""
        ...


class Login(Protocol):
    """A browser's user was recognised: for whom, and the value of `Set-Cookie`."""

    @property
    def principal(self) -> Principal: ...

    @property
    def cookie(self) -> str: ...


class LoginsPort(Protocol):
    """The cookies of browsers."""

    async def log_in(self, principal: Principal, token: str, *, secure: bool) -> Login:
        """A cookie for a principal that was recognised by this token. Raises ProtocolError.

        `secure` when the browser sees a page with TLS.
        """
        ...

    def log_out(self) -> list[str]:
        """The values of `Set-Cookie` that have a browser forget it."""
        ...


class HubPort(Protocol):
    """One hub process."""

    @property
    def hub_id(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def max_body_bytes(self) -> int:
        """The largest body that is accepted."""
        ...

    @property
    def limits(self) -> LimitReports:
        """Told of each limit that is applied."""
        ...

    @property
    def audit(self) -> AuditLog:
        """Told of what callers do, and of what they are refused."""
        ...

    @property
    def store_name(self) -> str:
        """What people know the store by."""
        ...

    @property
    def metrics(self) -> Metrics: ...

    @property
    def authenticator(self) -> Authenticator: ...

    @property
    def tokens(self) -> TokensPort | None:
        """None where nobody is asked for a token."""
        ...

    @property
    def logins(self) -> LoginsPort | None:
        """None where nobody is asked for a token."""
        ...

    async def namespace(self, name: str) -> NamespaceApi:
        """The directory of a namespace, once it is loaded; an empty one if it does not exist.

        Raises ProtocolError: `bad_request` for an invalid name, `unavailable` when it cannot be
        loaded in time.
        """
        ...

    async def namespace_to_register(self, caller: Caller) -> NamespaceApi:
        """The directory of the caller's namespace, which a registration makes if need be.

        Raises as `namespace` does, and ProtocolError `forbidden` when the caller may not make it.
        """
        ...

    async def metrics_text(self, namespace: str | None = None) -> bytes:
        """The metrics of the process, or of all workers, in Prometheus text format.

        With `namespace` only the series of that one, and what hub this is. Raises ProtocolError
        `unavailable`.
        """
        ...

    def not_ready_reasons(self, namespace: str | None = None) -> list[Reason]:
        """Why this hub cannot take registrations; empty when it can.

        With `namespace` without those of other namespaces.
        """
        ...

    def warnings(self, namespace: str | None = None) -> list[Caution]:
        """What an operator should look at although the hub is ready; `namespace` as above."""
        ...
