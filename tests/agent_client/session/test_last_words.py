"""What a program says arrives, whatever happens to connections and answers meanwhile."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from agent_client import AgentClient, HomeportError, Unavailable
from tests.agent_client.conftest import Waits, with_seams
from tests.support.fake_hub import FakeHub, Message, Peer, error, eventually, silent

SAID = ("status", "load", "version", "capabilities", "port")


def client(hub: FakeHub, waits: Waits, **more: Any) -> AgentClient:
    given = {"name": "cost-1", "type": "cost", "status": "healthy", "load": 0.0, **more}
    return with_seams(AgentClient, hub.url, sleep=waits, **given)


class Record:
    """The record that a hub keeps of what it was sent, by its newest session only."""

    def __init__(self, hub: FakeHub) -> None:
        self.hub = hub
        self.fields: dict[str, Any] = {}
        self.session: Peer | None = None
        hub.on("register", self.register)
        hub.on("resume", self.resume)
        hub.on("heartbeat", self.heartbeat)
        hub.on("update", self.update)

    def apply(self, said: Message) -> None:
        self.fields |= {field: said[field] for field in SAID if field in said}
        merged = self.fields.get("metadata", {}) | said.get("metadata", {})
        self.fields["metadata"] = {key: each for key, each in merged.items() if each is not None}

    async def register(self, peer: Peer, request: Message) -> Message | None:
        self.session = peer
        self.fields = {}
        self.apply(request["agent"])
        return self.hub.registered(request["agent_id"], resumed=False)

    async def resume(self, peer: Peer, request: Message) -> Message | None:
        self.session = peer
        self.apply(request.get("agent", {}))
        return self.hub.registered(request["agent_id"], resumed=True)

    async def heartbeat(self, peer: Peer, request: Message) -> Message | None:
        if peer is not self.session:
            return error("fenced")
        self.apply(request)
        answer = {"next_interval": self.hub.heartbeat_interval, "timestamp": "", "durable": True}
        return {"op": "heartbeat_ack"} | answer

    async def update(self, peer: Peer, request: Message) -> Message | None:
        if peer is not self.session:
            return error("fenced")
        self.apply(request)
        return {"op": "updated", "log": "log-a", "revision": 1}


async def test_a_heartbeat_that_leaves_while_a_report_waits_does_not_undo_it(waits: Waits) -> None:
    async with FakeHub(heartbeat_interval=0.05) as hub:
        record = Record(hub)
        held: list[Message] = []

        async def hold(peer: Peer, request: Message) -> Message | None:
            answer = await record.heartbeat(peer, request)
            if held or answer is None or "metadata" not in request:
                return answer
            held.append(answer | {"id": request["id"]})
            return None

        async with client(hub, waits) as agent:
            hub.on("heartbeat", hold)
            report = asyncio.create_task(
                agent.report(status="degraded", load=0.9, metadata={"q": 1})
            )
            await eventually(lambda: held)
            later = len(hub.handled("heartbeat")) + 3
            await eventually(lambda: len(hub.handled("heartbeat")) >= later)
            assert (record.fields["status"], record.fields["load"]) == ("degraded", 0.9)
            await hub.peer.send(*held)
            await report
            later = len(hub.handled("heartbeat")) + 3
            await eventually(lambda: len(hub.handled("heartbeat")) >= later)
            assert (record.fields["status"], record.fields["load"]) == ("degraded", 0.9)


async def test_a_report_given_up_during_a_reconnect_goes_out_by_itself_after_it(
    hub: FakeHub, waits: Waits
) -> None:
    record = Record(hub)
    release = asyncio.Event()

    async def slow(peer: Peer, request: Message) -> Message | None:
        await release.wait()
        return await record.resume(peer, request)

    async with client(hub, waits, request_timeout=1.0) as agent:
        hub.on("resume", slow)
        hub.peer.abort()
        await hub.heard("resume")
        with pytest.raises(HomeportError):
            await agent.report(status="degraded", metadata={"queue": 3})
        release.set()
        await eventually(lambda: record.fields["metadata"] == {"queue": 3})
        assert record.fields["status"] == "degraded"
        hub.on("resume", record.resume)
        await agent.wait_connected()
        await agent.report(status="healthy", metadata={"queue": None})
        resumed = len(hub.requests("resume"))
        hub.peer.abort()
        await hub.heard("resume", resumed + 1)
        await agent.report()
        assert (record.fields["status"], record.fields["metadata"]) == ("healthy", {})


async def test_a_report_given_up_by_its_caller_does_not_come_after_a_newer_one(
    hub: FakeHub, waits: Waits
) -> None:
    record = Record(hub)
    unknown = error("unavailable", retryable=True, retry_after=0.2, outcome="unknown")
    hub.on("heartbeat", lambda _p, _r: dict(unknown))
    async with client(hub, waits) as agent:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await agent.report(status="degraded", metadata={"queue": 3})
        hub.on("heartbeat", record.heartbeat)
        await agent.report(status="healthy")
        await eventually(lambda: record.fields["metadata"] == {"queue": 3})
        await agent.report()
        assert record.fields["status"] == "healthy"


async def test_what_is_owed_waits_until_the_hub_can_write(hub: FakeHub, waits: Waits) -> None:
    record = Record(hub)
    unknown = error("unavailable", retryable=True, retry_after=0.05, outcome="unknown")
    hub.on("update", lambda _p, _r: dict(unknown))
    async with client(hub, waits, request_timeout=1.0) as agent:
        with pytest.raises(Unavailable):
            await agent.update(version="2")
        await hub.heard("update", len(hub.requests("update")) + 3)
        hub.on("update", record.update)
        await eventually(lambda: record.fields["version"] == "2")
        assert len(hub.peers) == 1


async def test_a_refused_report_is_undone_where_a_heartbeat_carried_it(waits: Waits) -> None:
    async with FakeHub(heartbeat_interval=0.05) as hub:
        record = Record(hub)
        async with client(hub, waits) as agent:
            hub.on("update", silent)
            update = asyncio.create_task(agent.update(status="degraded", version="2"))
            await hub.heard("update")
            await eventually(lambda: record.fields["status"] == "degraded")
            hub.on("update", record.update)
            [request] = hub.requests("update")
            refusal = error("rate_limited", retryable=True)
            await hub.peer.send(refusal | {"id": request["id"]})
            with pytest.raises(HomeportError):
                await update
            await eventually(lambda: record.fields.get("status") == "healthy")
            await hub.heard("heartbeat", len(hub.requests("heartbeat")) + 2)
            assert (record.fields["status"], record.fields["version"]) == ("healthy", "")


async def test_what_a_stray_attempt_undid_is_said_again(hub: FakeHub, waits: Waits) -> None:
    """A hub that was stopped carries out a resume, long after the agent has resumed elsewhere."""
    record = Record(hub)
    async with client(hub, waits, request_timeout=1.0, metadata={"zone": "a"}) as agent:
        hub.on("update", silent)
        with pytest.raises(HomeportError):
            await agent.update(version="2", metadata={"queue": 1})
        hub.on("update", record.update)
        hub.on("resume", silent)
        await hub.heard("resume")
        hub.on("resume", record.resume)
        await agent.wait_connected()
        await agent.update(version="3", metadata={"queue": None, "zone": "b"})
        stray = hub.requests("resume")[0]
        assert stray["agent"]["version"] == "2"
        record.apply(stray["agent"])
        await hub.peer.close(4409, "a newer session took over")
        last = {"version": "3", "metadata": {"zone": "b"}}
        await eventually(lambda: {field: record.fields[field] for field in last} == last)


# --- anything, in any order ----------------------------------------------------------------------


class Unreliable(Record):
    """A hub that breaks off before or after it has done something, or says that it does not know.

    Until `calm` is set.
    """

    def __init__(self, hub: FakeHub, dice: random.Random) -> None:
        super().__init__(hub)
        self.dice = dice
        self.calm = False

    async def register(self, peer: Peer, request: Message) -> Message | None:
        return await self.perhaps(peer, request, super().register)

    async def resume(self, peer: Peer, request: Message) -> Message | None:
        return await self.perhaps(peer, request, super().resume)

    async def heartbeat(self, peer: Peer, request: Message) -> Message | None:
        return await self.perhaps(peer, request, super().heartbeat)

    async def update(self, peer: Peer, request: Message) -> Message | None:
        return await self.perhaps(peer, request, super().update)

    async def perhaps(self, peer: Peer, request: Message, usual: Any) -> Message | None:
        chance = 1.0 if self.calm else self.dice.random()
        await asyncio.sleep(0.0 if self.calm else self.dice.random() * 0.01)
        if chance < 0.08:
            peer.abort()
            return None
        if chance < 0.14:
            return error("unavailable", retryable=True, retry_after=0.0, outcome="unknown")
        if chance < 0.2:
            return error("rate_limited", retryable=True)
        answer: Message | None = await usual(peer, request)
        if chance < 0.28:
            peer.abort()
            return None
        if chance < 0.34 and answer is not None and answer["op"] != "error":
            return error("unavailable", retryable=True, retry_after=0.0, outcome="unknown")
        return answer


class Program:
    """Says things at random, at the same time, and gives some of them up."""

    def __init__(self, agent: AgentClient, dice: random.Random) -> None:
        self.agent = agent
        self.dice = dice
        self.said: list[dict[str, Any]] = [{"status": "healthy", "load": 0.0, "metadata": {}}]
        self.refused: set[int] = set()
        self.tasks: list[asyncio.Task[None]] = []

    def say(self) -> None:
        number, dice = len(self.said), self.dice
        values: dict[str, Any] = {}
        if dice.random() < 0.5:
            values["status"] = dice.choice(["healthy", "degraded", "unhealthy"])
        if dice.random() < 0.3:
            values["load"] = float(number)
        if dice.random() < 0.6:
            values["metadata"] = {key: dice.choice([None, number]) for key in dice.sample("abc", 2)}
        if updates := dice.random() < 0.5:
            values |= {"version": str(number)} if dice.random() < 0.5 else {"port": number}
        self.said.append(values)
        call = (self.agent.update if updates else self.agent.report)(**values)
        patience = dice.choice([None, None, 0.005, 0.02])
        self.tasks.append(asyncio.create_task(self.wait_for(number, call, patience)))

    async def wait_for(self, number: int, call: Any, patience: float | None) -> None:
        reporting = asyncio.ensure_future(call)
        try:
            async with asyncio.timeout(patience):
                await asyncio.shield(reporting)
        except TimeoutError:
            reporting.cancel()  # the program does not wait, and does not know
        except HomeportError as failed:
            if failed.outcome is None:
                self.refused.add(number)

    def last_words(self) -> dict[str, Any]:
        words: dict[str, Any] = {}
        metadata: dict[str, Any] = {}
        for number, values in enumerate(self.said):
            if number not in self.refused:
                words |= {field: values[field] for field in SAID if field in values}
                metadata |= values.get("metadata", {})
        return words | {"metadata": {k: v for k, v in metadata.items() if v is not None}}


@pytest.mark.parametrize("seed", range(12))
async def test_the_hub_ends_with_the_programs_last_words(waits: Waits, seed: int) -> None:
    dice = random.Random(seed)
    async with FakeHub(heartbeat_interval=0.01) as hub:
        record = Unreliable(hub, dice)
        async with client(hub, waits, request_timeout=0.5) as agent:
            program = Program(agent, dice)
            for _ in range(60):
                program.say()
                if dice.random() < 0.1 and record.session is not None:
                    record.session.abort()
                await asyncio.sleep(dice.choice([0.0, 0.0, 0.002, 0.01]))
            record.calm = True
            await asyncio.gather(*program.tasks)

            def settled() -> bool:
                expected = program.last_words()
                return {field: record.fields.get(field) for field in expected} == expected

            await eventually(settled, f"{program.last_words()} in {record.fields}")
            await hub.heard("heartbeat", len(hub.requests("heartbeat")) + 3)
            assert settled(), "and it stays so"
