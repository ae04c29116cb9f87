"""An agent that registers, reports its load every few seconds, and unregisters at the end.

    python examples/agent.py [URL] [--name cost-1] [--type cost] [--seconds 10]

URL may be several, separated by commas. It defaults to HOMEPORT_URL, which defaults to
http://127.0.0.1:8080. Start it twice with the same --id to see the newer one take over.
"""

import argparse
import asyncio
import random
import sys

from agent_client import AgentClient, Fenced, HomeportError, Lease, run


def connected(lease: Lease) -> None:
    how = "resumed" if lease.resumed else "registered"
    print(f"{how} as {lease.agent_id} at {lease.url}, epoch {lease.epoch}", flush=True)


def disconnected(error: HomeportError) -> None:
    print(f"disconnected: {error}", flush=True)


def fenced(error: Fenced) -> None:
    print(f"stopping: {error}", flush=True)


async def work(agent: AgentClient) -> None:
    while True:
        load = round(random.random(), 2)  # noqa: S311 - made up, not secret
        try:
            await agent.report(load=load, metadata={"queue": int(load * 10)})
            print(f"reported load {load}", flush=True)
        except Fenced:
            return
        except HomeportError as error:  # the report is remembered, and sent on the next connection
            print(f"not reported yet: {error}", flush=True)
        await asyncio.sleep(2)


async def main(options: argparse.Namespace) -> None:
    client = AgentClient(
        options.url,
        name=options.name,
        type=options.type,
        capabilities=["spot_migration"],
        version="1.0.0",
        agent_id=options.id,
        on_connected=connected,
        on_disconnected=disconnected,
        on_fenced=fenced,
    )
    async with client as agent:
        try:
            async with asyncio.timeout(options.seconds):
                await work(agent)
        except TimeoutError:
            print("time is up, unregistering", flush=True)
        except asyncio.CancelledError:
            print("stopped, unregistering", flush=True)
            raise


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A Homeport agent.")
    parser.add_argument("url", nargs="?", help="the hub; HOMEPORT_URL by default")
    parser.add_argument("--name", default="cost-1")
    parser.add_argument("--type", default="cost")
    parser.add_argument("--id", help="a UUID: the same agent over restarts")
    parser.add_argument("--seconds", type=float, help="stop after this long (default: at Ctrl-C)")
    try:
        run(main(parser.parse_args()))
    except HomeportError as error:
        sys.exit(f"agent: {error}")
