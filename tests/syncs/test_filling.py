"""What a sender missed is brought in its stead: through the webhook's own mapping and dedupe keys, once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from server import bootstrap
from server.authoring.check import check
from server.authoring.kinds import default_kinds
from server.authoring.testing import test as run_tests
from server.documents.reading import File
from server.store import Cause
from server.syncs import progress
from server.syncs.preview import Preview
from tests.support.inbound import declare, drained, emitted
from tests.syncs.worlds import catalog

if TYPE_CHECKING:
    from tests.support.product import Product
    from tests.syncs.running import Syncing

EMIT = {"type": "order.created", "subject": "text(body.id)", "data": {"name": "body.name", "shop": "params.shop"}}
MAP = {"body": {"id": "row.id", "name": "row.name"}, "headers": {"x-topic": "'orders'"}, "params": {"shop": "'north'"}}


def fills(syncing: Syncing, key: str = "body.id", **more: Any) -> Syncing:
    """Have a webhook, ten orders over there, and a job that fills the gap between them."""
    declare(syncing.product, path="{shop}/orders", dedupe={"key": key}, emit=EMIT, when="headers.x_topic == 'orders'")
    for number in range(10):
        syncing.put(number)
    syncing.job(**{"map": MAP, "target": {"webhook": "orders-in"}, "batch": {"size": 4}, **more})
    return syncing


def send(product: Product, number: int) -> Any:
    body = json.dumps({"id": number, "name": f"n{number}"}).encode()
    return product.receive("north/orders", body, {"content-type": "application/json", "x-topic": "orders"})


def subjects(product: Product) -> list[str]:
    drained(product)
    return sorted(each.subject for each in emitted(product))


ALL = [str(number) for number in range(10)]


def test_just_what_never_came_is_filled_and_a_late_delivery_of_it_is_a_duplicate(syncing: Syncing) -> None:
    product = fills(syncing).product
    came = {number: send(product, number) for number in range(10) if number not in (2, 5, 9)}
    assert subjects(product) == [each for each in ALL if each not in ("2", "5", "9")]
    run = syncing.run()
    assert (run.state, run.read, run.written, run.unchanged) == ("succeeded", 10, 3, 7), run.error
    assert subjects(product) == ALL
    clients = product.rows("SELECT client FROM inbound_requests WHERE state = 'emitted'")
    assert sorted(each.client for each in clients).count("reconcile") == 3
    assert json.loads(next(each.data for each in emitted(product) if each.subject == "5")) == {
        "name": "n5",
        "shop": "north",
    }
    late, again = send(product, 5), send(product, 3)
    assert (late.status, again.json["id"]) == (202, came[3].json["id"])
    assert (syncing.run().unchanged, subjects(product)) == (1, ALL)


def test_what_dies_between_two_batches_emits_nothing_twice(syncing: Syncing, monkeypatch: pytest.MonkeyPatch) -> None:
    product = fills(syncing, retry={"attempts": 1}).product
    send(product, 1)

    class Killed(BaseException):
        pass

    def die(*_args: Any, **_more: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("server.syncs.progress.save", _after(2, die))
        with pytest.raises(Killed):
            syncing.run()
    syncing.ours("UPDATE due SET due_at = now(), leased = false WHERE kind = 'sync'")
    while syncing.slice():
        pass
    [run] = product.rows("SELECT * FROM sync_runs")
    assert (run.state, run.read) == ("succeeded", 10), run.error
    assert subjects(product) == ALL


def _after(times: int, then: Any) -> Any:
    """Return a `save` that works so many times, then something else."""
    save, left = progress.save, [times]

    def counted(*args: Any) -> None:
        left[0] -= 1
        (save if left[0] >= 0 else then)(*args)

    return counted


def test_a_preview_says_which_of_them_came_and_stores_none(syncing: Syncing) -> None:
    product = fills(syncing).product
    for number in range(7):
        send(product, number)
    core = product.core
    preview = Preview(core.tenant, bootstrap.making_of(core), syncing.caller, core.clock, core.admit)
    shown = preview.of(product.scope, Cause("user:anna", "cor_1"), "customers", 20)
    assert (shown["create"], shown["unchanged"], shown["update"]) == (3, 7, 0)
    assert subjects(product) == ALL[:7]


def test_a_row_without_a_dedupe_key_is_refused_and_the_others_go_on(syncing: Syncing) -> None:
    product = fills(syncing, key="body.name").product
    syncing.put(4, name=None)
    run = syncing.run()
    assert (run.state, run.written, run.refused) == ("succeeded", 9, 1), run.error
    [letter] = product.rows("SELECT * FROM dead_letters")
    assert letter.error["code"] == "ADMIT_REFUSED"
    assert subjects(product) == [each for each in ALL if each != "4"]


def test_a_webhook_that_is_gone_fails_the_run(syncing: Syncing) -> None:
    product = fills(syncing, target={"webhook": "orders-out"}).product
    run = syncing.run()
    assert (run.state, run.error["code"]) == ("failed", "WEBHOOK_GONE")
    assert subjects(product) == []


WEBHOOK = """\
kind: Webhook
name: orders-in
direction: inbound
path: "{shop}/orders"
verify: {scheme: none}
dedupe: {key: body.id}
emit: {type: order.created, data: body}
---
kind: Integration
name: legacy-db
plugin: sql
config: {url: {secret: LEGACY_DATABASE_URL}}
"""
JOB = """\
---
kind: SyncJob
name: orders-missed
source: {call: legacy-db.query.read, sql: SELECT * FROM orders, primary_key: [id]}
map: {body: {id: row.id}, params: {shop: row.shop}}
target: {webhook: orders-in}
tests:
  - name: a row is the request of its shop
    given: {rows: [{id: 1, shop: north}, {id: 2, shop: 7}]}
    expect: {records: [{body: {id: 1}, params: {shop: north}}], refused: [{row: 1, code: REQUEST_SHAPE}]}
"""
WRONG = [
    ("target: {webhook: orders-in}", "target: {webhook: orders-im}", "UNKNOWN_REFERENCE"),
    ("dedupe: {key: body.id}\n", "", "CANNOT_FILL"),
    ("verify: {scheme: none}", "verify: {scheme: none}\nformat: xml", "CANNOT_FILL"),
    ("{body: {id: row.id}, params", "{bodi: {id: row.id}, params", "UNKNOWN_KEY"),
    ("params: {shop: row.shop}", "query: row.shop", "MISSING_KEY"),
    ("params: {shop: row.shop}", "params: {shop: row.shop, more: row.more}", "UNKNOWN_KEY"),
    ("map: {body: {id: row.id}, params: {shop: row.shop}}\n", "", "MISSING_KEY"),
    ("target: {webhook: orders-in}", "target: {webhook: orders-in, mode: upsert}", "UNKNOWN_KEY"),
]


def test_the_job_is_declared_and_tested_without_a_server() -> None:
    result = check([File("a.yaml", (WEBHOOK + JOB).encode())], catalog(), default_kinds())
    assert [str(each) for each in result.findings if each.severity == "error"] == []
    [outcome] = run_tests(result.documents, catalog(), default_kinds()).outcomes
    assert outcome.differences == ()


EVENTS = "refused: [{row: 1, code: REQUEST_SHAPE}]"


@pytest.mark.parametrize(
    ("events", "emit", "difference"),
    [
        ("[{type: order.created, data: {id: 1}}]", "data: body", ""),
        ("[{type: order.created, subject: north}]", "data: body, subject: params.shop", ""),
        ("[{type: order.created, data: {id: 2}}]", "data: body", "events[0].data"),
        ("[]", "data: body", "expected 0, emitted 1"),
        (
            "[{type: order.created}]",
            "data: {total: {from: body.total, required: true}}",
            "record 0 becomes a dead letter: EXPR_",
        ),
    ],
)
def test_the_events_that_the_webhook_makes_of_the_records_are_told(events: str, emit: str, difference: str) -> None:
    text = (WEBHOOK + JOB).replace(EVENTS, f"{EVENTS}, events: {events}").replace("data: body}", emit + "}")
    result = check([File("a.yaml", text.encode())], catalog(), default_kinds())
    assert [str(each) for each in result.findings if each.severity == "error"] == []
    [outcome] = run_tests(result.documents, catalog(), default_kinds()).outcomes
    assert difference in " ".join(outcome.differences)
    assert bool(difference) == bool(outcome.differences)


@pytest.mark.parametrize(("old", "new", "code"), WRONG, ids=[f"{each[2]}-{no}" for no, each in enumerate(WRONG)])
def test_what_the_webhook_could_not_take_is_found_by_check(old: str, new: str, code: str) -> None:
    text = (WEBHOOK + JOB).replace(old, new)
    assert text != WEBHOOK + JOB
    found = check([File("a.yaml", text.encode())], catalog(), default_kinds()).findings
    assert code in {each.code for each in found if each.severity == "error"}, found
