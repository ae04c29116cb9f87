"""A scripted hub and brain: they record requests, and answer as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType, structs

from actors.agent.outcomes import Acknowledged, Lease, Outcome, Reply
from actors.directory.directory import Page
from actors.ports.conditions import Caution, Reason
from actors.rules.permissions import Principal
from actors.runtime.turns import Steps, complete
from actors.timing import Timing
from homeport_protocol.bounds import Metadata, Status, Strategy
from homeport_protocol.errors import ProtocolError
from homeport_protocol.filters import Filter
from homeport_protocol.record import AgentSpec
from homeport_protocol.tokens import NewToken, TokenFacts, TokenRequest
from hub.net.caller import Authenticator, Caller, NobodyAsked
from hub.telemetry.audit import AuditLog
from hub.telemetry.limit_reports import LimitReports
from hub.telemetry.metrics import Metrics

AGENT_ID = "550e8400-e29b-41d4-a716-446655440000"
NOW = "2026-11-20T12:00:00.000000Z"


FACTS = TokenFacts(
    id="4k2m9x7q1zab",
    role="agent",
    namespace="default",
    names=["web-*"],
    created=NOW,
    not_after=None,
    uses=1,
    note="",
    last_used=None,
    revoked=None,
)

T = TypeVar("T")


class FakeDirectory:
    """`records` by id; `fault` is raised by every read and answers every write."""

    def __init__(self) -> None:
        self.timing = Timing()
        self.told: Timing | None = None
        """What all agents were told, if it is not `timing`."""
        self.most = 1_000
        """Agents in a page: stands for its bytes."""
        self.records: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[Any, ...]] = []
        self.tokens: list[str | None] = []
        self.exclusive: list[bool] = []
        self.durable = True
        self.fault: Exception | None = None
        self.hold = False
        self.held: list[Callable[[], None]] = []

    def add(self, number: int, **fields: Any) -> dict[str, Any]:
        agent_id = f"00000000-0000-4000-8000-{number:012d}"
        self.records[agent_id] = {"id": agent_id, "name": f"agent-{number}", **fields}
        return self.records[agent_id]

    def timing_of(self, _agent_id: str) -> Timing:
        return self.told or self.timing

    def perform(self, steps: Steps[T], done: Callable[[T | ProtocolError], None]) -> None:
        try:
            done(complete(steps))
        except ProtocolError as error:
            done(error)

    def find(
        self,
        filter: Filter,
        limit: int | None = None,
        cursor: str | None = None,
        max_bytes: int | None = None,
    ) -> Steps[Page]:
        self._read("find", filter, limit, cursor)
        matching = [
            record
            for record in sorted(self.records.values(), key=lambda record: record["id"])
            if self._matches(record, filter) and (cursor is None or record["id"] > cursor)
        ]
        page = matching[: min(self.most, len(matching) if limit is None else limit)]
        more = len(matching) > len(page)
        yield
        return Page([msgspec.json.encode(each) for each in page], page[-1]["id"] if more else None)

    def look_up(self, agent_id: str, reply: Callable[[bytes | ProtocolError], None]) -> None:
        try:
            self._read("get", agent_id)
        except ProtocolError as error:
            reply(error)
            return
        record = self.records.get(agent_id)
        missing = ProtocolError("not_found", "no such agent")
        reply(missing if record is None else msgspec.json.encode(record))

    def pick(self, filter: Filter, strategy: Strategy, key: str | None) -> Steps[bytes]:
        self._read("pick", filter, strategy, key)
        for record in self.records.values():
            yield
            if self._matches(record, filter):
                return msgspec.json.encode(record)
        raise ProtocolError("no_match", "no healthy agent matches")

    def register(
        self,
        spec: AgentSpec,
        agent_id: str | None,
        reply: Reply,
        *,
        principal: Principal,
        exclusive: bool = False,
    ) -> None:
        lease = Lease(
            agent_id=agent_id or AGENT_ID,
            session_token="secret",
            epoch=1,
            resumed=False,
            registered_at=NOW,
            log="l",
            revision=1,
        )
        self.exclusive.append(exclusive)
        self._write(lease, reply, "register", spec, agent_id)

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
    ) -> None:
        self.tokens.append(token)
        known = agent_id in self.records
        self._write(
            self._acknowledged() if known else ProtocolError("not_found", "no such agent"),
            reply,
            "heartbeat",
            agent_id,
            status,
            metadata,
            *(() if load is UNSET else (load,)),
        )

    def unregister(
        self, agent_id: str, reply: Reply, *, principal: Principal, token: str | None = None
    ) -> None:
        self.tokens.append(token)
        self._write(self._acknowledged(), reply, "unregister", agent_id)

    def remove(self, agent_id: str, reply: Reply) -> None:
        known = agent_id in self.records
        answer = self._acknowledged() if known else ProtocolError("not_found", "no such agent")
        self._write(answer, reply, "remove", agent_id)

    def _acknowledged(self) -> Acknowledged:
        return Acknowledged(revision=7, durable=self.durable, timestamp=NOW)

    def _read(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.fault is not None:
            raise self.fault

    def _write(self, answer: Outcome, reply: Reply, *asked: Any) -> None:
        self.asked.append(asked)
        fault = self.fault
        if fault is not None and not isinstance(fault, ProtocolError):
            raise fault
        final = answer if fault is None else fault
        if self.hold:
            self.held.append(lambda: reply(final))
        else:
            asyncio.get_running_loop().call_soon(reply, final)

    @staticmethod
    def _matches(record: dict[str, Any], filter: Filter) -> bool:
        wanted = {} if filter.metadata is UNSET else filter.metadata
        held = record.get("metadata", {})
        return filter.type in (UNSET, record.get("type")) and all(
            key in held and held[key] == value and type(held[key]) is type(value)
            for key, value in wanted.items()
        )


class FakeTokens:
    """Tokens that are made up; `asked` has the calls."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def create(self, request: TokenRequest) -> NewToken:
        self.asked.append(request)
        return NewToken(**structs.asdict(FACTS), token="hp1_made-up")

    async def all(self) -> list[TokenFacts]:
        self.asked.append("all")
        return [FACTS]

    async def show(self, token_id: str) -> TokenFacts:
        self.asked.append(("show", token_id))
        return FACTS

    async def revoke(self, token_id: str) -> TokenFacts:
        self.asked.append(("revoke", token_id))
        return FACTS


class FakeHub:
    """One hub with the namespaces `default` and `blue`."""

    hub_id = "hub-1"
    version = "9.9.9"
    store_name = "Redis"
    max_body_bytes = 64 * 1024

    def __init__(self) -> None:
        self.metrics = Metrics(self.hub_id, self.version)
        self.authenticator: Authenticator = NobodyAsked()
        self.logins = None
        self.limits = LimitReports(self.metrics)
        self.audit = AuditLog(None, self.hub_id, self.metrics)
        self.directories = {"default": FakeDirectory(), "blue": FakeDirectory()}
        self.tokens: FakeTokens | None = FakeTokens()
        self.reasons: list[Reason] = []
        self.warned: list[Caution] = []

    @property
    def default(self) -> FakeDirectory:
        return self.directories["default"]

    async def namespace(self, name: str) -> FakeDirectory:
        if name not in self.directories:
            raise ProtocolError("bad_request", f"namespace: {name!r} is no name")
        return self.directories[name]

    async def namespace_to_register(self, caller: Caller) -> FakeDirectory:
        return await self.namespace(caller.namespace)

    async def metrics_text(self, namespace: str | None = None) -> bytes:
        return self.metrics.text(namespace)

    def not_ready_reasons(self, namespace: str | None = None) -> list[Reason]:
        return self.reasons

    def warnings(self, namespace: str | None = None) -> list[Caution]:
        return self.warned
