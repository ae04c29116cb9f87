"""A watcher that lists all agents, then prints every change as it happens.

    python examples/watcher.py [URL] [--type cost] [--seconds 10]

URL defaults to HOMEPORT_URL, which defaults to http://127.0.0.1:8080. Stop and start the hub while
it runs: the watch continues where it was.
"""

import argparse
import asyncio
import sys
from typing import assert_never

from agent_client import AgentRecord, Event, HomeportError, HubClient, Resync, Snapshot, WatchItem


def line(agent: AgentRecord) -> str:
    why = agent.health.reason
    return f"{agent.id}  {agent.type}  {agent.name}  {agent.status} ({why})"


def show(item: WatchItem) -> None:
    match item:
        case Snapshot():
            print(f"{len(item.agents)} agents at revision {item.revision}", flush=True)
            for agent in item.agents:
                print(f"  {line(agent)}", flush=True)
        case Resync():
            print(f"begin anew: {len(item.agents)} agents at {item.revision}", flush=True)
            for agent in item.agents:
                print(f"  {line(agent)}", flush=True)
        case Event():
            print(f"{item.revision}  {item.kind}  {line(item.agent)}", flush=True)
        case _:
            assert_never(item)


async def main(options: argparse.Namespace) -> None:
    filter = {"type": options.type} if options.type else {}
    try:
        async with asyncio.timeout(options.seconds), HubClient(options.url) as hub:
            async for item in hub.watch(filter):
                show(item)
    except TimeoutError:
        print("time is up", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Watch the agents of a Homeport hub.")
    parser.add_argument("url", nargs="?", help="the hub; HOMEPORT_URL by default")
    parser.add_argument("--type", help="only agents of this type")
    parser.add_argument("--seconds", type=float, help="stop after this long (default: at Ctrl-C)")
    try:
        asyncio.run(main(parser.parse_args()))
    except KeyboardInterrupt:
        print("stopped")
    except HomeportError as error:
        sys.exit(f"watcher: {error}")
