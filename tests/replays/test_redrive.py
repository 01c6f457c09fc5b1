"""F17: a thousand dead letters and a thousand events come back, once, at the rate that was asked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.faults import figures
from tests.replays.replaying import ask, end, made, see
from tests.support.product import Product, until

if TYPE_CHECKING:
    from tests.support.receiver import Receiver

COUNT = 1000
RATE = 500


def test_f17_a_thousand_dead_ones_are_redriven_and_a_thousand_events_replayed_once_and_in_time(
    product: Product, receiver: Receiver
) -> None:
    product.webhook("hook", receiver.url, max_in_flight=50)
    product.publish(*[{"n": n} for n in range(COUNT)])
    end(product, "dead")
    messages = {row.message_id for row in product.rows("SELECT message_id FROM deliveries")}
    with product.worker():
        for status, states, rate in (
            ("dead", {"discarded": COUNT, "delivered": COUNT}, None),
            ("delivered", {"discarded": COUNT, "delivered": 2 * COUNT}, RATE),
        ):
            receiver.hits.clear()
            started = time.monotonic()
            asked = {"filter": {"webhook": "hook", "status": [status]}, "per_second": rate}
            replay = ask(product, key=status, **asked)
            until(lambda states=states: product.states() == states, 60)
            seconds = time.monotonic() - started
            assert ask(product, key=status, **asked) == replay, "the second request is answered as the first one was"
            assert see(product, replay)["done"] == COUNT
            assert sorted(hit.headers["webhook-id"] for hit in receiver.hits) == sorted(messages)
            assert rate is None or seconds >= COUNT / rate - 1, "the first second is given in advance"
            more = {"rate_asked": rate, "rate": COUNT / seconds}
            figures.note(
                figures.Figures("F17", f"replay of {status}", COUNT, len(receiver.hits), 0, 0, 0, 0, more=more)
            )
    assert len(product.rows("SELECT FROM replays")) == 2
    assert len(made(product)) == 2 * COUNT
