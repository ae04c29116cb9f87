"""Which hub to try next, how long an attempt may take, and how long to wait before it.

The rules, for several hubs:

| what happened | what follows |
|---|---|
| a client starts | it draws a random order, so that a fleet spreads over the hubs |
| a hub answered | it becomes the first to be tried |
| it refused, failed, went away or fell silent | it becomes the last |
| the connection broke without a reason | the order stays: the hub itself may be healthy |

A single hub is waited for. Several are tried one after the other without a wait, and the client
waits between rounds only. How long is in `backoff`; breaks and refusals are told apart here.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent_client.errors import CannotConnect, ConnectionLost, HomeportError
from agent_client.transport.backoff import STEADY, Backoff
from agent_client.transport.seams import current_seams
from agent_client.transport.urls import without_secrets

ATTEMPT_TIMEOUT = 3.0
"""Seconds that one of several hubs has to answer before the next one is tried.

A hub that waits for its Redis answers within two. When no hub answered, all may have been slow
rather than dead, so each further round gives them twice as long: abandoning requests and sending
them again would only add to their load.
"""

SPREAD = 2.0
"""Seconds, at least, over which the clients of a lost hub spread their reconnects to the others.

5,000 agents of one hub then make 2,500 registrations a second, about what another hub can take.
"""


class Endpoints:
    """The hubs' URLs in the order in which to try them."""

    def __init__(self, urls: Sequence[str], *, shuffle: bool = True) -> None:
        self._urls = list(urls)
        self._failed_rounds = 0
        if shuffle:
            chance = current_seams().chance
            for last in range(len(self._urls) - 1, 0, -1):
                drawn = int(chance() * (last + 1))
                self._urls[last], self._urls[drawn] = self._urls[drawn], self._urls[last]

    def __str__(self) -> str:
        return ",".join(without_secrets(url) for url in self._urls)

    @property
    def several(self) -> bool:
        """Whether there is more than one hub."""
        return len(self._urls) > 1

    def in_turn(self) -> list[str]:
        """Every URL once, the preferred one first."""
        return list(self._urls)

    def prefer(self, url: str) -> None:
        """`url` worked: try it first next time."""
        self._urls = [url, *self._others(url)]
        self._failed_rounds = 0

    def defer(self, url: str) -> None:
        """`url` did not work: try it last next time."""
        self._urls = [*self._others(url), url]

    def round_failed(self) -> None:
        """No hub of this round worked: give each more time in the next."""
        self._failed_rounds += 1

    def attempt_timeout(self, timeout: float) -> float:
        """Seconds that the next attempt may take; `timeout` is what a single hub gets."""
        if not self.several:
            return timeout
        return min(timeout, ATTEMPT_TIMEOUT * 2.0 ** min(self._failed_rounds, 16))

    def wait_after_loss(
        self, url: str, error: HomeportError, backoff: Backoff, *, lived: float
    ) -> float:
        """Seconds to wait after the connection to `url`, which lived for `lived` seconds, ended."""
        steady = lived >= STEADY
        if steady:
            backoff.reset()
        hint = error.retry_after
        if isinstance(error, ConnectionLost) and error.elsewhere:
            self.defer(url)
            if self.several and hint is not None:
                # The hint spreads the fleet over the time until this hub is back. The other hubs
                # are up already, so a random part of it is enough to keep them from a rush.
                return backoff.within(hint)
        if hint is None and (steady or _broke(error)):
            return backoff.after_break(lived=lived, least=self._least)
        return backoff.next(hint, least=self._least)

    def wait_after_round(self, failures: Sequence[HomeportError], backoff: Backoff) -> float:
        """Seconds to wait after every hub failed, until the first of them may be tried again."""
        self.round_failed()
        if any(_broke(error) for error in failures):
            return backoff.after_break(least=self._least)
        hint = min((error.retry_after or 0.0 for error in failures), default=0.0)
        return backoff.next(hint, least=self._least)

    @property
    def _least(self) -> float:
        return SPREAD if self.several else 0.0

    def _others(self, url: str) -> list[str]:
        return [each for each in self._urls if each != url]


def _broke(error: HomeportError) -> bool:
    """Whether a connection was made and broke, so that its hub may be well."""
    if isinstance(error, ConnectionLost):
        return error.close_code is None and not error.elsewhere
    return isinstance(error, CannotConnect) and error.broken
