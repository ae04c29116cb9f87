"""Callers with JWTs and client certificates: from the handshake to the end of their rights."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.conftest import StartHub
from tests.support.certificate_authority import Authority, Pair
from tests.support.hub_process import Hub
from tests.support.jwt_issuer import JwksServer, Key, claims, jwks
from tests.support.waiting import wait_until
from tests.support.wire import ClosedError, RefusedError, Wire

MEMORY = ("--redis", "memory://")
AGENT = {"role": "agent", "names": ["web-*"]}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def ask(hub: Hub, path: str, method: str = "GET", **options: Any) -> requests.Response:
    with requests.Session() as http:
        http.trust_env = False
        return http.request(method, hub.url + path, timeout=10, **options)


def register(hub: Hub, name: str, **options: Any) -> requests.Response:
    body = {"name": name, "type": "t", "host": "h", "port": 1}
    return ask(hub, "/agents/register", "POST", json=body, **options)


# --- JWTs ---------------------------------------------------------------------------------------


@pytest.fixture
def key() -> Key:
    return Key()


@pytest.fixture
def keys(tmp_path: Path, key: Key) -> Path:
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(key))
    return file


@pytest.fixture
def hub(start_hub: StartHub, keys: Path) -> Hub:
    return start_hub(*MEMORY, "--auth", "required", "--jwt-keys", str(keys))


def test_a_jwt_stands_for_a_token_on_both_transports(hub: Hub, key: Key) -> None:
    token = key.sign(claims(homeport=AGENT))
    wire = Wire(hub.url, headers=bearer(token))
    wire.register("web-1")
    refused = wire.ask("register", agent={"name": "db-1", "type": "t"})
    assert refused["code"] in ("forbidden", "already_registered")
    assert register(hub, "web-2", headers=bearer(token)).status_code == 201
    assert register(hub, "db-2", headers=bearer(token)).status_code == 403
    assert register(hub, "web-3", auth=("anybody", token)).status_code == 201
    assert ask(hub, "/agents", headers=bearer(token)).json()["count"] == 3
    assert ask(hub, "/agents/pick", headers=bearer(token)).status_code == 403
    operator = key.sign(claims(sub="boss", homeport={"role": "operator"}))
    assert ask(hub, "/agents/pick", headers=bearer(operator)).status_code == 200
    wire.drop()


def test_who_shows_none_or_a_wrong_one_is_answered_401_on_both_transports(
    hub: Hub, key: Key
) -> None:
    other = Key()
    for headers in (
        {},
        bearer(other.sign(claims())),
        bearer(key.sign(claims(exp=int(time.time()) - 1))),
        bearer(key.sign(claims(aud="billing"))),
        bearer("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."),
        bearer(key.sign(claims(note="x" * 9000))),
    ):
        answer = ask(hub, "/agents", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        with pytest.raises(RefusedError) as caught:
            Wire(hub.url, headers=headers)
        assert caught.value.status == 401
    for secret in (other.sign(claims()),):
        assert secret not in hub.log()


def test_another_subject_cannot_touch_an_agent(hub: Hub, key: Key) -> None:
    mine = bearer(key.sign(claims(sub="mine", homeport=AGENT)))
    theirs = bearer(key.sign(claims(sub="theirs", homeport=AGENT)))
    agent_id = register(hub, "web-1", headers=mine).json()["agent_id"]
    for headers, status in [(theirs, 403), (mine, 200)]:
        answer = ask(hub, f"/agents/{agent_id}/heartbeat", "POST", json={}, headers=headers)
        assert answer.status_code == status, answer.text


def registered(hub: Hub, key: Key, seconds: int) -> tuple[Wire, int] | None:
    """An agent with a JWT for so many seconds, and its end; None when that was too short here."""
    ends = int(time.time()) + seconds
    try:
        wire = Wire(hub.url, headers=bearer(key.sign(claims(homeport=AGENT, exp=ends))))
        wire.register("web-1")
    except (RefusedError, ClosedError):
        return None
    return wire, ends


def test_a_session_is_closed_with_4401_when_its_jwt_runs_out(hub: Hub, key: Key) -> None:
    found = next(filter(None, (registered(hub, key, seconds) for seconds in (3, 10, 40))))
    wire, ends = found
    assert wire.closing(60) == (4401, "the token has run out")
    assert time.time() >= ends


def test_a_session_is_closed_with_4401_when_its_key_is_taken_away(
    hub: Hub, key: Key, keys: Path
) -> None:
    old = Wire(hub.url, headers=bearer(key.sign(claims(homeport=AGENT))))
    old.register("web-1")
    successor = Key("k2")
    keys.write_bytes(jwks(key, successor))
    token = bearer(successor.sign(claims(homeport=AGENT)))
    wait_until(lambda: ask(hub, "/agents", headers=token).status_code == 200, 20)
    new = Wire(hub.url, headers=token)
    old.ping()
    keys.write_bytes(jwks(successor))
    assert old.closing(20) == (4401, "the key that signed the token is no longer trusted")
    new.ping()
    new.drop()


def test_keys_come_from_a_url_and_a_new_one_is_fetched_when_it_is_named(
    start_hub: StartHub, key: Key
) -> None:
    with JwksServer(jwks(key)) as server:
        options = ("--jwt-issuer", "https://issuer", "--jwt-audience", "homeport")
        hub = start_hub(*MEMORY, "--auth", "required", "--jwt-keys", server.url, *options)
        meant = {"iss": "https://issuer", "aud": ["homeport", "other"], "homeport": AGENT}
        good = bearer(key.sign(claims(**meant)))
        assert ask(hub, "/agents", headers=good).status_code == 200
        for wrong in ({"iss": "https://other"}, {"aud": "other"}, {"aud": None}, {"iss": None}):
            token = bearer(key.sign(claims(**{**meant, **wrong})))
            assert ask(hub, "/agents", headers=token).status_code == 401
        successor = Key("k2")
        server.body = jwks(key, successor)
        token = bearer(successor.sign(claims(**meant)))
        wait_until(lambda: ask(hub, "/agents", headers=token).status_code == 200, 40)
        server.status = 500
        assert ask(hub, "/agents", headers=good).status_code == 200


def test_keys_of_no_use_are_told_and_cost_no_one_anything(start_hub: StartHub, keys: Path) -> None:
    hub = start_hub(*MEMORY, "--jwt-keys", str(keys))
    assert "jwt_keys and tls_principals are of no use" in hub.log()
    assert ask(hub, "/agents").status_code == 200


# --- client certificates ------------------------------------------------------------------------


PRINCIPALS = """
["CN=agent-1,O=Example"]
role = "agent"
names = ["web-*"]

["CN=agent-2,O=Example"]
role = "agent"

["CN=boss"]
role = "operator"
"""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def principals(tmp_path: Path) -> Path:
    file = tmp_path / "principals.toml"
    file.write_text(PRINCIPALS)
    return file


@pytest.fixture
def mutual(start_hub: StartHub, authority: Authority, principals: Path) -> Hub:
    pair = authority.issue()
    return start_hub(
        *(*MEMORY, "--auth", "required"),
        *("--tls-cert", str(pair.cert), "--tls-key", str(pair.key)),
        *("--tls-client-ca", str(authority.file), "--tls-principals", str(principals)),
    )


def with_cert(authority: Authority, pair: Pair | None) -> dict[str, Any]:
    cert = {} if pair is None else {"cert": (str(pair.cert), str(pair.key))}
    return {"verify": str(authority.file), **cert}


def test_a_certificate_stands_for_a_token_on_both_transports(
    mutual: Hub, authority: Authority
) -> None:
    mine, theirs, boss, stranger = (
        authority.issue(subject, client=True)
        for subject in ("CN=agent-1,O=Example", "CN=agent-2,O=Example", "CN=boss", "CN=stranger")
    )
    wire = Wire(mutual.url, tls=authority.trusting(mine))
    agent_id = wire.register("web-1")["agent_id"]
    assert register(mutual, "web-2", **with_cert(authority, mine)).status_code == 201
    assert register(mutual, "db-2", **with_cert(authority, mine)).status_code == 403
    ended = ask(mutual, f"/agents/{agent_id}/unregister", "POST", **with_cert(authority, theirs))
    assert ended.status_code == 403
    removed = ask(mutual, f"/agents/{agent_id}", "DELETE", **with_cert(authority, boss))
    assert removed.status_code == 200
    for pair in (None, stranger):
        assert ask(mutual, "/agents", **with_cert(authority, pair)).status_code == 401
        with pytest.raises(RefusedError) as caught:
            Wire(mutual.url, tls=authority.trusting(pair))
        assert caught.value.status == 401
    assert "CN=stranger" in ask(mutual, "/agents", **with_cert(authority, stranger)).text
    wire.drop()


def test_a_certificate_of_another_authority_is_none_whatever_it_says(
    mutual: Hub, authority: Authority, tmp_path: Path
) -> None:
    forged = Authority(tmp_path, "Forger").issue("CN=boss", client=True)
    with pytest.raises((requests.exceptions.ConnectionError, requests.exceptions.SSLError)):
        ask(mutual, "/agents", **with_cert(authority, forged))


def test_a_session_is_closed_with_4401_when_its_subject_is_taken_away(
    mutual: Hub, authority: Authority, principals: Path
) -> None:
    wire = Wire(mutual.url, tls=authority.trusting(authority.issue("CN=boss", client=True)))
    wire.ping()
    principals.write_text(PRINCIPALS.replace("CN=boss", "CN=other"))
    assert wire.closing(20)[0] == 4401
