"""`homeport token` on a store, before, while and after its hub runs, and through a hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from homeport_protocol.tokens import read_token_id
from tests.support.hub_process import running_hub
from tests.support.programs import Homeport
from tests.support.redis_servers import RedisServer, running
from tests.support.tokens import bearer
from tests.support.wire import Wire


def made(homeport: Homeport, *arguments: str, **env: str) -> str:
    done = homeport.run("token", "create", *arguments, **env)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.count("\n") == 1, "the token alone"
    token = done.stdout.strip()
    read_token_id(token)
    return token


def listed(homeport: Homeport, *arguments: str, **env: str) -> dict[str, dict[str, Any]]:
    done = homeport.run("token", "list", "--json", *arguments, **env)
    assert (done.returncode, done.stderr) == (0, "")
    return {each["id"]: each for each in json.loads(done.stdout)["tokens"]}


def test_the_first_token_is_made_before_the_first_hub_runs_and_others_while_it_does(
    homeport: Homeport, tmp_path: Path
) -> None:
    data = str(tmp_path / "data")
    operator = made(homeport, "--role", "operator", "--data-dir", data)
    with running_hub(tmp_path / "hub", "--host", "0.0.0.0", "--data-dir", data) as hub:
        url = f"http://127.0.0.1:{hub.port}"
        Wire(url, headers=bearer(operator)).drop()
        meanwhile = made(homeport, "--role", "agent", "--data-dir", data)
        Wire(url, headers=bearer(meanwhile)).drop()
        assert set(listed(homeport, "--data-dir", data)) == {
            read_token_id(operator),
            read_token_id(meanwhile),
        }
    after = made(homeport, "--role", "observer", "--data-dir", data)
    assert read_token_id(after) in listed(homeport, "--data-dir", data)


def test_a_token_is_made_shown_listed_and_revoked_in_a_redis(homeport: Homeport) -> None:
    with running(RedisServer()) as server:
        store = ("--redis", server.url)
        token = made(
            homeport,
            *("--role", "agent", "--names", "web-*", "--names", "api-?", "--ttl", "12h"),
            *("--uses", "2", "--namespace", "blue", "--note", "the web", *store),
        )
        token_id = read_token_id(token)
        shown = homeport.run("token", "show", token_id, *store).stdout
        for line in (
            f"id         {token_id}",
            "state      valid for 11h",
            "role       agent",
            "namespace  blue",
            "names      web-*, api-?",
            "uses left  2",
            "last used  never",
            "revoked    no",
            "note       the web",
        ):
            assert f"{line}\n" in shown
        assert token not in shown
        table = homeport.run("token", "list", *store).stdout
        assert table.splitlines()[1].startswith(f"{token_id}  agent  blue")
        assert homeport.run("token", "revoke", token_id, *store).stdout == f"Revoked {token_id}.\n"
        assert listed(homeport, *store)[token_id]["revoked"] is not None
        again = homeport.run("token", "revoke", token_id, *store)
        assert again.returncode == 0
        prefixed = (*store, "--key-prefix", "x:")
        assert homeport.run("token", "list", *prefixed).stdout == "There are no tokens.\n"


def test_an_operator_does_the_same_through_a_hub(homeport: Homeport, tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    operator = made(homeport, "--role", "operator", "--data-dir", data)
    with running_hub(tmp_path / "hub", "--auth", "required", "--data-dir", data) as hub:
        env = {"HOMEPORT_URL": hub.url, "HOMEPORT_TOKEN": operator}
        agent = made(homeport, "--role", "agent", "--ttl", "never", "--note", "ü", **env)
        facts = listed(homeport, **env)[read_token_id(agent)]
        assert (facts["not_after"], facts["note"]) == (None, "ü")
        shown = homeport.run("token", "show", read_token_id(agent), "--json", **env)
        assert json.loads(shown.stdout) == facts
        refused = homeport.run("token", "list", **{**env, "HOMEPORT_TOKEN": agent})
        assert refused.returncode == 1
        assert 'the role "agent" may not administer tokens' in refused.stderr
        first = homeport.run(
            "token", "create", "--role", "operator", **{**env, "HOMEPORT_TOKEN": ""}
        )
        assert (first.returncode, first.stdout) == (1, "")
        assert first.stderr.endswith("; or use its store, with --redis or --data-dir.\n")
        gone = homeport.run("token", "revoke", read_token_id(agent), **env)
        assert gone.stdout == f"Revoked {read_token_id(agent)}.\n"
        unknown = homeport.run("token", "show", "a" * 12, **env)
        assert unknown.stderr == (
            f"homeport: the hub at {hub.url} refuses: no such token; `homeport token list` has "
            "their ids.\n"
        )


def test_a_hub_that_asks_nobody_makes_no_tokens(homeport: Homeport, tmp_path: Path) -> None:
    with running_hub(tmp_path / "hub", "--redis", "memory://") as hub:
        refused = homeport.run("token", "create", "--role", "operator", "--url", hub.url)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "asks nobody for a token, so it makes none" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create",), "missing option '--role'"),
        (("create", "--role", "king"), "'king' is not one of"),
        (("create", "--role", "agent", "--ttl", "90"), "expected a time such as 90d"),
        (("create", "--role", "agent", "--ttl", "0d"), "expected a time such as 90d"),
        (("create", "--role", "agent", "--ttl", "3651d"), "at most ten years"),
        (("create", "--role", "agent", "--uses", "0"), "--uses: expected a whole number >= 1"),
        (("create", "--role", "agent", "--namespace", "a b"), "--namespace: must be 1 to 63"),
        (("create", "--role", "agent", "--names", ""), "--names: expected text of at least 1"),
        (("create", "--role", "agent", "--note", "a\x1b"), "--note: must hold no control char"),
        (("create", "--role", "agent", "--note", "x" * 257), "--note: "),
        (("show", "x"), "expected the id of a token"),
        (("revoke", "hp1_4k2m9x7q1zab_abc"), "this is a token and not its id"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence_that_has_no_token(
    homeport: Homeport, arguments: tuple[str, ...], said: str
) -> None:
    done = homeport.run("token", *arguments, "--redis", "redis://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "hp1_4k2m9x7q1zab_abc" not in done.stderr


def test_a_store_that_cannot_be_used_is_named_without_its_password(homeport: Homeport) -> None:
    for url in ("redis://hub:s3cret@127.0.0.1:1", "memory://"):
        done = homeport.run("token", "list", "--redis", url)
        assert (done.returncode, done.stdout) == (1, "")
        assert "s3cret" not in done.stderr
        assert done.stderr.count("\n") == 1
