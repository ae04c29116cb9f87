"""The entry point of `homeport` and of `python -m hub`."""

from __future__ import annotations

import os
import sys

_OURS = ("actors", "agent_client", "hub", "homeport_protocol")


def main() -> None:
    """Run the command line and exit with its status: 0 done, 1 failed, 2 wrong usage."""
    try:
        from hub.cli.main import run  # noqa: PLC0415  (the light client comes without click)

        status = run(sys.argv[1:])
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", *_OURS):
            raise
        sys.stderr.write(
            f"homeport: the command line needs the package {package}, which is not installed; "
            "in a checkout of Homeport, run: pip install '.[hub]'\n"
        )
        status = 1
    raise SystemExit(status)


def _leave_out_working_directory() -> None:
    """Undo that `python -m` looks for modules in the working directory first.

    A file actors.py there would be imported instead of our package, by this process and by the
    workers, which get its path. In a checkout that is not installed the directory is needed.
    """
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not sys.flags.safe_path and os.path.abspath(sys.path[0]) != ours:
        del sys.path[0]


if __name__ == "__main__":
    _leave_out_working_directory()
    main()
