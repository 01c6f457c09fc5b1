"""What people change in Tryton is read in the order of its change: the contract of sources, and its traps, on a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from plugins.tryton.changes import TRYTON_ORDER
from plugins.tryton.syncing import READ
from plugins.tryton.writing import TRYTON_RECORD, WRITTEN
from server.sdk import Batch, Destination, Permanent, ReadRequest, Window
from server.sdk.testing_syncs import check_source, check_target, pages_of
from tests.tryton.staging import Staging, moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.sdk import Context, Source, Target
    from server.sdk.port_inputs.stage import World
    from tests.tryton.server import TrytonServer

SOURCES = {each.operation.name: each for each in READ}
STAGED = (
    "customers.search",
    "orders.search",
    "deals.list",
    "production.list",
    "products.search",
    "shipments.list",
    "invoices.list",
)
ORDERS = SOURCES["orders.search"]


@pytest.fixture(scope="module")
def context(erp: World) -> Context:
    return erp.context(None)


@pytest.fixture(scope="module")
def staging(tryton_server: TrytonServer, context: Context) -> Staging:
    return Staging(tryton_server, context)


def read(source: Source, context: Context, options: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    key = source.collection.key  # type: ignore[attr-defined]
    window = Window(fields=("updated_at", key), **more)
    request = ReadRequest(options=options, primary_key=(key,), window=window, size=2)
    return [dict(row) for page in pages_of(source, request, context) for row in page.rows]


@pytest.mark.faults  # ten seconds each
@pytest.mark.parametrize("name", STAGED)
def test_the_contract_of_sources_holds(staging: Staging, context: Context, name: str) -> None:
    assert list(check_source(SOURCES[name], staging, context)) == []  # type: ignore[arg-type] # plays a mock


@pytest.mark.faults
@pytest.mark.parametrize("target", WRITTEN, ids=lambda each: each.operation.name)
def test_the_contract_of_targets_holds(staging: Staging, context: Context, target: Target) -> None:
    assert list(check_target(target, staging, context)) == []  # type: ignore[arg-type] # plays a mock


def numbers(rows: Sequence[dict[str, Any]], key: str) -> list[int]:
    return [int(each[key]) for each in rows]


def test_what_changes_while_it_is_read_comes_once_at_its_new_place(staging: Staging, context: Context) -> None:
    stage = staging.source("orders.search", (1, 2, 3, 4))
    window = Window(fields=("updated_at", "order_id"))
    request = ReadRequest(options=stage.options, primary_key=("order_id",), window=window, size=1)
    pages = ORDERS.read(request, context)
    first = next(pages)
    mine = [int(first.rows[0]["order_id"]) + each for each in range(4)]
    staging.stamp("sale.sale", mine[1], made=2, written=9)  # it had been found, and its page was not made yet
    staging.stamp("sale.sale", mine[0], made=1, written=8)  # it was read
    rest = [dict(row) for page in pages for row in page.rows]
    assert numbers(rest, "order_id") == mine[2:]
    after = {"after": (moment(4), str(mine[3]))}
    assert numbers(read(ORDERS, context, dict(stage.options), **after), "order_id") == [mine[0], mine[1]]


def test_one_of_the_same_moment_and_one_that_was_committed_late_are_met_by_looking_back(
    staging: Staging, context: Context
) -> None:
    stage = staging.source("orders.search", (5, 5, 5))
    options = dict(stage.options)
    mine = numbers(read(ORDERS, context, options), "order_id")
    assert numbers(read(ORDERS, context, options, after=(moment(5), str(mine[0]))), "order_id") == mine[1:]
    staging.stamp("sale.sale", mine[0], made=3, written=4)
    assert read(ORDERS, context, options, after=(moment(5), str(mine[2]))) == []
    assert numbers(read(ORDERS, context, options, since=(moment(3.5),)), "order_id") == mine


def test_a_product_counts_as_changed_when_its_template_is(staging: Staging, context: Context) -> None:
    products = SOURCES["products.search"]
    stage = staging.source("products.search", (1, 2))
    options = dict(stage.options)
    first, second = numbers(read(products, context, options), "product_id")
    found = staging.erp.get("product.product", first, ("template",))
    assert found is not None
    staging.stamp("product.template", found["template"], made=0, written=7)
    rows = read(products, context, options)
    assert (numbers(rows, "product_id"), rows[1]["updated_at"]) == ([second, first], moment(7))


def test_stock_is_read_again_when_something_was_moved(erp: World, context: Context) -> None:
    stock = SOURCES["inventory.stock_report"]
    before = read(stock, context, {})
    last = before[-1]["updated_at"]
    moved = before[0]["product_id"]
    after = erp.call("inventory.adjust_stock", product_id=moved, change=7, reason="found")
    [row] = read(stock, context, {}, after=(last, before[-1]["product_id"]))
    wanted = (moved, after["on_hand"], after["available"], "added")
    assert (row["product_id"], row["on_hand"], row["available"], row["kind"]) == wanted
    assert [each["product_id"] for each in read(stock, context, {})] == [
        *(each["product_id"] for each in before[1:]),
        moved,
    ]


def test_a_customer_who_was_deleted_is_no_key_any_more(staging: Staging, context: Context) -> None:
    customers = SOURCES["customers.search"]
    city = "City of the deleted"
    gone, kept = staging.party(city), staging.party(city)
    staging.erp.delete("party.party", gone)
    request = ReadRequest(options={"city": city}, primary_key=("customer_id",), size=2)
    assert [key for page in customers.keys(request, context) for key in page] == [(str(kept),)]
    assert [each["customer_id"] for each in customers.fetch(request, [(str(gone),), (str(kept),)], context)] == [
        str(kept)
    ]


@pytest.mark.parametrize("fields", [("name",), ("order_id", "updated_at"), ("updated_at", "name")])
def test_another_order_is_refused(context: Context, fields: tuple[str, ...]) -> None:
    request = ReadRequest(options={}, primary_key=("order_id",), window=Window(fields=fields))
    with pytest.raises(Permanent) as refused:
        pages_of(ORDERS, request, context)
    assert refused.value.code == TRYTON_ORDER


def test_a_record_that_breaks_the_port_is_named_and_the_others_are_written(staging: Staging, context: Context) -> None:
    [customers, _] = WRITTEN
    stage = staging.target("customers.upsert")
    good = stage.record(1, "Good")
    to = Destination(options={}, match_on=("external_id",))
    done = customers.write(to, Batch([{"external_id": "bad"}, good, good], ["k0", "k1", "k2"]), context)
    assert {place: error.code for place, error in done.failed.items()} == {0: TRYTON_RECORD}
    assert (list(done.unchanged), [each["name"] for each in staging.stored("customers.upsert")]) == ([2], ["Good"])
    assert done.target_ids == [None, *[staging.stored("customers.upsert")[0]["customer_id"]] * 2]


@pytest.mark.parametrize("target", WRITTEN, ids=lambda each: each.operation.name)
def test_what_was_archived_is_active_again_when_it_is_written(
    staging: Staging, context: Context, target: Target
) -> None:
    name = target.operation.name
    stage = staging.target(name)
    to = Destination(options={}, match_on=("external_id",))
    record = stage.record(1, "First")
    target.write(to, Batch([record], ["k1"]), context)
    assert target.remove(to, [(record["external_id"],)], "archive", context).failed == {}
    assert list(target.lookup(to, [(record["external_id"],)], context)) == [None]
    assert target.write(to, Batch([stage.record(1, "Second")], ["k2"]), context).failed == {}
    [there] = target.lookup(to, [(record["external_id"],)], context)
    assert there is not None
    assert there["name"] == "Second"
