"""What programs that fork begin with, after that of `ending`."""

from __future__ import annotations

HEAD = """
import multiprocessing, uvloop, warnings
from concurrent.futures import ProcessPoolExecutor
from agent_client import AgentRegistration, Hub, HubClient

warnings.simplefilter("ignore", DeprecationWarning)  # of 3.12: a fork beside threads
fork = multiprocessing.get_context("fork")

def run_with(loop, main):
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main)

def forked(function):
    process = os.fork()
    if process:
        return process
    try:
        function()
    except BaseException as error:
        say(type(error).__name__, error)
        os._exit(1)
    os._exit(0)
"""
