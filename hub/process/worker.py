"""One of several workers: a hub process that `hub.process.workers` starts, and that dies with it.

    python -P worker.py HUB_ID

It reads one line of JSON from standard input: the settings and where they come from, the parent's
process id and standard output, and the parent's search path for modules. It writes one line to its
own standard output, a `Report` of `hub.process.worker_messages`: that it listens, or why it cannot.
From then on the other messages of that module go over both. When another hub uses its id, its
report is final: it ends, and must not be started again. HUB_ID is there for lists of processes. The
file is run by its path, and with the parent's search path, so that a worker has the same modules as
its parent; `-P` keeps the file's directory out of that path.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from typing import Any


def main() -> int:
    """Run the hub; return the exit status."""
    line = sys.stdin.buffer.readline()
    if not line:
        return 1  # the parent is already gone
    orders = json.loads(line)
    sys.path[:] = orders["path"]
    try:
        _die_with(orders["parent"])
        return _run(orders)
    except Exception as error:
        _report(_reason(error), final=_is_final(error), status=getattr(error, "status", 1))
        return 1


def _run(orders: dict[str, Any]) -> int:
    import msgspec  # noqa: PLC0415 - all of these need the parent's search path
    import structlog  # noqa: PLC0415

    from hub.process.run import run  # noqa: PLC0415
    from hub.process.signals import ignore_until_serving  # noqa: PLC0415
    from hub.settings import Settings, Source  # noqa: PLC0415

    ignore_until_serving()
    given: dict[str, Any] = orders["settings"]
    for name, value in given.items():
        if isinstance(value, list):
            given[name] = tuple(value)  # JSON has none
    settings = Settings(**given)  # the parent has checked them
    # Every line of the log names its worker.
    structlog.contextvars.bind_contextvars(hub=settings.hub_id)
    return run(
        settings,
        lambda _: _report(None),
        msgspec.convert(orders["source"], Source),
        shared_port=True,
        embedded=orders["embedded"],
        warnings=orders["warnings"],
        stdout=orders["stdout"],
    )


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends, in any way."""
    import ctypes  # noqa: PLC0415 - may be missing, which must be reported to the parent

    if ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0) != 0:  # 1: PR_SET_PDEATHSIG
        raise OSError("the kernel does not let a worker end with its parent")
    if os.getppid() != parent:
        os._exit(1)  # it ended before the request to the kernel


def _reason(error: Exception) -> str:
    from hub.errors import HubError  # noqa: PLC0415

    if os.environ.get("HOMEPORT_DEBUG"):
        traceback.print_exc()
    if isinstance(error, HubError):
        return str(error)
    return f"internal error: {type(error).__name__}: {error}"


def _is_final(error: Exception) -> bool:
    from hub.errors import RivalError  # noqa: PLC0415

    return isinstance(error, RivalError)


def _report(failure: str | None, *, final: bool = False, status: int = 1) -> None:
    report = {"type": "report", "failure": failure, "final": final, "status": status}
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
