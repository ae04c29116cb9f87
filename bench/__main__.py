"""`python -m bench` lists the scenarios; `python -m bench NAME… [OPTIONS]` runs some of them.

Exit status: 0 when everything held and was reached, 1 when something did not or could not be run
to its end, 2 for wrong usage.
"""

from __future__ import annotations

import os
import sys

_PROGRAM = os.environ.get("_HOMEPORT_PROGRAM", "python -m bench")  # as in bench.runner.command

_OURS = ("agent_client", "bench", "hub", "homeport_protocol")


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        from bench.errors import BenchError  # noqa: PLC0415
        from bench.runner.command import run  # noqa: PLC0415  (the light client comes without rich)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", *_OURS):
            raise
        return _failed(
            f"the bench needs the package {package}, which is not installed; "
            "in a checkout of Homeport, run: pip install '.[bench]'"
        )
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
        return status
    except BenchError as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        return _failed("interrupted")
    except BrokenPipeError:  # the reader has read enough, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _failed(sentence: str) -> int:
    print(f"{_PROGRAM}: {sentence}", file=sys.stderr)
    return 1


def _leave_out_working_directory() -> None:
    """As in `hub/__main__.py`, from which it cannot be imported before this is done."""
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not sys.flags.safe_path and os.path.abspath(sys.path[0]) != ours:
        del sys.path[0]


if __name__ == "__main__":
    _leave_out_working_directory()
    sys.exit(main())
