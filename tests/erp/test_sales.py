"""Products, prices, deals, quotes and orders of the embedded ERP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.erp_sandbox.opening import working
from plugins.erp_sandbox.sales import deals, orders, pricing
from server.kernel.clock import ManualClock
from server.sdk import CrossdockError
from tests.erp.calling import call, refusal, told

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from server.sdk import Context

BREAKS = [{"quantity": 10, "percent": "5"}, {"quantity": 50, "percent": "12.5"}]


@pytest.fixture
def engine(small_engine: Engine) -> Engine:
    return small_engine


@pytest.fixture
def customer(context: Context) -> str:
    return str(call(context, "customers.upsert", external_id="C-1", name="ACME")["customer_id"])


@pytest.fixture
def table(context: Context) -> str:
    fields = {"price": "19.99", "tax_rate": "19", "lead_time_days": 10, "price_breaks": BREAKS}
    return str(call(context, "products.upsert", external_id="P-1", name="Table", **fields)["product_id"])


@pytest.fixture
def deal(context: Context, customer: str, table: str) -> str:
    items = [{"product_id": table, "quantity": 5}]
    return str(call(context, "deals.create", customer_id=customer, name="Tables", items=items)["deal_id"])


def test_a_product_is_created_changed_left_alone_and_archived(context: Context) -> None:
    made = call(context, "products.upsert", external_id="P-1", name="Bolt", price="0.1", price_breaks=BREAKS)
    assert (made["change"], made["price"], made["kind"], made["lead_time_days"]) == ("created", "0.10", "goods", 7)
    assert call(context, "products.upsert", external_id="P-1", name="Bolt", price_breaks=BREAKS)["change"] == "none"
    dearer = call(context, "products.upsert", external_id="P-1", name="Bolt", price="0.12", archived=True)
    assert (dearer["change"], dearer["price"], dearer["state"], dearer["revision"]) == (
        "updated",
        "0.12",
        "archived",
        2,
    )
    assert call(context, "products.get", external_id="P-1")["price_breaks"][0] == {"quantity": 10, "percent": "5.00"}
    assert (
        call(context, "products.search", text="bol", state="archived")["products"][0]["product_id"]
        == made["product_id"]
    )
    assert refusal(context, "products.get", product_id="prd_0").code == "PRODUCT_UNKNOWN"
    twice = [BREAKS[0], {"quantity": 10.0, "percent": "6"}]
    assert (
        refusal(context, "products.upsert", external_id="P-2", name="A", price_breaks=twice).code == "PRODUCT_INVALID"
    )


@pytest.mark.parametrize(
    ("quantity", "percent", "net", "tax"),
    [
        (1, "0.00", "19.99", "3.80"),
        (9.9999, "0.00", "199.90", "37.98"),
        (10, "5.00", "189.91", "36.08"),
        (50, "12.50", "874.56", "166.17"),
        (0.0001, "0.00", "0.00", "0.00"),
    ],
)
def test_a_price_takes_the_break_that_its_quantity_reaches_and_rounds_half_up(
    context: Context, table: str, quantity: float, percent: str, net: str, tax: str
) -> None:
    found = call(context, "pricing.discount", items=[{"product_id": table, "quantity": quantity}])
    assert (found["items"][0]["discount_percent"], found["net"], found["tax"]) == (percent, net, tax)
    standard = call(context, "pricing.standard", product_id=table, quantity=quantity)
    assert Decimal(standard["amount"]) == Decimal(found["net"]) + Decimal(found["discount"])


LINE = st.fixed_dictionaries(
    {
        "quantity": st.decimals("0.0001", "10000", places=4),
        "unit_price": st.decimals("0", "99999", places=2),
        "discount_percent": st.decimals("0", "100", places=2),
        "tax_rate": st.decimals("0", "100", places=2),
    }
)


@given(lines=st.lists(LINE, max_size=20))
@settings(max_examples=60, deadline=None)
def test_totals_are_the_sums_of_their_lines_to_the_cent(lines: list[dict[str, Decimal]]) -> None:
    priced = [pricing.priced(each) for each in lines]
    for line in priced:
        exact = line["quantity"] * line["unit_price"] * (100 - line["discount_percent"]) / 100
        assert line["net"] == exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
        assert abs(line["tax"] - line["net"] * line["tax_rate"] / 100) <= Decimal("0.005")
    sums = pricing.totals(priced)
    assert sums["total"] == sum((each["net"] + each["tax"] for each in priced), Decimal(0))
    assert sums["net"] == sum((each["net"] for each in priced), Decimal(0))


def test_a_deal_is_won_once_and_tells_so(context: Context, deal: str, customer: str) -> None:
    won = call(context, "deals.win", deal_id=deal)
    assert (won["status"], won["change"], won["probability"], won["amount"]) == ("won", "updated", 1, "118.94")
    assert call(context, "deals.win", deal_id=deal)["change"] == "none"
    [event] = told(context, "deal.won")
    assert event.subject == f"deal/{deal}"
    assert (event.data["deal_id"], event.data["customer_id"], event.data["amount"]) == (deal, customer, "118.94")
    assert [each["what"] for each in call(context, "deals.history", deal_id=deal)["history"]] == ["created", "won"]


DEAL_VERBS = {
    "change": lambda context, deal: call(context, "deals.record_prediction", deal_id=deal, probability=0.7, model="m"),
    "win": lambda context, deal: call(context, "deals.win", deal_id=deal),
    "lose": lambda context, deal: call(context, "deals.lose", deal_id=deal, reason="price"),
}
DEAL_WAYS: dict[str, list[str]] = {"open": [], "won": ["win"], "lost": ["lose"]}


@pytest.mark.parametrize("verb", DEAL_VERBS)
@pytest.mark.parametrize("status", DEAL_WAYS)
def test_a_deal_moves_only_as_its_table_says(context: Context, deal: str, status: str, verb: str) -> None:
    for each in DEAL_WAYS[status]:
        DEAL_VERBS[each](context, deal)
    after = deals.MOVES.moves[verb].get(status)
    if after is None:
        with pytest.raises(CrossdockError) as refused:
            DEAL_VERBS[verb](context, deal)
        assert (refused.value.code, refused.value.details["status"]) == ("DEAL_CLOSED", status)
    else:
        DEAL_VERBS[verb](context, deal)
    assert call(context, "deals.get", deal_id=deal)["status"] == (after or status)


def test_a_deal_of_an_external_id_is_changed_while_it_is_open(context: Context, customer: str, table: str) -> None:
    fields: dict[str, Any] = {"external_id": "D-1", "customer_id": customer, "name": "Big"}
    first = call(context, "deals.upsert", fields, items=[{"product_id": table, "quantity": 1}])
    again = call(context, "deals.upsert", fields, items=[{"product_id": table, "quantity": 1}])
    assert (first["change"], again["change"], again["deal_id"]) == ("created", "none", first["deal_id"])
    more = call(context, "deals.upsert", fields, items=[{"product_id": table, "quantity": 2}], probability=0.25)
    assert (more["change"], more["items"][0]["quantity"], more["probability"]) == ("updated", 2, 0.25)
    call(context, "deals.win", external_id="D-1")
    assert refusal(context, "deals.upsert", fields, items=[{"product_id": table, "quantity": 3}]).code == "DEAL_CLOSED"
    assert call(context, "deals.find_active")["deals"] == []


def test_the_share_of_deals_that_are_won_is_counted_by_the_day_they_closed(
    context: Context, customer: str, table: str
) -> None:
    clock = context.clock
    assert isinstance(clock, ManualClock)
    made = []
    for number in range(4):
        items = [{"product_id": table, "quantity": 1}]
        made.append(call(context, "deals.create", customer_id=customer, name=str(number), items=items)["deal_id"])
    call(context, "deals.win", deal_id=made[0])
    clock.advance(86400)
    call(context, "deals.win", deal_id=made[1])
    call(context, "deals.lose", deal_id=made[2])
    assert call(context, "deals.conversion_rate") == {"won": 2, "lost": 1, "open": 1, "rate": 0.6667}
    assert call(context, "deals.conversion_rate", {"from": "2026-01-02"})["rate"] == 0.5
    assert call(context, "deals.conversion_rate", {"to": "2026-01-01"})["rate"] == 1
    assert call(context, "deals.conversion_rate", customer_id="cus_other")["rate"] is None


def test_a_won_deal_becomes_one_order_with_its_items_and_prices(context: Context, deal: str, table: str) -> None:
    assert refusal(context, "orders.create_from_deal", deal_id=deal).code == "DEAL_NOT_WON"
    call(context, "deals.win", deal_id=deal)
    call(context, "products.upsert", external_id="P-1", name="Table", price="99")
    order = call(context, "orders.create_from_deal", deal_id=deal, status="pending")
    assert [(each["product_id"], each["quantity"]) for each in order["items"]] == [(table, 5)]
    assert (order["status"], order["total"], order["delivery_date"]) == ("pending", "118.94", "2026-01-11")
    again = refusal(context, "orders.create_from_deal", deal_id=deal)
    assert (again.code, again.details["order_id"]) == ("ORDER_EXISTS", order["order_id"])
    call(context, "orders.cancel", order_id=order["order_id"])
    assert call(context, "orders.create_from_deal", deal_id=deal)["order_id"] != order["order_id"]
    [first, cancelled, second] = told(context, "order.created", "order.cancelled")
    assert (first.type, cancelled.type, second.type) == ("order.created", "order.cancelled", "order.created")
    assert first.data["items"][0]["product_id"] == table
    assert {"order_id", "customer_id", "deal_id", "total", "status"} <= cancelled.data.keys()


def test_of_many_that_make_the_order_of_a_deal_one_does(context: Context, deal: str) -> None:
    call(context, "deals.win", deal_id=deal)

    def make(number: int) -> str:
        try:
            return str(
                call(replace(context, idempotency_key=f"k{number}"), "orders.create_from_deal", deal_id=deal)["change"]
            )
        except CrossdockError as error:
            return error.code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(make, range(8))) == [*["ORDER_EXISTS"] * 7, "created"]


def test_a_quote_that_is_accepted_in_time_becomes_one_order(
    context: Context, deal: str, customer: str, table: str
) -> None:
    clock = context.clock
    assert isinstance(clock, ManualClock)
    quote = call(context, "quotes.create", deal_id=deal, valid_until="2026-01-01")
    other = call(context, "quotes.create", items=[{"product_id": table, "quantity": 10}], customer_id=customer)
    assert (quote["total"], other["items"][0]["discount_percent"]) == ("118.94", "5.00")
    assert refusal(context, "orders.create_from_quote", quote_id=quote["quote_id"]).code == "QUOTE_NOT_ACCEPTED"
    assert call(context, "quotes.accept", quote_id=quote["quote_id"])["status"] == "accepted"
    assert call(context, "quotes.accept", quote_id=quote["quote_id"])["change"] == "none"
    order = call(context, "orders.create_from_quote", quote_id=quote["quote_id"], priority="high")
    assert (order["deal_id"], order["priority"], order["total"]) == (deal, "high", "118.94")
    assert refusal(context, "orders.create_from_quote", quote_id=quote["quote_id"]).code == "ORDER_EXISTS"
    late = call(context, "quotes.create", deal_id=deal, valid_until="2026-01-01")
    clock.advance(86400)
    assert refusal(context, "quotes.accept", quote_id=late["quote_id"]).code == "QUOTE_EXPIRED"
    assert refusal(context, "quotes.get", quote_id="quo_0").code == "QUOTE_UNKNOWN"
    without = refusal(context, "quotes.create", items=[{"product_id": table, "quantity": 10}])
    assert without.code == "CUSTOMER_UNKNOWN"


def test_a_shipped_order_is_not_opened_again_by_an_update(context: Context, customer: str, table: str) -> None:
    items = [{"product_id": table, "quantity": 1}]
    made = {"order_id": call(context, "orders.create", customer_id=customer, items=items)["order_id"]}
    call(context, "orders.update", made, status="shipped")
    assert refusal(context, "orders.update", made, status="ready").code == "ORDER_STATUS"
    assert refusal(context, "orders.cancel", made).code == "ORDER_STATUS"


ORDER_WAYS: dict[str, list[str]] = {
    "draft": [],
    "pending": ["pending"],
    "confirmed": ["confirmed"],
    "in_production": ["in_production"],
    "ready": ["ready"],
    "shipped": ["pending", "shipped"],
    "delivered": ["pending", "shipped", "delivered"],
    "cancelled": ["cancel"],
}


def _order_verb(context: Context, order_id: str, verb: str, table: str) -> None:
    if verb == "cancel":
        call(context, "orders.cancel", order_id=order_id)
    elif verb == "invoice":
        call(context, "invoices.create_from_order", order_id=order_id)
    elif verb == "change":
        call(context, "orders.set_priority", order_id=order_id, priority="urgent")
    elif verb == "change its items":
        call(context, "orders.update", order_id=order_id, items=[{"product_id": table, "quantity": 7}])
    elif verb == "take back":
        with working(context, writes=True) as desk:
            orders.move(desk, order_id, verb)
    else:
        call(context, "orders.update", order_id=order_id, status=verb)


@pytest.mark.parametrize("status", ORDER_WAYS)
def test_an_order_moves_only_as_its_table_says(context: Context, customer: str, table: str, status: str) -> None:
    for verb, moves in orders.MOVES.moves.items():
        items = [{"product_id": table, "quantity": 1}]
        made = call(context, "orders.create", customer_id=customer, items=items, status="draft")["order_id"]
        for each in ORDER_WAYS[status]:
            _order_verb(context, made, each, table)
        after = moves.get(status)
        if after is None:
            with pytest.raises(CrossdockError) as refused:
                _order_verb(context, made, verb, table)
            assert (refused.value.code, refused.value.details["status"]) == ("ORDER_STATUS", status), verb
        else:
            _order_verb(context, made, verb, table)
        assert call(context, "orders.get", order_id=made)["status"] == (after or status)


def test_an_order_is_changed_only_where_it_changes_and_tells_each_time(
    context: Context, customer: str, table: str
) -> None:
    items = [{"product_id": table, "quantity": 1}]
    made = call(context, "orders.create", customer_id=customer, items=items, delivery_date="2026-03-01")
    same = call(
        context, "orders.update", order_id=made["order_id"], items=items, delivery_date="2026-03-01", status="pending"
    )
    assert (same["change"], same["revision"]) == ("none", 1)
    more = [{"product_id": table, "quantity": 2, "unit_price": "10", "discount_percent": "50"}]
    changed = call(context, "orders.update", order_id=made["order_id"], items=more, note="soon")
    assert (changed["change"], changed["revision"], changed["net"], changed["total"]) == (
        "updated",
        2,
        "10.00",
        "11.90",
    )
    assert call(context, "orders.get", order_id=made["order_id"])["items"] == changed["items"]
    assert call(context, "orders.set_priority", order_id=made["order_id"], priority="normal")["change"] == "none"
    assert call(context, "orders.set_priority", order_id=made["order_id"], priority="urgent")["change"] == "updated"
    assert len(told(context, "order.updated")) == 2


def test_cancelling_is_done_once_and_of_what_never_was_nothing(context: Context, customer: str, table: str) -> None:
    made = call(context, "orders.create", customer_id=customer, items=[{"product_id": table, "quantity": 1}])
    assert call(context, "orders.cancel", order_id=made["order_id"], reason="no need")["change"] == "updated"
    assert call(context, "orders.cancel", order_id=made["order_id"])["change"] == "none"
    assert call(context, "orders.cancel", order_id="ord_never") == {
        "order_id": "ord_never",
        "status": None,
        "change": "none",
    }
    [event] = told(context, "order.cancelled")
    assert (event.data["status"], event.data["reason"]) == ("cancelled", "no need")


@pytest.mark.parametrize(
    ("operation", "extra", "code"),
    [
        ("orders.create", {"customer_id": "cus_0"}, "CUSTOMER_UNKNOWN"),
        ("orders.create", {"items": [{"product_id": "prd_0", "quantity": 1}]}, "PRODUCT_UNKNOWN"),
        ("orders.create", {"external_id": "O-1"}, "ORDER_CONFLICT"),
        ("orders.create", {"items": [{"quantity": 1_000_000_000, "unit_price": "99999999999999"}]}, "SUM_TOO_LARGE"),
    ],
)
def test_an_order_that_cannot_be_is_refused_by_the_code_of_the_port(
    context: Context, customer: str, table: str, operation: str, extra: dict[str, Any], code: str
) -> None:
    fields: dict[str, Any] = {"customer_id": customer, "items": [{"product_id": table, "quantity": 1}]}
    call(context, "orders.create", fields, external_id="O-1")
    extra = {**extra, "items": [{"product_id": table, **each} for each in extra.get("items", fields["items"])]}
    assert refusal(context, operation, {**fields, **extra}).code == code


def test_what_a_customer_orders_is_counted_listed_and_liked(context: Context, customer: str, table: str) -> None:
    clock = context.clock
    assert isinstance(clock, ManualClock)
    bolt = call(context, "products.upsert", external_id="P-2", name="Bolt", price="1")["product_id"]
    made = []
    for number in range(4):
        items = [{"product_id": bolt, "quantity": 2}, {"product_id": table, "quantity": 1, "unit_price": "10"}]
        made.append(call(context, "orders.create", customer_id=customer, items=items[: 2 - number % 2])["order_id"])
        clock.advance(86400)
    call(context, "orders.cancel", order_id=made[3])
    metrics = call(context, "customers.update_metrics", customer_id=customer)
    assert (metrics["orders"], metrics["revenue"], metrics["average_order_value"]) == (3, "26.00", "8.67")
    assert (metrics["change"], metrics["last_order_at"]) == ("created", "2026-01-03T00:00:00Z")
    assert call(context, "customers.update_metrics", customer_id=customer)["change"] == "none"
    first = call(context, "customers.order_history", customer_id=customer, limit=3)
    rest = call(context, "customers.order_history", customer_id=customer, limit=3, cursor=first["next"])
    assert [each["order_id"] for each in [*first["orders"], *rest["orders"]]] == made[::-1]
    liked = call(context, "customers.preferences", customer_id=customer)["products"]
    assert [(each["name"], each["quantity"], each["orders"]) for each in liked] == [("Bolt", 6, 3), ("Table", 2, 2)]
    found = call(context, "customers.analytics", customer_id=customer)
    assert (found["cancelled_orders"], found["days_between_orders"], found["open_amount"]) == (1, 1, "0.00")
    best = call(context, "customers.report", {"from": "2026-01-02", "to": "2026-01-03"})
    assert (best["active"], best["best"][0]["revenue"], best["best"][0]["orders"]) == (1, "14.00", 2)


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        ({"external_id": "C-2", "name": "New", "email": "new@b.de", "phone": "+49 30 123456", "country": "DE"}, []),
        ({"external_id": "C-1", "name": "ACME", "email": "a@b.de"}, []),
        ({"external_id": " ", "email": "a@b.de"}, ["external_id", "name", "email"]),
        ({"external_id": "C-3", "name": "A", "email": "ab.de", "phone": "abc"}, ["email", "phone"]),
        ({"external_id": "C-3", "name": "A", "country": "D"}, ["country"]),
    ],
)
def test_a_customers_record_is_judged_before_it_is_kept(
    context: Context, record: dict[str, Any], fields: list[str]
) -> None:
    call(context, "customers.upsert", external_id="C-1", name="ACME", email="a@b.de")
    found = call(context, "customers.validate", record)
    assert ([each["field"] for each in found["errors"]], found["valid"]) == (fields, not fields)
