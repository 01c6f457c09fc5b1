"""A burst of events against a fleet, who receives them, and the history of both: what was answered and what came.

All of it runs on one event loop in a thread. An event's id is chosen by the client, so that it may be sent again until it is
answered 2xx: only then it counts as accepted.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from tests.faults.history import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from tests.faults.history import Record, Verdict
    from tests.support.fleet import Fleet

_GIVE_UP = 60.0
_OWED = """SELECT 1 FROM due JOIN deliveries d ON d.id = due.ref JOIN webhooks w ON w.id = d.webhook_id
           WHERE due.kind = 'delivery' AND w.name = %s LIMIT 1"""
_TIMEOUT = aiohttp.ClientTimeout(total=15)


def type_of(name: str) -> str:
    """Return the event type of a burst: its own, so that no other webhook means it."""
    return f"load.{name}"


@dataclass(frozen=True, slots=True)
class Try:
    """One request of the client: its status or the name of the error, and when and how long."""

    event: str
    status: int | str
    at: float
    seconds: float
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One request that came to the receiver."""

    at: float
    path: str
    headers: dict[str, str]
    body: bytes
    event: str  # its id, which the client has put into its data too


@dataclass
class Sent:
    """What the client sent and was answered."""

    began: dict[str, float] = field(default_factory=dict)
    accepted: dict[str, float] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    tries: list[Try] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[int | str]:
        """How often which answer came."""
        return Counter(each.status for each in self.tries)

    def latency(self, share: float) -> float:
        """Return a quantile of the seconds that accepted requests took."""
        return sorted(each.seconds for each in self.tries if each.status == 202)[int(share * (len(self.accepted) - 1))]


class Site:
    """The world outside of the product: one loop with a receiver that counts, and clients. A context manager.

    It answers after `delay` seconds (some paths after `delays`), refuses for good (400) what comes to the paths `closed`,
    and for now (503), while `refused_first`, the first request of each message.
    """

    def __init__(self) -> None:
        self.hits: dict[str, list[Hit]] = defaultdict(list)
        self.delay = 0.02
        self.delays: dict[str, float] = {}
        self.closed: set[str] = set()
        self.refused_first = False
        self.known: set[str] = set()
        self.connections: set[Any] = set()
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server: asyncio.Server = self.run(self._listen()).result(10)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._close()).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Start something on the loop; returns its future."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def hits_of(self, path: str) -> list[Hit]:
        """Return what came to one webhook."""
        return list(self.hits[path])

    async def _close(self) -> None:
        self._server.close()
        for connection in list(self.connections):
            connection.close()
        ours = asyncio.all_tasks() - {asyncio.current_task()}
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=1024)


class _Connection(asyncio.Protocol):
    """As much of HTTP/1.1 as our sender speaks: requests with a length, one after the other."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.site.connections.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        self.site.connections.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        path, body, site = first.split(" ")[1], rest[:length], self.site
        event = str(json.loads(body)["data"].get("id", ""))
        site.hits[path].append(Hit(time.monotonic(), path, headers, body, event))
        answer = b"204 No Content"
        if path in site.closed:
            answer = b"400 Never\r\nContent-Length: 0"
        elif site.refused_first and headers["webhook-id"] not in site.known:
            site.known.add(headers["webhook-id"])
            answer = b"503 Later\r\nContent-Length: 0"
        asyncio.get_running_loop().call_later(site.delays.get(path, site.delay), self._answer, answer)

    def _answer(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + answer + b"\r\n\r\n")


class Burst:
    """`count` events at `rate` a second by `clients` at a time, each sent to any API process until it is accepted.

    Of every `gives_up`-th event the client does not insist: it sends it once, and never learns what became of it.
    """

    def __init__(
        self,
        site: Site,
        urls: Sequence[str],
        token: str,
        name: str,
        *,
        count: int,
        rate: float,
        clients: int = 16,
        path: str = "",
        data: dict[str, Any] | None = None,
        gives_up: int = 0,
        patience: float = _GIVE_UP,
    ) -> None:
        self.history = Sent()
        self.site = site
        self.urls = urls
        self.path = path or f"/{name}"
        self.name = name
        self.count = count
        self.started = time.monotonic()
        self.faults: list[Record] = []
        self._headers = {"Authorization": f"Bearer {token}"}
        self._data = data or {}
        self._next = iter(range(count))
        self._rate = rate
        self._gives_up = gives_up
        self._patience = patience
        self._done = site.run(self._all(clients))

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """Write into the history what is done to the product inside of the block."""
        at = time.monotonic()
        try:
            yield
        finally:
            self.faults.append({"what": "fault", "name": name, "at": at, "until": time.monotonic()})

    def progress(self, share: float, seconds: float = 60.0) -> None:
        """Wait until a share of the events is accepted or given up."""
        self._wait(lambda: self._answered() >= share * self.count, seconds)

    def sent(self) -> Sent:
        """Wait until every event was accepted."""
        self._done.result(self._patience + self.count / self._rate + 60)
        return self.history

    def settled(self, fleet: Fleet, seconds: float = 60.0) -> Verdict:
        """Wait until every event was accepted, came, and nothing is owed any more; judge."""
        self.sent()
        self.arrived(seconds)
        self._wait(lambda: not fleet.rows(_OWED, self.name), 30, strict=False)
        verdict = self.judge()
        print(self.report(verdict))
        return verdict

    def arrived(self, seconds: float = 60.0) -> None:
        """Wait until every accepted event came, or the time is over."""
        self._wait(lambda: set(self.history.accepted) <= {hit.event for hit in self._hits()}, seconds, strict=False)

    def report(self, verdict: Verdict) -> str:
        """Return the history in a line: what pytest shows of a test that fails, and `-rP` of all."""
        waits = self.waits() or [float("inf")]
        return (
            f"{self.name}: accepted {verdict.accepted}, lost {len(verdict.lost)}, unexpected {len(verdict.unexpected)}, "
            f"duplicates {verdict.duplicates}, recovered {len(verdict.recovered)}, recovery {verdict.recovery:.2f} s, "
            f"silence {verdict.silence:.2f} s, answers {dict(self.history.statuses)}, "
            f"answered p50 {self.history.latency(0.5):.3f} p99 {self.history.latency(0.99):.3f} s, "
            f"arrived p50 {waits[len(waits) // 2]:.3f} max {waits[-1]:.3f} s, {time.monotonic() - self.started:.1f} s in all"
        )

    def records(self) -> list[Record]:
        """Return the history of this burst: see history.py."""
        tries = (
            {"what": "try", "event": each.event, "status": each.status, "at": each.at, "seconds": each.seconds}
            for each in list(self.history.tries)
        )
        hits = (
            {"what": "hit", "event": hit.event, "message": hit.headers["webhook-id"], "path": hit.path, "at": hit.at}
            for hit in self._hits()
        )
        sent = ({"what": "sent", "event": event, "at": at} for event, at in self.history.began.items())
        return [*sent, *tries, *hits, *self.faults]

    def judge(self) -> Verdict:
        """Compare what was accepted with what came."""
        return judge(self.records())

    def first_hit_after(self, moment: float) -> float:
        """Return the seconds from a moment to the next request that came."""
        return min((hit.at - moment for hit in self._hits() if hit.at >= moment), default=float("inf"))

    def waits(self) -> list[float]:
        """Return the seconds from each event's acceptance to its first arrival, sorted."""
        first: dict[str, float] = {}
        for hit in self._hits():
            first.setdefault(hit.event, hit.at)
        return sorted(first[event] - at for event, at in self.history.accepted.items() if event in first)

    def _hits(self) -> list[Hit]:
        return self.site.hits_of(self.path)

    def _answered(self) -> int:
        return len(self.history.accepted) + len(self.history.given_up)

    async def _all(self, clients: int) -> None:
        async with aiohttp.ClientSession(headers=self._headers, timeout=_TIMEOUT) as session:
            await asyncio.gather(*(self._client(session) for _ in range(clients)))

    async def _client(self, session: aiohttp.ClientSession) -> None:
        for number in self._next:
            await asyncio.sleep(max(0.0, self.started + number / self._rate - time.monotonic()))
            event = f"{self.name}-{number}"
            self.history.began[event] = time.monotonic()
            await self._until_accepted(session, event, once=bool(self._gives_up) and number % self._gives_up == 0)

    async def _until_accepted(self, session: aiohttp.ClientSession, event: str, *, once: bool) -> None:
        body = {"type": type_of(self.name), "id": event, "data": {**self._data, "id": event}}
        give_up = time.monotonic() + self._patience
        while time.monotonic() < give_up:
            tried = await self._try(session, body)
            self.history.tries.append(tried)
            if tried.status == 202:
                self.history.accepted[event] = tried.at + tried.seconds
                return
            if once:
                self.history.given_up.add(event)
                return
            await asyncio.sleep(random.uniform(0.05, 0.3))
        raise AssertionError(f"{event} was not accepted within {self._patience:g} s: {self.history.statuses}")

    async def _try(self, session: aiohttp.ClientSession, body: dict[str, Any]) -> Try:
        at = time.monotonic()
        try:
            async with session.post(f"{random.choice(self.urls)}/api/v1/events", json=body) as answer:
                told = await answer.json(content_type=None)
                assert answer.status != 202 or told["id"] == body["id"], told
                seconds = time.monotonic() - at
                return Try(body["id"], answer.status, at, seconds, answer.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Try(body["id"], type(error).__name__, at, time.monotonic() - at)

    def _wait(self, condition: Callable[[], Any], seconds: float, *, strict: bool = True) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if self._done.done():
                self._done.result()
            if time.monotonic() > end:
                assert not strict, f"only {len(self.history.accepted)} accepted: {self.history.statuses}"
                return
            time.sleep(0.05)
