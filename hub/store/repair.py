"""Repairing what is stored: keys that hold what no hub wrote are renamed, and never deleted."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable

from msgspec import Struct

from actors.rules.stored_records import read_record
from homeport_protocol.namespaces import DEFAULT_NAMESPACE, is_namespace
from hub.store.backends.backend import Backend
from hub.store.backends.failures import StoreUnavailableError, reason_of
from hub.store.backends.lane import Lane
from hub.store.findings import shown
from hub.store.keys import LARGEST, Keys
from hub.store.reply_tasks import log_bug
from hub.store.scripts import SET_ASIDE

PIECE = b"500"
"""How many keys one command looks at."""

_LOG_NAME = re.compile(rb"[\w.:-]{1,128}", re.ASCII)
_GLOB = re.compile(rb"([*?\[\]\\^])")


class _Held(Struct, frozen=True):
    """What a key holds: its type, its text where that is its type, and whether it expires."""

    kind: bytes
    text: bytes
    expires: bool


async def repair(backend: Backend, prefix: str, *, dry_run: bool) -> AsyncIterator[str]:
    """Look at every key of every namespace under `prefix`; yield a line for each that is renamed.

    With `dry_run` nothing is changed. Raises StoreUnavailableError.
    """
    names = {DEFAULT_NAMESPACE}
    listing = Keys(prefix, hash_tags=backend.hash_tags)
    try:
        lane = backend.lane(listing.namespaces)
        try:
            one = _Repair(lane, listing, dry_run=dry_run, base=prefix.encode())
            async for line in one.check(listing.namespaces, _is(b"set"), "no set of namespaces"):
                yield line
            if await lane.ask(b"TYPE", listing.namespaces) == b"set":
                for name in await lane.ask(b"SMEMBERS", listing.namespaces):
                    names.add(name.decode(errors="replace"))
        finally:
            await lane.drop()
        lane = backend.lane(listing.tokens)
        try:
            one = _Repair(lane, listing, dry_run=dry_run, base=prefix.encode())
            async for line in one.check(listing.tokens, _is(b"hash"), "no tokens"):
                yield line
        finally:
            await lane.drop()
        for name in sorted(filter(is_namespace, names)):
            keys = Keys(prefix, name, hash_tags=backend.hash_tags)
            lane = backend.lane(keys.log)
            try:
                async for line in _Repair(lane, keys, dry_run=dry_run).namespace():
                    yield line
            finally:
                await lane.drop()
    except StoreUnavailableError:
        raise
    except Exception as error:
        log_bug(error)
        raise StoreUnavailableError(reason_of(error)) from None


class _Repair:
    """One namespace; `lane` leads to the server that has its keys."""

    def __init__(self, lane: Lane, keys: Keys, *, dry_run: bool, base: bytes | None = None) -> None:
        self._lane = lane
        self._keys = keys
        self._dry_run = dry_run
        self._base = keys.base if base is None else base

    async def namespace(self) -> AsyncIterator[str]:
        """A line for each key that is renamed."""
        keys = self._keys
        fixed: list[tuple[bytes, Callable[[_Held], bool], str]] = [
            (keys.log, _is(b"stream"), "no change log"),
            (keys.log_name, _is_log_name, "no name of a change log"),
            (keys.secret, _is(b"string"), "no secret"),
            (keys.active, _is(b"set"), "no set of agents"),
            (keys.hubs, _is(b"set"), "no set of hubs"),
            (keys.seen, _is(b"stream"), "no renewals"),
            (keys.loss, _is(b"hash"), "no acknowledged losses"),
            (keys.ended, _is(b"stream"), "no list of removed agents"),
            (keys.times, _is(b"hash"), "no times of agents"),
            (keys.owners, _is(b"hash"), "no owners of agents"),
        ]
        for key, sound, what in fixed:
            async for line in self.check(key, sound, what):
                yield line
        async for line in self._figures():
            yield line
        many: list[tuple[bytes, Callable[[bytes], Callable[[_Held], bool]], str]] = [
            (keys.lease(b""), lambda _: _is_lease, "no lease of a hub"),
            (keys.epoch(""), lambda _: _is_epoch, "no epoch"),
            (keys.agent_prefix, _is_record_of, "no record of an agent"),
        ]
        for begins, sound_for, what in many:
            async for key in self._scan(begins):
                async for line in self.check(key, sound_for(key[len(begins) :]), what):
                    yield line

    async def check(
        self, key: bytes, sound: Callable[[_Held], bool], what: str
    ) -> AsyncIterator[str]:
        """Rename the key unless it is sound or not there; yields one line if so."""
        held = await self._held(key)
        if held.kind == b"none" or sound(held):
            return
        async for line in self._set_aside(key, held, what):
            yield line

    async def _figures(self) -> AsyncIterator[str]:
        """The losses are a hash with one number."""
        key = self._keys.loss
        held = await self._held(key)
        if held.kind == b"hash":
            said = await self._lane.ask(b"HGET", key, b"acknowledged")
            if said is not None and not _is_number(said):
                async for line in self._set_aside(key, held, "no acknowledged losses"):
                    yield line

    async def _set_aside(self, key: bytes, held: _Held, what: str) -> AsyncIterator[str]:
        if self._dry_run:
            yield f"{shown(key)} holds {what}: it would be renamed"
            return
        name = await self._lane.run(SET_ASIDE, [key], [self._base, held.kind, held.text])
        if name:
            yield f"{shown(key)} held {what}: renamed {shown(name)}"

    async def _held(self, key: bytes) -> _Held:
        kind = await self._lane.ask(b"TYPE", key)
        text = b""
        if kind == b"string":
            text = await self._lane.ask(b"GET", key) or b""
        expires = await self._lane.ask(b"PTTL", key) >= 0
        return _Held(kind, text, expires)

    async def _scan(self, begins: bytes) -> AsyncIterator[bytes]:
        pattern = _GLOB.sub(rb"\\\1", begins) + b"*"
        cursor, seen = b"0", set[bytes]()
        while True:
            cursor, found = await self._lane.ask(
                b"SCAN", cursor, b"MATCH", pattern, b"COUNT", PIECE
            )
            for key in found:
                if key not in seen:
                    seen.add(key)
                    yield key
            if cursor == b"0":
                return


def _is(kind: bytes) -> Callable[[_Held], bool]:
    return lambda held: held.kind == kind


def _is_number(text: bytes) -> bool:
    return text.isdigit() and len(text) <= 16 and int(text) <= LARGEST


def _is_log_name(held: _Held) -> bool:
    return held.kind == b"string" and _LOG_NAME.fullmatch(held.text) is not None


def _is_epoch(held: _Held) -> bool:
    return held.kind == b"string" and _is_number(held.text)


def _is_lease(held: _Held) -> bool:
    return held.kind == b"hash" and held.expires


def _is_record_of(agent_id: bytes) -> Callable[[_Held], bool]:
    def sound(held: _Held) -> bool:
        if held.kind != b"string":
            return False
        try:
            record = read_record(held.text)
        except (ValueError, RecursionError):
            return False
        return (
            record.id.encode() == agent_id
            and 0 <= record.epoch <= LARGEST
            and 0 <= record.revision <= LARGEST
        )

    return sound
