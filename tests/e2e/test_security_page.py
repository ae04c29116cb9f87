"""The production recipe of docs/security.md, as it is written there, with a hub and a store."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.docs.pages import ROOT, blocks
from tests.e2e.conftest import StartHub, StartServer
from tests.support.hub_process import Hub
from tests.support.programs import Homeport
from tests.support.redis_servers import RedisServer
from tests.support.tokens import bearer
from tests.support.waiting import LIMIT, wait_until
from tests.support.wire import RefusedError, Wire

PAGE = ROOT / "docs" / "security.md"
AGENT = {"name": "cost-1", "type": "cost", "host": "h", "port": 1}


def block(info: str) -> str:
    return next(each.text for each in blocks(PAGE) if each.info == info)


def configuration(server: RedisServer, directory: Path) -> Path:
    """The one of the page, but for what needs certificates and another machine."""
    settings: dict[str, Any] = tomllib.loads(block("toml"))
    del settings["tls_cert"], settings["tls_key"]
    settings.update(
        host="127.0.0.1",
        redis=f"unix://homeport:PASSWORD@{server.path}",
        audit_log=str(directory / "audit.jsonl"),
    )
    path = directory / "homeport.toml"
    path.write_text("\n".join(f"{name} = {json.dumps(v)}" for name, v in settings.items()))
    return path


@pytest.fixture
def homeport(tmp_path: Path) -> Any:
    command = Homeport(tmp_path)
    yield command
    command.end()


def test_the_recipe_works_and_its_redis_user_may_do_all_that_is_needed(
    start_server: StartServer, start_hub: StartHub, tmp_path: Path, homeport: Homeport
) -> None:
    server = start_server()
    for line in block("redis").splitlines():
        server.client.execute_command(*line.split())
    config = configuration(server, tmp_path)
    url = f"unix://homeport:PASSWORD@{server.path}"
    create = ("token", "create", "--role")
    store = ("--key-prefix", "homeport:")
    made = homeport.run(*create, "operator", "--ttl", "8h", "--redis", url, *store)
    assert made.returncode == 0, made.stderr
    operator = tmp_path / "operator.token"
    operator.write_text(made.stdout)
    hubs = [start_hub("--config", str(config), "--hub-id", f"hub-{n}") for n in (1, 2)]
    made = homeport.run(
        *(*create, "agent", "--names", "cost-*", "--note", "cost fleet"),
        *("--token-file", str(operator), "--url", hubs[0].url),
    )
    assert made.returncode == 0, made.stderr
    agent = made.stdout.strip()
    flows(hubs, agent, operator.read_text().strip())
    assert server.client.execute_command("ACL", "LOG") == [], "nothing was denied"
    keys = server.client.keys("*")
    assert keys
    assert all(str(key).startswith("homeport:") for key in keys)
    whats = [
        json.loads(each)["what"]
        for each in (tmp_path / "audit.jsonl").read_text().split("\n")
        if each
    ]
    assert {"register", "end", "take_over", "create_token", "revoke_token"} <= set(whats)


def flows(hubs: list[Hub], agent: str, operator: str) -> None:
    """What agents, callers and operators do, at two hubs."""
    watcher = Wire(hubs[1].url, headers=bearer(operator))
    watcher.watch({})
    watcher.snapshot()
    wire = Wire(hubs[0].url, headers=bearer(agent))
    lease = wire.register("cost-1", capabilities=["c"], metadata={"k": 1})
    assert watcher.event()["kind"] == "registered"
    assert wire.ask("heartbeat", status="degraded")["durable"] is True
    assert watcher.event()["kind"] in ("status_changed", "updated")
    assert wire.ask("update", version="2")["op"] == "updated"
    taker = Wire(hubs[1].url, headers=bearer(agent))
    taken = taker.ask("resume", agent_id=lease["agent_id"], session_token=lease["session_token"])
    assert taken["resumed"] is True
    body = {**AGENT, "name": "cost-2"}

    def call(hub: Hub, token: str, method: str, path: str, **more: Any) -> requests.Response:
        return requests.request(
            method, hub.url + path, headers=bearer(token), timeout=LIMIT, **more
        )

    made = call(hubs[0], agent, "POST", "/agents/register", json=body)
    assert made.status_code == 201
    path = f"/agents/{made.json()['agent_id']}"
    wait_until(lambda: call(hubs[1], agent, "GET", path).status_code == 200)
    assert call(hubs[1], agent, "POST", f"{path}/heartbeat", json={}).status_code == 200
    assert call(hubs[1], operator, "GET", "/agents/pick").status_code == 200
    assert call(hubs[1], agent, "POST", f"{path}/unregister").status_code == 200
    assert watcher.ask("hubs")["op"] == "hubs"
    assert watcher.ask("acknowledge_loss")["op"] != "error"
    assert taker.ask("unregister")["op"] == "unregistered"
    blue = {**bearer(operator), "Homeport-Namespace": "blue"}
    url = f"{hubs[0].url}/agents/register"
    assert requests.post(url, json=AGENT, headers=blue, timeout=LIMIT).status_code == 201
    token_id = agent.split("_")[1]
    assert call(hubs[0], operator, "DELETE", f"/tokens/{token_id}").status_code == 200
    wait_until(lambda: call(hubs[1], agent, "GET", "/agents").status_code == 401)
    with pytest.raises(RefusedError):
        Wire(hubs[1].url, headers=bearer(agent))
    for hub in hubs:
        ready = call(hub, operator, "GET", "/ready")
        assert ready.status_code == 200
        assert ready.json()["warnings"] == []
    for each in (watcher, wire, taker):
        each.drop()


def test_the_page_lists_the_commands_of_the_reference() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    listed = re.search(r"```\n(\+eval .*?)```", reference, re.DOTALL)
    assert listed is not None
    shown = [word for word in block("redis").split() if word.startswith("+")]
    assert sorted(shown) == sorted(listed[1].split())


def sent_by_scripts() -> set[str]:
    found: set[str] = set()
    for script in (ROOT / "hub" / "store" / "scripts").glob("*.lua"):
        code = re.sub(r"--[^\n]*", "", script.read_text(encoding="utf-8"))
        found |= {each.lower() for each in re.findall(r"redis\.p?call\(\s*'([A-Z]+)'", code)}
    return found


def test_the_reference_lists_every_command_that_a_script_calls() -> None:
    listed = {word[1:].partition("|")[0] for word in block("redis").split() if word[0] == "+"}
    assert sent_by_scripts() - listed == set()
    assert len(sent_by_scripts()) > 10
