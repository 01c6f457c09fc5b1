"""A webhook's priority is that of all its work: owed, fanned out, tried again by hand; and targets are known by all they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from server.queue.claims import PRIORITIES
from server.webhooks import owing
from tests.support.product import until
from tests.support.receiver import Answer

if TYPE_CHECKING:
    from tests.support.product import Product
    from tests.support.receiver import Receiver


@pytest.mark.parametrize("priority", sorted(PRIORITIES))
def test_what_is_owed_has_the_priority_of_its_webhook(product: Product, receiver: Receiver, priority: str) -> None:
    product.webhook("hook", receiver.url, priority=priority)
    product.publish({})
    assert [row.priority for row in product.rows("SELECT priority FROM due WHERE kind = 'delivery'")] == [
        PRIORITIES[priority]
    ]


def test_what_is_fanned_out_has_it_too(product: Product, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owing, "FANOUT_ABOVE", 1)
    for name, priority in (("a", "high"), ("b", "low"), ("c", "normal")):
        product.webhook(name, receiver.url, priority=priority, max_in_flight=3, expires="1h")
    product.publish({})
    assert product.fan_out() == 3
    rows = product.rows(
        """SELECT due.priority, due.lane_limit, extract(epoch FROM d.expires_at - d.created_at) AS seconds
           FROM due JOIN deliveries d ON d.id = due.ref ORDER BY 1"""
    )
    assert [(row.priority, row.lane_limit, row.seconds) for row in rows] == [(0, 3, 3600), (1, 3, 3600), (2, 3, 3600)]


def test_one_tried_again_by_hand_keeps_it(product: Product, receiver: Receiver) -> None:
    receiver.answer = Answer(400)
    product.webhook("hook", receiver.url, priority="high")
    product.publish({})
    with product.worker():
        until(lambda: product.rows("SELECT 1 FROM dead_letters"))
    [row] = product.rows("SELECT id FROM dead_letters")
    with product.tx() as tx:
        product.core.reopening.reopen(tx, [each.ref for each in tx.all("SELECT ref FROM dead_letters")])
    assert row is not None
    assert [each.priority for each in product.rows("SELECT priority FROM due WHERE kind = 'delivery'")] == [0]
