"""Which hubs of a cluster have other times than this one, in words."""

from __future__ import annotations

import msgspec

from actors.ports.store import HubLease
from actors.timing import SHARED, Timing

_decoder = msgspec.json.Decoder(dict[str, float | None])


def shared_times(timing: Timing) -> bytes:
    """The times that hubs should have in common, as a hub's lease tells them: a JSON object."""
    return msgspec.json.encode({name: getattr(timing, name) for name in SHARED})


def differing_hubs(hubs: list[HubLease], hub_id: str, timing: Timing) -> list[str]:
    """A sentence for each hub that has other times; one that tells none, or nonsense, has none."""
    sentences = []
    for hub in hubs:
        if hub.hub_id == hub_id or not hub.times:
            continue
        try:
            told = _decoder.decode(hub.times)
        except (ValueError, RecursionError):
            continue
        differences = [
            f"{name} {_shown(told[name])}, here {_shown(getattr(timing, name))}"
            for name in SHARED
            if name in told and told[name] != getattr(timing, name)
        ]
        if differences:
            sentences.append(
                f"hub {hub.hub_id} has other times than {hub_id}: {'; '.join(differences)}"
            )
    return sentences


def _shown(value: float | None) -> str:
    return "by default" if value is None else f"{value:g}"
