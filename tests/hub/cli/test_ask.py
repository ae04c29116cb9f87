"""`homeport agents`, `agent` and `pick`, as processes against a scripted hub."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.hub.cli.records import agent
from tests.support.fake_hub import NOW, ThreadedHub, silent
from tests.support.programs import END_LIMIT, Homeport

ONE, TWO = agent("one"), agent("two", type="resource", load=0.5)


def test_agents_are_listed_as_plain_columns_in_a_pipe(hub: ThreadedHub, homeport: Homeport) -> None:
    hub.add(ONE, TWO)
    done = homeport.run("agents", "--url", hub.url)
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.splitlines()
    assert head.startswith("ID ")
    assert [row.split()[:4] for row in rows] == [
        [ONE["id"], "one", "cost", "healthy"],
        [TWO["id"], "two", "resource", "healthy"],
    ]


def test_columns_in_a_pipe_can_be_told_apart_by_awk(hub: ThreadedHub, homeport: Homeport) -> None:
    health = {**ONE["health"], "reason": "heartbeat_timeout"}
    gone = agent("two  blanks, and 東京", status="unreachable", type="llm agent", health=health)
    hub.add(ONE, gone | {"version": "", "capabilities": []})
    listed = homeport.run("agents", "--url", hub.url).stdout
    columns = """$4 == "unreachable" { print $2 "|" $3 "|" $5 "|" $7 "|" $8 "|" $9 }"""
    done = subprocess.run(
        ["awk", "-F", "  +", columns], input=listed, capture_output=True, text=True, check=True
    )
    told = "two \\x20blanks, and 東京|llm agent|heartbeat_timeout|10.0.0.7:9000|-|-\n"
    assert done.stdout == told


def test_agents_as_json_are_the_records_in_the_order_of_the_contract(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    hub.add(ONE, TWO)
    done = homeport.run("agents", "--json", HOMEPORT_URL=hub.url)
    document = json.loads(done.stdout)
    assert document == {"agents": [ONE, TWO], "count": 2}
    assert [list(agent) for agent in document["agents"]] == [list(ONE), list(TWO)]
    assert len(done.stdout.splitlines()) == 1


def test_no_agents_are_no_failure(hub: ThreadedHub, homeport: Homeport) -> None:
    done = homeport.run("agents", "--url", hub.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "No agents match.\n", "")
    done = homeport.run("agents", "--url", hub.url, "--json")
    assert json.loads(done.stdout) == {"agents": [], "count": 0}


def test_agents_that_change_often_are_listed_with_how_often_and_why(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    often = {"agent_id": ONE["id"], "name": "one", "type": "cost", "status": "healthy"}
    often |= {"changes": 7, "last_kind": "resumed", "last_reason": "connection_lost"}
    often |= {"last_change": "2026-11-23T21:44:36Z"}
    hub.on("flapping", lambda _p, _r: {"op": "flapping", "agents": [often], "since": NOW})
    done = homeport.run(
        *("agents", "--url", hub.url, "--flapping", "--type", "cost"),
        *("--changes", "5", "--within", "1.5", "--limit", "9"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    head, row = done.stdout.splitlines()
    assert head.split("  ")[0] == "ID"
    assert row.split()[:5] == [ONE["id"], "one", "cost", "healthy", "connection_lost"]
    assert row.split()[-1] == "7"
    asked = hub.wait_for("flapping")
    assert asked["filter"] == {"type": "cost"}
    assert (asked["changes"], asked["within"], asked["limit"]) == (5, 90, 9)
    done = homeport.run("agents", "--url", hub.url, "--flapping", "--json")
    assert json.loads(done.stdout) == {"agents": [often], "count": 1}


def test_without_flapping_its_bounds_are_wrong_usage(hub: ThreadedHub, homeport: Homeport) -> None:
    done = homeport.run("agents", "--url", hub.url, "--changes", "3")
    assert done.returncode == 2
    assert "--changes and --within need --flapping" in done.stderr


def test_filter_and_limit_reach_the_hub(hub: ThreadedHub, homeport: Homeport) -> None:
    hub.add(ONE, TWO)
    done = homeport.run(
        *("agents", "--url", hub.url, "--type", "cost", "--status", "healthy"),
        *("--capability", "sql", "--meta", "gpu.count=4", "--limit", "1"),
    )
    asked = hub.wait_for("find")
    assert asked["limit"] == 1
    assert asked["filter"] == {
        "type": "cost",
        "status": ["healthy"],
        "capabilities": ["sql"],
        "metadata": {"gpu.count": 4},
    }
    assert len(done.stdout.splitlines()) == 2


def test_a_filter_that_the_hub_refuses_is_told_in_its_words(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    hub.refuse("find", "bad_request", "filter.version: '>=1.2' is refused")
    done = homeport.run("agents", "--url", hub.url, "--version", ">=1.2")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "homeport: filter.version: '>=1.2' is refused.\n"


def test_namespace_and_token_go_with_the_connection(hub: ThreadedHub, homeport: Homeport) -> None:
    homeport.run("agents", "--url", hub.url, "--namespace", "blue", HOMEPORT_TOKEN="sesame")
    assert hub.handshakes[0].headers["Homeport-Namespace"] == "blue"
    assert hub.handshakes[0].headers["Authorization"] == "Bearer sesame"
    homeport.run("agents", "--url", hub.url, "--token", "open", HOMEPORT_TOKEN="sesame")
    assert hub.handshakes[1].headers["Authorization"] == "Bearer open"


def test_headers_go_with_the_connection(hub: ThreadedHub, homeport: Homeport) -> None:
    inherited = {"HOMEPORT_HEADERS": "X-Gate: from: outside\nX-Other: 2"}
    homeport.run("agents", "--url", hub.url, **inherited)
    given = ("--header", "X-Gate: 1", "--header", "X-More:2")
    homeport.run("agents", "--url", hub.url, *given, **inherited)
    names = ("X-Gate", "X-Other", "X-More")
    assert [[each.headers.get(name) for name in names] for each in hub.handshakes] == [
        ["from: outside", "2", None],
        ["1", None, "2"],
    ]


def test_a_header_that_cannot_be_sent_is_a_usage_error_without_its_value(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    done = homeport.run("agents", "--url", hub.url, "--header", "Host: s3cret")
    assert done.returncode == 2
    assert "--header: Host is not one to be set by hand" in done.stderr
    again = homeport.run("watch", "--url", hub.url, HOMEPORT_HEADERS="X-Gate s3cret")
    assert again.returncode == 2
    assert "HOMEPORT_HEADERS: header 1 is not of the form Name: value" in again.stderr
    assert "s3cret" not in done.stderr + again.stderr
    assert hub.handshakes == []


@pytest.mark.parametrize(
    "command", [["agents"], ["watch"], ["register", "--name", "a", "--type", "t", "--wait", "1"]]
)
def test_a_proxy_that_fails_is_named_without_its_password(
    command: list[str], nobody: str, homeport: Homeport, tmp_path: Path
) -> None:
    port = nobody.rpartition(":")[2]
    proxy = f"socks5h://me:s3cret@127.0.0.1:{port}"
    hub = "http://hub.test:8080"
    reach = f"homeport: cannot reach a hub at {hub} through the proxy socks5h://127.0.0.1:{port}"
    hint = "hosts named in NO_PROXY are reached directly"
    done = homeport.run(*command, "--url", hub, SOCKS_PROXY=proxy)
    assert done.stderr.splitlines()[-1] == f"{reach} (connection refused); {hint}."
    (tmp_path / "python_socks.py").write_text("raise ImportError")
    more = homeport.run(*command, "--url", hub, SOCKS_PROXY=proxy, PYTHONPATH=str(tmp_path))
    last = more.stderr.splitlines()[-1]
    assert last.startswith(f"{reach} (SOCKS needs a package that is not installed: pip install")
    assert (done.returncode, more.returncode) == (1, 1)
    assert "s3cret" not in done.stderr + more.stderr


def test_a_token_that_is_refused_is_not_repeated(hub: ThreadedHub, homeport: Homeport) -> None:
    hub.handshake = (401, "refused\n", {})
    done = homeport.run("agents", "--url", hub.url, "--token", "sesame")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "refused the connection" in done.stderr
    assert "sesame" not in done.stderr


def test_one_agent_is_shown_whole(hub: ThreadedHub, homeport: Homeport) -> None:
    hub.add(ONE, TWO)
    done = homeport.run("agent", ONE["id"], "--url", hub.url)
    assert done.returncode == 0
    assert f"id               {ONE['id']}" in done.stdout
    done = homeport.run("agent", TWO["id"], "--url", hub.url, "--json")
    assert json.loads(done.stdout) == TWO
    assert list(json.loads(done.stdout)) == list(TWO)


def test_the_beginning_of_an_id_is_enough_when_it_is_clear(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    twin = {**TWO, "id": ONE["id"][:12] + TWO["id"][12:]}
    hub.add(ONE, TWO, twin)
    done = homeport.run("agent", TWO["id"][:8].upper(), "--url", hub.url, "--json")
    assert json.loads(done.stdout) == TWO
    done = homeport.run("agent", ONE["id"][:8], "--url", hub.url)
    ids = ", ".join(sorted([ONE["id"], twin["id"]]))
    assert done.returncode == 1
    assert done.stderr == (
        f"homeport: 2 agents have the name {ONE['id'][:8]} or an id that begins with it: give the "
        f"whole id of the one that you mean ({ids}).\n"
    )
    done = homeport.run("agent", "ffff", "--url", hub.url)
    assert (done.returncode, done.stderr) == (
        1,
        "homeport: no agent has the name ffff or an id that begins with it.\n",
    )


@pytest.mark.parametrize("command", ["agent", "remove"])
def test_too_short_a_beginning_of_an_id_is_told_how_long_it_has_to_be(
    hub: ThreadedHub, homeport: Homeport, command: str
) -> None:
    hub.add(ONE)
    done = homeport.run(command, ONE["id"][:3], "--url", hub.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"homeport: no agent has the name {ONE['id'][:3]}; of an id, give the first 4 characters "
        "or more.\n"
    )


def test_an_unknown_id_fails_with_the_hubs_words(hub: ThreadedHub, homeport: Homeport) -> None:
    done = homeport.run("agent", ONE["id"], "--url", hub.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "homeport: there is no agent with this id.\n"


def test_a_name_is_enough_when_it_is_clear(hub: ThreadedHub, homeport: Homeport) -> None:
    hub.add(TWO)
    done = homeport.run("agent", "two", "--url", hub.url, "--json")
    assert json.loads(done.stdout) == TWO
    assert hub.wait_for("find")["filter"] == {"name": "two"}
    done = homeport.run("agent", "plan\x1b[2J\u202e", "--url", hub.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("homeport: no agent has the name plan\\x1b[2J\\u202e.\n")


def test_pick_shows_one_agent_and_sends_strategy_and_key(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    hub.add(ONE)
    done = homeport.run("pick", "--url", hub.url, "--capability", "sql", "--json")
    assert json.loads(done.stdout) == ONE
    asked = hub.wait_for("pick")
    assert asked["filter"] == {"capabilities": ["sql"]}
    assert asked.get("strategy", "round_robin") == "round_robin"
    done = homeport.run("pick", "--url", hub.url, "--strategy", "sticky", "--key", "k")
    assert done.returncode == 0
    asked = hub.wait_for("pick", 2)
    assert (asked["strategy"], asked["key"]) == ("sticky", "k")


def test_a_pick_without_a_match_fails_with_a_sentence(hub: ThreadedHub, homeport: Homeport) -> None:
    done = homeport.run("pick", "--url", hub.url, "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "homeport: no healthy agent matches the filter.\n"


@pytest.mark.parametrize("arguments", [("--strategy", "sticky"), ("--key", "k")])
def test_sticky_and_key_go_together(homeport: Homeport, arguments: tuple[str, str]) -> None:
    done = homeport.run("pick", *arguments)
    assert done.returncode == 2
    assert "go together" in done.stderr


@pytest.mark.parametrize(
    "arguments", [("agents",), ("agent", ONE["id"]), ("pick",), ("watch",), ("watch", "--json")]
)
def test_a_hub_that_is_not_there_is_told_in_one_sentence_with_a_way_out(
    homeport: Homeport, nobody: str, arguments: tuple[str, ...]
) -> None:
    done = homeport.run(*arguments, "--url", nobody)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"homeport: cannot reach a hub at {nobody} (connection refused); "
        'start one with "homeport serve", or give --url.\n'
    )


def test_a_password_in_a_url_is_never_shown(homeport: Homeport, nobody: str) -> None:
    done = homeport.run("agents", "--url", nobody.replace("//", "//me:hunter2@"))
    assert done.returncode == 1
    assert nobody in done.stderr
    assert "hunter2" not in done.stderr
    done = homeport.run("agents", "--url", "ftp://me:hunter2@hub")
    assert done.returncode == 2
    assert "hunter2" not in done.stderr


def test_the_second_url_is_tried_when_nobody_is_at_the_first(
    hub: ThreadedHub, homeport: Homeport, nobody: str
) -> None:
    hub.add(ONE)
    done = homeport.run("agents", "--json", HOMEPORT_URL=f"{nobody}, {hub.url}")
    assert json.loads(done.stdout)["count"] == 1


def test_a_reader_that_stops_reading_is_no_failure_and_no_noise(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    # More than a pipe holds, so that the write meets the closed end.
    hub.add(*(agent(f"agent-{n}", capabilities=[f"skill-{n}" * 10] * 4) for n in range(500)))
    for arguments in (["agents"], ["agents", "--json"]):
        process = homeport.begin(*arguments, "--url", hub.url)
        assert process.stdout is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(END_LIMIT) == 0


def test_letters_that_the_terminal_cannot_show_break_nothing(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    hub.add(agent("東京"))
    western = {"PYTHONIOENCODING": "latin-1", "HOMEPORT_URL": hub.url}
    done = homeport.run("agents", **western)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u6771\\u4eac" in done.stdout
    done = homeport.run("agents", "--json", **western)
    assert json.loads(done.stdout)["agents"][0]["name"] == "東京"


def test_ctrl_c_while_asking_ends_quietly_with_130(hub: ThreadedHub, homeport: Homeport) -> None:
    hub.on("find", silent)
    process: subprocess.Popen[str] = homeport.begin("agents", "--url", hub.url)
    hub.wait_for("find")
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=END_LIMIT)
    assert (process.returncode, out, error) == (130, "", "")
