"""The budget of unread bytes: counted exactly, and kept by cutting off the largest peers."""

from __future__ import annotations

import asyncio

import pytest

from hub.net.unsent import UnsentBudget


class FakePeer:
    def __init__(self, budget: UnsentBudget, name: str) -> None:
        self.budget = budget
        self.name = name
        self.settings: list[str] = []

    def cut_off(self, setting: str) -> None:
        self.settings.append(setting)
        self.budget.count(self, 0)


@pytest.fixture
def applied() -> list[str]:
    return []


@pytest.fixture
def budget(applied: list[str]) -> UnsentBudget:
    return UnsentBudget(max_bytes=100, max_total_bytes=1_000, applied=applied.append)


def test_peers_count_with_their_newest_bytes(budget: UnsentBudget) -> None:
    one, other = FakePeer(budget, "one"), FakePeer(budget, "other")
    budget.count(one, 300)
    budget.count(other, 200)
    budget.count(one, 100)
    assert budget.total == 300
    budget.count(one, 0)
    budget.count(one, 0)
    assert budget.total == 200
    budget.count(other, 0)
    assert budget.total == 0
    assert not budget._peers


async def test_beyond_the_total_the_largest_are_cut_off(
    budget: UnsentBudget, applied: list[str]
) -> None:
    peers = [FakePeer(budget, str(number)) for number in range(4)]
    for peer, size in zip(peers, (100, 500, 50, 300), strict=True):
        budget.count(peer, size)
    await asyncio.sleep(0)
    assert [peer.settings for peer in peers] == [[], [], [], []]
    budget.count(peers[2], 101)
    assert peers[1].settings == [], "not in the middle of another peer's work"
    await asyncio.sleep(0)
    assert peers[1].settings == ["max_total_unsent_bytes"]
    assert [peer.settings for peer in peers].count([]) == 3
    assert applied == ["max_total_unsent_bytes"]
    assert budget.total == 501


async def test_of_equal_peers_those_that_are_blocked_for_longer_are_cut_off(
    budget: UnsentBudget,
) -> None:
    peers = [FakePeer(budget, str(number)) for number in range(11)]
    for peer in peers:
        budget.count(peer, 100)
    await asyncio.sleep(0)
    # 1,100 bytes are to become 875.
    assert [bool(peer.settings) for peer in peers] == [True] * 3 + [False] * 8


async def test_who_reads_in_time_saves_all(budget: UnsentBudget, applied: list[str]) -> None:
    peers = [FakePeer(budget, str(number)) for number in range(3)]
    for peer in peers:
        budget.count(peer, 400)
    budget.count(peers[0], 0)
    await asyncio.sleep(0)
    assert applied == []
