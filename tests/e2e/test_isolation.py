"""What is in another namespace does not exist: no answer differs by it, for any role.

Every route and every request is asked, with one namespace's tokens, for what another has: once for
one that exists, with its ids, tokens, cursors and positions, and once for one that does not, with
such as were never given. The answers must be the same to the byte, but for what was asked and
times.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests

from homeport_protocol.requests import OPS
from hub.http.app import App
from tests.hub.http.fakes import FakeHub
from tests.support.hub_process import Hub, running_hub
from tests.support.redis_servers import RedisServer, running
from tests.support.tokens import bearer, make_tokens
from tests.support.waiting import LIMIT
from tests.support.wire import RefusedError, Wire

ROLES = ("agent", "observer", "caller", "operator")
TIMES = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|date: .*")
VOLATILE = re.compile(r'"(sessions|epoch|revision|position|session_token)": ("[^"]*"|\d+)')
"""What differs from one answer to the next of the same request, in the own namespace."""


class Foreign(NamedTuple):
    """A namespace, and what it gave to its own callers; or what looks like that."""

    namespace: str
    agent_id: str
    session_token: str
    position: str
    log: str

    def hidden(self, text: str) -> str:
        """The text without what was asked, and without times."""
        for number, each in enumerate(self):
            text = text.replace(each, f"<{number}>")
        return TIMES.sub("<time>", text)


FIELDS = frozenset(Foreign._fields)


class Scene(NamedTuple):
    hub: Hub
    tokens: dict[str, str]
    there: Foreign
    nowhere: Foreign


def changed(text: str) -> str:
    """A text that looks like this one, and was never given."""
    return text[:-1] + ("0" if text[-1] != "0" else "1")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running(RedisServer(keeps=True)) as server:
        tokens = make_tokens(
            server.url,
            **{role: {"role": role, "namespace": "team-a"} for role in ROLES},
            b={"role": "operator", "namespace": "team-b"},
            all={"role": "operator"},
        )
        options = ("--redis", server.url, "--auth", "required")
        with running_hub(tmp_path_factory.mktemp("hub"), *options) as hub:
            own = Wire(hub.url, headers=bearer(tokens["agent"]))
            own.register("own")
            wire = Wire(hub.url, headers=bearer(tokens["b"]))
            lease = wire.register("zebra-b", metadata={"zebra": "of b"})
            watching = wire.watch()
            there = Foreign(
                "team-b",
                lease["agent_id"],
                lease["session_token"],
                watching["position"],
                watching["log"],
            )
            nowhere = Foreign("team-z", *(changed(each) for each in there[1:]))
            yield Scene(hub, tokens, there, nowhere)
            assert wire.record(there.agent_id)["metadata"] == {"zebra": "of b"}
            assert wire.ask("heartbeat")["durable"] is True
            assert [each for each in wire.said_by_now() if each["op"] == "event"] == []
            own.drop()
            wire.drop()


def answer(
    scene: Scene, foreign: Foreign, role: str, method: str, path: str, **headers: str
) -> str:
    """The whole answer to a request, without what was asked and times."""
    response = requests.request(
        method,
        scene.hub.url + path,
        headers={**bearer(scene.tokens[role]), **headers},
        data="{}" if method == "POST" else None,
        timeout=LIMIT,
    )
    lines = [f"{name.lower()}: {value}" for name, value in sorted(response.headers.items())]
    if "/metrics" in path:
        assert "team-b" not in response.text
        assert response.status_code in (200, 403)
        return str(response.status_code)
    return foreign.hidden("\n".join([str(response.status_code), *lines, response.text]))


ROUTES = [
    (method, each.path) for each in App(FakeHub()).resources for method in sorted(each.methods)
]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_tells_another_namespace_from_none(
    scene: Scene, role: str, method: str, path: str
) -> None:
    def answers(foreign: Foreign) -> list[str]:
        at = path.replace("{id}", foreign.agent_id).replace("{type}", "cost")
        shown = {"Homeport-Session-Token": foreign.session_token}
        named = {"Homeport-Namespace": foreign.namespace}
        return [
            answer(scene, foreign, role, method, at),
            answer(scene, foreign, role, method, at, **shown),
            answer(scene, foreign, role, method, at, **named),
            answer(scene, foreign, role, method, at, **named, **shown),
            answer(scene, foreign, role, method, f"{at}?namespace={foreign.namespace}"),
            answer(scene, foreign, role, method, f"{at}?cursor={foreign.agent_id}&limit=1"),
            answer(scene, foreign, role, method, f"{at}?name=zebra-b"),
        ]

    found = answers(scene.there)
    assert found == answers(scene.nowhere)
    assert "zebra" not in "".join(found)


ASKED: dict[str, list[dict[str, Any]]] = {
    "register": [{"agent": {"name": "new", "type": "cost"}, "agent_id": ""}],
    "resume": [{"agent_id": "", "session_token": ""}],
    "heartbeat": [{}],
    "update": [{"version": "2"}],
    "unregister": [{}],
    "remove": [{"agent_id": ""}],
    "find": [{}, {"cursor": "agent_id"}, {"filter": {"name": "zebra-b"}}],
    "flapping": [{}, {"filter": {"name": "zebra-b"}}],
    "get": [{"agent_id": ""}],
    "pick": [{}, {"filter": {"name": "zebra-b"}}],
    "watch": [{}, {"position": ""}, {"since": 1, "log": ""}],
    "unwatch": [{"watch": 1}],
    "ping": [{}],
    "hubs": [{}],
    "acknowledge_loss": [{}],
}
"""Each request's fields; those that `Foreign` has too get its values."""


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("op", sorted(OPS))
def test_no_request_tells_another_namespace_from_none(scene: Scene, role: str, op: str) -> None:
    def answers(foreign: Foreign) -> list[str]:
        wire = Wire(scene.hub.url, headers=bearer(scene.tokens[role]))
        found: list[Any] = []
        for fields in ASKED[op]:
            filled = dict(fields)
            for name in fields.keys() & FIELDS:
                filled[name] = getattr(foreign, name)
            answer = wire.ask(op, **filled)
            del answer["_at"]
            found.append(answer)
        if op == "watch" and found[0]["op"] == "watching":
            for _ in found:
                assert [each["name"] for each in wire.snapshot()] == ["own"]
        if op == "register" and found[0]["op"] == "registered":
            wire.ask("unregister")
        wire.drop()
        return [VOLATILE.sub("", foreign.hidden(json.dumps(each))) for each in found]

    found = answers(scene.there)
    assert found == answers(scene.nowhere)
    assert "zebra" not in "".join(found)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("in_query", [False, True])
def test_no_handshake_tells_another_namespace_from_none(
    scene: Scene, role: str, in_query: bool
) -> None:
    def refused(foreign: Foreign) -> str:
        with pytest.raises(RefusedError) as error:
            Wire(
                scene.hub.url,
                namespace=foreign.namespace,
                namespace_in_query=in_query,
                headers=bearer(scene.tokens[role]),
            )
        return f"{error.value.status} {foreign.hidden(error.value.body.decode())}"

    found = refused(scene.there)
    assert found == refused(scene.nowhere)
    assert found.startswith("403")


@pytest.mark.parametrize("role", ROLES)
def test_hubs_and_metrics_count_the_own_namespace_alone(scene: Scene, role: str) -> None:
    wire = Wire(scene.hub.url, headers=bearer(scene.tokens[role]))
    (hub,) = wire.ask("hubs")["hubs"]
    assert hub["agents"] == 1
    wire.drop()
    text = requests.get(
        f"{scene.hub.url}/metrics", headers=bearer(scene.tokens[role]), timeout=LIMIT
    ).text
    assert set(re.findall(r'namespace="([^"]+)"', text)) == {"team-a"}
    series = [each for each in text.splitlines() if not each.startswith("#")]
    others = [each for each in series if "namespace=" not in each]
    assert [each.partition("{")[0] for each in others] == ["homeport_info"]
    everything = requests.get(
        f"{scene.hub.url}/metrics", headers=bearer(scene.tokens["all"]), timeout=LIMIT
    ).text
    assert 'namespace="team-b"' in everything


def test_ready_tells_who_may_not_read_no_more_than_whether(scene: Scene) -> None:
    url = f"{scene.hub.url}/ready"
    assert requests.get(url, timeout=LIMIT).json() == {"status": "ready"}
    wrong = requests.get(url, headers=bearer("hp1_none"), timeout=LIMIT)
    assert (wrong.status_code, wrong.json()) == (200, {"status": "ready"})
    for role in ROLES:
        told = requests.get(url, headers=bearer(scene.tokens[role]), timeout=LIMIT).json()
        assert told.keys() == {"status", "hub", "version", "warnings"}
    metrics = requests.get(f"{scene.hub.url}/metrics", timeout=LIMIT)
    assert metrics.status_code == 401, "no metrics for nobody"
