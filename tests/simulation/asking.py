"""What simulated clients share: names, chance, and the record of their requests."""

from __future__ import annotations

from random import Random
from typing import Any

from actors.timing import Timing
from tests.history.recorded import Ask, History, Op
from tests.simulation.hubs import SimHub
from tests.simulation.network import Network
from tests.support.clock import VirtualClock


class Surroundings:
    """What every client is given: the clock, chance, the network, the hubs, and the record."""

    def __init__(
        self,
        clock: VirtualClock,
        random: Random,
        network: Network,
        hubs: list[SimHub],
        history: History,
    ) -> None:
        self.clock = clock
        self.random = random
        self.network = network
        self.hubs = hubs
        self.history = history
        self.calm = False
        """Faults have ended: no client changes anything any more but its own connection."""
        self.quiet = False
        """The end is near: nobody says anything any more."""

    def hub(self, last: SimHub | None) -> SimHub:
        """The one to turn to: often the last one that was good."""
        if last is not None and self.random.random() < 0.4:
            return last
        return self.random.choice(self.hubs)

    def timing_of(self, hub_id: str) -> Timing:
        """The times of that hub, which it tells to agents."""
        return next(hub.timing for hub in self.hubs if hub.hub_id == hub_id)

    def asked(
        self,
        op: Op,
        agent_id: str,
        hub_id: str,
        *,
        session: int | None = None,
        epoch: int = 0,
        says: dict[str, Any] | None = None,
    ) -> Ask:
        """A request is being said."""
        ask = Ask(
            said=self.clock.now(),
            op=op,
            agent_id=agent_id,
            hub=hub_id,
            session=session,
            epoch=epoch,
            says=says or {},
        )
        self.history.asks.append(ask)
        return ask


def agent_id(number: int) -> str:
    """The identity of the agent of that number."""
    return f"00000000-0000-4000-8000-{number:012d}"
