"""`serve_api` over a small application: `python -m tests.support.small_api HOME PORT PROCESSES`."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from server.config import Settings
from server.runtime.api import serve_api

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator

    from server.web.direct import Plain, Read


class Direct:
    """Answers how long the body is, and says everything twice on a websocket."""

    prefix = "/direct/"

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    async def serve(self, scope: Any, protocol: Any, read: Read) -> None:
        if scope.proto == "ws":
            socket = await protocol.accept()
            said = await socket.receive()
            await socket.send_str(said.data * 2)
            protocol.close()
            return
        if scope.path == "/direct/fails":
            raise RuntimeError("the handler broke")
        body = await read(100)
        protocol.response_str(200, [], str(len(body)))


class Door:
    """Breaks on whatever it takes."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def takes(self, scope: Any) -> bool:
        return bool(scope.path == "/door")

    async def answer(self, scope: Any, body: bytes) -> Plain | None:
        raise RuntimeError(f"the door broke on {len(body)} bytes for {scope.path}")


class Application:
    def __init__(self) -> None:
        self.extensions = {"crossdock-directs": [Direct()], "crossdock-doors": [Door()]}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/fails":
            raise RuntimeError("the application broke")
        if path == "/slow":
            time.sleep(1.0)
        if path == "/stream":
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            return endless()
        shown = {key: value for key, value in environ.items() if isinstance(value, str)}
        body = json.dumps(
            {"pid": os.getpid(), "body": environ["wsgi.input"].read().decode("latin-1"), "environ": shown}
        )
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body.encode()]


def make(_settings: Settings) -> Application:
    return Application()


def endless() -> Iterator[bytes]:
    try:
        while True:
            yield b"data: x\n\n"
            time.sleep(0.05)
    finally:
        Path(sys.argv[1], "closed").touch()


if __name__ == "__main__":
    home, port, processes = sys.argv[1:]
    serve_api(
        Settings(home=Path(home), body_limit=10_000),
        "localhost",
        int(port),
        processes=int(processes),
        factory="tests.support.small_api:make",
        body_seconds=2.0,
    )
