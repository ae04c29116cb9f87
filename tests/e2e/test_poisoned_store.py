"""Each key of the layout with each kind of junk, before a hub starts and while it runs.

Each case has a namespace of its own, at one hub: it is served all the same, or it says by one
sentence which key is to blame; the other namespaces never notice, and `homeport repair` mends all.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from homeport_protocol.tokens import digest_of, make_token
from tests.support.hub_process import Place
from tests.support.programs import environment, homeport
from tests.support.redis_servers import RedisServer
from tests.support.tokens import bearer, make_tokens
from tests.support.waiting import wait_until

AGENT = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"
RECORD = (
    b'{"id":"%s","name":"a","type":"cost","host":"h","port":1,"capabilities":[],'
    b'"status":"healthy","version":"","registered_at":"2026-01-01T00:00:00.000000Z",'
    b'"last_seen":"2026-01-01T00:00:00.000000Z",'
    b'"health":{"connection":"http","reported":"healthy","reason":"ok",'
    b'"since":"2026-01-01T00:00:00.000000Z"},"epoch":1,"hub":"","revision":1}'
)
JUNK: dict[str, bytes] = {
    "empty": b"",
    "not UTF-8": b"\xff\xfe\xfd",
    "many digits": b"9" * 5000,
    "negative": b"-1",
    "NaN": b"NaN",
    "huge": b"1e300",
    "too large": b"%d" % (2**53 + 1),
    "other JSON": b'{"id":5,"epoch":{"a":[]}}',
    "deep JSON": b"[" * 3000,
}

Poison = Callable[[Any, bytes], Any]
"""Puts junk into a namespace, given a client and what the namespace's keys begin with."""


def text(name: str, junk: bytes) -> Poison:
    return lambda client, base: client.set(base + name.encode(), junk)


def wrong_type(name: str) -> Poison:
    """A list where none belongs."""

    def poison(client: Any, base: bytes) -> None:
        client.delete(base + name.encode())
        client.rpush(base + name.encode(), b"x")

    return poison


def entry(entry_id: str, fields: dict[bytes, bytes]) -> Poison:
    def poison(client: Any, base: bytes) -> None:
        with contextlib.suppress(redis.ResponseError):  # the log may have come that far
            client.xadd(base + b"agents:log", fields, id=entry_id)

    return poison


def lease(name: str, junk: bytes, seconds: int | None) -> Poison:
    def poison(client: Any, base: bytes) -> None:
        key = base + b"hub:" + name.encode()
        fields = ["generation", "url", "version", "started", "agents", "sessions", "times"]
        fields.append("revision")
        client.hset(key, mapping=dict.fromkeys(fields, junk))
        client.sadd(base + b"agents:hubs", name)
        if seconds is not None:
            client.expire(key, seconds)

    return poison


def cases() -> Iterator[tuple[str, Poison]]:
    fixed = ["agents:log", "agents:log:name", "agents:secret", "agents:active", "agents:hubs"]
    fixed += [
        "agents:seen",
        "agents:loss",
        "agents:times",
        "agents:owners",
        f"agent:{AGENT}",
        f"epoch:{AGENT}",
        "hub:the-hub",
    ]
    for name in fixed:
        yield f"{name} a list", wrong_type(name)
    for (what, junk), name in itertools.product(
        JUNK.items(), ["agents:log:name", "agents:secret", f"agent:{AGENT}", f"epoch:{AGENT}"]
    ):
        yield f"{name} {what}", text(name, junk)
    for what, junk in JUNK.items():
        yield f"a lease {what}", lease("the-hub", junk, 10)
        yield f"another lease {what}", lease("a", junk, 3)
        yield f"another lease for ever {what}", lease("b", junk, None)
        yield (
            f"agents:loss {what}",
            lambda client, base, junk=junk: client.hset(
                base + b"agents:loss", "acknowledged", junk
            ),
        )
        yield (
            f"agents:times {what}",
            lambda client, base, junk=junk: client.hset(
                base + b"agents:times", mapping={b"": junk, AGENT.encode(): junk}
            ),
        )
        yield (
            f"agents:owners {what}",
            lambda client, base, junk=junk: client.hset(
                base + b"agents:owners", mapping={b"": junk, AGENT.encode(): junk, junk: junk}
            ),
        )
        yield (
            f"an entry with an owner {what}",
            entry(
                "*",
                {
                    b"kind": b"registered",
                    b"agent": RECORD % AGENT.encode(),
                    b"key": b"x/1:1",
                    b"owner": junk,
                },
            ),
        )
        yield (
            f"agents:seen {what}",
            lambda client, base, junk=junk: client.xadd(
                base + b"agents:seen", {junk or b"x": junk}
            ),
        )
        yield (
            f"agents:active {what}",
            lambda client, base, junk=junk: client.sadd(base + b"agents:active", junk),
        )
        yield (
            f"agents:hubs {what}",
            lambda client, base, junk=junk: client.sadd(base + b"agents:hubs", junk),
        )
        yield (
            f"an entry {what}",
            entry("*", {b"kind": junk or b"x", b"agent": junk, b"key": junk}),
        )
        yield (
            f"a record {what}",
            entry("*", {b"kind": b"updated", b"agent": junk, b"key": b"x/1:1"}),
        )
        yield (
            f"an entry with times {what}",
            entry(
                "*",
                {
                    b"kind": b"updated",
                    b"agent": RECORD % AGENT.encode(),
                    b"key": b"x/1:1",
                    b"times": junk,
                },
            ),
        )
    for entry_id in ("1000000-0", f"{2**53 + 1}-0", f"{2**63}-0", f"{2**64 - 1}-{2**64 - 1}"):
        yield f"an entry {entry_id}", entry(entry_id, {b"a": b"b"})
    yield "a record of another", text(f"agent:{AGENT}", RECORD % OTHER.encode())
    yield (
        "a last seen that is no time",
        text(f"agent:{AGENT}", (RECORD % AGENT.encode()).replace(b"2026-01-01T", b"2026-99-99T")),
    )
    last = f"{2**64 - 1}-{2**64 - 1}"
    yield (
        "the last renewal",
        lambda client, base: client.xadd(base + b"agents:seen", {"a": "b"}, id=last),
    )


CASES = dict(cases())
NAMES = {f"case-{number}": case for number, case in enumerate(CASES)}


def base_of(namespace: str) -> bytes:
    return b"{%s}:" % namespace.encode()


def register(place: Place, namespace: str, agent_id: str | None = None) -> requests.Response:
    body = {"name": "h", "type": "cost", "host": "h.example", "port": 1}
    return place.request(
        "POST", "/agents/register", json=body, headers={"Homeport-Namespace": namespace}
    )


def told_or_served(place: Place, namespace: str) -> str:
    """How the namespace is: "served", the sentence that names a key, or "" for neither yet."""
    status = place.get("/ready")
    said = [each for each in status.json().get("reasons", []) if f"{namespace}:" in each]
    if said:
        assert re.search(
            r"the Redis key \S+ holds a \w+ where a \w+ belongs: `homeport repair`", said[0]
        )
        return str(said[0])
    with contextlib.suppress(requests.RequestException):
        if register(place, namespace).status_code == 201:
            return "served"
    return ""


def all_are_told_or_served(place: Place) -> dict[str, str]:
    states = {
        name: wait_until(lambda name=name: told_or_served(place, name), 20.0, what=NAMES[name])
        for name in NAMES
    }
    blocked = {NAMES[name] for name, state in states.items() if state != "served"}
    # Only what holds the namespace itself together, with another type, may keep it from serving.
    assert blocked <= {case for case in CASES if case.endswith("a list") and "agents:" in case}
    return states


def repaired(server: RedisServer, directory: Path) -> str:
    done = subprocess.run(
        [*homeport(), "repair", "--redis", f"unix://{server.path}"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(directory),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def raw(start_server: Any) -> Iterator[tuple[RedisServer, Any]]:
    server = start_server()
    client = redis.Redis(unix_socket_path=str(server.path), socket_timeout=10)
    yield server, client
    client.close()


@pytest.mark.parametrize("when", ["before the start", "while it runs"])
def test_what_lies_in_redis_stops_no_hub(
    raw: tuple[RedisServer, Any], start_hub: Any, enter: Any, tmp_path: Path, when: str
) -> None:
    server, client = raw
    client.sadd("homeport:namespaces", *NAMES)
    options = ("--redis", server.url, "--hub-id", "the-hub")
    if when == "before the start":
        for name, case in NAMES.items():
            CASES[case](client, base_of(name))
    place = enter(start_hub(*options), None)
    if when == "while it runs":
        for name in NAMES:
            assert register(place, name).status_code == 201
        for name, case in NAMES.items():
            CASES[case](client, base_of(name))
        time.sleep(1.5)  # every namespace has renewed its lease since
    assert register(place, "default").status_code == 201
    states = all_are_told_or_served(place)
    assert "default" not in str(place.get("/ready").json().get("reasons"))
    said = repaired(server, tmp_path)
    for name, state in states.items():
        if state != "served":
            key = re.search(r"the Redis key (\S+)", state)
            assert key is not None
            assert f"{key[1]} held " in said, name
    wait_until(lambda: place.get("/ready").status_code == 200, 20.0)
    for name, case in NAMES.items():
        assert register(place, name).status_code == 201, case


@pytest.mark.parametrize("key", ["agents:log", "agents:active", "agents:loss", "agents:seen"])
def test_a_hub_that_can_serve_nothing_names_the_key_and_ends(
    raw: tuple[RedisServer, Any], tmp_path: Path, key: str
) -> None:
    from tests.e2e.test_starting import assert_sentence, fails  # noqa: PLC0415

    server, client = raw
    client.set(key, "x")
    begun = time.monotonic()
    status, said = fails(tmp_path / "h", "--port", "0", "--redis", server.url)
    assert time.monotonic() - begun < 9
    assert status == 1
    assert_sentence(said)
    assert f"the Redis key {key} holds a string where a " in said
    assert "`homeport repair` sets it aside" in said
    repaired(server, tmp_path)
    assert client.exists(key) == 0


def test_a_list_of_namespaces_of_another_type_is_told_and_stops_nothing(
    raw: tuple[RedisServer, Any], start_hub: Any, enter: Any, tmp_path: Path
) -> None:
    server, client = raw
    client.set("homeport:namespaces", "x")
    place = enter(start_hub("--redis", server.url), None)
    assert register(place, "default").status_code == 201
    assert register(place, "another").status_code == 201
    (warning,) = wait_until(lambda: place.get("/ready").json().get("warnings"))
    assert "the Redis key homeport:namespaces holds another type" in warning
    assert "homeport:namespaces held no set of namespaces" in repaired(server, tmp_path)
    # It may have others, such as that the store is slow.
    wait_until(lambda: "homeport:namespaces" not in place.get("/ready").text, 15.0)


def junk_fields(client: Any, token_id: str) -> None:
    for number, junk in enumerate(JUNK.values()):
        client.hset("auth:tokens", f"{number:012d}", junk)
        client.hset("auth:tokens", f"{number:012d}:revoked", junk)
        client.hset("auth:tokens", f"{token_id}:used", junk)
        client.hset("auth:tokens", junk or b"x", junk)
        client.hset("auth:tokens", f":cookie:{number}", junk)


@pytest.mark.parametrize("when", ["before the start", "while it runs"])
def test_junk_among_the_tokens_costs_no_good_token_anything(
    raw: tuple[RedisServer, Any], start_hub: Any, when: str
) -> None:
    server, client = raw
    tokens = make_tokens(server.url, agent={"role": "agent"}, operator={"role": "operator"})
    token_id = tokens["agent"].split("_")[1]
    if when == "before the start":
        junk_fields(client, token_id)
    hub = start_hub("--redis", server.url, "--auth", "required")
    junk_fields(client, token_id)

    def call(method: str, path: str, token: str, **more: Any) -> requests.Response:
        url = hub.url + path
        return requests.request(method, url, headers=bearer(token), timeout=10, **more)

    body = {"name": "h", "type": "cost", "host": "h.example", "port": 1}
    for number in range(len(JUNK)):
        junk = make_token(f"{number:012d}", "s" * 40)
        assert call("GET", "/agents", junk).status_code == 401
    assert call("POST", "/agents/register", tokens["agent"], json=body).status_code == 201
    listed = call("GET", "/tokens", tokens["operator"]).json()["tokens"]
    assert {each["role"] for each in listed} == {"agent", "operator"}
    assert len(listed) == 2
    warnings = call("GET", "/ready", tokens["operator"]).json()["warnings"]
    assert any("of the Redis key auth:tokens holds no token" in each for each in warnings)
    assert call("DELETE", f"/tokens/{token_id}", tokens["operator"]).status_code == 200
    wait_until(lambda: call("GET", "/agents", tokens["agent"]).status_code == 401)


def test_tokens_of_another_type_are_told_and_stop_no_start(
    raw: tuple[RedisServer, Any], start_hub: Any, tmp_path: Path
) -> None:
    server, client = raw
    client.rpush("auth:tokens", "x")
    env = {"HOMEPORT_OPERATOR_TOKEN_SHA256": digest_of("operator")}
    hub = start_hub("--redis", server.url, "--auth", "required", env=env)

    def warned() -> bool:
        ready = requests.get(f"{hub.url}/ready", headers=bearer("operator"), timeout=10).json()
        return "the Redis key auth:tokens holds another type" in str(ready.get("warnings"))

    wait_until(warned)
    token = bearer(make_token("a" * 12, "s" * 40))
    refused = requests.get(f"{hub.url}/agents", headers=token, timeout=10)
    assert refused.status_code == 503
    assert "auth:tokens held " in repaired(server, tmp_path)
    wait_until(lambda: not warned(), 15.0)
