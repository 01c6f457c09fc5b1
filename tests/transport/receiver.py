"""A receiver that misbehaves on demand: raw sockets under asyncio, in a thread of its own.

The first path segment names the behaviour, e.g. `/ok`, `/status/503`, `/header-drip`, `/redirect?to=http://…`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import struct
import threading
from urllib.parse import parse_qs, unquote, urlsplit

BOMB = gzip.compress(b"\0" * 100_000_000) * 3  # 300 MB in 290 KB
_END = b"\r\n\r\n"


class Receiver:
    """Listens on a free port of `host` from `with` until its end; `requests` holds every request head it got."""

    def __init__(self, host="127.0.0.1", tls=None, greeting=b""):
        self.host, self.tls, self.greeting = host, tls, greeting
        self.requests: list[bytes] = []
        self.body = b""
        self.connections = 0
        self.port = 0
        self._ready = threading.Event()
        self._stop = None

    def __enter__(self):
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_exc):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def url(self, path="/ok", host=None):
        name = host or self.host
        name = f"[{name}]" if ":" in name else name
        return f"{'https' if self.tls else 'http'}://{name}:{self.port}{path}"

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, self.host, 0, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader, writer):
        self.connections += 1
        writer.write(self.greeting)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(_END)
                self.requests.append(head)
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
                )
                target = urlsplit(head.split(b" ")[1].decode())
                word, _, rest = target.path.strip("/").partition("/")
                if word != "unread":
                    self.body = await reader.readexactly(length)
                behaviour = getattr(self, "play_" + word.replace("-", "_"))
                if not await behaviour(writer, rest, parse_qs(target.query)):
                    break
        with contextlib.suppress(OSError):
            writer.close()

    async def _forever(self, writer, chunk, pause=0.05):
        while True:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(pause)

    async def play_ok(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True

    async def play_echo(self, writer, _rest, _query):
        body = self.requests[-1]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        return True

    async def play_status(self, writer, rest, _query):
        writer.write(b"HTTP/1.1 %b X\r\nContent-Length: 0\r\nRetry-After: 7\r\n\r\n" % rest.encode())
        return True

    async def play_redirect(self, writer, rest, query):
        to = unquote(query["to"][0])
        writer.write(f"HTTP/1.1 {rest or 302} Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode())
        return True

    async def play_cookie(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n")
        return True

    async def play_no_content(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        return True

    async def play_chunked(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        return True

    async def play_extra(self, writer, rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + unquote(rest).encode())
        return True

    async def play_headers(self, writer, rest, _query):
        count, length = map(int, rest.split("-"))
        header = b"X: %b\r\n" % (b"y" * (length - 1))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + header * count + b"\r\nok")
        return True

    async def play_interim(self, writer, rest, _query):
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * int(rest) + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    async def play_late(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(b"HTTP/1.1 299 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    async def play_extensions(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")
        await self._forever(writer, b"x" * 65536, 0)

    async def play_trailers(self, writer, rest, _query):
        many = b"X-Trailer: y\r\n" * int(rest)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n" + many + b"\r\n")
        return True

    async def play_unread(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n")
        await asyncio.sleep(0.3)
        return True

    async def play_kept(self, writer, _rest, _query):
        writer.write(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
        return True

    async def play_http10(self, writer, _rest, _query):
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nok")

    async def play_close(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    async def play_early_hints(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True

    async def play_large(self, writer, rest, _query):
        body = b"x" * int(rest)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        return True

    async def play_large_error(self, writer, rest, _query):
        body = b"x" * int(rest)
        writer.write(b"HTTP/1.1 503 X\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        return True

    async def play_hang(self, _writer, _rest, _query):
        await asyncio.sleep(3600)

    async def play_header_drip(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        await self._forever(writer, b"x")

    async def play_body_drip(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        await self._forever(writer, b"x")

    async def play_chunk_drip(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await self._forever(writer, b"1\r\nx\r\n")

    async def play_flood(self, writer, rest, _query):
        await self._forever(writer, b"HTTP/1.1 %b X\r\n\r\n" % rest.encode() * 500, 0)

    async def play_gzip_bomb(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(BOMB), BOMB))
        await writer.drain()
        return True

    async def play_gzip(self, writer, _rest, _query):
        body = gzip.compress(b'{"a": 1}')
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        return True

    async def play_many_headers(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(100_000):
            writer.write(b"X-%d: y\r\n" % number)
            await writer.drain()
        writer.write(b"Content-Length: 2\r\n\r\nok")

    async def play_long_header(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(160):
            writer.write(b"x" * 65536)
            await writer.drain()
        writer.write(b"\r\nContent-Length: 2\r\n\r\nok")

    async def play_short(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok")

    async def play_two_lengths(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk")

    async def play_bad_chunk(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n")

    async def play_cut_chunk(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok")

    async def play_cut_head(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")

    async def play_nothing(self, _writer, _rest, _query):
        pass

    async def play_garbage(self, writer, _rest, _query):
        writer.write(b"\x16\x03\x01 SSH-2.0-OpenSSH\r\n\r\n")

    async def play_reset(self, writer, rest, _query):
        if rest == "mid":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok")
            await writer.drain()
            await asyncio.sleep(0.05)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def play_endless(self, writer, _rest, _query):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await self._forever(writer, b"x" * 65536, 0)
