"""Tokens at real hubs: when they start, whom they let in, and how fast they let nobody in."""

from __future__ import annotations

import hashlib
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from homeport_protocol.tokens import make_token
from tests.e2e.conftest import StartHub, StartServer
from tests.support.hub_process import Hub
from tests.support.programs import Homeport, environment, homeport
from tests.support.redis_servers import RedisServer
from tests.support.tokens import bearer, make_tokens, revoke_token
from tests.support.waiting import LIMIT, wait_until
from tests.support.wire import RefusedError, Wire

AGENT = {"name": "cost-1", "type": "cost", "host": "h", "port": 1}
PROMISED = 2.0
"""Seconds in which every hub ends what goes on with a revoked token, or one that has run out."""

LASTS = 6.0
"""Seconds that a token lasts which runs out: longer than six websockets take to open."""

ROOM = 8.0
"""Seconds more that a busy machine may take: what is tested exactly has a clock of its own."""


@pytest.fixture
def server(start_server: StartServer) -> RedisServer:
    return start_server()


@pytest.fixture
def wires() -> Iterator[list[Wire]]:
    wires: list[Wire] = []
    yield wires
    for wire in wires:
        wire.drop()


def status(hub: Hub, token: str | None, path: str = "/agents") -> int:
    headers = {} if token is None else bearer(token)
    return requests.get(hub.url + path, headers=headers, timeout=LIMIT).status_code


def closed(wires: list[Wire]) -> list[tuple[int | None, str]]:
    for wire in wires:
        wait_until(
            lambda wire=wire: wire.listen(0.02) or wire.closed_at is not None, PROMISED + ROOM
        )
    return [(wire.close.code, wire.close.reason) for wire in wires]


def starting(directory: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*homeport(), "serve", "--port", "0", *options],
        env=environment(directory, **env),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_hub_that_others_reach_does_not_start_where_nobody_could_come_in(
    tmp_path: Path,
) -> None:
    data = str(tmp_path / "data")
    for options in (["--host", "0.0.0.0"], ["--host", "0.0.0.0", "--workers", "2"]):
        refused = starting(tmp_path, *options, "--data-dir", data)
        assert (refused.returncode, refused.stdout) == (1, "")
        last = refused.stderr.splitlines()[-1]
        assert f"homeport token create --role operator --data-dir {data}" in last
    refused = starting(tmp_path, "--host", "0.0.0.0", "--redis", "memory://")
    assert refused.returncode == 1
    assert "HOMEPORT_OPERATOR_TOKEN_SHA256" in refused.stderr.splitlines()[-1]
    refused = starting(tmp_path, "--host", "0.0.0.0", "--data-dir", data, "--auth", "none")
    assert refused.returncode == 1
    assert "--insecure" in refused.stderr.splitlines()[-1]


def test_the_command_that_the_refusal_names_makes_it_start(
    tmp_path: Path, start_hub: StartHub
) -> None:
    data = str(tmp_path / "data")
    sentence = starting(tmp_path, "--host", "0.0.0.0", "--data-dir", data).stderr
    command = sentence.split('make one with "homeport ')[1].split('"')[0]
    runner = Homeport(tmp_path)
    token = runner.run(*command.split()).stdout.strip()
    runner.end()
    hub = start_hub("--host", "0.0.0.0", "--data-dir", data)
    assert [status(hub, None), status(hub, token)] == [401, 200]
    assert status(hub, None, "/health") == 200
    assert status(hub, None, "/ready") == 200


def test_an_operators_token_that_only_hubs_know_needs_no_store(start_hub: StartHub) -> None:
    digest = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"  # of "secret"
    options = ("--host", "0.0.0.0", "--redis", "memory://", "--operator-token-sha256", digest)
    hub = start_hub(*options)
    assert [status(hub, None), status(hub, "secret"), status(hub, digest)] == [401, 200, 401]
    made = requests.post(
        f"{hub.url}/tokens", headers=bearer("secret"), json={"role": "agent"}, timeout=LIMIT
    ).json()
    assert status(hub, made["token"]) == 200
    assert digest not in hub.log()


def test_an_operators_token_is_changed_without_a_restart(
    start_hub: StartHub, tmp_path: Path, wires: list[Wire]
) -> None:
    old, new = (hashlib.sha256(text.encode()).hexdigest() for text in ("old", "new"))
    config = tmp_path / "hub.toml"
    config.write_text(f'operator_token_sha256 = "{old}"\n')
    hub = start_hub("--auth", "required", "--redis", "memory://", "--config", str(config))
    wires.append(Wire(hub.url, headers=bearer("old")))
    config.write_text(f'operator_token_sha256 = "{old},{new}"\n')
    hub.process.send_signal(signal.SIGHUP)
    wait_until(lambda: status(hub, "new") == 200)
    wires[0].ping()
    config.write_text(f'operator_token_sha256 = "{new}"\n')
    hub.process.send_signal(signal.SIGHUP)
    assert closed(wires) == [(4401, "the token was revoked")]
    assert [status(hub, "old"), status(hub, "new")] == [401, 200]
    assert new not in hub.log()


def test_a_hub_whose_tokens_are_good_no_more_starts_again(
    server: RedisServer, start_hub: StartHub
) -> None:
    tokens = make_tokens(server.url, a={"role": "operator"})
    revoke_token(server.url, tokens["a"])
    hub = start_hub("--redis", server.url, "--host", "0.0.0.0")
    assert status(hub, tokens["a"]) == 401
    assert "none is good" in hub.log()
    again = make_tokens(server.url, a={"role": "operator"})
    assert status(hub, again["a"]) == 200


def test_an_open_hub_asks_nobody_and_insecure_is_one_too(start_hub: StartHub) -> None:
    for options in ([], ["--host", "0.0.0.0", "--auth", "none", "--insecure"]):
        hub = start_hub("--redis", "memory://", *options)
        assert [status(hub, None), status(hub, "anything")] == [200, 200]
        Wire(hub.url, headers={"Authorization": "Basic x"}).drop()
        assert ("may do everything" in hub.log()) is bool(options)


def test_a_wrong_token_is_401_before_the_upgrade_and_in_no_log(
    server: RedisServer, start_hub: StartHub
) -> None:
    tokens = make_tokens(server.url, a={"role": "agent"}, o={"role": "operator"})
    hub = start_hub("--redis", server.url, "--auth", "required")
    wrong = tokens["a"][:-12] + "xxxxxxxxxxxx"
    for headers in ({}, bearer(wrong), {"Authorization": "Digest xyzzy-secret"}):
        with pytest.raises(RefusedError) as refused:
            Wire(hub.url, headers=headers)
        assert refused.value.status == 401
        answer = requests.get(f"{hub.url}/agents", headers=headers, timeout=LIMIT)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="homeport"'
        assert wrong not in answer.text
    legacy = hub.url.replace("http://", f"http://agent:{tokens['a']}@")
    assert requests.get(f"{legacy}/agents", timeout=LIMIT).status_code == 200
    text = requests.get(f"{hub.url}/metrics", headers=bearer(tokens["o"]), timeout=LIMIT).text
    for result in ("missing", "malformed"):
        assert re.search(rf'homeport_authentications_total{{result="{result}"}} [2-9]', text)
    log = hub.log()
    assert "request refused" in log
    for secret in (wrong, tokens["a"], "xyzzy"):
        assert secret not in log


def test_a_revoked_token_ends_at_three_hubs_in_two_seconds(
    server: RedisServer, start_hub: StartHub, wires: list[Wire]
) -> None:
    tokens = make_tokens(server.url, a={"role": "agent"}, b={"role": "observer"})
    options = ("--redis", server.url, "--auth", "required")
    hubs = [start_hub(*options, "--hub-id", f"h{n}") for n in (1, 2)]
    hubs.append(start_hub(*options, "--hub-id", "h3", "--workers", "2"))
    wires += [Wire(hub.url, headers=bearer(tokens["a"])) for hub in hubs for _ in range(4)]
    others = [Wire(hub.url, headers=bearer(tokens["b"])) for hub in hubs]
    for number, wire in enumerate(wires):
        wire.register(f"cost-{number}")
    revoked_at = time.monotonic()
    revoke_token(server.url, tokens["a"])
    assert closed(wires) == [(4401, "the token was revoked")] * 12
    seconds = max(wire.closed_at or 0.0 for wire in wires) - revoked_at
    print(f"revoked: the last of 12 websockets at 3 hubs was closed after {seconds:.2f} s")
    assert seconds < PROMISED + ROOM
    for hub in hubs:
        assert [status(hub, tokens["a"]), status(hub, tokens["b"])] == [401, 200]
    for wire in others:
        wire.ping()
        wire.drop()


def test_a_token_runs_out_also_while_redis_is_away(
    server: RedisServer, start_hub: StartHub, wires: list[Wire]
) -> None:
    hubs = [start_hub("--redis", server.url, "--auth", "required", "--hub-id", n) for n in "xyz"]
    tokens = make_tokens(server.url, a={"role": "agent", "ttl": LASTS}, b={"role": "agent"})
    made_at = time.monotonic()
    wires += [Wire(hub.url, headers=bearer(tokens["a"])) for hub in hubs]
    others = [Wire(hub.url, headers=bearer(tokens["b"])) for hub in hubs]
    server.kill()
    assert closed(wires) == [(4401, "the token has run out")] * 3
    last = max(wire.closed_at or 0.0 for wire in wires) - made_at
    print(f"run out while Redis was away: the last of 3 was closed {last - LASTS:.2f} s late")
    assert last < LASTS + PROMISED + ROOM
    for hub in hubs:
        assert [status(hub, tokens["a"]), status(hub, tokens["b"])] == [401, 200]
    for wire in others:
        wire.ping()
        wire.drop()
    server.start()


def test_what_was_revoked_while_a_hub_could_not_reach_redis_ends_when_it_can(
    server: RedisServer, start_hub: StartHub, wires: list[Wire]
) -> None:
    tokens = make_tokens(server.url, a={"role": "agent"})
    hub = start_hub("--redis", server.url, "--auth", "required")
    wires.append(Wire(hub.url, headers=bearer(tokens["a"])))
    server.kill()
    wait_until(lambda: status(hub, None, "/ready") == 503)
    wires[0].ping()
    server.start()  # with its data; the revocation comes before the hub looks again, or after
    revoke_token(server.url, tokens["a"])
    back = time.monotonic()
    assert closed(wires) == [(4401, "the token was revoked")]
    print(f"revoked while Redis was away: closed after {time.monotonic() - back:.2f} s")


def test_tokens_that_no_hub_wrote_never_stop_a_hub(
    server: RedisServer, start_hub: StartHub
) -> None:
    tokens = make_tokens(server.url, a={"role": "agent"}, bad={"role": "agent"})
    bad = tokens["bad"].split("_")[1]
    server.client.hset("auth:tokens", bad, "junk")
    hub = start_hub("--redis", server.url, "--host", "0.0.0.0")
    assert [status(hub, tokens["a"]), status(hub, tokens["bad"])] == [200, 401]
    assert bad in hub.log()


def test_a_key_of_another_type_costs_the_tokens_until_it_is_repaired(
    server: RedisServer, start_hub: StartHub, tmp_path: Path
) -> None:
    server.client.set("auth:tokens", "junk")
    token = "hp1_4k2m9x7q1zab_0123456789abcdefghijABCDEFGHIJ0123456789"
    token = make_token(*token.split("_")[1:])
    hub = start_hub("--redis", server.url, "--host", "0.0.0.0")
    assert status(hub, token) == 503
    runner = Homeport(tmp_path)
    repaired = runner.run("repair", "--redis", server.url)
    runner.end()
    assert "auth:tokens" in repaired.stdout
    tokens = make_tokens(server.url, a={"role": "agent"})
    wait_until(lambda: status(hub, tokens["a"]) == 200)
    assert status(hub, token) == 401
