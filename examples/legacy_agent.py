"""A program without asyncio that used the legacy registry's helper; only the import has changed.

    python examples/legacy_agent.py [URL] [--name cost-1] [--seconds 10]

URL defaults to HOMEPORT_URL, which defaults to http://127.0.0.1:8080.
"""

import argparse
import os
import sys
import threading

from agent_client import AgentRegistration


def main(options: argparse.Namespace) -> int:
    registration = AgentRegistration(
        agent_name=options.name,
        agent_type="cost",
        host="localhost",
        port=8001,
        capabilities=["spot_migration", "reserved_instances"],
        orchestrator_url=options.url,
    )
    if not registration.register():
        print(f"could not register at {options.url}", file=sys.stderr)
        return 1
    print(f"registered as {registration.agent_id}", flush=True)
    registration.start_heartbeat()
    try:
        threading.Event().wait(options.seconds)
    except KeyboardInterrupt:
        pass
    registration.unregister()
    print("unregistered", flush=True)
    return 0


if __name__ == "__main__":
    default = os.environ.get("HOMEPORT_URL") or "http://127.0.0.1:8080"
    parser = argparse.ArgumentParser(description="A legacy agent at a Homeport hub.")
    parser.add_argument("url", nargs="?", default=default, help="the hub")
    parser.add_argument("--name", default="cost-1")
    parser.add_argument("--seconds", type=float, help="stop after this long (default: at Ctrl-C)")
    sys.exit(main(parser.parse_args()))
