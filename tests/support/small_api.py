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
    from collections.abc import Callable, Iterable, Iterator


def make(_settings: Settings) -> Callable[..., Iterable[bytes]]:
    def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
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

    return application


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
