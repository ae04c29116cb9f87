"""The brain: every rule of an agent's life, without I/O and without a clock.

Nothing here imports asyncio, sockets, redis, time or random. What the brain needs from the world
stands in `actors.ports`; the hub supplies it from the event loop and Redis, tests from virtual
time and a model.
"""
