"""Where `homeport` and `python -m hub` begin."""

from __future__ import annotations

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
            "get it with: pip install 'homeport[hub]'\n"
        )
        status = 1
    raise SystemExit(status)


if __name__ == "__main__":
    main()
