"""Deliveries that were claimed again and again without an outcome go few at a time: one of them may be what kills workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server import bootstrap
from tests.support.product import Product, until

if TYPE_CHECKING:
    from server.webhooks.drain import Deliveries
    from tests.support.receiver import Receiver


def claim(worker: Deliveries) -> set[str]:
    """Claim as a worker does that then dies; return the events of what it got."""
    return {job.event.id for job in worker._claim_batch(100)}


def a_worker(product: Product) -> Deliveries:
    return bootstrap.worker(product.settings, built=product.core).deliveries


def leases_run_out(product: Product) -> None:
    with product.core.engine.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE due SET due_at = now() WHERE kind = 'delivery'")


def test_after_three_deaths_a_few_go_at_a_time_and_the_others_are_not_charged(
    product: Product, receiver: Receiver
) -> None:
    product.webhook("hook", receiver.url, max_in_flight=100)
    product.publish(*({"n": n} for n in range(40)))
    product.settle()
    for _ in range(3):
        assert len(claim(a_worker(product))) == 40
        leases_run_out(product)
    kept = claim(a_worker(product))
    assert len(kept) == 10
    counts = {row.claims: row.n for row in product.rows("SELECT claims, count(*) AS n FROM due GROUP BY claims")}
    assert counts == {4: 10, 3: 30}
    leases_run_out(product)
    [new] = product.publish({"n": 40})
    product.settle()
    assert new in claim(a_worker(product)), "what is new goes with them"


def test_suspects_get_through_all_the_same(product: Product, receiver: Receiver) -> None:
    product.webhook("hook", receiver.url, max_in_flight=100)
    product.publish(*({"n": n} for n in range(12)))
    product.settle()
    for _ in range(3):
        claim(a_worker(product))
        leases_run_out(product)
    with product.worker():
        until(lambda: product.states() == {"delivered": 12}, 30)
    assert len(receiver.hits) == 12
