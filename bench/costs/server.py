"""What the store's server has used, by its own account: CPU, scripts and memory."""

from __future__ import annotations

from redis.asyncio import Redis

from hub.store import Keys


class StoreAccount:
    """Asks the server, on a separate connection."""

    def __init__(self, url: str) -> None:
        self._client = Redis.from_url(url)

    async def cpu(self) -> float:
        """Seconds of CPU that the server has had, sockets and all."""
        told = await self._client.info("cpu")
        return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])

    async def script_time(self) -> float:
        """Seconds that scripts have run."""
        told = await self._client.info("commandstats")
        return float(told.get("cmdstat_evalsha", {}).get("usec", 0)) / 1e6

    async def memory(self) -> int:
        """Bytes that its data takes up."""
        return int((await self._client.info("memory"))["used_memory"])

    async def log_memory(self) -> int:
        """Bytes of the default namespace's log."""
        return int(await self._client.memory_usage(Keys().log, samples=0) or 0)

    async def seen_memory(self) -> int:
        """Bytes of the default namespace's stream of renewals."""
        return int(await self._client.memory_usage(Keys().seen, samples=0) or 0)

    async def empty(self) -> None:
        """Delete everything."""
        await self._client.flushall()

    async def aclose(self) -> None:
        await self._client.aclose()
