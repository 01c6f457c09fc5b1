"""The receiver of the benchmarks: a process of its own, as cheap as can be, that keeps who came and when.

Run: `python tests/benchmarks/receiver.py PORT`. A POST to `/hook/17` is answered 200 at once, one to `/hang/17` never and is only
counted. The body has `seq-00000042` in it: what came is kept as (42, 17) and the moment on the machine's monotonic clock, which
is one for all processes, so that the others can tell lost, repeated and late ones. GET `/stats`, `/dump` (numbers, then moments)
and `/reset` ask for it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array
from typing import Any

import uvloop

HOOKS = 1_000_000
"""What arrived is one number: event × HOOKS + webhook."""
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Arrivals:
    """What came so far, over all connections."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.keys = array("Q")
        self.times = array("d")
        self.connections = 0
        self.hung = 0

    def answer(self, path: bytes) -> bytes:
        if path == b"/reset":
            self.reset()
        if path == b"/dump":
            return self.keys.tobytes() + self.times.tobytes()
        last = self.times[-1] if self.times else None
        found = {"received": len(self.keys), "connections": self.connections, "hung": self.hung, "last": last}
        return json.dumps(found).encode()


class Connection(asyncio.Protocol):
    """One connection: requests with a length, one after the other."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.buffer = b""
        self.posts = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        data = self.buffer + data if self.buffer else data
        while data:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                break
            head = data[:end].lower()
            at = head.find(b"content-length:")
            size = end + (int(head[at + 15 : head.index(b"\r", at)]) if at > 0 else 0)
            if len(data) < size:
                break
            self.take(head, data, end)
            data = data[size:]
        self.buffer = data

    def take(self, head: bytes, data: bytes, end: int) -> None:
        method, path, _ = head.split(b" ", 2)
        if method == b"get":
            body = self.arrivals.answer(path)
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            return
        self.arrivals.connections += not self.posts
        self.posts += 1
        kind, hook = path[1:].split(b"/")[:2]
        if kind != b"hook":
            self.arrivals.hung += 1
            return
        at = data.find(b"seq-", end) + 4
        self.arrivals.keys.append(int(data[at : at + 8]) * HOOKS + int(hook))
        self.arrivals.times.append(time.monotonic())
        self.transport.write(_OK)


async def serve(port: int) -> None:
    """Receive until the process is ended."""
    arrivals = Arrivals()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(arrivals), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
