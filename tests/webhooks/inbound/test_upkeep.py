"""Keys and versions go when their time is over, and nothing stays held for no reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from server import bootstrap
from server.webhooks.inbound import upkeep
from tests.support.inbound import ORDER, declare, drained, states, store

if TYPE_CHECKING:
    from tests.support.product import Product


def run(product: Product, sql: str) -> None:
    with product.core.engine.connect() as conn:
        conn.execute(text(sql), {"workspace": product.scope.workspace_id})


def test_dedupe_keys_are_forgotten_when_they_expire(product: Product) -> None:
    run(
        product,
        """INSERT INTO inbound_keys (workspace_id, webhook_id, key, request_id, expires_at)
           SELECT :workspace, gen_random_uuid(), decode(lpad(to_hex(n), 8, '0'), 'hex'), gen_random_uuid(),
                  now() + CASE WHEN n <= 2500 THEN '-1 second' ELSE '1 hour' END::interval FROM generate_series(1, 2503) AS n""",
    )
    assert upkeep.forget_keys(product.core.engine) == 2500
    assert product.rows("SELECT count(*) AS n FROM inbound_keys")[0].n == 3


def test_versions_are_kept_as_long_as_events(product: Product) -> None:
    hook = declare(product, version="body.v")
    store(product, hook, {**ORDER, "v": 1}, {**ORDER, "id": 7, "v": 1})
    drained(product)
    run(product, "UPDATE inbound_versions SET seen_at = now() - interval '31 days' WHERE subject = '7'")
    assert upkeep.forget_versions(product.core.engine, 30) == 1
    assert [row.subject for row in product.rows("SELECT subject FROM inbound_versions")] == ["42"]


def test_what_was_stored_as_held_while_somebody_resumed_it_goes_on(product: Product) -> None:
    store(product, declare(product), ORDER)
    store(product, declare(product, "paused"), ORDER)
    product.act("paused", "pause")
    run(product, "UPDATE due SET due_at = 'infinity' WHERE kind = 'inbound'")
    drained(product)
    assert states(product) == {"received": 2}
    assert upkeep.release_stranded(product.core.engine, product.core.hint) == 1
    drained(product)
    assert states(product) == {"received": 1, "emitted": 1}


def test_the_scheduler_does_all_of_it(product: Product) -> None:
    names = {each.name for each in bootstrap.scheduler(product.settings, built=product.core).chores}
    assert {"forget-inbound-keys", "forget-inbound-versions", "release-stranded-requests"} <= names
