"""Money on a real Tryton: what is paid, owed and given back, and the flows about it, word for word."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from plugins.tryton import finding
from server.kernel.errors import CrossdockError, Retryable
from server.sdk import CallRequest
from tests.tryton.test_broken_off import Breaking

if TYPE_CHECKING:
    from server.sdk.port_inputs.stage import Stage
    from tests.tryton.company import Company


FLOWS = ("payment-received", "order-cancelled", "deal-prediction")


class Sold:
    """An order of 60.00 of a customer of its own, with its invoice."""

    def __init__(self, stage: Stage) -> None:
        self.call = stage.world.call
        self.customer = self.call("customers.upsert", external_id=uuid.uuid4().hex, name="Buyer")["customer_id"]
        items = [stage.some()]
        self.order = self.call("orders.create", customer_id=self.customer, items=items)["order_id"]
        self.invoice = self.call("invoices.create_from_order", order_id=self.order)["invoice_id"]

    def pay(self, amount: str, **more: Any) -> dict[str, Any]:
        return self.call("payments.record", invoice_id=self.invoice, amount=amount, **more)

    def back(self, payment: dict[str, Any], **more: Any) -> dict[str, Any]:
        return self.call("payments.refund", payment_id=payment["payment_id"], **more)

    def books(self) -> tuple[str, str, str, str]:
        """Return the invoice's status, what is open of it, how far the order is paid, and what the customer owes."""
        invoice = self.call("invoices.get", invoice_id=self.invoice)
        order = self.call("orders.update_payment_status", order_id=self.order)
        owed = self.call("customers.update_balance", customer_id=self.customer)["balance"]
        return invoice["status"], invoice["open"], order["payment_status"], owed


@pytest.mark.timeout(300)
def test_a_payment_and_a_cancelled_order_are_followed_to_the_end(company: Company, stage: Stage) -> None:
    sold = Sold(stage)
    sold.call("inventory.reserve_stock", order_id=sold.order)
    payment = sold.pay("60.00")
    about = {name: payment[name] for name in ("payment_id", "customer_id", "invoice_id", "order_id", "amount")}
    company.tell("payment.received", f"payment/{payment['payment_id']}", **about)
    receipt = company.run("payment-received", "completed").output["receipt_id"]
    assert sold.call("receipts.generate", payment_id=payment["payment_id"])["receipt_id"] == receipt
    assert sold.books() == ("paid", "0.00", "paid", "0.00")

    assert sold.call("orders.cancel", order_id=sold.order)["status"] == "cancelled"
    assert sold.books() == ("paid", "0.00", "paid", "0.00"), "what is paid is given back by a call of its own"
    company.tell("order.cancelled", f"order/{sold.order}", order_id=sold.order)
    company.run("order-cancelled", "completed")
    assert sold.books() == ("void", "0.00", "unpaid", "0.00")
    [given_back] = sold.call("payments.search", customer_id=sold.customer)["payments"]
    assert (given_back["status"], given_back["refunded"]) == ("refunded", "60.00")
    assert sold.call("orders.get", order_id=sold.order)["status"] == "cancelled"


@pytest.mark.timeout(300)
def test_a_deal_has_its_prediction_from_whoever_predicts(company: Company, stage: Stage) -> None:
    deal = stage.deal()["deal_id"]
    company.tell("deal.updated", f"deal/{deal}", deal_id=deal)
    said = company.run("deal-prediction", "completed").output["probability"]
    assert stage.world.call("deals.get", deal_id=deal)["probability"] == pytest.approx(float(said))
    [*_, last] = stage.world.call("deals.history", deal_id=deal)["history"]
    assert (last["what"], last["to"]) == ("predicted", "open")


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_what_is_paid_beyond_an_invoice_is_credit_and_goes_back_first(stage: Stage) -> None:
    sold = Sold(stage)
    first = sold.pay("20.00", reference="bank 1")
    assert sold.books() == ("partly_paid", "40.00", "partly_paid", "40.00")
    with pytest.raises(CrossdockError) as refused:
        sold.pay("41.00")
    assert (refused.value.code, refused.value.details["open"]) == ("PAYMENT_EXCEEDS", "40.00")
    second = sold.pay("100.00", over="credit")
    assert (first["reference"], second["applied"], second["credit"]) == ("bank 1", "40.00", "60.00")
    assert sold.books() == ("paid", "0.00", "paid", "-60.00")
    sold.back(second, amount="70.00")
    assert sold.books() == ("partly_paid", "10.00", "partly_paid", "10.00")
    with pytest.raises(CrossdockError) as refused:
        sold.call("invoices.void", invoice_id=sold.invoice)
    assert refused.value.code == "INVOICE_STATUS"
    sold.call("payments.refund", order_id=sold.order)
    sold.call("invoices.void", invoice_id=sold.invoice)
    assert sold.books() == ("void", "0.00", "unpaid", "0.00")


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_part_given_back_twice_under_one_key_is_given_back_once(stage: Stage) -> None:
    sold = Sold(stage)
    payment = sold.pay("60.00")
    for _ in range(2):
        done = sold.call("payments.refund", "key_part", payment_id=payment["payment_id"], amount="15.00")
        assert (done["refunded"], done["refunds"][0]["status"]) == ("15.00", "partly_refunded")
        assert sold.books() == ("partly_paid", "15.00", "partly_paid", "15.00")
    with pytest.raises(CrossdockError) as refused:
        sold.back(payment, amount="45.01")
    assert refused.value.code == "REFUND_EXCEEDS"
    assert sold.back(payment)["refunded"] == "45.00"
    assert sold.back(payment)["change"] == "none"
    assert sold.books() == ("open", "60.00", "unpaid", "60.00")


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_an_invoice_is_paid_from_credit_as_far_as_that_goes(stage: Stage) -> None:
    sold = Sold(stage)
    customer = {"customer_id": sold.customer}
    small, large = (sold.call("payments.record", **customer, amount=each) for each in ("20.00", "70.00"))
    sold.back(small, amount="5.00")
    assert sold.books() == ("open", "60.00", "unpaid", "-25.00")
    for change in ("updated", "none"):
        done = sold.call("invoices.update_payment_status", invoice_id=sold.invoice, use_credit=True)
        assert (done["status"], done["change"]) == ("paid", change)
    found = {each["payment_id"]: each for each in sold.call("payments.search", **customer)["payments"]}
    parts = [(each["applied"], each["credit"]) for each in (found[small["payment_id"]], found[large["payment_id"]])]
    assert parts == [("15.00", "0.00"), ("45.00", "25.00")]
    assert sold.books() == ("paid", "0.00", "paid", "-25.00")
    assert sold.back(large)["refunded"] == "70.00"
    assert sold.books() == ("partly_paid", "45.00", "partly_paid", "45.00")
    assert sold.call("payments.refund", order_id=sold.order)["refunded"] == "15.00"
    assert sold.books() == ("open", "60.00", "unpaid", "60.00")


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_refund_that_breaks_off_anywhere_is_finished_by_its_repetition(stage: Stage) -> None:
    whole = stage.world.context("whole")
    for after in range(1, 100):
        sold = Sold(stage)
        given = {"payment_id": sold.pay("60.00")["payment_id"], "amount": "15.00"}
        key = f"refund broken off after {after}"
        broken = replace(whole, http=Breaking(whole.http, after), idempotency_key=key)
        try:
            stage.world.adapter.execute(CallRequest("payments.refund", given), broken)
        except Retryable:
            assert sold.call("payments.refund", key, **given)["refunded"] == "15.00"
            assert sold.books() == ("partly_paid", "15.00", "partly_paid", "15.00")
        else:
            assert after > 5, "it was broken off at each of its requests"
            return


@pytest.mark.faults
def test_the_reports_say_what_the_books_say(stage: Stage) -> None:
    call = stage.world.call
    before = call("reports.trial_balance")
    sold = Sold(stage)
    call("expenses.record", category="Travel", amount="12.00", tax_rate="20", supplier_id="2", description="taxi")
    sold.call("payments.process", invoice_id=sold.invoice, method="cash", amount="20.00")
    after = call("reports.trial_balance")
    assert (before["difference"], after["difference"]) == ("0.00", "0.00")
    told = call("customers.analytics", customer_id=sold.customer)
    assert (told["orders"], told["revenue"], told["open_amount"]) == (1, "50.00", "40.00")
    late = call("reports.receivables", as_of="2030-01-01")
    assert (late["not_due"], late["older"]) == ("0.00", late["open"]) == ("0.00", call("reports.kpis")["receivables"])
    mine = [each for each in call("reports.sales", by="customer", limit=200)["rows"] if each["key"] == sold.customer]
    assert mine == [{"key": sold.customer, "orders": 1, "net": "50.00"}]
    sold.call("payments.refund", invoice_id=sold.invoice)
    sold.call("orders.cancel", order_id=sold.order)
    assert call("customers.analytics", customer_id=sold.customer)["cancelled_orders"] == 1
    assert not [each for each in call("reports.sales", by="customer")["rows"] if each["key"] == sold.customer]


@pytest.mark.faults
def test_a_report_that_is_too_large_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.invoice()
    monkeypatch.setattr(finding, "MOST", 1)
    monkeypatch.setattr(finding, "MOST_COUNTED", 1)
    with pytest.raises(CrossdockError) as refused:
        stage.world.call("reports.kpis")
    assert (refused.value.code, refused.value.retryable) == ("REPORT_TOO_LARGE", False)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("record", "wrong"),
    [
        ({"external_id": "X", "name": "Right", "email": "a@example.com", "phone": "+49 30 1234567"}, []),
        ({"external_id": " ", "name": ""}, ["external_id", "name"]),
        (
            {"external_id": "X", "name": "N", "email": "a@b", "phone": "none", "country": "Nowhere"},
            ["email", "phone", "country"],
        ),
    ],
)
def test_a_record_is_checked_before_it_is_a_party(stage: Stage, record: dict[str, Any], wrong: list[str]) -> None:
    told = stage.world.call("customers.validate", **record)
    assert ([each["field"] for each in told["errors"]], told["valid"]) == (wrong, not wrong)
