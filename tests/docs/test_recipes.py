"""The programs of the recipes do what the recipes say."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest
import requests

from agent_client import AgentClient
from tests.docs.pages import RECIPES, programs_by_heading
from tests.support.hub_process import Hub, running_hub
from tests.support.ports import free_port
from tests.support.programs import environment
from tests.support.waiting import wait_until

PROGRAMS = programs_by_heading(RECIPES)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    options = ["--redis", "memory://", "--heartbeat-interval", "0.5", "--heartbeat-timeout", "2.5"]
    with running_hub(tmp_path_factory.mktemp("recipes"), *options) as hub:
        yield hub


def start(hub: Hub, heading: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAMS[heading]],
        env=environment(hub.directory, HOMEPORT_URL=hub.url, **env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def agents(hub: Hub, name: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{hub.url}/agents?name={name}", timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["agents"]
        return found


def listed(hub: Hub, type: str) -> list[dict[str, Any]]:
    return requests.get(f"{hub.url}/agents?type={type}", timeout=30).json()["agents"]


def test_a_program_that_blocks_is_overdue_and_comes_back(hub: Hub) -> None:
    def health() -> list[tuple[str, str]]:
        return [(agent["status"], agent["health"]["reason"]) for agent in agents(hub, "thinker-1")]

    with start(hub, "A program that blocks its event loop") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "thinking\n"
        wait_until(lambda: health() == [("unhealthy", "heartbeat_overdue")])
        assert process.stdout.readline() == "thinking\n"
        wait_until(lambda: health() == [("healthy", "ok")])
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert health() == []


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, -15), (signal.SIGINT, 130)])
def test_a_program_leaves_on_sigterm_and_ctrl_c(
    hub: Hub, signum: signal.Signals, status: int
) -> None:
    with start(hub, "Leaving on SIGTERM") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "registered\n"
        assert [agent["status"] for agent in agents(hub, "cost-1")] == ["healthy"]
        process.send_signal(signum)
        assert process.communicate(timeout=60) == ("finishing work\n", "")
    assert process.returncode == status
    assert agents(hub, "cost-1") == []


@contextmanager
def registered(hub: Hub, *names: str) -> Iterator[None]:
    """Agents of the type `application` that can do SQL, and listen nowhere."""

    async def stay() -> None:
        async with AsyncExitStack() as stack:
            for name in names:
                agent = AgentClient(hub.url, name=name, type="application", capabilities=["sql"])
                await stack.enter_async_context(agent)
            loop.append(asyncio.get_running_loop())
            leaving.append(asyncio.Event())
            await leaving[0].wait()

    loop: list[asyncio.AbstractEventLoop] = []
    leaving: list[asyncio.Event] = []
    thread = threading.Thread(target=lambda: asyncio.run(stay()))
    thread.start()
    try:
        wait_until(lambda: leaving)
        yield
    finally:
        loop[0].call_soon_threadsafe(leaving[0].set)
        thread.join()


@contextmanager
def serving(hub: Hub, heading: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The web application of a recipe, once it answers, and its URL."""
    port = free_port()
    with start(hub, heading, PORT=str(port)) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: get(f"{url}/agents"), 60, ignoring=requests.ConnectionError)
            yield process, url
        finally:
            process.kill()


def get(url: str, status: int = 200) -> Any:
    answer = requests.get(url, timeout=30)
    assert answer.status_code == status, answer.text
    return answer.json() if status == 200 else True


def test_a_fastapi_application_is_an_agent_and_returns_records(hub: Hub) -> None:
    with registered(hub, "base-1"), serving(hub, "FastAPI") as (process, url):
        [base, shop] = sorted(get(f"{url}/agents"), key=lambda agent: agent["name"])
        assert (shop["name"], shop["port"]) == ("shop", int(url.rpartition(":")[2]))
        assert base == get(f"{url}/pick?capability=sql") | {"last_seen": base["last_seen"]}
        assert {"metadata", "load"}.isdisjoint(base)
        get(f"{url}/pick?capability=nothing", 503)
        described = get(f"{url}/openapi.json")["components"]["schemas"]["AgentRecord"]
        assert set(base) <= set(described["properties"])
        process.terminate()
        process.communicate(timeout=60)
        wait_until(lambda: not agents(hub, "shop"), what="the agent leaves")


def test_a_flask_application_asks_in_threads(hub: Hub) -> None:
    with registered(hub, "base-1", "base-2"), serving(hub, "Flask") as (_, url):
        with ThreadPoolExecutor(8) as pool:
            picked = list(pool.map(get, [f"{url}/pick/sql"] * 40))
        assert {agent["name"] for agent in picked} == {"base-1", "base-2"}
        assert len(get(f"{url}/agents")) == 2
        get(f"{url}/pick/nothing", 503)


def test_threads_share_a_hub_and_end_a_watch(hub: Hub) -> None:
    with registered(hub, "base-1", "base-2"), start(hub, "Threads") as process:
        out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    # The watch may be closed before its snapshot comes.
    [picked] = set(out.splitlines()) - {"2 agents"}
    assert picked == "[('base-1', 50), ('base-2', 50)]"


def test_threads_find_nobody_and_end_without_a_traceback(hub: Hub) -> None:
    wait_until(lambda: not listed(hub, "application"), what="the agents of other recipes leave")
    with start(hub, "Threads") as process:
        out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert set(out.splitlines()) - {"0 agents"} == {"[('nobody', 100)]"}


def picked(hub: Hub, name: str) -> int:
    return requests.get(f"{hub.url}/agents/pick?name={name}", timeout=30).status_code


def test_a_killed_parent_of_a_pool_is_known_at_once(hub: Hub) -> None:
    with start(hub, "Forks and pools of processes") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        [agent] = agents(hub, "planner-1")
        assert [line.split(", ")[0] for line in lines] == [
            f"{agent['id']}: {result}" for result in (0, 0, 1, 3)
        ]
        assert picked(hub, "planner-1") == 200
        workers = {int(line.split()[-1]) for line in lines}
        try:
            process.kill()
            process.wait()
            wait_until(lambda: picked(hub, "planner-1") == 404)
            [agent] = agents(hub, "planner-1")
            assert agent["health"]["connection"] == "lost"
            assert agent["health"]["reason"] != "heartbeat_timeout"
            for worker in workers:
                os.kill(worker, 0)  # they live on
        finally:
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            requests.delete(f"{hub.url}/agents/{agent['id']}", timeout=30)


def test_the_workers_of_a_preforking_server_are_agents_of_their_own(hub: Hub) -> None:
    with start(hub, "Preforking servers") as process:
        assert process.stdout is not None
        lines = sorted(process.stdout.readline().strip() for _ in range(3))
        assert lines[0] == "master 0"
        ids = {agent["id"] for agent in agents(hub, "web")}
        assert {line.removeprefix("worker ") for line in lines[1:]} == ids
        assert len(ids) == 2
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60) == ("left 0\n", "")
    assert process.returncode == 0


async def test_a_notebook_awaits_in_its_cells(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOMEPORT_URL", hub.url)
    names: dict[str, Any] = {}
    for cell in PROGRAMS["Notebooks"].split("# %%\n")[1:]:
        code = compile(cell, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)
        if code.co_flags & inspect.CO_COROUTINE:
            await result
        if "report" in cell:
            [record] = agents(hub, "notebook-1")
            assert (record["load"], record["metadata"]) == (0.2, {"rows": 1200})
    assert agents(hub, "notebook-1") == []
    assert capsys.readouterr().out == "[]\n"
