"""Which hub to try next, how long it may take to answer, and how long to wait before.

The rules, for several hubs:

| what happened | what follows |
|---|---|
| a client starts | an order of its own, drawn by chance: a fleet spreads over the hubs |
| a hub answered | it is the first to be tried from now on |
| it refused, failed, went away or fell silent | it is the last |
| the connection just broke | the order stays: the hub itself may be well |

One hub alone is waited for; several are tried one after the other without a wait, and waits come
between the rounds only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from agent_client.errors import ConnectionLost, HomeportError
from agent_client.transport.backoff import Backoff

PATIENCE = 3.0
"""Seconds that one of several hubs has to answer before the next one's turn.

A hub that waits for its Redis answers within two. When no hub answered, all were perhaps slow
rather than dead, and each round after that gives them twice as long: giving up what is under way
and asking anew would only add to their load.
"""

SPREAD = 2.0
"""Seconds over which the clients of a lost hub come to the others, at least.

5,000 agents of one hub are 2,500 registrations a second then, about what another can take.
"""


class Endpoints:
    """The hubs' URLs in the order in which they are to be tried. `chance` gives [0, 1)."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        shuffle: bool = True,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._urls = list(urls)
        self._failed_rounds = 0
        if shuffle:
            for last in range(len(self._urls) - 1, 0, -1):
                drawn = int(chance() * (last + 1))
                self._urls[last], self._urls[drawn] = self._urls[drawn], self._urls[last]

    @property
    def several(self) -> bool:
        """Whether there is another hub to go to."""
        return len(self._urls) > 1

    def in_turn(self) -> list[str]:
        """Every URL once, the preferred one first."""
        return list(self._urls)

    def prefer(self, url: str) -> None:
        """`url` worked: begin there next time."""
        self._urls = [url, *self._others(url)]
        self._failed_rounds = 0

    def defer(self, url: str) -> None:
        """`url` did not work: the others come first next time."""
        self._urls = [*self._others(url), url]

    def round_failed(self) -> None:
        """None of the hubs worked."""
        self._failed_rounds += 1

    def patience(self, timeout: float) -> float:
        """Seconds that the next attempt may take, of the `timeout` that one hub alone has."""
        if not self.several:
            return timeout
        return min(timeout, PATIENCE * 2.0 ** min(self._failed_rounds, 16))

    def wait_after_loss(self, url: str, error: HomeportError, backoff: Backoff) -> float:
        """Seconds to wait after the connection to `url` ended with `error`."""
        least = SPREAD if self.several else 0.0
        if not (isinstance(error, ConnectionLost) and error.elsewhere):
            return backoff.next(error.retry_after, least=least)
        self.defer(url)
        if self.several and error.retry_after is not None:
            # The hint spreads the fleet over the time until this hub is back. The others are
            # there already, so a part of it does; and who goes there need not go all at once.
            return backoff.within(error.retry_after)
        return backoff.next(error.retry_after, least=least)

    def wait_after_round(self, failures: Sequence[HomeportError], backoff: Backoff) -> float:
        """Seconds to wait after every hub failed: until the first of them may be asked again."""
        self.round_failed()
        hint = min((error.retry_after or 0.0 for error in failures), default=0.0)
        return backoff.next(hint, least=SPREAD if self.several else 0.0)

    def _others(self, url: str) -> list[str]:
        return [each for each in self._urls if each != url]
