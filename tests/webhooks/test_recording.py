"""Outcomes and leases at the same moment: what was delivered is never forgotten, or it would be delivered again."""

from __future__ import annotations

import threading
import time

from server.queue import claims
from server.webhooks import queries


def test_an_outcome_counts_although_its_lease_is_renewed_at_the_same_moment(product, receiver):
    product.webhook("orders", receiver.url)
    product.publish({"n": 1}, {"n": 2})
    with product.core.engine.connect() as conn:
        mine = claims.claim(conn, queries.KIND, 10)
    outcomes = [queries.Outcome(each, "skipped", None, 0, reason="when") for each in mine]
    won = []

    def record():
        with product.core.engine.connect() as other:
            won.append(queries.record(other, "worker", outcomes))

    recording = threading.Thread(target=record)
    with product.core.engine.connect() as conn:
        assert len(claims.heartbeat(conn, queries.KIND, mine)) == 2
        recording.start()
        time.sleep(0.3)  # it waits for the rows that we hold
        assert won == []
    recording.join(10)
    assert won == [{each.ref for each in mine}]
    assert product.states() == {"skipped": 2}
