"""The embedded ERP on SQLite and on PostgreSQL: keys, companies, events, and writing at the same time."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from plugins.erp_sandbox.migrating import STEPS, migrate
from plugins.erp_sandbox.outbox import KEPT
from plugins.erp_sandbox.tables import METADATA
from server.kernel.clock import ManualClock
from server.sdk import Batch, CallRequest, Context, Destination, Permanent, ReadRequest, Tenant, Window
from tests.erp.calling import ERP, call

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

ACME = {"external_id": "C-1", "name": "ACME", "email": "a@b.c", "credit_limit": "1200.50"}


def events(context: Context) -> list[tuple[str, str]]:
    return [(each.type, each.data["name"]) for each in ERP.outbox.waiting(context, 100)]


def test_a_customer_is_created_changed_left_alone_archived_and_brought_back(context: Context) -> None:
    made = call(context, "customers.upsert", **ACME)
    assert (made["change"], made["revision"], made["credit_limit"], made["balance"]) == (
        "created",
        1,
        "1200.50",
        "0.00",
    )
    assert call(context, "customers.upsert", **ACME)["change"] == "none"
    moved = call(context, "customers.upsert", external_id="C-1", name="ACME", city="Almaty")
    assert (moved["change"], moved["revision"], moved["city"], moved["email"]) == ("updated", 2, "Almaty", "a@b.c")
    cleared = call(context, "customers.upsert", external_id="C-1", name="ACME", email=None)
    assert (cleared["email"], cleared["city"]) == (None, "Almaty")
    assert call(context, "customers.archive", external_id="C-1")["state"] == "archived"
    assert call(context, "customers.archive", customer_id=made["customer_id"])["change"] == "none"
    assert call(context, "customers.get", external_id="C-1")["state"] == "archived"
    assert call(context, "customers.upsert", external_id="C-1", name="ACME")["state"] == "active"
    assert [type_ for type_, _ in events(context)] == ["customer.created", *["customer.updated"] * 4]


@pytest.mark.parametrize("operation", ["customers.get", "customers.archive"])
def test_a_customer_that_is_not_there_is_refused_by_the_code_of_the_port(context: Context, operation: str) -> None:
    with pytest.raises(Permanent) as refused:
        call(context, operation, external_id="C-404")
    assert refused.value.code == "CUSTOMER_UNKNOWN"


def test_money_keeps_its_cents(context: Context) -> None:
    for limit in ("0", "0.10", "99999999999999.99", "0.1"):
        made = call(context, "customers.upsert", external_id="C-1", name="A", credit_limit=limit)
        assert made["credit_limit"] == f"{Decimal(limit):.2f}"


def test_a_call_with_a_key_is_done_once_and_answered_alike(context: Context) -> None:
    keyed = replace(context, idempotency_key="run_1:step:0")
    first = call(keyed, "customers.upsert", **ACME)
    call(context, "customers.upsert", external_id="C-1", name="Renamed")
    assert call(keyed, "customers.upsert", **ACME) == first
    assert call(context, "customers.get", external_id="C-1")["name"] == "Renamed"
    with pytest.raises(Permanent) as refused:
        call(keyed, "customers.upsert", **{**ACME, "name": "Other"})
    assert refused.value.code == "ERP_KEY_REUSED"
    assert len(events(context)) == 2


def test_a_call_is_the_same_however_its_numbers_are_written(context: Context) -> None:
    customer = call(context, "customers.upsert", **ACME)["customer_id"]
    product = call(context, "products.upsert", external_id="P-1", name="Bolt")["product_id"]
    keyed = replace(context, idempotency_key="run_1:step:0")
    answers = [
        call(keyed, "orders.create", customer_id=customer, items=[{"product_id": product, "quantity": quantity}])
        for quantity in (5, 5.0, Decimal(5), Decimal("5.00"))
    ]
    assert len({each["order_id"] for each in answers}) == 1


def test_an_answer_is_kept_for_a_month_and_then_goes_with_the_events(context: Context) -> None:
    clock = context.clock
    assert isinstance(clock, ManualClock)
    keyed = replace(context, idempotency_key="run_1:step:0")
    call(keyed, "customers.upsert", **ACME)
    clock.advance(KEPT.total_seconds())
    ERP.outbox.taken(context, ERP.outbox.waiting(context, 10))
    assert call(keyed, "customers.upsert", **ACME)["change"] == "created"
    clock.advance(1)
    ERP.outbox.taken(replace(context, config={"company": "second"}), [])
    assert call(keyed, "customers.upsert", **ACME)["change"] == "created"
    ERP.outbox.taken(context, [])
    assert call(keyed, "customers.upsert", **ACME)["change"] == "none"


def test_what_is_forgotten_late_takes_nothing_new_with_it(context: Context) -> None:
    call(context, "customers.upsert", **ACME)
    fetched = ERP.outbox.waiting(context, 10)
    ERP.outbox.taken(context, fetched)
    call(context, "customers.upsert", external_id="C-2", name="New")
    ERP.outbox.taken(context, fetched)
    assert events(context) == [("customer.created", "New")], "a small database gives the same positions again"


def test_a_call_that_fails_leaves_its_key_free_and_tells_nothing(context: Context) -> None:
    keyed = replace(context, idempotency_key="run_1:step:0")
    with pytest.raises(Permanent):
        call(keyed, "customers.archive", external_id="C-1")
    call(context, "customers.upsert", **ACME)
    assert call(keyed, "customers.archive", external_id="C-1")["change"] == "updated"
    assert len(events(context)) == 2


def test_of_many_calls_with_one_key_at_the_same_time_one_does_the_work(context: Context) -> None:
    keyed = replace(context, idempotency_key="run_1:step:0")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: call(keyed, "customers.upsert", **ACME), range(8)))
    assert all(each == answers[0] for each in answers)
    assert events(context) == [("customer.created", "ACME")]


def test_calls_of_a_transaction_are_kept_together_with_their_events_or_not_at_all(context: Context) -> None:
    first, second = CallRequest("customers.upsert", ACME), CallRequest("customers.archive", {"external_id": "C-1"})

    def failing() -> None:
        with ERP.transaction(context) as together:
            together.call(first, "run_1:a:0")
            assert together.call(CallRequest("customers.get", {"external_id": "C-1"}), "")["name"] == "ACME"
            with suppress(Permanent):
                together.call(CallRequest("customers.archive", {"external_id": "C-404"}), "run_1:b:0")

    def left() -> None:
        with ERP.transaction(context) as together:
            together.call(first, "run_1:a:0")
            raise ZeroDivisionError

    with pytest.raises(Permanent) as refused:
        failing()
    assert refused.value.code == "CUSTOMER_UNKNOWN"
    with pytest.raises(ZeroDivisionError):
        left()
    assert call(context, "customers.search")["customers"] == []
    assert events(context) == []
    for _ in range(2):
        with ERP.transaction(context) as together:
            together.call(first, "run_1:a:0")
            together.call(second, "run_1:b:0")
    assert [each.cause for each in ERP.outbox.waiting(context, 10)] == ["run_1:a:0", "run_1:b:0"]


def test_writers_at_the_same_time_lose_no_change(context: Context) -> None:
    call(context, "customers.upsert", **ACME)

    def change(number: int) -> str:
        field = ("city", "phone", "address", "tax_id")[number % 4]
        return str(call(context, "customers.upsert", external_id="C-1", name="ACME", **{field: f"v{number}"})["change"])

    with ThreadPoolExecutor(4) as pool:
        assert Counter(pool.map(change, range(16))) == {"updated": 16}
    found = call(context, "customers.get", external_id="C-1")
    assert found["revision"] == 17
    assert all(found[field] is not None for field in ("city", "phone", "address", "tax_id"))


def test_no_workspace_and_no_company_sees_anothers_customers(context: Context) -> None:
    call(context, "customers.upsert", **ACME)
    others = [
        replace(context, tenant=Tenant("acme", "rival")),
        replace(context, tenant=Tenant("rival", "main")),
        replace(context, config={"company": "second"}),
    ]
    for other in others:
        with pytest.raises(Permanent):
            call(other, "customers.get", external_id="C-1")
        assert call(other, "customers.search")["customers"] == []
        assert events(other) == []
        assert call(other, "customers.upsert", **{**ACME, "name": "Mine"})["change"] == "created"
    assert call(context, "customers.get", external_id="C-1")["name"] == "ACME"


def test_a_search_goes_on_page_by_page(context: Context) -> None:
    for number in range(5):
        call(context, "customers.upsert", external_id=f"C-{number}", name=f"Bolt_{number}%", city="Almaty")
    call(context, "customers.upsert", external_id="C-x", name="Nut", city="Paris")
    found, cursor = [], None
    while True:
        page = call(context, "customers.search", text="bolt_", limit=2, **({"cursor": cursor} if cursor else {}))
        found += [each["name"] for each in page["customers"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(found) == [f"Bolt_{number}%" for number in range(5)]
    assert [each["name"] for each in call(context, "customers.search", city="Paris")["customers"]] == ["Nut"]
    with pytest.raises(Permanent):
        call(context, "customers.search", cursor="'; DROP TABLE customers")


def test_events_carry_the_correlation_and_the_key_of_their_call_and_wait_until_they_are_taken(context: Context) -> None:
    keyed = replace(context, idempotency_key="run_1:step:0", correlation_id="cor_7")
    made = call(keyed, "customers.upsert", **ACME)
    call(context, "customers.archive", external_id="C-1")
    first, second = ERP.outbox.waiting(context, 10)
    assert (first.type, first.subject) == ("customer.created", f"customer/{made['customer_id']}")
    assert (first.correlation_id, first.cause, second.cause) == ("cor_7", "run_1:step:0", None)
    assert first.data["customer_id"] == made["customer_id"]
    assert [each.id for each in ERP.outbox.waiting(context, 1)] == [first.id]
    ERP.outbox.taken(context, [first])
    ERP.outbox.taken(context, [first])
    assert [each.id for each in ERP.outbox.waiting(context, 10)] == [second.id]


def test_a_batch_writes_what_fits_and_names_what_does_not(context: Context) -> None:
    target = ERP.targets[0]
    call(context, "customers.upsert", external_id="C-2", name="Known", email="k@x.y")
    records = [
        {"external_id": "C-1", "name": "ACME"},
        {"external_id": "C-2", "name": "Known"},
        {"external_id": "C-3", "name": ""},
        {"external_id": "C-4", "name": "Odd", "credit_limit": "1.234"},
        {"external_id": "C-5", "name": "Last"},
    ]
    to = Destination(options={}, match_on=("external_id",))
    result = target.write(to, Batch(records, [f"k{n}" for n in range(5)]), context)
    assert list(result.unchanged) == [1]
    assert {index: error.code for index, error in result.failed.items()} == {
        2: "CUSTOMER_INVALID",
        3: "CUSTOMER_INVALID",
    }
    assert [bool(each) for each in result.target_ids or ()] == [True, True, False, False, True]
    taken = Batch([{"external_id": "C-1", "name": "Thief", "email": "k@x.y"}], ["k"])
    twins = [{"external_id": "C-7", "name": each, "email": f"{each}@b.c"} for each in "xyz"]
    both = target.write(Destination(options={}, match_on=("email",)), Batch(twins, ["x", "y", "z"]), context)
    assert {index: each.code for index, each in both.failed.items()} == dict.fromkeys((1, 2), "CUSTOMER_CONFLICT")
    stolen = target.write(Destination(options={}, match_on=("email",)), taken, context)
    assert stolen.failed[0].code == "CUSTOMER_CONFLICT"


def test_what_a_source_reads_a_target_has_written(context: Context) -> None:
    clock = context.clock
    assert isinstance(clock, ManualClock)
    target, source = ERP.targets[0], ERP.sources[0]
    to = Destination(options={}, match_on=("external_id",))
    for number in range(3):
        clock.advance(10)
        records = [{"external_id": f"C-{number}-{n}", "name": "A"} for n in range(40)]
        target.write(to, Batch(records, [each["external_id"] for each in records]), context)
    since = Window(fields=("updated_at",), since=(datetime(2026, 1, 1, 0, 0, 20, tzinfo=UTC),))
    request = ReadRequest(options={}, primary_key=("customer_id",), window=since, size=30)
    pages = list(source.read(request, context))
    assert [len(page.rows) for page in pages] == [30, 30, 20]
    assert len({row["customer_id"] for page in pages for row in page.rows}) == 80
    assert source.count(request, context) == 80
    assert sum(len(page) for page in target.keys(to, 50, context)) == 120


def test_the_tables_are_those_that_are_declared_and_made_once(engine: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [engine] * 4))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM schema_versions")).scalar() == len(STEPS)
        found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": False}), METADATA)
    assert found == []
