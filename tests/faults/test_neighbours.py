"""F8, F9 and F15: receivers that misbehave, hang or kill cost themselves a try, and nobody else anything."""

from __future__ import annotations

import asyncio
import gzip
import io
import ssl
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests
import trustme
from sqlalchemy import text

from server import bootstrap
from server.integrations.aggregate import Integration
from server.kernel.ids import new_uuid
from server.store.repository import SqlRepository
from tests.faults import figures
from tests.faults.burst import Burst, type_of
from tests.faults.forms import EVENTS, RECOVER_SECONDS, Form
from tests.faults.history import NOTHING
from tests.support.product import Product, until
from tests.support.receiver import Answer, Receiver
from tests.transport import receiver as misbehaving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.burst import Site
    from tests.support.fleet import Fleet

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
MEGABYTE = 2**20
TIMEOUT = 3.0
BEHAVIOURS = (
    "hang",
    "half-open",
    "reset",
    "reset/mid",
    "header-drip",
    "body-drip",
    "chunk-drip",
    "bomb",
    "many-headers",
    "flood/102",
    "short",
    "two-lengths",
    "endless",
)


def bomb(size: int = 300 * MEGABYTE) -> bytes:
    """Return so many zeros as gzip, made in pieces."""
    made = io.BytesIO()
    with gzip.GzipFile(fileobj=made, mode="wb", compresslevel=1) as packed:
        for _ in range(size // MEGABYTE):
            packed.write(b"\0" * MEGABYTE)
    return made.getvalue()


class Misbehaving(misbehaving.Receiver):  # type: ignore[misc]
    """The receiver of the transport's tests, and two behaviours more."""

    packed = b""

    async def play_half_open(self, writer: Any, _rest: str, _query: Any) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        writer.write_eof()  # our half is closed, the other one stays open
        await asyncio.sleep(3600)

    async def play_bomb(self, writer: Any, _rest: str, _query: Any) -> bool:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(self.packed)}\r\n\r\n"
        writer.write(head.encode() + self.packed)
        await writer.drain()
        return True


def test_f8_a_receiver_that_misbehaves_costs_itself_a_try(fleet: Fleet, shoot: Callable[..., Burst]) -> None:
    authority = trustme.CA()
    broken = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("elsewhere.test").configure_cert(broken)
    Misbehaving.packed = bomb()
    for name in fleet.workers[1:]:
        fleet.end(name)
    [worker] = fleet.workers[:1]
    shoot(Form(50, 100)).settled(fleet)  # what a worker loads with its first delivery is not the receiver's work
    with Misbehaving() as odd, Misbehaving(tls=broken) as wrong, Misbehaving(greeting=b"220 mail ESMTP\r\n") as plain:
        urls = {each.replace("/", "-"): odd.url(f"/{each}") for each in BEHAVIOURS}
        urls |= {"tls-wrong-name": wrong.url("/ok"), "tls-none": plain.url("/ok").replace("http:", "https:")}
        for name, url in urls.items():
            fleet.product.webhook(name, url, events=[type_of("odd")], timeout="3s", retry={"schedule": ["1h"]})
        before = peak = fleet.memory()[worker]
        with shoot_beside(shoot) as beside:
            began = time.monotonic()
            fleet.product.publish({}, type_=type_of("odd"))
            ended: dict[str, float] = {}
            while len(ended) < len(urls) and time.monotonic() - began < 30:
                rows = fleet.rows(
                    """SELECT w.name FROM attempts a JOIN deliveries d ON d.id = a.delivery_id
                       JOIN webhooks w ON w.id = d.webhook_id WHERE w.name = ANY(%s)""",
                    list(urls),
                )
                for (name,) in rows:
                    ended.setdefault(name, time.monotonic() - began)
                peak = max(peak, fleet.memory()[worker])
                time.sleep(0.05)
        verdict = beside.settled(fleet)
    grown = (peak - before) / MEGABYTE
    rows = fleet.rows(
        """SELECT w.name, a.outcome, a.error ->> 'code', coalesce(length(a.response_body), 0), d.state
           FROM attempts a JOIN deliveries d ON d.id = a.delivery_id JOIN webhooks w ON w.id = d.webhook_id
           WHERE w.name = ANY(%s)""",
        list(urls),
    )
    figures.note(
        figures.of(
            "F8",
            f"{len(urls)} receivers beside a burst",
            verdict,
            longest_attempt_s=max(ended.values()),
            time_out_s=TIMEOUT,
            worker_grew_by_mb=grown,
            largest_kept_body=max(row[3] for row in rows),
        )
    )
    assert set(ended) == set(urls)
    assert max(ended.values()) <= TIMEOUT + 1.0 + 0.5  # half a second for the claim and the look
    assert {name for name, outcome, *_ in rows if outcome == "success"} == set()
    assert all(code for _, _, code, *_ in rows)
    assert max(row[3] for row in rows) <= 65_536
    assert grown <= 20
    assert (verdict.accepted, verdict.sound, verdict.repeated) == (beside.count, NOTHING, {})
    assert fleet.dead() == fleet.workers[1:]


@contextmanager
def shoot_beside(shoot: Callable[..., Burst]) -> Iterator[Burst]:
    """Have a burst under way meanwhile."""
    burst = shoot(Form(300, 75))
    yield burst
    burst.sent()


def test_f9_one_receiver_of_ten_that_hangs_slows_none_of_the_others(
    fleet: Fleet, shoot: Callable[..., Burst], site: Site
) -> None:
    form = Form(max(EVENTS // 20, 100), 20)
    calm = [shoot(form, clients=4) for _ in range(10)]
    base = [burst.settled(fleet) for burst in calm]
    site.delays = {"/hangs": 3600.0}
    loud = [shoot(form, clients=4) for _ in range(9)]
    hanging = shoot(form, name="hangs", path="/hangs", clients=4, webhook={"timeout": "5s", "max_in_flight": 10})
    verdicts = []
    for burst in loud:
        burst.sent()
        burst.arrived()
        verdicts.append(burst.judge())
    hanging.sent()
    normal, slowed = waits_of(calm[:9]), waits_of(loud)
    speed, speed_now = rate_of(calm[:9]), rate_of(loud)
    figures.note(
        figures.of(
            "F9",
            "one of ten hangs",
            verdicts[0],
            healthy_p95_ms=1000 * slowed,
            p95_before_ms=1000 * normal,
            healthy_per_second=speed_now,
            per_second_before=speed,
        )
    )
    assert all((each.accepted, each.sound, each.repeated) == (form.count, NOTHING, {}) for each in [*base, *verdicts])
    assert slowed <= max(2 * normal, 0.05)
    assert speed_now >= 0.8 * speed


def waits_of(bursts: list[Burst]) -> float:
    """Return the p95 of the seconds from acceptance to arrival."""
    waits = sorted(wait for burst in bursts for wait in burst.waits())
    return waits[int(0.95 * len(waits))]


def rate_of(bursts: list[Burst]) -> float:
    """Return how many arrived per second, first to last."""
    times = sorted(hit.at for burst in bursts for hit in burst.site.hits_of(burst.path))
    return len(times) / (times[-1] - times[0])


def test_f9_a_breaker_opens_after_five_and_lets_one_of_twenty_workers_probe(
    product: Product, receiver: Receiver
) -> None:
    receiver.answer = Answer(503)
    integration = Integration(new_uuid())
    policy = {
        "breaker": {"failures": 5, "successes": 1, "reset": "1m"},
        "retry": {"attempts": 5, "initial": "1h", "max": "1h"},
    }
    body = {"name": "api", "plugin": "http", "config": {"base_url": receiver.url}, "policy": policy}
    with product.tx() as tx:
        integration.create("api", body, 1, {})
        integration.activate()
        SqlRepository("integrations", Integration).add(tx, integration)
    product.webhook("hook", "", integration="api", max_in_flight=50)
    with racing(product, 20) as workers:
        for number in range(1, 6):
            product.publish({"n": number})
            wake(workers)
            until(lambda number=number: failures(product) == number, 10, f"failure {number} is counted")
        product.publish(*({"n": number} for number in range(6, 46)))
        wake(workers)
        until(lambda: postponed(product) == 40, 20, "the others wait for the breaker")
        opened_after = len(receiver.hits)
        receiver.answer = Answer(204, delay=2.0)
        with product.core.engine.engine.begin() as conn:
            conn.execute(text("UPDATE breakers SET opened_at = opened_at - interval '61 seconds'"))
        product.hurry()
        wake(workers)
        receiver.wait(6)
        time.sleep(1.2)
        probes = len(receiver.hits) - opened_after
        receiver.answer = Answer(204)
        until(lambda: not product.rows("SELECT 1 FROM breakers WHERE state <> 'closed'"), 10, "one success closes it")
        product.hurry()
        wake(workers)
        until(lambda: product.states().get("delivered", 0) >= 40, 30, "everything goes on")
    figures.note(
        figures.Figures("F9", "20 workers race for a probe", more={"opened_after": opened_after, "probes": probes})
    )
    assert (opened_after, probes) == (5, 1)


def failures(product: Product) -> int:
    rows = product.rows("SELECT failures FROM breakers")
    return rows[0].failures if rows else 0


def postponed(product: Product) -> int:
    return len(product.rows("SELECT 1 FROM deliveries WHERE reason = 'breaker' AND attempts = 0"))


@contextmanager
def racing(product: Product, count: int) -> Iterator[list[Any]]:
    """Run many workers, each with pools and caches of its own as processes have, each in a thread."""
    workers = [bootstrap.worker(product.settings) for _ in range(count)]
    threads = [threading.Thread(target=asyncio.run, args=(each.deliveries.run(),), daemon=True) for each in workers]
    stop = threading.Event()

    def chores() -> None:
        while not stop.wait(0.05):
            for chore in workers[0].chores:
                if chore():
                    wake(workers)

    threads.append(threading.Thread(target=chores, daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield workers
    finally:
        stop.set()
        for worker in workers:
            worker.deliveries.stop()
        for thread in threads:
            thread.join(30)
        for worker in workers:
            worker.store.close()


def wake(workers: list[Any]) -> None:
    for worker in workers:
        worker.deliveries.wake()


POISON = "a-delivery-that-kills"
HOSTILE = (
    b'{"type": "load.none", "data": {"a": "\\u0000"}}',
    b'{"type": "load.none", "data": {"a": "\\ud800"}}',
    b'{"type": "load.none", "data": {"a": 1e999}}',
    b'{"type": "load.none", "data": {"a": NaN}}',
    b'{"type": "load.none", "data": {"a": ' + b"9" * 5000 + b"}}",
    b'{"type": "load.none", "type": "load.other", "data": {}}',
    b'{"type": "load.none", "data": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"type": "load.none", "data": {"__proto__": {"a": 1}}}',
    b"\xff\xfe{\x00}\x00",
    b'{"type": "load.none", "data": {',
    b"",
)


def test_f15_a_delivery_that_kills_its_worker_ends_as_a_dead_letter_and_takes_nobody_with_it(
    fleet: Fleet, shoot: Callable[..., Burst]
) -> None:
    for name in fleet.workers:
        fleet.strange[name] = ["--deadly", POISON]
        fleet.end(name)
    fleet.start(*fleet.workers)
    fleet.ready()
    fleet.product.webhook("poison", "http://127.0.0.1:9/", events=[type_of("poison")])
    [poison] = fleet.product.publish({"text": POISON}, type_=type_of("poison"))
    burst = shoot(Form(max(EVENTS // 10, 200), max(EVENTS / 1000, 5.0)))
    headers = {"Authorization": f"Bearer {fleet.token()}", "Content-Type": "application/json"}
    answers = [
        requests.post(f"{fleet.urls[0]}/api/v1/events", data=body, headers=headers, timeout=20).status_code
        for body in HOSTILE
    ]
    kills, began = 0, time.monotonic()
    letters = """SELECT l.reason, d.attempts FROM dead_letters l JOIN deliveries d ON d.id = l.ref
                 JOIN events e ON e.uid = d.event_uid WHERE e.id = %s"""
    while not (found := fleet.rows(letters, poison)) and time.monotonic() - began < 300:
        dead = [name for name in fleet.dead() if name in fleet.workers]
        kills += len(dead)
        fleet.start(*dead)  # as the supervisor does
        time.sleep(0.5)
    seconds = time.monotonic() - began
    verdict = burst.settled(fleet)
    for name in fleet.workers:
        del fleet.strange[name]
    bound = kills * 50
    figures.note(
        figures.of("F15", "one delivery kills", verdict, bound, workers_killed=kills, dead_letter_after_s=seconds)
    )
    figures.note(
        figures.Figures("F15", "hostile payloads", more={"sent": len(answers), "answers": sorted(set(answers))})
    )
    assert found == [("poison", 0)]
    assert kills <= 11
    assert (verdict.accepted, verdict.sound) == (burst.count, NOTHING)
    assert verdict.duplicates <= bound
    assert verdict.slowest <= RECOVER_SECONDS + 10
    assert max(answers) < 500
