"""What can be fuzzed: how its examples are made, how one is sent, and to which hub."""

from __future__ import annotations

from contextlib import AbstractContextManager

from tests.fuzz import frames, http, messages, strangers
from tests.fuzz.campaign import Part
from tests.fuzz.target import Target, fuzzed_hub

PARTS: dict[str, list[Part]] = {
    "frames": [Part(frames.streams, frames.send)],
    "messages": [Part(messages.conversations, messages.send)],
    "http": [
        Part(http.described, http.send_described),
        Part(http.bodies, http.send_body),
        Part(http.raw, http.send_raw),
    ],
    "strangers": [
        Part(strangers.described, strangers.send_described),
        Part(strangers.raw, strangers.send_raw),
    ],
}


def hub_for(what: str, **env: str) -> AbstractContextManager[Target]:
    """The hub to send it to, with these variables in its environment."""
    if what == "strangers":
        return fuzzed_hub(strangers.OPTIONS, {**strangers.ENV, **env}, strangers.HEADERS)
    return fuzzed_hub(env=env)
