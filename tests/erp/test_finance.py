"""Invoices, payments, refunds and receipts of the embedded ERP: what is booked, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from plugins.erp_sandbox.finance import books, invoices, payments
from plugins.erp_sandbox.opening import working
from server.kernel.clock import ManualClock
from server.sdk import CrossdockError
from tests.erp.calling import call, refusal, told

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from server.sdk import Context

HELP = [{"description": "Help", "quantity": 2, "unit_price": "50", "tax_rate": "20"}]


@pytest.fixture
def engine(small_engine: Engine) -> Engine:
    return small_engine


@pytest.fixture
def customer(context: Context) -> str:
    return str(call(context, "customers.upsert", external_id="C-1", name="ACME")["customer_id"])


@pytest.fixture
def invoice(context: Context, customer: str) -> str:
    """An invoice of 120.00."""
    return str(call(context, "invoices.create", customer_id=customer, lines=HELP)["invoice_id"])


def order_of(context: Context, customer: str, price: str = "100") -> str:
    product = call(context, "products.upsert", external_id="P-1", name="Table", tax_rate="20")["product_id"]
    items = [{"product_id": product, "quantity": 1, "unit_price": price}]
    return str(call(context, "orders.create", customer_id=customer, items=items)["order_id"])


def balance(context: Context, customer: str) -> str:
    return str(call(context, "customers.get", customer_id=customer)["balance"])


def accounts(context: Context) -> dict[str, str]:
    found = call(context, "reports.trial_balance")
    assert found["difference"] == "0.00"
    return {each["account"]: each["balance"] for each in found["accounts"]}


def test_however_many_payments_are_given_back_the_answer_names_each(context: Context, invoice: str) -> None:
    with working(context, writes=True) as desk:
        for _ in range(501):
            payments.record(desk, {"invoice_id": invoice, "amount": "0.01"})
    answer = call(context, "payments.refund", invoice_id=invoice)
    assert (answer["refunded"], len(answer["refunds"])) == ("5.01", 501)


def test_what_is_invoiced_is_what_is_ordered(context: Context, customer: str) -> None:
    order = order_of(context, customer)
    invoice = call(context, "invoices.create_from_order", order_id=order)["invoice_id"]
    [item] = call(context, "orders.get", order_id=order)["items"]
    same = {"product_id": item["product_id"], "quantity": 1, "unit_price": "100"}
    assert call(context, "orders.update", order_id=order, items=[same], note="soon")["change"] == "updated"
    more = {"order_id": order, "items": [{**same, "quantity": 2}]}
    refused = refusal(context, "orders.update", more)
    assert (refused.code, refused.details["invoice_id"]) == ("ORDER_INVOICED", invoice)
    call(context, "invoices.void", invoice_id=invoice)
    assert call(context, "orders.update", more)["net"] == "200.00"


def test_an_order_is_invoiced_once_with_its_lines_to_the_cent(context: Context, customer: str) -> None:
    order = order_of(context, customer, "33.33")
    made = call(context, "invoices.create_from_order", order_id=order, terms="net14")
    assert (made["net"], made["tax"], made["total"], made["open"]) == ("33.33", "6.67", "40.00", "40.00")
    assert (made["status"], made["due_date"], made["order_id"], made["overdue"]) == ("open", "2026-01-15", order, False)
    assert made["lines"][0]["description"] == "Table"
    again = refusal(context, "invoices.create_from_order", order_id=order)
    assert (again.code, again.details["invoice_id"]) == ("ORDER_INVOICED", made["invoice_id"])
    assert balance(context, customer) == "40.00"
    assert accounts(context) == {"receivables": "40.00", "sales": "-33.33", "tax_owed": "-6.67"}
    assert [each.data["invoice_id"] for each in told(context, "invoice.created")] == [made["invoice_id"]]
    call(context, "invoices.void", invoice_id=made["invoice_id"], reason="mistake")
    assert (
        call(context, "invoices.create_from_order", order_id=order, due_date="2026-02-02")["due_date"] == "2026-02-02"
    )
    assert accounts(context) == {"receivables": "40.00", "sales": "-33.33", "tax_owed": "-6.67"}


@pytest.mark.parametrize(
    ("limit", "first", "second"),
    [("239.99", True, False), ("240.00", True, True), ("0", True, True), ("119", False, False)],
)
def test_nobody_is_invoiced_beyond_the_credit_limit(
    context: Context, customer: str, *, limit: str, first: bool, second: bool
) -> None:
    call(context, "customers.upsert", external_id="C-1", name="ACME", credit_limit=limit)
    for allowed in (first, second):
        asked = call(context, "customers.check_credit_limit", customer_id=customer, amount="120")
        assert asked["allowed"] is allowed
        if allowed:
            call(context, "invoices.create", customer_id=customer, lines=HELP)
        else:
            refused = refusal(context, "invoices.create", customer_id=customer, lines=HELP)
            assert (refused.code, refused.details["amount"]) == ("CREDIT_LIMIT", "120.00")
            assert Decimal(asked["exceeded_by"]) > 0


def test_payments_settle_an_invoice_and_none_goes_beyond_what_is_open(
    context: Context, customer: str, invoice: str
) -> None:
    part = call(context, "payments.record", invoice_id=invoice, amount="100", reference="bank 1")
    assert (part["applied"], part["credit"], part["invoice_status"]) == ("100.00", "0.00", "partly_paid")
    beyond = refusal(context, "payments.record", invoice_id=invoice, amount="20.01")
    assert (beyond.code, beyond.details["open"]) == ("PAYMENT_EXCEEDS", "20.00")
    assert call(context, "payments.validate", invoice_id=invoice, amount="20.01")["errors"][0]["code"] == beyond.code
    assert call(context, "payments.validate", invoice_id=invoice, amount="20")["valid"]
    rest = call(context, "payments.process", invoice_id=invoice, method="card")
    assert (rest["amount"], rest["invoice_status"]) == ("20.00", "paid")
    assert refusal(context, "payments.record", invoice_id=invoice, amount="1").code == "INVOICE_STATUS"
    assert call(context, "payments.validate", invoice_id=invoice, amount="1")["errors"][0]["code"] == "INVOICE_STATUS"
    assert balance(context, customer) == "0.00"
    assert accounts(context)["bank"] == "120.00"
    types = [each.type for each in told(context, "payment.received", "payment.processed")]
    assert types == ["payment.received", "payment.processed", "payment.received"]
    assert told(context, "payment.received")[0].data.keys() >= {
        "payment_id",
        "invoice_id",
        "order_id",
        "customer_id",
        "amount",
    }


def test_what_is_beyond_an_invoice_becomes_credit_where_that_is_wanted_and_pays_the_next(
    context: Context, customer: str, invoice: str
) -> None:
    paid = call(context, "payments.record", invoice_id=invoice, amount="150", over="credit")
    assert (paid["applied"], paid["credit"], paid["invoice_status"]) == ("120.00", "30.00", "paid")
    ahead = call(context, "payments.record", customer_id=customer, amount="50")
    assert (ahead["credit"], balance(context, customer)) == ("50.00", "-80.00")
    later = call(context, "invoices.create", customer_id=customer, lines=HELP)["invoice_id"]
    assert call(context, "invoices.update_payment_status", invoice_id=later)["change"] == "none"
    settled = call(context, "invoices.update_payment_status", invoice_id=later, use_credit=True)
    assert (settled["status"], settled["open"], settled["change"]) == ("partly_paid", "40.00", "updated")
    assert balance(context, customer) == "40.00"
    assert refusal(context, "payments.refund", payment_id=paid["payment_id"], amount="150.01").code == "REFUND_EXCEEDS"
    call(context, "payments.refund", payment_id=paid["payment_id"])
    assert call(context, "invoices.get", invoice_id=later)["open"] == "70.00"
    assert call(context, "invoices.get", invoice_id=invoice)["status"] == "open"
    assert balance(context, customer) == "190.00"


def test_a_declined_card_is_an_answer_and_no_money(context: Context, customer: str, invoice: str) -> None:
    failed = call(
        context, "payments.process", invoice_id=invoice, method="card", reference="declined-insufficient-funds"
    )
    assert (failed["status"], failed["failure"]["code"]) == ("failed", "PAYMENT_DECLINED")
    assert [each.type for each in told(context) if each.type.startswith("payment")] == ["payment.failed"]
    assert balance(context, customer) == "120.00"
    assert call(context, "payments.refund", payment_id=failed["payment_id"])["change"] == "none"
    assert refusal(context, "receipts.generate", payment_id=failed["payment_id"]).code == "PAYMENT_STATUS"


def test_a_refund_opens_the_invoice_again_and_then_it_can_be_void(context: Context, customer: str) -> None:
    order = order_of(context, customer)
    invoice = call(context, "invoices.create_from_order", order_id=order)["invoice_id"]
    for amount in ("100", "20"):
        call(context, "payments.record", invoice_id=invoice, amount=amount)
    assert call(context, "orders.update_payment_status", order_id=order)["payment_status"] == "paid"
    assert refusal(context, "invoices.void", order_id=order).code == "INVOICE_STATUS"
    assert refusal(context, "payments.refund", order_id=order, amount="120.01").code == "REFUND_EXCEEDS"
    part = call(context, "payments.refund", order_id=order, amount="30")
    assert sorted(each["amount"] for each in part["refunds"]) in (["10.00", "20.00"], ["30.00"])
    assert call(context, "orders.update_payment_status", order_id=order)["payment_status"] == "partly_paid"
    assert call(context, "payments.refund", order_id=order)["refunded"] == "90.00"
    assert call(context, "payments.refund", order_id=order)["change"] == "none"
    assert call(context, "invoices.void", order_id=order) == {
        "invoice_id": invoice,
        "status": "void",
        "change": "updated",
    }
    assert call(context, "invoices.void", order_id=order)["change"] == "none"
    assert call(context, "orders.update_payment_status", order_id=order)["payment_status"] == "unpaid"
    assert balance(context, customer) == "0.00"
    assert set(accounts(context).values()) == {"0.00"}


def test_undoing_what_never_was_does_nothing(context: Context) -> None:
    for given in ({"invoice_id": "inv_0"}, {"order_id": "ord_0"}):
        assert call(context, "invoices.void", given)["change"] == "none"
        assert call(context, "payments.refund", given)["change"] == "none"
    assert call(context, "payments.refund", payment_id="pay_0")["refunded"] == "0.00"


WAYS: dict[str, list[str]] = {
    "open": [],
    "partly_paid": ["settle as partly_paid"],
    "paid": ["settle as paid"],
    "void": ["void"],
}


def _do(context: Context, invoice: str, verb: str) -> None:
    if verb == "void":
        call(context, "invoices.void", invoice_id=invoice)
    elif verb == "pay":
        with working(context, writes=True) as desk:
            invoices.MOVES.after(invoices.find(desk, invoice)["status"], "pay")
    else:
        paid = {"open": "0", "partly_paid": "60", "paid": "120"}[verb.removeprefix("settle as ")]
        with working(context, writes=True) as desk:
            invoices.settle(desk, invoices.find(desk, invoice, lock=True), Decimal(paid))


@pytest.mark.parametrize("verb", invoices.MOVES.moves)
@pytest.mark.parametrize("status", WAYS)
def test_an_invoice_moves_only_as_its_table_says(context: Context, invoice: str, status: str, verb: str) -> None:
    for each in WAYS[status]:
        _do(context, invoice, each)
    after = invoices.MOVES.moves[verb].get(status)
    if after is None:
        with pytest.raises(CrossdockError) as refused:
            _do(context, invoice, verb)
        assert (refused.value.code, refused.value.details["status"]) == ("INVOICE_STATUS", status)
    else:
        _do(context, invoice, verb)
    assert call(context, "invoices.get", invoice_id=invoice)["status"] == (after or status)


@pytest.mark.parametrize(
    ("operation", "given", "code"),
    [
        ("invoices.get", {"invoice_id": "inv_0"}, "INVOICE_UNKNOWN"),
        ("invoices.create", {"customer_id": "cus_0", "lines": HELP}, "CUSTOMER_UNKNOWN"),
        ("invoices.create_from_order", {"order_id": "ord_0"}, "ORDER_UNKNOWN"),
        ("payments.record", {"invoice_id": "inv_0", "amount": "1"}, "INVOICE_UNKNOWN"),
        ("payments.record", {"customer_id": "cus_0", "amount": "1"}, "CUSTOMER_UNKNOWN"),
        ("receipts.generate", {"payment_id": "pay_0"}, "PAYMENT_UNKNOWN"),
        ("customers.check_credit_limit", {"customer_id": "cus_0"}, "CUSTOMER_UNKNOWN"),
    ],
)
def test_what_is_not_there_is_refused_by_the_code_of_the_port(
    context: Context, operation: str, given: dict[str, Any], code: str
) -> None:
    assert refusal(context, operation, given).code == code


def test_an_invoice_worth_nothing_is_paid_and_can_be_void(context: Context, customer: str) -> None:
    free = [{"quantity": 1, "unit_price": "0"}]
    made = call(context, "invoices.create", customer_id=customer, lines=free)
    assert made["status"] == "paid"
    assert call(context, "invoices.void", invoice_id=made["invoice_id"])["status"] == "void"


def test_no_entry_is_booked_that_does_not_balance(context: Context) -> None:
    with working(context, writes=True) as desk, pytest.raises(ValueError, match="does not balance"):
        books.post(desk, "x", {"bank": Decimal("1.00"), "sales": Decimal("-0.99")})


def test_a_balance_is_corrected_in_the_books_and_told_of(context: Context, customer: str, invoice: str) -> None:
    assert call(context, "customers.update_balance", customer_id=customer)["change"] == "none"
    corrected = call(context, "customers.update_balance", customer_id=customer, amount="-20.50", reason="goodwill")
    assert (corrected["balance"], balance(context, customer)) == ("99.50", "99.50")
    assert accounts(context)["corrections"] == "20.50"
    assert told(context, "customer.updated")[-1].data["balance"] == "99.50"
    assert call(context, "invoices.get", invoice_id=invoice)["open"] == "120.00"


def test_a_payment_has_one_receipt_and_an_expense_its_tax(context: Context, customer: str, invoice: str) -> None:
    paid = call(context, "payments.record", invoice_id=invoice, amount="20")
    first = call(context, "receipts.generate", payment_id=paid["payment_id"])
    again = call(context, "receipts.generate", payment_id=paid["payment_id"])
    assert (first["change"], again["change"], again["number"]) == ("created", "none", first["number"])
    assert "ACME" in first["text"]
    assert "20.00" in first["text"]
    spent = call(context, "expenses.record", category="travel", amount="10.00", tax_rate="19")
    assert (spent["net"], spent["tax"]) == ("8.40", "1.60")
    assert accounts(context)["bank"] == "10.00"


def test_the_reports_say_what_was_ordered_shipped_won_and_is_open(context: Context, customer: str) -> None:
    clock = context.clock
    assert isinstance(clock, ManualClock)
    orders = [order_of(context, customer, price) for price in ("100", "50", "0.01")]
    call(context, "orders.cancel", order_id=orders[2])
    call(context, "invoices.create_from_order", order_id=orders[0], due_date="2026-01-01")
    clock.advance(36 * 3600)
    call(context, "orders.update", order_id=orders[0], status="shipped")
    figures = call(context, "reports.kpis", {"from": "2026-01-01", "to": "2026-01-01"})
    assert (figures["orders_processed"], figures["average_order_value"], figures["revenue"]) == (2, "75.00", "150.00")
    assert (figures["fulfilment_hours"], figures["orders_shipped"], figures["receivables"]) == (36, 1, "120.00")
    assert (figures["conversion_rate"], call(context, "reports.kpis", {"from": "2026-02-01"})["orders_processed"]) == (
        None,
        0,
    )
    for by, key in (("day", "2026-01-01"), ("month", "2026-01"), ("customer", customer)):
        rows = call(context, "reports.sales", by=by)["rows"]
        assert rows == [{"key": key, "orders": 2, "net": "150.00"}]
    assert call(context, "reports.sales", by="product")["rows"][0]["quantity"] == 2
    aged = call(context, "reports.receivables", as_of="2026-02-15")
    assert (aged["open"], aged["days_31_60"], aged["not_due"]) == ("120.00", "120.00", "0.00")
    assert call(context, "customers.analytics", customer_id=customer)["overdue_amount"] == "120.00"
