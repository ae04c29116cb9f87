"""A worker that is a Starlette app on uvicorn with constant answers: `bench.baselines.constant`.

It has the legacy routes and the hub's libraries and settings (uvloop, httptools, no access log),
and is written in the usual way.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable

from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn import Config, Server

from bench.rig.workers import Run, work
from hub.net.listener import BACKLOG, UVICORN


class Answers(Struct, frozen=True, kw_only=True):
    """The bodies of the answers."""

    heartbeat: bytes
    register: bytes
    unregister: bytes
    get: bytes
    list: bytes
    by_type: bytes


class Serving(Struct, frozen=True):
    """The server listens."""

    url: str


def build_app(answers: Answers) -> Starlette:
    """The legacy routes; a POST reads its body, and does nothing with it."""
    return Starlette(
        routes=[
            Route("/agents/register", _read_and_answer(answers.register, 201), methods=["POST"]),
            Route("/agents/{id}/heartbeat", _read_and_answer(answers.heartbeat), methods=["POST"]),
            Route("/agents/{id}/unregister", _answer(answers.unregister), methods=["POST"]),
            Route("/agents", _answer(answers.list)),
            Route("/agents/{id}", _answer(answers.get)),
            Route("/agents/type/{type}", _answer(answers.by_type)),
        ]
    )


def _answer(body: bytes) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return Response(body, media_type="application/json")

    return endpoint


def _read_and_answer(body: bytes, status: int = 200) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        await request.body()
        return Response(body, status, media_type="application/json")

    return endpoint


async def _main(answers: Answers, run: Run) -> None:
    gc.enable()  # a server collects garbage, but not what it began with
    gc.freeze()
    server = Server(
        Config(
            build_app(answers),
            http="httptools",
            backlog=BACKLOG,
            **UVICORN,
        )
    )
    listening = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    serving = asyncio.create_task(server.serve([listening]))
    while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0.01)
    run.answer(Serving(f"http://127.0.0.1:{listening.getsockname()[1]}"))
    try:
        await run.receive()  # none comes: it serves until the run is gone
    finally:
        serving.cancel()


if __name__ == "__main__":
    work(Answers, _main)
