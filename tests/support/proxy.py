"""A small, real outbound proxy: tunnels by CONNECT, forwards absolute-form requests, asks for credentials if told to."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from urllib.parse import urlsplit


class OutboundProxy:
    """Listens at 127.0.0.1 from `with` until its end. `heads` holds what it was asked; `routes` says where names lead."""

    def __init__(self, authorization="", routes=None, refusal=b""):
        self.authorization, self.routes, self.refusal = authorization, routes or {}, refusal
        self.heads: list[bytes] = []
        self.port = 0
        self._ready = threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_exc):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._serve_one(reader, writer)
        with contextlib.suppress(OSError):
            writer.close()

    async def _serve_one(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if self.refusal:
            writer.write(self.refusal)
            await writer.drain()
            return
        if self.authorization and f"Proxy-Authorization: {self.authorization}\r\n".encode() not in head:
            writer.write(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            await writer.drain()
            return
        method, where, _ = head.split(b"\r\n")[0].decode().split(" ")
        parts = urlsplit(f"//{where}" if method == "CONNECT" else where)
        there = await asyncio.open_connection(self.routes.get(parts.hostname, parts.hostname), parts.port or 80)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = parts._replace(scheme="", netloc="").geturl()
            there[1].write(head.replace(where.encode(), path.encode(), 1))
        await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))


async def _copy(reader, writer):
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
