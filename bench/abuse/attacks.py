"""What each kind of attacker does with its connections, again and again until it is stopped."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from msgspec import Struct

from bench.abuse.hostile import Hostile, Tally
from bench.peers.frames import TEXT, masked, masked_text
from bench.peers.raw_websocket import Target
from homeport_protocol.bounds import MAX_METADATA_BYTES
from homeport_protocol.codec import encode
from homeport_protocol.record import AgentSpec
from homeport_protocol.requests import Find, Heartbeat, Register, Unregister, Watch

CHUNK = 16 * 1024
"""Bytes that a flood sends at a time."""

FILLING = MAX_METADATA_BYTES - 64
"""Characters of a metadata value that fills an agent's metadata to its bound."""

AGAIN = (2.0, 6.0)
"""Seconds until a connection that was held, and that the hub ended, is opened again."""

TRICKLE = 1.0
"""Seconds between two bytes of a request that is trickled."""

JUST_BELOW = 0.9
"""Share of `max_rate` that a flood sends which stays within it."""

BEGIN = 2500
"""Connections that begin in a second."""

REFUSED = 0.25
"""Seconds until one that wants to work again after it was refused comes back."""


class Aim(Struct, frozen=True, kw_only=True):
    """What an attacker aims at: a hub at `url`, from the address `source`.

    `connections` are those it holds at a time. `max_rate` is the hub's setting of this name, as
    everybody can read it in the documentation. `records` agents are registered before it begins.
    """

    kind: str
    url: str
    connections: int
    source: str = ""
    max_rate: int = 5000
    records: int = 0


class Attack:
    """An attack that goes on: its target, and what came of it until now."""

    def __init__(self, aim: Aim) -> None:
        parts = urlsplit(aim.url)
        self.aim = aim
        self.host = parts.netloc
        self.target = Target(f"ws://{parts.netloc}/ws")
        self.tally = Tally()
        self.numbers = itertools.count()
        self.name = secrets.token_hex(3)

    async def connect(self) -> Hostile:
        """A new connection; raises OSError."""
        return await Hostile.connect(self.target, self.tally, self.aim.source or None)

    async def websocket(self, target: Target | None = None) -> Hostile:
        """A new websocket; raises OSError when the hub opens none."""
        connection = await self.connect()
        if await connection.upgrade(target or self.target):
            return connection
        connection.abort()
        raise ConnectionRefusedError

    def request(self, line: str, body: bytes = b"", length: int | None = None) -> bytes:
        """An HTTP request; `length` is what it says of its body, which may be a lie."""
        size = len(body) if length is None else length
        head = f"{line} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {size}\r\n\r\n"
        return head.encode() + body


Line = Callable[[Attack, int], Awaitable[None]]
"""One life of an attacker's connection of this number; raises OSError where it is refused."""


# --- connections that are held --------------------------------------------------------------------


async def half_open(attack: Attack, number: int) -> None:
    """Begin a websocket's handshake, and never end it."""
    connection = await attack.connect()
    connection.write(attack.target.upgrade[:-4])
    await connection.end()


async def slow_head(attack: Attack, number: int) -> None:
    """Trickle the head of a request, a header at a time, for ever."""
    connection = await attack.connect()
    connection.write(f"GET /agents HTTP/1.1\r\nHost: {attack.host}\r\n".encode())
    while not connection.ended:
        connection.write(b"A: b\r\n")
        await asyncio.sleep(TRICKLE)


async def slow_body(attack: Attack, number: int) -> None:
    """Trickle the body of a registration, a byte at a time."""
    connection = await attack.connect()
    connection.write(attack.request("POST /agents/register", b"{", length=60_000))
    while not connection.ended:
        connection.write(b" ")
        await asyncio.sleep(TRICKLE)


async def squat(attack: Attack, number: int) -> None:
    """Take up open files: an idle websocket, or a connection that says nothing."""
    connection = await (attack.websocket() if number % 2 else attack.connect())
    await connection.end()


async def unread_watch(attack: Attack, number: int) -> None:
    """Watch everything, and read nothing; every hundredth makes the changes."""
    if number % 100 == 0:
        await fill_metadata(attack, number)
        return
    connection = await attack.websocket()
    connection.transport.pause_reading()
    for watch in range(4):
        connection.write(masked_text(encode(Watch(id=watch))))
    await connection.end()


async def made_up_namespace(attack: Attack, number: int) -> None:
    """Name a namespace that nobody made, and stay in it; every other one only asks it."""
    name = f"{attack.name}-{next(attack.numbers)}"
    if number % 2:
        connection = await attack.connect()
        connection.write(attack.request(f"GET /agents?namespace={name}"))
        await connection.heard(16)
        connection.abort()
        await asyncio.sleep(1.0)
        return
    target = Target(f"ws://{attack.host}/ws?namespace={name}")
    await (await attack.websocket(target)).end()


# --- floods ---------------------------------------------------------------------------------------


async def pings(attack: Attack, number: int) -> None:
    """Send pings: as fast as they are taken, and every other one just below `max_rate`."""
    await _flood(attack, number, masked(0x89, b""))


async def fragments(attack: Attack, number: int) -> None:
    """Send a message in fragments that never ends: of no byte, and every third one of a byte."""
    await _flood(attack, number, masked(0x00, b" " if number % 3 == 0 else b""), masked(0x01, b"{"))


async def _flood(attack: Attack, number: int, frame: bytes, first: bytes = b"") -> None:
    connection = await attack.websocket()
    connection.write(first)
    if number % 2:
        chunk = frame * (CHUNK // len(frame))
        while not connection.ended:
            await connection.pour(chunk)
            await asyncio.sleep(0)
        return
    chunk = frame * int(attack.aim.max_rate * JUST_BELOW / 10)
    while not connection.ended:
        await connection.pour(chunk)
        await asyncio.sleep(0.1)


GARBAGE = (
    masked(TEXT, b"no JSON at all") * 10,
    masked(TEXT, b'{"op":"nonsense","id":' + b"[" * 5000 + b"]" * 5000 + b"}") * 10,
    masked(TEXT, b'{"op":"find","filter":' + b'{"metadata":' * 2000 + b"1") * 10,
    masked(TEXT, b"\xff\xfe\xfd"),
    masked(0x82, b"binary"),
    b"\x81\xff" + b"\xff" * 16,
    b"\xff" * 64,
)
"""What the first bytes of a websocket may be; the hub ends each in its own way."""


async def garbage(attack: Attack, number: int) -> None:
    """Send what is no message, or no request, and come back at once."""
    if number % 2 == 0:
        connection = await attack.connect()
        connection.write(random.randbytes(200) + b"\r\n\r\n")
    else:
        connection = await attack.websocket()
        connection.write(random.choice(GARBAGE))
    await connection.heard(1 << 30, 2.0)
    connection.abort()


# --- work that is asked for -----------------------------------------------------------------------


async def churn(attack: Attack, number: int) -> None:
    """Register an agent and unregister it, over a websocket or over HTTP."""
    spec = AgentSpec(name=f"churn-{next(attack.numbers)}", type="cost", host="h", port=1)
    if number % 2:
        connection = await attack.websocket()
        start = connection.received
        connection.write(masked_text(encode(Register(id=1, agent=spec))))
        if await connection.heard(start + 1):
            start = connection.received
            connection.write(masked_text(encode(Unregister(id=2))))
            done = await connection.heard(start + 1)
            attack.tally.done += done
        connection.abort()
        return
    connection = await attack.connect()
    body = encode({"name": spec.name, "type": "cost", "host": "h", "port": 1})
    while not connection.ended:
        before = connection.received
        connection.write(attack.request("POST /agents/register", body))
        if not await connection.heard(before + 1):
            break
        agent_id = connection.latest().partition(b'"agent_id":"')[2][:36].decode("latin-1")
        before = connection.received
        connection.write(attack.request(f"POST /agents/{agent_id}/unregister"))
        if not await connection.heard(before + 1):
            break
        attack.tally.done += 1
    connection.abort()


async def fill_metadata(attack: Attack, number: int) -> None:
    """Register an agent, and replace its metadata, which are as large as they may be."""
    connection = await attack.websocket()
    spec = AgentSpec(name=f"large-{number}", type="cost", host="h", port=1)
    connection.write(masked_text(encode(Register(id=1, agent=spec))))
    for count in itertools.count():
        before = connection.received
        if not await connection.heard(before + 1):
            break
        attack.tally.done += count > 0
        text = f"{count:06}" + "x" * (FILLING - 6)
        connection.write(masked_text(encode(Heartbeat(id=1, metadata={"note": text}))))
    connection.abort()


async def finds(attack: Attack, number: int) -> None:
    """Ask for all agents, many times at once: over a websocket, or over HTTP without reading."""
    if number % 2:
        connection = await attack.websocket()
        ask = masked_text(encode(Find(id=1, limit=10_000)))
    else:
        connection = await attack.connect()
        ask = attack.request("GET /agents")
    if number % 4 == 0:
        connection.transport.pause_reading()
    while not connection.ended:
        before = connection.received
        await connection.pour(ask * 16)
        done = await connection.heard(before + 1, 1.0)
        attack.tally.done += done


async def populate(attack: Attack) -> None:
    """Register so many agents as the aim says, which stay."""

    async def some(numbers: range) -> None:
        connection = await attack.connect()
        for number in numbers:
            body = encode({"name": f"record-{number}", "type": "cost", "host": "h", "port": 1})
            before = connection.received
            connection.write(attack.request("POST /agents/register", body))
            if not await connection.heard(before + 1, 60.0):
                raise ConnectionError
        connection.abort()

    lanes = 16
    await asyncio.gather(*(some(range(lane, attack.aim.records, lanes)) for lane in range(lanes)))


LINES: dict[str, tuple[Line, tuple[float, float]]] = {
    "half-open": (half_open, AGAIN),
    "slow-heads": (slow_head, AGAIN),
    "slow-bodies": (slow_body, AGAIN),
    "ping-flood": (pings, (0.0, 0.1)),
    "fragments": (fragments, (0.0, 0.1)),
    "churn": (churn, (0.0, 0.0)),
    "made-up-namespaces": (made_up_namespace, (0.0, 0.0)),
    "metadata": (fill_metadata, (0.0, 0.1)),
    "unread-watches": (unread_watch, AGAIN),
    "dear-finds": (finds, (0.0, 0.1)),
    "open-files": (squat, AGAIN),
    "garbage": (garbage, (0.0, 0.0)),
}
"""What a connection of each attack does, and the seconds until it is opened again."""


async def go_on(attack: Attack) -> None:
    """Attack until cancelled. Connections begin at most BEGIN in a second."""
    line, (least, most) = LINES[attack.aim.kind]

    async def repeat(number: int) -> None:
        await asyncio.sleep(number / BEGIN)
        while True:
            try:
                await line(attack, number)
                await asyncio.sleep(random.uniform(least, most))
            except OSError:
                await asyncio.sleep(random.uniform(REFUSED, max(REFUSED, most)))

    await asyncio.gather(*(repeat(number) for number in range(attack.aim.connections)))
