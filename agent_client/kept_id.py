"""The id that an agent without one of its own keeps, when its program crashes and starts again.

A small file in the user's state directory has the id, one for each agent (its hub, name, type,
host, port and machine). It is locked for as long as it is in use:

- a second program of the same agent, in this process or another, finds it locked, and so has
  another id;
- a program that crashes frees the lock, and the next one takes the same id.

Where no file can be written, or the platform has no such locks, an id is not kept. What others put
in the way (a symbolic link, a directory of another user) is left alone.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import platform
import stat
import tempfile
import time
import uuid
import weakref
from collections.abc import Iterator

logger = logging.getLogger("homeport.client")

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

MOST_FILES = 1000
"""Files that the directory may have; beyond that the oldest that nobody uses are removed."""

MOST_HELD = 100
"""Ids that one process keeps; each takes an open file, and a process may have few of those."""

UNUSED_SECONDS = 30 * 86_400
"""An id that nobody took for so long is forgotten."""

_ID_BYTES = 36
_NAME_LENGTH = 32


class NotKeptError(Exception):
    """The id cannot be kept; the message says why."""


class KeptId:
    """An id that no other program takes for as long as this object lives."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        weakref.finalize(self, _close, descriptor, os.getpid())
        _held.add(self)
        self.agent_id = self._read()
        if not self.agent_id:
            self.replace(str(uuid.uuid4()))

    def replace(self, agent_id: str) -> None:
        """Keep this id from now on."""
        self.agent_id = agent_id
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, agent_id.encode(), 0)

    def _read(self) -> str:
        try:
            return str(uuid.UUID(os.pread(self._descriptor, _ID_BYTES, 0).decode()))
        except ValueError:  # new, or not written to its end
            return ""


_held: weakref.WeakSet[KeptId] = weakref.WeakSet()


def keep_id(*agent: object) -> KeptId:
    """The id that is kept for the agent which these values tell from others.

    Raises NotKeptError where none can be kept, or another program has it now.
    """
    if fcntl is None:
        raise NotKeptError("this platform has no file locks")
    if len(_held) >= MOST_HELD:
        raise NotKeptError(f"this process keeps {MOST_HELD} ids already")
    text = json.dumps([platform.node(), *map(str, agent)])
    name = hashlib.sha256(text.encode()).hexdigest()[:_NAME_LENGTH]
    try:
        with _directory() as directory:
            descriptor = _locked(directory, name)
            kept = KeptId(descriptor)
            os.utime(descriptor)
            _clean(directory)
    except OSError as error:
        raise NotKeptError(error.strerror or str(error)) from error
    return kept


class OwnId:
    """The id of an agent that was given none: the one that is kept, or one for this start only."""

    def __init__(self) -> None:
        self._id = ""
        self._kept: KeptId | None = None

    def get(self, *agent: object) -> str:
        """The id, which is chosen once; `agent` as for `keep_id`."""
        if not self._id:
            try:
                self._kept = keep_id(*agent)
                self._id = self._kept.agent_id
            except NotKeptError as why:
                self._id = str(uuid.uuid4())
                logger.debug("the id %s is for this start only: %s", self._id, why)
        return self._id

    def replace(self, agent_id: str) -> None:
        """The agent is known by another id, which is kept from now on."""
        if agent_id == self._id:
            return
        self._id = agent_id
        if self._kept is not None:
            try:
                self._kept.replace(agent_id)
            except OSError as error:
                logger.debug("the id %s is not kept: %s", agent_id, error)


def _close_in_child() -> None:
    """A forked process must not keep the lock when its parent has crashed."""
    for kept in list(_held):
        os.close(kept._descriptor)  # the parent's stays locked
    _held.clear()


if fcntl is not None:
    os.register_at_fork(after_in_child=_close_in_child)


# --- the directory -------------------------------------------------------------------------------


@contextlib.contextmanager
def _directory() -> Iterator[int]:
    """The descriptor of the directory; raises OSError when there is none to be used."""
    descriptor = _first_usable()
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _first_usable() -> int:
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    if os.path.isabs(state):  # as the XDG base directory specification has it
        try:
            os.makedirs(state, 0o700, exist_ok=True)
            return _descend(state, "homeport", "agents")
        except OSError as error:
            logger.debug("no ids are kept in %s: %s", state, error)
    return _descend(tempfile.gettempdir(), f"homeport-{os.geteuid()}", "agents")


def _descend(base: str, *names: str) -> int:
    """Open a directory below `base` that is this user's alone; creates it where it is missing."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    descriptor = os.open(base, flags)
    for name in names:
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=descriptor)
            below = os.open(name, flags | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            os.close(descriptor)
            raise PermissionError(errno.EPERM, f"others may write to {name} in {base}")
    return descriptor


def _clean(directory: int) -> None:
    """Remove the files that nobody took for long, and the oldest of too many."""
    files = []
    for name in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            files.append((os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime, name))
    files.sort(reverse=True)
    late = time.time() - UNUSED_SECONDS
    for count, (taken, name) in enumerate(files):
        if (count >= MOST_FILES or taken < late) and len(name) == _NAME_LENGTH:
            with contextlib.suppress(OSError, NotKeptError):
                descriptor = _locked(directory, name)
                try:
                    os.unlink(name, dir_fd=directory)
                finally:
                    os.close(descriptor)


# --- the file ------------------------------------------------------------------------------------


def _locked(directory: int, name: str) -> int:
    """The descriptor of the file, locked now; raises NotKeptError when another has it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        descriptor = os.open(name, flags, 0o600, dir_fd=directory)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                raise NotKeptError("its file is not this user's")
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(directory, name, found):
                return descriptor
            os.close(descriptor)  # removed before it was locked
        except BlockingIOError:
            os.close(descriptor)
            raise NotKeptError("another program of the same agent has it") from None
        except BaseException:
            os.close(descriptor)
            raise


def _is_at(directory: int, name: str, found: os.stat_result) -> bool:
    try:
        there = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, found)


def _close(descriptor: int, process: int) -> None:
    if os.getpid() == process:  # a forked one has closed it, and its number may be another file's
        os.close(descriptor)
