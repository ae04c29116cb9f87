"""One of several workers: a hub process that `hub.process.workers` starts, and that dies with it.

    python -P worker.py HUB_ID

One line on standard input gives its orders: the settings, the parent's process id and its search
path for modules. It says one line on standard output: `{"failure": null}` once it listens, or else
why it cannot. When another hub turns out to use its id, it says `{"failure": WHY, "final": true}`
and ends; it is not to be started again. HUB_ID is for whoever lists processes. The file is run by
its path (`-P`: and not its directory), so that the parent's modules are found, wherever it was
started.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback


def main() -> int:
    """Run the hub; returns the exit status."""
    line = sys.stdin.buffer.readline()
    if not line:
        return 1  # the parent is gone already
    orders = json.loads(line)
    sys.path[:] = orders["path"]
    try:
        _die_with(orders["parent"])
        return _run(orders["settings"])
    except Exception as error:
        _say(_in_words(error), final=_is_final(error))
        return 1


def _run(given: object) -> int:
    import msgspec  # noqa: PLC0415 - all of these are found by the path that was ordered
    import structlog  # noqa: PLC0415

    from hub.process.run import run  # noqa: PLC0415
    from hub.settings import Settings  # noqa: PLC0415

    settings = msgspec.convert(given, Settings)
    # Every line of the log tells whose it is.
    structlog.contextvars.bind_contextvars(hub=settings.hub_id)
    return run(settings, lambda _: _say(None), shared_port=True)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` is gone, in whatever way."""
    import ctypes  # noqa: PLC0415 - not every Python has it, which the parent must be told

    if ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0) != 0:  # 1: PR_SET_PDEATHSIG
        raise OSError("the kernel does not let a worker end with its parent")
    if os.getppid() != parent:
        os._exit(1)  # it was gone before the kernel had been told


def _in_words(error: Exception) -> str:
    from hub.errors import HubError  # noqa: PLC0415

    if os.environ.get("HOMEPORT_DEBUG"):
        traceback.print_exc()
    if isinstance(error, HubError):
        return str(error)
    return f"internal error: {type(error).__name__}: {error}"


def _is_final(error: Exception) -> bool:
    from hub.errors import RivalError  # noqa: PLC0415

    return isinstance(error, RivalError)


def _say(failure: str | None, *, final: bool = False) -> None:
    sys.stdout.write(json.dumps({"failure": failure, "final": final}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
