"""Inbound webhooks: signed orders posted on kept connections, each verified, stored, deduplicated and then acknowledged.

The load is one event loop in this process; every request is made and signed before the clock starts.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import requests
import uvloop

from server.kernel.ids import new_uuid
from server.runtime.ports import free_port
from server.runtime.processes import spawn
from server.sdk.signing import Signer, generate_secret
from server.webhooks.aggregate import Webhook
from tests.benchmarks.measuring import Sizes, quantiles
from tests.benchmarks.rig import ROOT, Rig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONNECTIONS = 10
SIZE = 2048
NAME = "orders"
_WARM = 500
_RATE = 6000  # requests made beforehand for each second: more than can be answered


def body_of(number: int) -> bytes:
    """Make an order of 2 KiB: 21 fields and 10 lines."""
    order = {
        "id": number,
        "currency": "USD",
        "total_price": "1234.50",
        "customer": {"id": 7, "name": "A customer", "email": "a@example.com", "phone": "+1 202 555 0100"},
        "created_at": "2026-01-01T00:00:00Z",
        "line_items": [
            {"sku": f"SKU-{line}", "quantity": line, "price": "10.00", "title": "A thing"} for line in range(10)
        ],
        "shipping": {"street": "Long street 1", "city": "Berlin", "zip": "10115", "country": "DE"},
        "note": "",
    }
    raw = json.dumps(order)
    return json.dumps({**order, "note": "x" * (SIZE - len(raw))}).encode()


def request_of(signer: Signer, number: int, host: str, path: str) -> bytes:
    """Make one signed request as it goes over the wire."""
    body, now = body_of(number), int(time.time())
    id_ = f"msg_{number:026d}"
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nUser-Agent: sender/1\r\n"
        f"webhook-id: {id_}\r\nwebhook-timestamp: {now}\r\nwebhook-signature: {signer.sign(id_, now, body)}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class _Line(asyncio.Protocol):
    """One kept connection: the next request goes out when the one before was answered."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.buffer = b""
        self.sent = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.next()

    def next(self) -> None:
        request = next(self.load.requests, None)
        if request is None or time.perf_counter() > self.load.until:
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n") + 4
        at = self.buffer.find(b"content-length: ", 0, end)
        if end < 4 or at < 0 or len(self.buffer) < end + int(self.buffer[at + 16 : self.buffer.index(b"\r", at)]):
            return
        self.load.answered(self.buffer[9:12], time.perf_counter() - self.sent)
        self.buffer = b""
        self.next()

    def connection_lost(self, _error: Exception | None) -> None:
        self.load.open -= 1
        if not self.load.open:
            self.load.done.set()


class Load:
    """Posts requests over ten connections until a moment; keeps how long each answer took."""

    def __init__(self, made: Sequence[bytes], seconds: float) -> None:
        self.requests: Iterator[bytes] = iter(made)
        self.seconds = seconds
        self.open = CONNECTIONS
        self.statuses: dict[bytes, int] = {}
        self.times: list[float] = []

    def answered(self, status: bytes, seconds: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.times.append(seconds)

    async def run(self, port: int) -> dict[str, Any]:
        """Return the rate and the quantiles of the answers."""
        self.done = asyncio.Event()
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        self.until = began + self.seconds
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: _Line(self), "127.0.0.1", port)
        await self.done.wait()
        wall = time.perf_counter() - began
        return {
            "per_second": len(self.times) / wall,
            "answered": len(self.times),
            "statuses": {status.decode(): count for status, count in sorted(self.statuses.items())},
            "answer_ms": quantiles(self.times),
        }


def declare(rig: Rig) -> str:
    """Make the endpoint and return its secret."""
    secret = generate_secret()
    body = {
        "name": NAME,
        "direction": "inbound",
        "path": NAME,
        "verify": {"scheme": "standard-webhooks", "key": {"secret": "SENDER"}},
        "emit": {
            "type": "order.created",
            "subject": "text(body.id)",
            "data": {
                "order_id": "text(body.id)",
                "customer": "body.customer.id",
                "total": {"from": "body.total_price", "type": "decimal"},
                "lines": {"each": "body.line_items", "map": {"sku": "item.sku", "quantity": "item.quantity"}},
            },
        },
    }
    with rig.product.tx() as tx:
        rig.product.core.secrets.set(tx, "SENDER", secret)
        tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
        webhook = Webhook(new_uuid())
        webhook.create(NAME, body, 1, {})
        webhook.activate()
        rig.product.core.webhooks.add(tx, webhook)
    return secret


def inbound(sizes: Sizes) -> dict[str, Any]:
    """Signed orders of 2 KiB over 10 connections: verified, stored, deduplicated, acknowledged; beside a bare Flask view."""
    with Rig(hooks=1, start=("api",)) as rig:
        signer = Signer([declare(rig)])
        path = f"/in/default/default/{NAME}"
        made = [request_of(signer, number, "127.0.0.1", path) for number in range(int(_RATE * sizes.seconds) + _WARM)]
        uvloop.run(Load(made[:_WARM], 30).run(rig.api_port))
        cpu = rig.cpu("api")
        found = uvloop.run(Load(made[_WARM:], sizes.seconds).run(rig.api_port))
        spent = rig.cpu("api") - cpu
        again = uvloop.run(Load(made[:1000], 30).run(rig.api_port))
        accepted = found["answered"] + _WARM
        rows = rig.rows("SELECT count(*), count(DISTINCT message_id) FROM inbound_requests")[0]
        due = rig.rows("SELECT count(*) FROM due WHERE kind = 'inbound'")[0][0]
        bare = _bare(made[: int(_RATE * 3)], min(3.0, sizes.seconds))
    return {
        **found,
        "api_cpu_us": 1e6 * spent / max(1, found["answered"]),
        "duplicates_per_second": again["per_second"],
        "lost": accepted - min(rows[1], due),
        "repeated": rows[0] - rows[1],
        "bare_flask_per_second": bare["per_second"],
        "bare_flask_ms": bare["answer_ms"],
        "of_bare_flask": found["per_second"] / bare["per_second"],
    }


def inbound_mapped(sizes: Sizes) -> dict[str, Any]:
    """A backlog of stored orders mapped and emitted by one worker."""
    with Rig(hooks=1, start=("api", "scheduler")) as rig:
        signer = Signer([declare(rig)])
        path = f"/in/default/default/{NAME}"
        count = min(sizes.backlog, 20_000)
        made = [request_of(signer, number, "127.0.0.1", path) for number in range(count)]
        uvloop.run(Load(made, 60).run(rig.api_port))
        rig.start("worker-1")
        began, cpu = time.perf_counter(), rig.cpu("worker-1")
        rig.until(lambda: not rig.rows("SELECT 1 FROM due WHERE kind = 'inbound' LIMIT 1"), 120, "everything mapped")
        wall, spent = time.perf_counter() - began, rig.cpu("worker-1") - cpu
        events = rig.rows("SELECT count(*), count(DISTINCT subject) FROM events WHERE type = 'order.created'")[0]
    return {
        "per_second": count / wall,
        "worker_cpu_us": 1e6 * spent / count,
        "lost": count - events[1],
        "repeated": events[0] - events[1],
    }


def _bare(made: Sequence[bytes], seconds: float) -> dict[str, Any]:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--port", str(port), "tests.benchmarks.bare:app"]
    process = spawn(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, output=sys.stderr)  # type: ignore[arg-type]
    try:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                requests.post(f"http://127.0.0.1:{port}/x", timeout=2)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        return uvloop.run(Load(made, seconds).run(port))
    finally:
        process.terminate()
        process.wait(10)
