"""What can be fuzzed: how its examples are made, and how one is sent."""

from __future__ import annotations

from tests.fuzz import frames, http, messages
from tests.fuzz.campaign import Part

PARTS: dict[str, list[Part]] = {
    "frames": [Part(frames.streams, frames.send)],
    "messages": [Part(messages.conversations, messages.send)],
    "http": [Part(http.described, http.send_described), Part(http.raw, http.send_raw)],
}
