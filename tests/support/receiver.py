"""A real HTTP receiver on loopback: keeps what came, answers what it is told to."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Hit:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass
class Answer:
    """What to answer with."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0


class Receiver:
    """Use as a context manager; `answers` is a list that is used up, then `answer` for all that follow."""

    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self.answer: Answer | Callable[[Hit], Answer] = Answer()
        self.answers: list[Answer] = []
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or a body waits 40 ms for its head to be acknowledged

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                hit = Hit(self.path, {name.lower(): value for name, value in self.headers.items()}, body, time.time())
                with receiver._lock:
                    receiver.hits.append(hit)
                    answer = receiver.answers.pop(0) if receiver.answers else receiver.answer
                answer = answer if isinstance(answer, Answer) else answer(hit)
                time.sleep(answer.delay)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.status != 204:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                pass  # a client that hangs up is part of some tests

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, count: int, seconds: float = 10.0) -> list[Hit]:
        """Wait until `count` requests came; fail the test otherwise."""
        until = time.monotonic() + seconds
        while len(self.hits) < count and time.monotonic() < until:
            time.sleep(0.01)
        assert len(self.hits) >= count, f"{len(self.hits)} of {count} requests came within {seconds} s"
        return self.hits
