"""Whatever takes long is done by one worker: its lease is renewed for as long as it is under way, and no longer."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import text

from server.integrations.holding import Holding
from server.queue import claims
from server.queue.claims import Due
from server.webhooks import drain
from tests.support.product import until
from tests.support.receiver import Answer

if TYPE_CHECKING:
    import pytest

    from tests.support.product import Product
    from tests.support.receiver import Receiver

STEP_SECONDS = 2
"""So much of a lease is over at once: three seconds of it are left at least, so that a machine which halts for one ends none."""
STEPS = 90 // STEP_SECONDS
_PASS = f"UPDATE due SET due_at = due_at - interval '{STEP_SECONDS} seconds' WHERE leased"
_FRESH = f"SELECT 1 FROM due WHERE leased AND due_at > now() + interval '{claims.LEASE_SECONDS - 1} seconds'"


def pass_a_minute_and_a_half(product: Product) -> None:
    for _ in range(STEPS):
        with product.core.engine.engine.begin() as conn:
            conn.execute(text(_PASS))
        until(lambda: product.rows(_FRESH), what="a lease that is renewed")


def test_a_delivery_that_takes_a_minute_and_a_half_is_sent_once(
    product: Product, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "HEARTBEAT_SECONDS", 0.05)
    answered = threading.Event()
    receiver.answer = lambda _: Answer(204) if answered.wait(60) else Answer(500)
    product.webhook("hook", receiver.url, timeout="5m")
    product.publish({"n": 1})
    with product.worker(), product.worker():
        receiver.wait(1)
        pass_a_minute_and_a_half(product)
        answered.set()
        until(lambda: product.states() == {"delivered": 1})
    assert len(receiver.hits) == 1
    assert [tuple(row) for row in product.rows("SELECT no, outcome FROM attempts")] == [(1, "success")]


def test_what_a_thread_works_on_is_taken_by_nobody_else_until_it_is_let_go(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.05)
    ours, theirs = Holding(product.core.engine, "fallback", 4), Holding(product.core.engine, "fallback", 4)
    with product.core.engine.connect() as conn:
        claims.add(conn, "fallback", [Due(uuid4(), product.scope.workspace_id, uuid4())])
    [claim] = ours.take(4)
    pass_a_minute_and_a_half(product)
    assert theirs.take(4) == []
    ours.let_go(claim)
    with product.core.engine.engine.begin() as conn:
        conn.execute(text("UPDATE due SET due_at = now()"))
    [again] = until(lambda: theirs.take(4), what="whoever comes next")
    assert again.epoch > claim.epoch
    theirs.let_go(again)
