"""No sequence of one principal's requests changes or reveals what is another's (hypothesis).

A stranger has tokens of every role but operator, and does what it likes over both transports of a
real hub. In its own namespace stand agents of another principal, which it may read: nothing of them
may ever change. In another namespace stand more: nothing of them may ever change or be shown, by
any message of any of its connections.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.support.hub_process import Hub, running_hub
from tests.support.redis_servers import RedisServer, running
from tests.support.tokens import bearer, make_tokens
from tests.support.waiting import LIMIT
from tests.support.wire import ClosedError, RefusedError, Wire

ROLES = ("agent", "agent2", "observer", "caller")
MOVING = ("last_seen", "revision", "load")
"""What a heartbeat of the agent itself changes."""

MOST_WIRES = 4

NUMBERS = st.integers(0, 7)
"""Which of its connections, of its session tokens, and of the ids that it knows."""

AGENTS = st.sampled_from(["agent", "agent2"])


class Victim:
    """The agents of one principal in one namespace: over a websocket, and over HTTP."""

    def __init__(self, url: str, token: str, watcher: str, mark: str) -> None:
        self.url = url
        self.mark = mark
        self.session = requests.Session()
        self.session.headers.update(bearer(token))
        self.wire = Wire(url, headers=bearer(token))
        self.lease = self.wire.register(f"{mark}-held", metadata={"owner": mark})
        body = {"name": f"{mark}-polled", "type": "cost", "host": "h", "port": 1}
        body["metadata"] = {"owner": mark}
        self.polled = self.post("register", **body).json()
        self.watcher = Wire(url, headers=bearer(watcher))
        self.watcher.watch()
        self.watcher.snapshot()
        self.ids = [self.lease["agent_id"], self.polled["agent_id"]]
        self.tokens = [self.lease["session_token"], self.polled["session_token"]]
        self.records = self.now()

    def post(self, path: str, **body: Any) -> requests.Response:
        return self.session.post(f"{self.url}/agents/{path}", json=body, timeout=LIMIT)

    def now(self) -> list[dict[str, Any]]:
        """Its records without what its own heartbeats change."""
        records = [self.watcher.record(each) for each in self.ids]
        return [
            {name: value for name, value in each.items() if name not in MOVING} for each in records
        ]

    def beat(self) -> None:
        assert self.wire.ask("heartbeat")["op"] == "heartbeat_ack"
        assert self.post(f"{self.polled['agent_id']}/heartbeat").status_code == 200

    def check(self) -> None:
        """Nothing of it has changed, and nobody was told that it had."""
        assert self.now() == self.records
        told = {each["agent"]["id"] for each in self.watcher.said_by_now()}
        assert told.isdisjoint(self.ids)
        self.wire.ping()

    def end(self) -> None:
        self.wire.drop()
        self.watcher.drop()
        self.session.close()


class Stranger(RuleBasedStateMachine):
    """What somebody does who has tokens of other principals."""

    hub: Hub
    tokens: dict[str, str]
    near: Victim
    """In the stranger's namespace."""
    far: Victim
    """In another one."""

    def __init__(self) -> None:
        super().__init__()
        self.wires: list[Wire] = []
        self.own_ids: list[str] = []
        self.own_tokens = ["made up"]
        self.heard: list[str] = []
        self.near.beat()
        self.far.beat()

    def teardown(self) -> None:
        for wire in self.wires:
            wire.drop()

    # --- what it names -----------------------------------------------------------------------

    def id_of(self, number: int) -> str:
        """One of the victims' ids, of its own, or of nobody's."""
        ids = [*self.near.ids, *self.far.ids, *self.own_ids, "99999999-9999-4999-8999-999999999999"]
        return ids[number % len(ids)]

    def wire(self, number: int) -> Wire:
        """One of its connections; which rules there are must not depend on how many it has."""
        if not self.wires:
            self.wires.append(Wire(self.hub.url, headers=bearer(self.tokens["agent"])))
        return self.wires[number % len(self.wires)]

    def token_of(self, number: int) -> str:
        return self.own_tokens[number % len(self.own_tokens)]

    def hear(self, text: str) -> None:
        """All that it is told comes through here."""
        for secret in (*self.near.tokens, *self.far.tokens):
            assert secret not in text, "a session token of another"
        # The ids it has named itself.
        hidden = re.sub("|".join(self.far.ids), "", text)
        assert self.far.mark not in hidden, text

    def ask(self, wire: Wire, op: str, **fields: Any) -> dict[str, Any]:
        try:
            answer = wire.ask(op, **fields)
        except ClosedError:
            self.wires.remove(wire)
            return {"op": "closed"}
        self.hear(json.dumps(answer))
        for said in wire.said:
            self.hear(json.dumps(said))
        wire.said.clear()
        if answer["op"] == "registered":
            self.own_ids.append(answer["agent_id"])
            self.own_tokens.append(answer["session_token"])
        return answer

    # --- over websockets -----------------------------------------------------------------------

    @rule(role=st.sampled_from(ROLES), namespace=st.sampled_from([None, "near", "far", "default"]))
    def connect(self, role: str, namespace: str | None) -> None:
        if len(self.wires) >= MOST_WIRES:
            self.wires.pop(0).drop()
        refused: RefusedError | None = None
        try:
            self.wires.append(
                Wire(self.hub.url, namespace=namespace, headers=bearer(self.tokens[role]))
            )
        except RefusedError as error:
            refused = error
            self.hear(error.body.decode())
        assert (refused and refused.status) == (None if namespace in (None, "near") else 403)

    @rule(
        number=NUMBERS,
        name=st.sampled_from(["near-held", "mine"]),
        agent_id=st.none() | NUMBERS,
        exclusive=st.booleans(),
    )
    def register(self, number: int, name: str, agent_id: int | None, exclusive: bool) -> None:
        wire = self.wire(number)
        fields: dict[str, Any] = {"agent": {"name": name, "type": "cost"}}
        if agent_id is not None:
            fields["agent_id"] = self.id_of(agent_id)
        answer = self.ask(wire, "register", exclusive=exclusive, **fields)
        if fields.get("agent_id") in self.near.ids:
            assert answer["op"] != "registered"

    @rule(number=NUMBERS, agent_id=NUMBERS, token=NUMBERS)
    def resume(self, number: int, agent_id: int, token: int) -> None:
        wire = self.wire(number)
        shown = {"agent_id": self.id_of(agent_id), "session_token": self.token_of(token)}
        answer = self.ask(wire, "resume", **shown, agent={"version": "stolen"})
        if shown["agent_id"] not in self.own_ids:
            assert answer["op"] != "registered"

    @rule(
        number=NUMBERS,
        what=st.sampled_from(
            [
                ("heartbeat", {"status": "unhealthy", "metadata": {"owner": "stolen"}}),
                ("update", {"host": "stolen", "metadata": {"owner": "near"}}),
                ("unregister", {}),
                ("acknowledge_loss", {}),
                ("hubs", {}),
                ("flapping", {}),
                ("find", {}),
                ("find", {"limit": 1}),
                ("find", {"filter": {"metadata": {"owner": "far"}}}),
                ("pick", {}),
                ("pick", {"strategy": "sticky", "key": "k"}),
                ("watch", {}),
                ("watch", {"filter": {"metadata": {"owner": "far"}}, "readings": True}),
                ("unwatch", {"watch": 1}),
                ("ping", {}),
            ]
        ),
    )
    def say(self, number: int, what: tuple[str, dict[str, Any]]) -> None:
        op, fields = what
        self.ask(self.wire(number), op, **fields)

    @rule(
        number=NUMBERS,
        op=st.sampled_from(["get", "remove"]),
        agent_id=NUMBERS,
    )
    def name_an_agent(self, number: int, op: str, agent_id: int) -> None:
        named = self.id_of(agent_id)
        answer = self.ask(self.wire(number), op, agent_id=named)
        assert answer["op"] != "removed"

    @rule(number=NUMBERS, cursor=NUMBERS)
    def go_on_from(self, number: int, cursor: int) -> None:
        wire = self.wire(number)
        self.ask(wire, "find", cursor=self.id_of(cursor))
        self.ask(wire, "watch", since=1, log=self.far.watcher.ask("find")["log"])

    @rule(number=NUMBERS)
    def hang_up(self, number: int) -> None:
        wire = self.wire(number)
        wire.drop()
        self.wires.remove(wire)

    # --- over HTTP -----------------------------------------------------------------------------

    def request(
        self, role: str, method: str, path: str, token: int | None = None, **more: Any
    ) -> requests.Response:
        headers = {**bearer(self.tokens[role]), **more.pop("headers", {})}
        if token is not None:
            headers["Homeport-Session-Token"] = self.token_of(token)
        url = self.hub.url + path
        answer = requests.request(method, url, headers=headers, timeout=LIMIT, **more)
        self.hear(answer.text)
        self.hear(str(answer.headers))
        return answer

    @rule(role=AGENTS, agent_id=NUMBERS, token=st.none() | NUMBERS)
    def heartbeat_over_http(self, role: str, agent_id: int, token: int | None) -> None:
        named = self.id_of(agent_id)
        body = {"status": "unhealthy", "metadata": {"owner": "stolen"}}
        answer = self.request(role, "POST", f"/agents/{named}/heartbeat", token, json=body)
        if named in self.near.ids:  # one of the far ids may be its own in the near namespace
            assert answer.status_code in (403, 404)

    @rule(role=AGENTS, agent_id=NUMBERS, token=st.none() | NUMBERS)
    def unregister_over_http(self, role: str, agent_id: int, token: int | None) -> None:
        self.request(role, "POST", f"/agents/{self.id_of(agent_id)}/unregister", token)

    @rule(role=AGENTS, agent_id=st.none() | NUMBERS, exclusive=st.booleans())
    def register_over_http(self, role: str, agent_id: int | None, exclusive: bool) -> None:
        body: dict[str, Any] = {"name": "mine", "type": "cost", "host": "h", "port": 1}
        if agent_id is not None:
            body["agent_id"] = self.id_of(agent_id)
        answer = self.request(
            role, "POST", "/agents/register", json={**body, "exclusive": exclusive}
        )
        if answer.status_code == 201:
            lease = answer.json()
            assert lease["agent_id"] not in self.near.ids
            self.own_ids.append(lease["agent_id"])
            self.own_tokens.append(lease["session_token"])

    @rule(
        role=st.sampled_from(ROLES),
        method=st.sampled_from(["GET", "POST", "DELETE", "PUT"]),
        path=st.sampled_from(
            [
                "/agents",
                "/agents/pick",
                "/agents/type/cost",
                "/agents/{id}",
                "/agents/{id}/../{id}/unregister",
                "/metrics",
                "/ready",
                "/tokens",
            ]
        ),
        agent_id=NUMBERS,
        namespace=st.sampled_from([None, "near", "far"]),
        in_query=st.booleans(),
    )
    def ask_over_http(  # noqa: PLR0917 - one by one, for hypothesis
        self,
        role: str,
        method: str,
        path: str,
        agent_id: int,
        namespace: str | None,
        in_query: bool,
    ) -> None:
        path = path.replace("{id}", self.id_of(agent_id))
        headers: dict[str, str] = {}
        if namespace is not None and in_query:
            path += f"?namespace={namespace}"
        elif namespace is not None:
            headers["Homeport-Namespace"] = namespace
        self.request(role, method, path, headers=headers)

    # --- what holds ------------------------------------------------------------------------------

    @invariant()
    def nothing_of_the_others_has_changed(self) -> None:
        self.near.check()
        self.far.check()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Stranger]]:
    with running(RedisServer(keeps=True)) as server:
        tokens = make_tokens(
            server.url,
            agent={"role": "agent", "namespace": "near"},
            agent2={"role": "agent", "namespace": "near"},
            observer={"role": "observer", "namespace": "near"},
            caller={"role": "caller", "namespace": "near"},
            near={"role": "agent", "namespace": "near"},
            far={"role": "agent", "namespace": "far"},
            near_watcher={"role": "observer", "namespace": "near"},
            far_watcher={"role": "observer", "namespace": "far"},
        )
        options = ("--redis", server.url, "--auth", "required", "--heartbeat-timeout", "600")
        more = ("--heartbeat-interval", "300", "--lease-ttl", "900")
        with running_hub(tmp_path_factory.mktemp("hub"), *options, *more) as hub:
            near, far = (
                Victim(hub.url, tokens[mark], tokens[f"{mark}_watcher"], mark)
                for mark in ("near", "far")
            )
            yield type(
                "AStranger", (Stranger,), {"hub": hub, "tokens": tokens, "near": near, "far": far}
            )
            near.end()
            far.end()


def test_a_stranger_changes_and_learns_nothing_of_what_is_anothers(
    machine: type[Stranger],
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            print_blob=True,
        ),
    )
