"""A watcher of the client package, which goes on by itself when hubs come and go."""

from __future__ import annotations

from agent_client import AgentRecord, Event, HubClient, Reading, Resync, Watch
from bench.results.report import Report, listed


class Follower:
    """Watches everything, and notes what must not come: resyncs, gaps, anyone unreachable."""

    def __init__(self, client: HubClient) -> None:
        self.items = 0
        self.resyncs = 0
        self.coalesced = 0
        self.gaps: list[int] = []
        self.passed_over = 0
        """How many revisions were missing in all."""
        self.unreachable: list[AgentRecord] = []
        self.resumed: set[str] = set()
        self.revision = 0
        self._watch: Watch = client.watch()

    async def follow(self) -> None:
        """Watch until cancelled."""
        position = None
        async for item in self._watch:
            self.items += 1
            if isinstance(item, Event):
                if position is not None and item.revision != position + 1:
                    self.gaps.append(item.revision)
                    self.passed_over += item.revision - position - 1
                if item.coalesced:
                    self.coalesced = item.revision
                if item.agent.status == "unreachable":
                    self.unreachable.append(item.agent)
                if item.kind == "resumed":
                    self.resumed.add(item.agent.id)
            elif isinstance(item, Resync):
                self.resyncs += 1
            if not isinstance(item, Reading):
                position = self.revision = item.revision

    def judge(self, report: Report, who: str, *, handed_over: int = 0) -> None:
        """Check that it heard of everything once, and of no agent that was unreachable.

        What a coalesced event may stand for, which comes later, is not missing; nor is a revision
        for each of the agents that stopping hubs handed over, which is no event.
        """
        missing = [revision for revision in self.gaps if revision > self.coalesced]
        if self.passed_over <= handed_over:
            missing = []
        report.check(
            f"{who}: no gap, and none was ever unreachable",
            not (self.resyncs or missing or self.unreachable),
            f"{self.items} items, resyncs: {self.resyncs}, gaps: {listed(missing)}, "
            f"unreachable: {listed([agent.name for agent in self.unreachable])}",
        )
