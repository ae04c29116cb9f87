"""The hub as the lives of the soak see it, and the record of what they saw."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from urllib.parse import urlencode

from msgspec import Struct

from bench.errors import BenchError
from bench.peers.http_client import HttpCaller, Response
from bench.peers.raw_client import RawClient
from homeport_protocol.answers import Answer, Error
from homeport_protocol.record import AgentSpec
from homeport_protocol.requests import Request

NAMESPACES = ("default", "soak-0", "soak-1")  # namespaces that are always in use
PASSING_EVERY = 5.0  # seconds after which the next passing namespace is used
PASSING_SHARE = 0.02  # share of the lives in a passing namespace
PAUSE = 0.8  # seconds between two requests of one life, at most
MAX_TROUBLES = 20

TYPES = ("cost", "performance", "resource", "application", "soak")
CAPABILITIES = tuple(f"capability-{number}" for number in range(12))


class Times(Struct, frozen=True):
    """The hub's settings, in seconds: short, so that every end of a life is seen."""

    interval: float = 1.0
    timeout: float = 3.0
    lease: float = 4.0
    window: float = 1.0


class Place:
    """A hub: each life takes place in one of its namespaces."""

    def __init__(self, url: str, times: Times) -> None:
        self.url = url
        self.times = times
        self.leaving = False
        self.lived: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.troubles: list[str] = []
        self._began = time.monotonic()

    def namespace(self) -> str:
        """The namespace for the next life."""
        if random.random() < PASSING_SHARE:
            return f"passing-{int((time.monotonic() - self._began) / PASSING_EVERY)}"
        return random.choice(NAMESPACES)

    def trouble(self, words: str) -> None:
        """Note something that must not happen."""
        if len(self.troubles) < MAX_TROUBLES:
            self.troubles.append(words)

    async def pause(self, most: float = PAUSE) -> None:
        """Do nothing for a while."""
        await asyncio.sleep(random.random() * most)

    async def connect(self, namespace: str, *, pongs: bool = True) -> RawClient:
        """A websocket in the namespace."""
        query = urlencode({"namespace": namespace})
        return await RawClient.connect(f"ws{self.url.removeprefix('http')}/ws?{query}", pongs=pongs)

    async def ask(self, client: RawClient, request: Request, *refusals: str) -> Answer | None:
        """The answer; None for one of these refusals. Raises BenchError for any other refusal."""
        answer = (await client.ask(request)).answer
        name = type(request).__name__.lower()
        if isinstance(answer, Error):
            if answer.code not in refusals:
                raise BenchError(f"{name} was refused: {answer.code}: {answer.message}")
            self.answers[f"{name}: {answer.code}"] += 1
            return None
        self.answers[name] += 1
        return answer

    async def call(
        self, caller: HttpCaller, method: str, path: str, *may: int, body: object = None
    ) -> Response:
        """The answer over HTTP, which has one of these statuses; else BenchError."""
        response = await caller.call(method, path, body)
        if response.status not in may:
            raise BenchError(f"{method} {path}: {response.status}: {response.body[:100]!r}")
        self.answers[f"{method} {response.status}"] += 1
        return response


def any_spec(number: int) -> AgentSpec:
    """The spec of an agent; no two are alike."""
    return AgentSpec(
        name=f"soak-{number}",
        type=random.choice(TYPES),
        capabilities=random.sample(CAPABILITIES, 3),
        version=f"1.{random.randrange(5)}",
        metadata={"run": number, "words": "x" * random.randrange(200)},
    )
