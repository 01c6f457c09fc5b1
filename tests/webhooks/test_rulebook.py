"""Deliveries to receivers that misbehave, all at once: each try ends in time, none counts as success, little is kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support.product import until
from tests.transport.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.product import Product

pytestmark = pytest.mark.serial  # it measures time and memory

TIMEOUT = 1.0
RETRY = {"schedule": ["1h"], "jitter": 0}
REFUSED = {
    "hang": "TIMEOUT", "header-drip": "TIMEOUT", "body-drip": "TIMEOUT", "chunk-drip": "TIMEOUT", "status/102": "TIMEOUT",
    "reset": "ANSWER_BROKEN", "reset/mid": "ANSWER_BROKEN", "nothing": "ANSWER_BROKEN", "garbage": "ANSWER_BROKEN",
    "cut-head": "ANSWER_BROKEN", "cut-chunk": "ANSWER_BROKEN", "bad-chunk": "ANSWER_BROKEN", "short": "ANSWER_BROKEN",
    "two-lengths": "ANSWER_BROKEN", "many-headers": "ANSWER_BROKEN", "long-header": "ANSWER_BROKEN",
    "flood/100": "ANSWER_BROKEN", "flood/102": "ANSWER_BROKEN", "flood/103": "ANSWER_BROKEN", "status/101": "ANSWER_BROKEN",
    "gzip-bomb": "ANSWER_TOO_LARGE", "endless": "ANSWER_TOO_LARGE", "large/200000": "ANSWER_TOO_LARGE",
    "status/300": "HTTP_STATUS", "status/304": "HTTP_STATUS", "status/400": "HTTP_STATUS", "status/404": "HTTP_STATUS",
    "status/500": "HTTP_STATUS", "large-error/200000": "HTTP_STATUS",
}  # fmt: skip
DELIVERED = [
    "ok",
    "chunked",
    "trailers/3",
    "http10",
    "kept",
    "close",
    "early-hints",
    "no-content",
    "status/202",
    "status/299",
]


@pytest.fixture
def misbehaving() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def named(behaviour: str) -> str:
    return "r-" + behaviour.replace("/", "-")


def all_at_once(product: Product, receiver: Receiver, behaviours: list[str]) -> tuple[dict[str, Any], float]:
    """Deliver one event to each behaviour; return the attempt of each, and the seconds from start to last record."""
    for behaviour in behaviours:
        product.webhook(named(behaviour), receiver.url(f"/{behaviour}"), timeout="1s", retry=RETRY)
    already = len(attempts(product))
    product.publish({})
    with product.worker():
        started = time.monotonic()
        until(lambda: len(attempts(product)) >= already + len(behaviours), seconds=20)
        seconds = time.monotonic() - started
    return attempts(product), seconds


def attempts(product: Product) -> dict[str, Any]:
    found = product.rows(
        """SELECT w.name, a.outcome, a.status, a.error, a.timings, length(a.response_body) AS kept
           FROM attempts a JOIN deliveries d ON d.id = a.delivery_id JOIN webhooks w ON w.id = d.webhook_id"""
    )
    return {row.name: row for row in found}


def test_no_misbehaving_receiver_outlasts_its_time_counts_as_success_or_fills_the_memory(
    product: Product, misbehaving: Receiver
) -> None:
    all_at_once(product, misbehaving, ["ok"])  # what the first delivery of a process loads is no growth
    product.act("r-ok", "pause")
    before = psutil.Process().memory_info().rss
    found, seconds = all_at_once(product, misbehaving, list(REFUSED))
    assert psutil.Process().memory_info().rss - before < 20_000_000
    assert seconds < TIMEOUT + 1
    for behaviour, code in REFUSED.items():
        attempt = found[named(behaviour)]
        assert attempt.outcome != "success", behaviour
        assert attempt.error["code"] == code, (behaviour, attempt.error)
        assert (attempt.kept or 0) <= 4096, behaviour


def test_every_proper_answer_is_taken_whatever_its_form(product: Product, misbehaving: Receiver) -> None:
    with Receiver("::1") as by_ipv6:
        product.webhook("r-ipv6", by_ipv6.url(), timeout="1s", retry=RETRY)
        found, _ = all_at_once(product, misbehaving, DELIVERED)
    assert {name: attempt.outcome for name, attempt in found.items()} == dict.fromkeys(
        ["r-ipv6", *map(named, DELIVERED)], "success"
    )


def test_a_redirect_is_a_failure_and_leads_nowhere(product: Product, misbehaving: Receiver) -> None:
    with Receiver("127.0.0.2") as elsewhere:
        paths = [f"redirect/{status}?to={elsewhere.url()}" for status in (301, 302, 303, 307, 308)]
        for number, path in enumerate(paths):
            product.webhook(f"r-{number}", misbehaving.url(f"/{path}"), timeout="1s", retry=RETRY)
        product.publish({})
        with product.worker():
            until(lambda: product.states() == {"dead": len(paths)})
        assert elsewhere.connections == 0
