"""Every client at a hub that asks for tokens and speaks TLS; replacing a token, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent_client import (
    AgentClient,
    AgentRegistration,
    Backoff,
    CannotConnect,
    Forbidden,
    HomeportError,
    Hub,
    HubClient,
    Lease,
    Unauthorized,
)
from tests.e2e.conftest import StartHub, StartServer
from tests.e2e.test_legacy_agent import LegacyAgent
from tests.support.certificate_authority import Authority
from tests.support.fake_hub import eventually
from tests.support.hub_process import Hub as Running
from tests.support.programs import Homeport
from tests.support.redis_servers import RedisServer
from tests.support.tokens import make_tokens, revoke_token
from tests.support.waiting import LIMIT, wait_until

SPEC: dict[str, Any] = {"name": "cost-1", "type": "cost"}


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HOMEPORT_TOKEN", "HOMEPORT_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def server(start_server: StartServer) -> RedisServer:
    return start_server()


@pytest.fixture
def tokens(server: RedisServer) -> dict[str, str]:
    return make_tokens(
        server.url,
        agent={"role": "agent", "names": ["cost-*"]},
        operator={"role": "operator"},
        next={"role": "agent"},
    )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def hub(
    server: RedisServer, tokens: dict[str, str], authority: Authority, start_hub: StartHub
) -> Iterator[Running]:
    pair = authority.issue()
    tls = ("--tls-cert", str(pair.cert), "--tls-key", str(pair.key))
    hub = start_hub("--redis", server.url, "--auth", "required", *tls)
    yield hub
    for token in tokens.values():
        assert token not in hub.log()


@pytest.fixture
def homeport(tmp_path: Path) -> Iterator[Homeport]:
    runner = Homeport(tmp_path)
    yield runner
    runner.end()


async def registered(client: HubClient) -> list[str]:
    return [agent.name for agent in await client.find()]


@pytest.mark.parametrize("way", ["token", "file", "url", "variable", "variable of a file"])
async def test_every_client_comes_in_by_every_way(  # noqa: PLR0917 - fixtures
    hub: Running,
    authority: Authority,
    tokens: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    token, file, url = tokens["operator"], tmp_path / "token", hub.url
    file.write_text(f"{token}\n")
    monkeypatch.setenv("HOMEPORT_CA_FILE", str(authority.file))
    options: dict[str, Any] = {}
    match way:
        case "token":
            options["token"] = token
        case "file":
            options["token_file"] = file
        case "url":
            url = url.replace("://", f"://agent:{token}@")
        case "variable":
            monkeypatch.setenv("HOMEPORT_TOKEN", token)
        case _:
            monkeypatch.setenv("HOMEPORT_TOKEN_FILE", str(file))
    async with (
        AgentClient(url, **SPEC, **options) as agent,
        HubClient(url, **options) as client,
        client.watch() as watch,
    ):
        await agent.report(load=0.5)
        assert [each.name for each in (await anext(watch)).agents] == ["cost-1"]
        helper = AgentRegistration("cost-2", "cost", "h", 1, [], url, **options)
        assert await asyncio.to_thread(helper.register)
        with Hub(url, **options) as blocking:
            assert len(await asyncio.to_thread(blocking.find)) == 2
        await asyncio.to_thread(helper.unregister)
        assert await registered(client) == ["cost-1"]


def test_the_commands_come_in_as_well(
    hub: Running, authority: Authority, tokens: dict[str, str], tmp_path: Path, homeport: Homeport
) -> None:
    token, file = tokens["agent"], tmp_path / "token"
    file.write_text(token)
    given = ("--url", hub.url, "--ca-file", str(authority.file))
    done = homeport.run("agents", *given, "--token-file", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    for options, env in (
        (given, {"HOMEPORT_TOKEN": token}),
        (
            ("--ca-file", str(authority.file)),
            {"HOMEPORT_URL": hub.url.replace("://", f"://agent:{token}@")},
        ),
    ):
        done = homeport.run(
            "register",
            "--name",
            "cost-1",
            "--type",
            "cost",
            *options,
            *("--", "sh", "-c", "echo token: $HOMEPORT_TOKEN url: $HOMEPORT_URL"),
            **env,
        )
        assert (done.returncode, done.stdout) == (0, f"token: url: {hub.url}\n")
        assert token not in done.stderr
    done = homeport.run("register", "--name", "web-1", "--type", "x", *given, HOMEPORT_TOKEN=token)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "only names that match cost-*" in done.stderr
    done = homeport.run("agents", *given)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no token was given: set HOMEPORT_TOKEN or HOMEPORT_TOKEN_FILE" in done.stderr
    done = homeport.run("agents", "--url", hub.url, HOMEPORT_TOKEN=token)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "give the certificate of the CA that signed it" in done.stderr
    assert token not in done.stderr


async def test_a_certificate_stands_for_a_token(
    server: RedisServer, authority: Authority, start_hub: StartHub, tmp_path: Path
) -> None:
    principals = tmp_path / "principals.toml"
    principals.write_text('["CN=cost"]\nrole = "operator"\n')
    pair = authority.issue()
    hub = start_hub(
        *("--redis", server.url, "--auth", "required"),
        *("--tls-cert", str(pair.cert), "--tls-key", str(pair.key)),
        *("--tls-client-ca", str(authority.file), "--tls-principals", str(principals)),
    )
    own = authority.issue("CN=cost", client=True)
    options = {"ca_file": authority.file, "client_cert": own.cert, "client_key": own.key}
    async with AgentClient(hub.url, **SPEC, **options), HubClient(hub.url, **options) as client:
        helper = AgentRegistration("cost-2", "cost", "h", 1, [], hub.url, **options)
        assert await asyncio.to_thread(helper.register)
        assert sorted(await registered(client)) == ["cost-1", "cost-2"]
    other = authority.issue("CN=x", client=True)
    options = {"ca_file": authority.file, "client_cert": other.cert, "client_key": other.key}
    async with HubClient(hub.url, **options) as client:
        with pytest.raises(Unauthorized, match=f"CN=x.*certificate is from client_cert {tmp_path}"):
            await client.ping()
    forged = Authority(tmp_path, "Forger").issue("CN=cost", client=True)
    options = {"ca_file": authority.file, "client_cert": forged.cert, "client_key": forged.key}
    async with HubClient(hub.url, **options) as client:
        with pytest.raises(CannotConnect, match="certificate"):
            await client.ping()


def test_a_legacy_helper_needs_only_another_url(
    server: RedisServer, tokens: dict[str, str], start_hub: StartHub
) -> None:
    hub = start_hub("--redis", server.url, "--auth", "required")
    body = {**SPEC, "host": "h", "port": 1, "capabilities": []}
    url = hub.url.replace("://", f"://agent:{tokens['agent']}@")
    agent = LegacyAgent(url, **body)
    assert agent.register()
    agent.start()
    assert agent.unregister() == 200
    assert set(agent.beats) <= {200}
    assert not LegacyAgent(hub.url, **body).register()
    helper = AgentRegistration("cost-2", "cost", "h", 1, [], url)
    assert helper.register()
    helper.unregister()
    assert tokens["agent"] not in hub.log()


@asynccontextmanager
async def agent_at(hub: Running, **options: Any) -> AsyncIterator[AgentClient]:
    agent = AgentClient(hub.url, **SPEC, backoff=Backoff(0.1, 1.0), **options)
    async with agent:
        yield agent


async def test_a_token_that_runs_out_is_replaced_without_a_new_registration(
    hub: Running,
    authority: Authority,
    server: RedisServer,
    tokens: dict[str, str],
    tmp_path: Path,
) -> None:
    file = tmp_path / "token"
    made = await asyncio.to_thread(make_tokens, server.url, brief={"role": "agent", "ttl": 8.0})
    file.write_text(made["brief"])
    leases: list[Lease] = []
    lost: list[HomeportError] = []
    async with (
        HubClient(hub.url, token=tokens["operator"], ca_file=authority.file) as client,
        agent_at(
            hub,
            token_file=file,
            ca_file=authority.file,
            on_connected=leases.append,
            on_disconnected=lost.append,
        ),
        client.watch() as watch,
    ):
        await anext(watch)
        file.write_text(tokens["next"])
        await eventually(lambda: len(leases) == 2)
        assert leases[1].resumed
        assert isinstance(lost[0], Unauthorized)
        kinds: list[str] = []
        while "resumed" not in kinds:
            async with asyncio.timeout(LIMIT):
                kinds.append((await anext(watch)).kind)
        assert kinds == ["lost", "resumed"]


def test_a_program_without_asyncio_goes_over_to_the_new_token_as_well(
    server: RedisServer, tokens: dict[str, str], start_hub: StartHub, tmp_path: Path
) -> None:
    times = ("--heartbeat-interval", "0.2", "--heartbeat-timeout", "1", "--lease-ttl", "1")
    hub = start_hub("--redis", server.url, "--auth", "required", *times)
    file = tmp_path / "token"
    file.write_text(tokens["agent"])
    helper = AgentRegistration("cost-1", "cost", "h", 1, [], hub.url, token_file=file)
    assert helper.register()
    first = helper.agent_id
    helper.start_heartbeat()
    with Hub(hub.url, token=tokens["operator"]) as asked:
        revoke_token(server.url, tokens["agent"])
        wait_until(lambda: not asked.find(status="healthy"))
        file.write_text(tokens["next"])
        wait_until(lambda: asked.find(status="healthy"))
        assert [agent.id for agent in asked.find()] == [first]
    helper.unregister()


async def test_an_agent_with_a_new_token_in_its_file_comes_back_after_a_revocation(
    server: RedisServer, tokens: dict[str, str], start_hub: StartHub, tmp_path: Path
) -> None:
    times = ("--heartbeat-interval", "0.2", "--heartbeat-timeout", "1", "--lease-ttl", "1")
    hub = start_hub("--redis", server.url, "--auth", "required", "--resume-window", "0.5", *times)
    file = tmp_path / "token"
    file.write_text(tokens["agent"])
    leases: list[Lease] = []
    async with agent_at(hub, token_file=file, on_connected=leases.append) as agent:
        file.write_text(tokens["next"])
        await asyncio.to_thread(revoke_token, server.url, tokens["agent"])
        await eventually(lambda: len(leases) == 2)
        assert not leases[1].resumed
        assert leases[1].agent_id == agent.agent_id


async def test_a_token_that_is_revoked_ends_the_agent_and_its_watches(
    hub: Running, authority: Authority, tokens: dict[str, str], server: RedisServer
) -> None:
    async with agent_at(hub, token=tokens["agent"], ca_file=authority.file) as agent:
        await asyncio.to_thread(revoke_token, server.url, tokens["agent"])
        async with asyncio.timeout(LIMIT):
            with pytest.raises(Unauthorized, match="revoked") as caught:
                await agent.wait_ended()
    assert caught.value.final
    assert tokens["agent"] not in str(caught.value)
    with pytest.raises(Unauthorized, match="revoked"):
        await AgentClient(hub.url, **SPEC, token=tokens["agent"], ca_file=authority.file).start()


async def test_what_a_role_may_not_is_raised_with_the_roles_that_may(
    hub: Running, authority: Authority, tokens: dict[str, str]
) -> None:
    async with HubClient(hub.url, token=tokens["agent"], ca_file=authority.file) as client:
        with pytest.raises(Forbidden, match='the role "operator" may'):
            await client.acknowledge_loss()
        assert await client.find() == []
        with pytest.raises(Forbidden):
            await anext(client.watch())
    with pytest.raises(Forbidden, match="only names that match"):
        await AgentClient(
            hub.url, name="web-1", type="x", token=tokens["agent"], ca_file=authority.file
        ).start()
