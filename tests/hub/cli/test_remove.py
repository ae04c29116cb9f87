"""`homeport remove`: by id, by the beginning of one, or by name; never one of several."""

from __future__ import annotations

import pytest

from tests.hub.cli.records import agent
from tests.support.fake_hub import ThreadedHub
from tests.support.programs import Homeport

ONE = agent("one", id="aaaa1111-0000-4000-8000-000000000001")
TWO = agent("two", id="aaaa2222-0000-4000-8000-000000000002")
SAME = agent("one", id="bbbb3333-0000-4000-8000-000000000003")


@pytest.mark.parametrize("named", ["aaaa1111", "AAAA1111-0000", "one"])
def test_what_means_one_agent_removes_it(hub: ThreadedHub, homeport: Homeport, named: str) -> None:
    hub.add(ONE, TWO)
    done = homeport.run("remove", named, "--url", hub.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Removed one ({ONE['id']}).\n"
    assert list(hub.records) == [TWO["id"]]


def test_a_whole_id_is_removed_without_looking(hub: ThreadedHub, homeport: Homeport) -> None:
    hub.add(ONE)
    done = homeport.run("remove", ONE["id"], "--url", hub.url)
    assert (done.returncode, done.stdout) == (0, f"Removed {ONE['id']}.\n")
    assert hub.requests("find") == []


def test_what_means_several_removes_none_and_names_them(
    hub: ThreadedHub, homeport: Homeport
) -> None:
    hub.add(ONE, TWO, SAME)
    by_id = "the name aaaa or an id that begins with it"
    for named, meant, ids in (
        ("one", "the name one", (ONE, SAME)),
        ("aaaa", by_id, (ONE, TWO)),
    ):
        done = homeport.run("remove", named, "--url", hub.url)
        assert (done.returncode, done.stdout) == (1, "")
        listed = ", ".join(each["id"] for each in ids)
        assert done.stderr == (
            f"homeport: 2 agents have {meant}: give the whole id of the one that you mean "
            f"({listed}).\n"
        )
    assert hub.requests("remove") == []


def test_what_means_nobody_is_one_sentence(hub: ThreadedHub, homeport: Homeport) -> None:
    done = homeport.run("remove", "nobody", "--url", hub.url)
    assert done.stderr == "homeport: no agent has the name nobody.\n"
    done = homeport.run("remove", ONE["id"], "--url", hub.url)
    assert (done.returncode, done.stderr) == (1, "homeport: no such agent.\n")


@pytest.mark.parametrize("command", ["remove", "agent"])
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_name_is_wrong_usage(
    hub: ThreadedHub, homeport: Homeport, command: str, empty: str
) -> None:
    done = homeport.run(command, empty, "--url", hub.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "give an id or a name, not an empty text" in done.stderr
    assert hub.handshakes == []
