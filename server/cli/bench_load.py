"""The run of a bench: a receiver, events at fixed moments, and what came of them. One event loop does all of it.

Moments are of one monotonic clock in one process, so that no clocks have to agree, wherever the server is.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from server.cli.bench_shown import buckets, quantiles
from server.cli.client import InProcess, Rest
from server.kernel.errors import CrossdockError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from server.cli.bench import Tell
    from server.cli.bench_stage import Stage

PROBE_SECONDS = 15.0
"""How long the first event of each webhook may take."""
REST_SECONDS = 15.0
"""How long what was offered last may take."""
_SHOW_SECONDS = 0.2
_CONNECTIONS = 64
_THREADS = 8
_MOST_BUFFER = 1_048_576
_NUMBER = re.compile(rb"seq-([0-9]{9})")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]{1,9})\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for."""

    rate: float
    seconds: float
    webhooks: int
    size: int
    batch: int
    listen: str
    receiver: str | None
    disturb: bool

    @property
    def events(self) -> int:
        """How many events are offered."""
        return max(1, int(self.rate * self.seconds / self.batch)) * self.batch


@dataclass
class Record:
    """What happened to each event, by its number: moments of the monotonic clock."""

    due: dict[int, float] = field(default_factory=dict)
    accepted: dict[int, float] = field(default_factory=dict)
    received: dict[int, float] = field(default_factory=dict)
    repeated: int = 0
    connections: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def take(self, number: int) -> None:
        """Note that an event came."""
        if number in self.received:
            self.repeated += 1
        else:
            self.received[number] = time.monotonic()


class _Receiver(asyncio.Protocol):
    """As much of HTTP/1.1 as our sender speaks."""

    def __init__(self, record: Record, run: str) -> None:
        self.record = record
        self.start = f"POST /{run}/".encode()
        self.buffer = b""
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        if isinstance(transport, asyncio.WriteTransport):
            self.transport = transport
        self.record.connections += 1

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n") + 4) > 3:  # noqa: PLR2004 - 3 is "not found" plus 4
            length = _LENGTH.search(self.buffer, 0, end)
            whole = end + (int(length[1]) if length else 0)
            if len(self.buffer) < whole:
                break
            self._answer(self.buffer[:whole], end)
            self.buffer = self.buffer[whole:]
        if len(self.buffer) > _MOST_BUFFER and self.transport is not None:
            self.transport.close()

    def _answer(self, request: bytes, end: int) -> None:
        number = _NUMBER.search(request, end) if request.startswith(self.start) else None
        if number is not None:
            self.record.take(int(number[1]))
        status = b"200 OK" if number is not None else b"404 Not Found"
        if self.transport is not None:
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")


class _Publisher(Protocol):
    """Publishes a list of events, or one."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    async def post(self, body: bytes) -> int | str:
        """Send a request; return its status, or what failed."""
        ...


class _OverHttp:
    """Over kept connections to the server."""

    def __init__(self, url: str, token: str) -> None:
        self.url = f"{url}/api/v1/events"
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    async def __aenter__(self) -> Self:
        import aiohttp  # noqa: PLC0415 (see server/cli/__init__.py)

        self.client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS), timeout=aiohttp.ClientTimeout(total=60)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def post(self, body: bytes) -> int | str:
        import aiohttp  # noqa: PLC0415

        try:
            async with self.client.post(self.url, data=body, headers=self.headers, allow_redirects=False) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__


class _Inside:
    """Into the application of this process, on threads."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.threads = ThreadPoolExecutor(_THREADS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.threads.shutdown()

    async def post(self, body: bytes) -> int | str:
        return await asyncio.get_running_loop().run_in_executor(self.threads, self._post, body)

    def _post(self, body: bytes) -> int | str:
        try:
            return Rest(InProcess(self.app)).way.request("POST", "/api/v1/events", {}, body).status
        except CrossdockError as error:
            return error.code


def run(plan: Plan, stage: Stage, tell: Tell) -> dict[str, Any]:
    """Make the webhooks, see that one event reaches each, offer the load, wait for what is under way; return the figures.

    Raises:
        Conflict, Unavailable: BENCH_UNREACHED, BENCH_NO_WORKER.
        Refused: the server does not take the webhooks.

    """
    return asyncio.run(_run(plan, stage, tell))


async def _run(plan: Plan, stage: Stage, tell: Tell) -> dict[str, Any]:
    record = Record()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Receiver(record, stage.run), plan.listen, 0)
    port = server.sockets[0].getsockname()[1]
    host = f"[{plan.listen}]" if ":" in plan.listen else plan.listen
    receiver = (plan.receiver or f"http://{host}:{port}").rstrip("/")
    publisher: _Publisher = _Inside(stage.app) if stage.app is not None else _OverHttp(stage.url, stage.token)
    try:
        await asyncio.to_thread(stage.make, plan.webhooks, receiver)
        async with publisher:
            await _probe(plan, stage, publisher, record, receiver)
            record.received.clear()
            record.repeated = 0
            watching = asyncio.create_task(_watch(record, tell))
            await _offer(plan, stage, publisher, record)
            await _until(lambda: len(record.received) >= len(record.accepted), REST_SECONDS)
            watching.cancel()
            tell(len(record.accepted), len(record.received))
    finally:
        server.close()
    return figures(plan, record)


async def _probe(plan: Plan, stage: Stage, publisher: _Publisher, record: Record, receiver: str) -> None:
    """Send one event to each webhook before anything is timed."""
    numbers = range(plan.events, plan.events + plan.webhooks)
    for number in numbers:
        status = await publisher.post(_body(plan, stage, [number]))
        if status != HTTPStatus.ACCEPTED:
            # The same once more in the way of every other command, which says what is wrong.
            await asyncio.to_thread(stage.rest.post, "/events", {"type": stage.type_of(0), "data": {}})
    if not await _until(lambda: len(record.received) >= plan.webhooks, PROBE_SECONDS):
        raise await asyncio.to_thread(stage.why_not, receiver)


async def _offer(plan: Plan, stage: Stage, publisher: _Publisher, record: Record) -> None:
    """Offer events at fixed moments: one that waits holds up none after it, so that a stall shows in every figure."""
    begin = time.monotonic() + 0.05
    under_way: set[asyncio.Task[None]] = set()
    for first in range(0, plan.events, plan.batch):
        due = begin + first / plan.rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        task = asyncio.create_task(
            _one(publisher, record, _body(plan, stage, range(first, first + plan.batch)), first, due)
        )
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    if under_way:
        await asyncio.wait(under_way, timeout=60)


async def _one(publisher: _Publisher, record: Record, body: bytes, first: int, due: float) -> None:
    count = body.count(b'"seq-')
    record.due.update(dict.fromkeys(range(first, first + count), due))
    status = await publisher.post(body)
    if status == HTTPStatus.ACCEPTED:
        record.accepted.update(dict.fromkeys(range(first, first + count), time.monotonic()))
    else:
        record.refused[str(status)] += count


def _body(plan: Plan, stage: Stage, numbers: Any) -> bytes:
    """Write events; one as an object, more as a list."""
    fill = "x" * (plan.size - 36)  # the data without it
    events = [
        f'{{"type":"{stage.type_of(each % plan.webhooks)}","data":{{"number":"seq-{each:09d}","fill":"{fill}"}}}}'
        for each in numbers
    ]
    return (events[0] if len(events) == 1 else f"[{','.join(events)}]").encode()


async def _watch(record: Record, tell: Tell) -> None:
    while True:
        tell(len(record.accepted), len(record.received))
        await asyncio.sleep(_SHOW_SECONDS)


async def _until(condition: Any, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:  # noqa: ASYNC110 - a moment of rest is what is meant
        await asyncio.sleep(0.05)
    return bool(condition())


def figures(plan: Plan, record: Record) -> dict[str, Any]:
    """Return what a record says; times in milliseconds."""
    came = {
        number: at for number, at in record.received.items() if number in record.due
    }  # a late probe is none of them
    both = [number for number in came if number in record.accepted]
    begin, end = min(record.due.values(), default=0.0), max(came.values(), default=0.0)
    waits = [max(0.0, came[each] - record.accepted[each]) for each in both]  # it may come before the answer
    return {
        "rate": plan.rate,
        "seconds": plan.seconds,
        "webhooks": plan.webhooks,
        "size": plan.size,
        "batch": plan.batch,
        "offered": len(record.due),
        "accepted": len(record.accepted),
        "refused": dict(record.refused),
        "received": len(came),
        "lost": len(record.accepted.keys() - came.keys()),
        "repeated": record.repeated,
        "connections": record.connections,
        "per_second": len(came) / (end - begin) if end > begin else 0.0,
        "ingest_ms": quantiles([record.accepted[each] - record.due[each] for each in record.accepted]),
        "latency_ms": quantiles(waits),
        "total_ms": quantiles([came[each] - record.due[each] for each in both]),
        "histogram": buckets(waits),
    }
