"""Whose agents are, as a hub knows it."""

from __future__ import annotations

from actors.rules.owners import Owners


def test_an_agent_is_nobodys_until_it_is_somebodys_and_again_when_it_is_gone() -> None:
    owners = Owners()
    assert owners.of("1") == ""
    owners.set("1", "token:a")
    assert owners.of("1") == "token:a"
    owners.forget("1")
    owners.forget("2")
    assert (owners.of("1"), len(owners)) == ("", 0)


def test_agents_of_nobody_take_no_memory() -> None:
    owners = Owners()
    owners.set("1", "token:a")
    owners.set("1", "")
    owners.load(["1", "2"], {})
    assert len(owners) == 0


def test_what_is_stored_replaces_what_was_known() -> None:
    owners = Owners()
    owners.set("1", "token:a")
    owners.set("3", "token:c")
    owners.load(["1", "2"], {"2": "token:b", "4": "token:d"})
    assert [owners.of(each) for each in "1234"] == ["", "token:b", "token:c", ""]
