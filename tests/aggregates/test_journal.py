"""What aggregates record is stored, published and folded: in the same transaction, or not at all."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from sqlalchemy.exc import DBAPIError

from server.integrations.aggregate import Integration
from server.integrations.repository import INTEGRATIONS
from server.kernel.errors import PreconditionFailed
from server.kernel.ids import new_uuid
from server.store import Cause, Scope, Store, journal
from server.webhooks.aggregate import Webhook
from server.webhooks.repository import WEBHOOKS

if TYPE_CHECKING:
    from collections.abc import Sequence

ANNA = Cause("user:anna", "cor_1", "evt_0")


def new_webhook() -> Webhook:
    webhook = Webhook(new_uuid())
    webhook.create("orders", {"events": ["order.created"]}, 1, {})
    webhook.activate()
    return webhook


def add(store: Store, scope: Scope, webhook: Webhook) -> Webhook:
    with store.begin(scope, ANNA) as tx:
        WEBHOOKS.add(tx, webhook)
    return webhook


def add_and_break(store: Store, scope: Scope, webhook: Webhook) -> None:
    with store.begin(scope, ANNA) as tx:
        WEBHOOKS.add(tx, webhook)
        tx.run("SELECT 1 / 0")


def rows(store: Store, scope: Scope, sql: str) -> Sequence[Any]:
    with store.begin(scope, ANNA) as tx:
        return tx.all(sql)


def test_each_change_is_journalled_with_who_where_and_why(store: Store, scope: Scope) -> None:
    webhook = add(store, scope, new_webhook())
    with store.begin(scope, ANNA) as tx:
        entries = journal.history(tx, webhook.id)
    assert [(each.version, each.type) for each in entries] == [
        (1, "crossdock.webhook.created"),
        (2, "crossdock.webhook.activated"),
    ]
    assert {(each.by, each.correlation_id, each.causation_id) for each in entries} == {("user:anna", "cor_1", "evt_0")}


def test_each_change_is_published_as_an_event_of_the_workspace(store: Store, scope: Scope) -> None:
    webhook = add(store, scope, new_webhook())
    created, activated = rows(store, scope, "SELECT * FROM events ORDER BY uid")
    assert (created.type, activated.type) == ("crossdock.webhook.created", "crossdock.webhook.activated")
    assert {created.subject, activated.subject} == {"webhook/orders"}
    assert (created.workspace_id, created.principal) == (scope.workspace_id, "user:anna")
    assert (created.correlation_id, created.causation_id) == ("cor_1", "evt_0")
    data = orjson.loads(activated.data)
    assert data == {"aggregate_id": str(webhook.id), "aggregate_version": 2, "name": "orders", "reason": ""}


def test_a_failed_transaction_leaves_neither_row_nor_journal_nor_event(store: Store, scope: Scope) -> None:
    webhook = new_webhook()
    with pytest.raises(DBAPIError):
        add_and_break(store, scope, webhook)
    counts = "SELECT (SELECT count(*) FROM webhooks), (SELECT count(*) FROM journal), (SELECT count(*) FROM events)"
    assert tuple(rows(store, scope, counts)[0]) == (0, 0, 0)
    assert len(webhook.uncommitted) == 2


def test_an_event_on_an_otherwise_unchanged_aggregate_is_stored(store: Store, scope: Scope) -> None:
    webhook = add(store, scope, new_webhook())
    with store.begin(scope, ANNA) as tx:
        found = WEBHOOKS.get(tx, "orders")
        found.trigger({"order_id": "SO-1"}, "user:anna", "evt_1")
        WEBHOOKS.save(tx, found)
        del found
        gc.collect()
    with store.begin(scope, ANNA) as tx:
        last = journal.history(tx, webhook.id)[-1]
        assert (last.type, last.version) == ("crossdock.webhook.triggered", 3)
        assert WEBHOOKS.get(tx, "orders").version == 3


def test_aggregates_that_nobody_holds_any_more_still_lose_no_event(store: Store, scope: Scope) -> None:
    with store.begin(scope, ANNA) as tx:
        for number in range(50):
            integration = Integration(new_uuid())
            integration.create(f"i-{number}", {"plugin": "http"}, 1, {})
            INTEGRATIONS.add(tx, integration)
        del integration
        gc.collect()
    assert rows(store, scope, "SELECT count(*) AS n FROM journal")[0].n == 50


def test_folding_the_journal_gives_the_stored_row_at_any_time(store: Store, scope: Scope) -> None:
    webhook = add(store, scope, new_webhook())
    moments = []
    for action in ("pause", "resume", "fail", "recover", "disable", "archive", "restore"):
        with store.begin(scope, ANNA) as tx:
            found = WEBHOOKS.find(tx, "orders") or WEBHOOKS.find(tx, "orders", deleted=True)
            assert found is not None
            found.aggregate.act(action)  # type: ignore[arg-type]
            WEBHOOKS.save(tx, found.aggregate)
            row = tx.one("SELECT now() AS at")
            assert row is not None
            moments.append((row.at, found.aggregate.state, found.aggregate.version))
    with store.begin(scope, ANNA) as tx:
        for at, state, version in moments:
            folded = journal.load(tx, Webhook, webhook.id, until=at)
            assert (folded.state, folded.version, folded.name) == (state, version, "orders")
        live = WEBHOOKS.get(tx, "orders")
        folded = journal.load(tx, Webhook, webhook.id)
        assert vars(folded) == vars(live)


def test_of_two_writers_at_the_same_moment_exactly_one_wins(store: Store, scope: Scope) -> None:
    webhook = add(store, scope, new_webhook())
    both_have_read = Barrier(2)

    def pause(_: int) -> str:
        try:
            with store.begin(scope, ANNA) as tx:
                mine = WEBHOOKS.get(tx, "orders")
                both_have_read.wait(10)
                mine.act("pause")
                WEBHOOKS.save(tx, mine)
        except PreconditionFailed as error:
            return error.code
        return "saved"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(pause, range(2))) == ["VERSION_CONFLICT", "saved"]
    with store.begin(scope, ANNA) as tx:
        assert [each.version for each in journal.history(tx, webhook.id)] == [1, 2, 3]


@pytest.mark.parametrize("table", ["webhooks", "journal", "events", "event_keys"])
def test_the_fence_holds_even_for_a_query_that_forgets_the_workspace(
    store: Store, scope: Scope, neighbour: Scope, table: str
) -> None:
    add(store, scope, new_webhook())
    assert rows(store, scope, f"SELECT count(*) AS n FROM {table}")[0].n > 0
    assert rows(store, neighbour, f"SELECT count(*) AS n FROM {table}")[0].n == 0


def test_nobody_rewrites_the_journal(store: Store, scope: Scope) -> None:
    add(store, scope, new_webhook())
    for statement in ("UPDATE journal SET data = '{}'", "DELETE FROM journal"):
        with pytest.raises(DBAPIError, match="permission denied"), store.begin(scope, ANNA) as tx:
            tx.run(statement)
