"""Whoever ends work while its lease is being renewed has ended it: the renewal moves the row, and must not hide it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from server.kernel.ids import new_uuid
from server.queue import claims
from server.queue.claims import Due

if TYPE_CHECKING:
    from tests.support.product import Product

KIND = "delivery"
ENDS = {
    "finished": lambda conn, mine: claims.finish(conn, KIND, mine),
    "postponed": lambda conn, mine: claims.postpone(conn, KIND, mine, [datetime(2026, 1, 1, tzinfo=UTC)] * len(mine)),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_what_is_ended_while_its_lease_is_renewed_stays_ended(product: Product, end: Any) -> None:
    store = product.core.engine
    refs = {new_uuid() for _ in range(3)}
    with store.connect() as conn:
        claims.add(conn, KIND, [Due(ref, product.scope.workspace_id, new_uuid()) for ref in refs])
    with store.connect() as conn:
        mine = claims.claim(conn, KIND, 10)

    def late() -> set[Any]:
        with store.connect() as conn:
            won: set[Any] = end(conn, mine)
            return won

    with ThreadPoolExecutor(1) as pool:
        with store.connect() as conn:
            assert claims.heartbeat(conn, KIND, mine) == refs
            ending = pool.submit(late)
            time.sleep(0.5)  # it has found the rows by now, and waits for us
            assert not ending.done()
        assert ending.result(10) == refs
