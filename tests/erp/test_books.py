"""Whatever is called, in whatever order and by however many at once: the books balance, nobody pays twice or gets back too much."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import requests
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import create_engine, func, select
from sqlalchemy.pool import StaticPool

from plugins.erp_sandbox.finance.tables import ALLOCATIONS, INVOICE_LINES, INVOICES, PAYMENTS, POSTINGS
from plugins.erp_sandbox.migrating import migrate
from plugins.erp_sandbox.records import values_of
from plugins.erp_sandbox.sales.tables import LINES, ORDERS
from plugins.erp_sandbox.tables import CUSTOMERS
from server.integrations.plugin_stores import PluginStores
from server.kernel.clock import ManualClock
from server.sdk import Context, Permanent, Retryable, Tenant
from tests.erp.calling import call

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.engine import Engine

LIMIT = Decimal(2000)
NOTHING = Decimal(0)
REFUSED = {
    "INVOICE_STATUS",
    "PAYMENT_EXCEEDS",
    "REFUND_EXCEEDS",
    "CREDIT_LIMIT",
    "ORDER_INVOICED",
    "ORDER_EXISTS",
    "ORDER_STATUS",
}
AMOUNTS = st.sampled_from(["0.01", "10", "33.33", "60", "120", "119.99", "500"])


def context_of(engine: Engine) -> Context:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Context(
        correlation_id="cor_1",
        tenant=Tenant("acme", "main"),
        user=None,
        timestamp=moment,
        http=requests.Session(),
        clock=ManualClock(moment),
        config={},
        store=lambda: engine,
    )


def rows(engine: Engine, table: Table) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [values_of(row) for row in connection.execute(select(table))]


def sums(engine: Engine, table: Table, by: str, of: str) -> dict[str, Decimal]:
    with engine.connect() as connection:
        query = select(table.c[by], func.sum(table.c[of])).group_by(table.c[by])
        return {key: value for key, value in connection.execute(query)}  # noqa: C416 - a row is no pair


def check_books(engine: Engine) -> None:
    """Look at every table: each sum that is kept is the sum of what it is made of."""
    entries = sums(engine, POSTINGS, "entry_id", "amount")
    assert set(entries.values()) <= {NOTHING}
    nets, taxes = sums(engine, INVOICE_LINES, "invoice_id", "net"), sums(engine, INVOICE_LINES, "invoice_id", "tax")
    paid, applied = sums(engine, ALLOCATIONS, "invoice_id", "amount"), sums(engine, ALLOCATIONS, "payment_id", "amount")
    owed: dict[str, Decimal] = {}
    for invoice in rows(engine, INVOICES):
        invoice_id, left = invoice["invoice_id"], invoice["total"] - invoice["paid"]
        assert (invoice["net"], invoice["tax"]) == (nets[invoice_id], taxes[invoice_id])
        assert invoice["total"] == invoice["net"] + invoice["tax"]
        assert invoice["paid"] == paid.get(invoice_id, NOTHING)
        assert NOTHING <= invoice["paid"] <= invoice["total"]
        status = "paid" if left == 0 else "partly_paid" if invoice["paid"] else "open"
        assert invoice["status"] == status or (invoice["status"] == "void" and invoice["paid"] == 0)
        if invoice["status"] != "void":
            owed[invoice["customer_id"]] = owed.get(invoice["customer_id"], NOTHING) + left
    for payment in rows(engine, PAYMENTS):
        assert payment["applied"] == applied.get(payment["payment_id"], NOTHING) >= 0
        assert payment["refunded"] >= 0
        credit = payment["amount"] - payment["applied"] - payment["refunded"]
        assert credit >= 0
        if payment["status"] != "failed":
            owed[payment["customer_id"]] = owed.get(payment["customer_id"], NOTHING) - credit
    booked = {
        customer_id: sum(
            (
                each["amount"]
                for each in rows(engine, POSTINGS)
                if each["customer_id"] == customer_id and each["account"] == "receivables"
            ),
            NOTHING,
        )
        for customer_id in {each["customer_id"] for each in rows(engine, CUSTOMERS)}
    }
    for customer in rows(engine, CUSTOMERS):
        assert customer["balance"] == booked[customer["customer_id"]] == owed.get(customer["customer_id"], NOTHING)
    lines = sums(engine, LINES, "owner_id", "net")
    for order in rows(engine, ORDERS):
        assert order["net"] == lines[order["order_id"]]
        assert order["total"] == order["net"] + order["tax"]
    alive = [each["order_id"] for each in rows(engine, INVOICES) if each["status"] != "void" and each["order_id"]]
    assert len(alive) == len(set(alive))


class Books(RuleBasedStateMachine):
    """Calls in any order; what is refused is refused by a code of the port and changes nothing."""

    @initialize()
    def begin(self) -> None:
        self.engine = create_engine("sqlite://", poolclass=StaticPool)
        migrate(self.engine)
        self.context = context_of(self.engine)
        self.orders: list[str] = []
        self.invoices: list[str] = []
        self.payments: list[str] = []
        self.customer = call(self.context, "customers.upsert", external_id="C", name="A", credit_limit=f"{LIMIT}")[
            "customer_id"
        ]
        fields = {"price": "33.33", "tax_rate": "19", "price_breaks": [{"quantity": 3, "percent": "12.5"}]}
        self.product = call(self.context, "products.upsert", external_id="P", name="B", **fields)["product_id"]
        for which in range(2):
            self.order(Decimal(3))
            self.invoice(which)
        self.pay(0, "33.33", "refuse")

    def teardown(self) -> None:
        self.engine.dispose()

    def attempt(self, operation: str, given: dict[str, Any]) -> dict[str, Any] | None:
        try:
            return call(self.context, operation, given)
        except Permanent as error:
            if error.code not in REFUSED:
                raise
            return None

    @rule(quantity=st.decimals("0.5", "9", places=4))
    def order(self, quantity: Decimal) -> None:
        items = [{"product_id": self.product, "quantity": float(quantity)}]
        self.orders.append(call(self.context, "orders.create", customer_id=self.customer, items=items)["order_id"])

    @rule(which=st.integers(0, 9))
    def invoice(self, which: int) -> None:
        if self.orders:
            made = self.attempt("invoices.create_from_order", {"order_id": self.orders[which % len(self.orders)]})
            if made:
                self.invoices.append(made["invoice_id"])
                assert Decimal(call(self.context, "customers.get", customer_id=self.customer)["balance"]) <= LIMIT

    @rule(which=st.integers(0, 9), amount=AMOUNTS, over=st.sampled_from(["refuse", "credit"]))
    def pay(self, which: int, amount: str, over: str) -> None:
        if self.invoices:
            named = {"invoice_id": self.invoices[which % len(self.invoices)]}
            made = self.attempt("payments.record", {**named, "amount": amount, "over": over})
            self.payments += [made["payment_id"]] if made else []

    @rule(which=st.integers(0, 9), reference=st.sampled_from(["card", "declined"]))
    def charge(self, which: int, reference: str) -> None:
        if self.invoices:
            named = {"invoice_id": self.invoices[which % len(self.invoices)]}
            made = self.attempt("payments.process", {**named, "method": "card", "reference": reference})
            self.payments += [made["payment_id"]] if made else []

    @rule(which=st.integers(0, 9), amount=st.none() | AMOUNTS, by=st.sampled_from(["payment", "invoice", "order"]))
    def refund(self, which: int, amount: str | None, by: str) -> None:
        known = {"payment": self.payments, "invoice": self.invoices, "order": self.orders}[by]
        if known:
            given = {f"{by}_id": known[which % len(known)]}
            self.attempt("payments.refund", given | ({} if amount is None else {"amount": amount}))

    @rule(which=st.integers(0, 9))
    def use_credit(self, which: int) -> None:
        if self.invoices:
            given = {"invoice_id": self.invoices[which % len(self.invoices)], "use_credit": True}
            self.attempt("invoices.update_payment_status", given)

    @rule(which=st.integers(0, 9))
    def void(self, which: int) -> None:
        if self.invoices:
            self.attempt("invoices.void", {"invoice_id": self.invoices[which % len(self.invoices)]})

    @rule(which=st.integers(0, 9))
    def cancel(self, which: int) -> None:
        if self.orders:
            self.attempt("orders.cancel", {"order_id": self.orders[which % len(self.orders)]})

    @invariant()
    def balances(self) -> None:
        if hasattr(self, "engine"):
            check_books(self.engine)


Books.TestCase.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
TestBooks = Books.TestCase


def test_the_books_balance_however_many_call_at_once(sandbox_url: str) -> None:
    stores = PluginStores(sandbox_url)
    engine = stores.engine("erp_sandbox")
    context = context_of(engine)
    limit = {"external_id": "C", "name": "A", "credit_limit": f"{LIMIT}"}
    customer = call(context, "customers.upsert", limit)["customer_id"]
    product = call(context, "products.upsert", external_id="P", name="B", price="99.99", tax_rate="19")["product_id"]
    items = [{"product_id": product, "quantity": 3}]
    orders = [call(context, "orders.create", customer_id=customer, items=items)["order_id"] for _ in range(8)]
    first = call(context, "invoices.create_from_order", order_id=orders[0])["invoice_id"]

    def work(seed: int) -> None:
        chance = random.Random(seed)
        mine = [first]
        for step in range(14):
            order, invoice = {"order_id": chance.choice(orders)}, {"invoice_id": chance.choice([first, *mine])}
            operation, given = chance.choice(
                [
                    ("invoices.create_from_order", order),
                    ("payments.record", {**invoice, "amount": "200", "over": chance.choice(["refuse", "credit"])}),
                    ("payments.process", {**invoice, "method": "card"}),
                    ("payments.refund", chance.choice([order, invoice])),
                    ("invoices.update_payment_status", {**invoice, "use_credit": True}),
                    ("invoices.void", invoice),
                ]
            )
            made = insist(replace(context, idempotency_key=f"{seed}:{step}"), operation, given, chance)
            if made and operation == "invoices.create_from_order":
                mine.append(made["invoice_id"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    check_books(engine)
    assert len(rows(engine, INVOICES)) > 1
    at_once_within_the_limit(context, engine)
    stores.close()


def at_once_within_the_limit(context: Context, engine: Engine) -> None:
    """Let eight invoices want room for two, eight payments the rest of one; eight callers win a deal, and order and invoice it."""
    limit = {"external_id": "D", "name": "A", "credit_limit": "250"}
    customer = call(context, "customers.upsert", limit)["customer_id"]
    lines = [{"quantity": 1, "unit_price": "100"}]
    chances = [random.Random(seed) for seed in range(8)]

    def made(operation: str, given: dict[str, Any]) -> list[dict[str, Any]]:
        def one(chance: random.Random) -> dict[str, Any] | None:
            keyed = replace(context, idempotency_key=f"{operation}:{chances.index(chance)}")
            return insist(keyed, operation, given, chance)

        with ThreadPoolExecutor(4) as pool:
            return [each for each in pool.map(one, chances) if each is not None]

    invoices = made("invoices.create", {"customer_id": customer, "lines": lines})
    assert len(invoices) == 2
    assert len(made("payments.record", {"invoice_id": invoices[0]["invoice_id"], "amount": "60"})) == 1
    product = call(context, "products.upsert", external_id="Q", name="C", price="1")["product_id"]
    wanted = {"customer_id": customer, "name": "A", "items": [{"product_id": product, "quantity": 1}]}
    deal = {"deal_id": call(context, "deals.create", wanted)["deal_id"]}
    assert [each["change"] for each in made("deals.win", deal)].count("updated") == 1
    quote = {"quote_id": call(context, "quotes.create", deal)["quote_id"]}
    call(context, "quotes.accept", quote)
    with ThreadPoolExecutor(2) as pool:
        ways = (("orders.create_from_deal", deal), ("orders.create_from_quote", quote))
        orders = [each for found in pool.map(lambda way: made(*way), ways) for each in found]
    assert len(orders) == 1, "of the deal or of its quote, whoever comes first"
    assert len(made("invoices.create_from_order", {"order_id": orders[0]["order_id"]})) == 1
    check_books(engine)


def insist(context: Context, operation: str, given: dict[str, Any], chance: random.Random) -> dict[str, Any] | None:
    """Call until it is known, some calls twice: the second time the answer is the same."""
    for _ in range(20):
        with suppress(Retryable):
            try:
                made = call(context, operation, given)
            except Permanent as error:
                if error.code not in REFUSED:
                    raise
                return None
            assert chance.random() < 0.7 or call(context, operation, given) == made
            return made
    raise AssertionError("it was not done in twenty attempts")
