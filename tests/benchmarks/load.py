"""The load of the benchmarks: events over REST on few kept connections, from one event loop that does little else."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Self

PAYLOAD = 1024
GRACE_SECONDS = 30.0
"""How long after its last moment an open loop waits for answers; what has none then is counted, and not sent."""
_ENVELOPE = len(
    '{"type":"bench.t0000","timestamp":"2026-01-01T00:00:00.000000Z","data":{"n":"seq-00000000","fill":""}}'
)
_FILL = "x" * (PAYLOAD - _ENVELOPE)
"""Makes the body that is sent on 1 KiB long."""


def type_of(hook: int) -> str:
    """Return the event type to which one webhook listens."""
    return f"bench.t{hook:04d}"


def event(number: int, type_: str, fill: str = _FILL) -> str:
    """Make one event as it is posted."""
    return f'{{"type":"{type_}","data":{{"n":"seq-{number:08d}","fill":"{fill}"}}}}'


class _Line(asyncio.Protocol):
    """One kept connection: one request at a time."""

    def __init__(self) -> None:
        self.buffer = b""
        self.answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = self.buffer[:end].lower()
        at = head.find(b"content-length:")
        size = end + (int(head[at + 15 : head.index(b"\r", at)]) if at > 0 else 0)
        if len(self.buffer) >= size and self.answer is not None:
            body, self.buffer = self.buffer[end:size], self.buffer[size:]
            self.answer.set_result((int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(error or ConnectionResetError("closed"))


class Client:
    """Posts over a pool of kept connections. A context manager."""

    def __init__(self, url: str, token: str = "", connections: int = 4) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.host, self.port = host, int(port)
        self.token = token
        self.connections = connections
        self._free: asyncio.Queue[_Line] = asyncio.Queue()
        self._lines: list[_Line] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for _ in range(self.connections):
            _, line = await loop.create_connection(_Line, self.host, self.port)
            self._lines.append(line)
            self._free.put_nowait(line)
        return self

    async def __aexit__(self, *_: object) -> None:
        for line in self._lines:
            line.transport.close()

    async def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send one request on the next free connection; return status and body."""
        line = await self._free.get()
        line.answer = asyncio.get_running_loop().create_future()
        line.transport.write(
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        try:
            return await asyncio.wait_for(line.answer, 120)
        finally:
            self._free.put_nowait(line)

    async def publish(self, body: bytes) -> None:
        """Publish one event or a list."""
        status, answer = await self.send("POST", "/api/v1/events", body)
        if status != 202:
            raise SystemExit(f"an event was answered {status}: {answer[:500].decode()}")


async def publish_many(
    client: Client, numbers: range, hooks: Sequence[int], batch: int, may: Callable[[int], Awaitable[None]]
) -> None:
    """Publish events in lists, over all connections; each waits for `may(number)` before its list goes out."""
    starts = iter(range(numbers.start, numbers.stop, batch))

    async def sender() -> None:
        for start in starts:
            await may(start)
            events = [
                event(number, type_of(hooks[number % len(hooks)]))
                for number in range(start, min(start + batch, numbers.stop))
            ]
            await client.publish(f"[{','.join(events)}]".encode())

    await asyncio.gather(*(sender() for _ in range(client.connections)))


@dataclass
class Offered:
    """What an open loop offered, by event number: when it was due, when it was sent and when it was answered."""

    due: dict[int, float] = field(default_factory=dict)
    sent: dict[int, float] = field(default_factory=dict)
    accepted: dict[int, float] = field(default_factory=dict)
    unanswered: int = 0
    seconds: float = 0.0


async def offer(
    client: Client, rate: float, seconds: float, hooks: Sequence[int], *, batch: int = 1, first: int = 0
) -> Offered:
    """Offer events at fixed moments, whatever happened to those before: nothing that stalls slows the offer down."""
    offered = Offered()
    start = time.monotonic() + 0.1
    tasks = []

    async def one(number: int, due: float) -> None:
        numbers = range(number, number + batch)
        events = [event(each, type_of(hooks[each % len(hooks)])) for each in numbers]
        body = (events[0] if batch == 1 else f"[{','.join(events)}]").encode()
        sent = time.monotonic()
        await client.publish(body)
        accepted = time.monotonic()
        for each in numbers:
            offered.due[each], offered.sent[each], offered.accepted[each] = due, sent, accepted

    for step in range(int(rate * seconds / batch)):
        due = start + step * batch / rate
        pause = due - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        tasks.append(asyncio.create_task(one(first + step * batch, due)))
    _, unanswered = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
    for task in unanswered:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    offered.unanswered = len(unanswered) * batch
    offered.seconds = time.monotonic() - start
    return offered


async def received(client: Client) -> dict[str, Any]:
    """Ask the receiver how much came."""
    return dict(json.loads((await client.send("GET", "/stats"))[1]))
