"""The peers of the hub in test_model_of_lives.py, and what each of them may know.

An agent, its requests on their way, and a watcher that folds what it is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.agent.outcomes import Acknowledged, Lease
from actors.timing import Timing
from homeport_protocol.timestamps import parse_timestamp
from tests.support.clock import START_WALL
from tests.support.records import agent_id
from tests.support.world import FakeLink

NEVER = -1e9


def since(record: dict[str, Any]) -> float:
    """When the record's health became what it is, in the time of the world's scheduler."""
    return parse_timestamp(record["health"]["since"]) - START_WALL + 1000.0


class Ask:
    """A request on its way, and what its answer will say about the agent."""

    def __init__(self, agent: Known, op: str, at: float, **says: Any) -> None:
        self.agent = agent
        self.op = op
        self.at = at
        self.says = says


class Known:
    """What the agent itself, and anyone who reads the contract, knows of one identity."""

    def __init__(self, number: int) -> None:
        self.id = agent_id(number)
        self.link: FakeLink | None = None
        self.token = ""
        self.epoch = 0
        self.registered = False  # acknowledged, and not let go since
        self.heard: list[float] = []  # whenever something was said that was acknowledged
        self.spoke_at = NEVER  # the last thing said
        self.lost_at = NEVER
        self.versions: set[str] = {""}  # what the version may be; only updates change it
        self.load: Any = None  # what the load must be once all is written; "?" when unknown
        # A session whose beginning has an unknown outcome may yet begin, and is lost from there.
        self.uncertain = False

    @property
    def heard_at(self) -> float:
        return max(self.heard, default=NEVER)

    def answered(self, ask: Ask, answer: dict[str, Any], *, lost_data: bool) -> None:
        if answer["op"] == "error":
            assert answer["code"] != "internal", answer
            if answer.get("outcome") == "unknown":
                self.failed(ask)
            return
        self.heard.append(ask.at)
        match answer["op"]:
            case "registered":
                assert answer["epoch"] > self.epoch or lost_data
                self.token, self.epoch = answer["session_token"], answer["epoch"]
                self._begun(ask)
            case "updated":
                self.versions = {ask.says["version"]}
            case "heartbeat_ack" if "load" in ask.says:
                self.load = ask.says["load"]
            case "unregistered":
                self.registered = False

    def answered_over_http(self, ask: Ask, outcome: Any, *, lost_data: bool) -> None:
        match outcome:
            case Lease():
                assert outcome.epoch > self.epoch or lost_data
                self.token, self.epoch = outcome.session_token, outcome.epoch
                self.heard.append(ask.at)
                self._begun(ask)
            case Acknowledged():
                assert outcome.durable or ask.op == "heartbeat"
                self.heard.append(ask.at)
                if ask.op == "unregister":
                    self.registered = False
            case _:
                assert outcome.code != "internal", outcome
                if outcome.outcome == "unknown":
                    self.failed(ask)

    def _begun(self, ask: Ask) -> None:
        self.registered = True
        self.uncertain = False
        if ask.op == "register":
            self.versions = {ask.says["version"]}
            self.load = None

    def failed(self, ask: Ask) -> None:
        """It may have happened all the same, or never: it was not answered, or so it was told."""
        if ask.op in ("register", "resume"):
            self.uncertain = True
        if "version" in ask.says:
            self.versions.add(ask.says["version"])
        if ask.op == "register":
            self.load = "?"
            self.registered = False
        if ask.op == "unregister":
            self.registered = False
        if "load" in ask.says:
            self.load = "?"

    def check_unreachable(
        self, record: dict[str, Any], timing: Timing, absences: list[float]
    ) -> None:
        """A watcher was told that the agent is unreachable: not too early, and for good reason."""
        at = since(record) + 0.001
        for end in absences:
            if max(self.lost_at, self.heard_at) < end <= at and not self.uncertain:
                assert at >= end + timing.heartbeat_timeout, "charged for the hub's absence"
        if record["health"]["reason"] == "connection_lost":
            if self.lost_at < at:
                assert at >= self.lost_at + timing.resume_window, "unreachable early"
        else:
            # (Heard after it was judged, while that waited to be written: no contradiction.)
            before = [each for each in self.heard if each < at]
            assert at >= max(before, default=NEVER) + timing.heartbeat_timeout, "early"


class Watcher:
    """A watch of all agents that resumes where it was, and its fold."""

    def __init__(self) -> None:
        self.link: FakeLink
        self.floors: dict[str, int] = {}
        self.told: dict[str, dict[str, Any]] = {}
        self.position: tuple[int, str] | None = None
        self.newest = 0
        self.watching = False

    def begin(self, link: FakeLink) -> None:
        self.link = link
        position: dict[str, Any] = {}
        if self.position is not None:
            position = {"since": self.position[0], "log": self.position[1]}
        link.say(op="watch", id="w", **position)
        self.watching = False

    def fold(self, check_event: Callable[[dict[str, Any]], None]) -> None:
        """Apply all messages of the watch, and pass every event to `check_event`."""
        for each in self.link.sent:
            match each["op"]:
                case "watching":
                    self.watching = each["resumed"]
                    if self.watching:
                        assert self.position is not None
                        self.newest = self.position[0]
                case "snapshot":
                    self.watching = True
                    self.told = {agent["id"]: agent for agent in each["agents"]}
                    assert each["last"]
                    self.newest = each["revision"]
                    self.position = each["revision"], each["log"]
                case "event":
                    assert each["revision"] == self.newest + 1, "none twice, none missing"
                    self.newest = each["revision"]
                    assert self.position is not None
                    self.position = each["revision"], self.position[1]
                    agent = each["agent"]
                    assert agent["epoch"] >= self.floors.get(agent["id"], 0), "epochs only rise"
                    self.floors[agent["id"]] = agent["epoch"]
                    check_event(each)
                    if each["kind"] in ("unregistered", "expired"):
                        self.told.pop(agent["id"], None)
                    else:
                        self.told[agent["id"]] = agent
        self.link.sent.clear()

    def forget_epochs_of_unlisted(self) -> None:
        self.floors = {each: self.floors[each] for each in self.floors.keys() & self.told}
