"""People work in Tryton's own client, and the flows run to their end: nobody publishes an event, sync jobs find what has changed.

What is applied is what docs/operations.md says: `definitions/flows` with `erp` being Tryton, and the plugin's `tryton-events.yaml`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from plugins.tryton.rest import Tryton
from server.authoring.check import check
from server.authoring.kinds import default_kinds
from server.authoring.testing import test as run_tests
from server.documents.reading import File
from tests.authoring.worlds import catalog
from tests.tryton.watching import CONFIG, FOLDER, INITIAL, Watched, config_of, files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.sdk.port_inputs.stage import Stage
    from tests.support.product import Product
    from tests.tryton.server import TrytonServer

FLOWS = ("deal-won", "order-fulfilment", "payment-received")


@pytest.fixture
def watched(product: Product, tryton_server: TrytonServer) -> Iterator[Watched]:
    since = datetime.now(UTC).isoformat()
    made = Watched(product, tryton_server, files(config_of(tryton_server), since, *FLOWS))
    with product.worker():
        yield made


class Person:
    """Somebody at Tryton's own client: presses its buttons, and knows nothing of Crossdock."""

    def __init__(self, stage: Stage) -> None:
        self.erp = Tryton(stage.world.context(None), "")

    def win(self, deal_id: str) -> None:
        self.erp.press("sale.opportunity", int(deal_id), "opportunity")
        self.erp.press("sale.opportunity", int(deal_id), "convert")

    def make(self, number: int) -> None:
        for button in ("wait", "assign_try", "run", "do"):
            self.erp.press("production", number, button)

    def pay(self, invoice_id: int) -> int:
        """Book what an invoice is worth, as "Pay Invoice" does, and return the number of the move."""
        fields = ("party", "account", "total_amount")
        invoice = self.erp.get("account.invoice", invoice_id, fields)
        method = self.erp.first("account.invoice.payment.method", [], ("journal", "debit_account"))
        today = datetime.now(UTC).date()
        period = [["start_date", "<=", today], ["end_date", ">=", today], ["type", "=", "standard"]]
        found = self.erp.first("account.period", period, ("id",))
        assert invoice is not None
        assert method is not None
        assert found is not None
        worth, nothing = invoice["total_amount"], Decimal(0)
        lines = [
            {"account": method["debit_account"], "debit": worth, "credit": nothing},
            {"account": invoice["account"], "party": invoice["party"], "debit": nothing, "credit": worth},
        ]
        values = {
            "journal": method["journal"],
            "period": found["id"],
            "date": today,
            "origin": f"account.invoice,{invoice_id}",
            "lines": [["create", lines]],
        }
        move = self.erp.create("account.move", values, ("lines.account",))
        self.erp.press("account.move", move["id"], "post")
        paying = [each["id"] for each in move["lines"] if each["account"] == invoice["account"]]
        self.erp.write("account.invoice", invoice_id, {"payment_lines": [["add", paying]]})
        return int(move["id"])


@pytest.mark.timeout(300)
def test_what_people_do_in_tryton_runs_the_flows_to_their_end(watched: Watched, stage: Stage) -> None:
    call, person = stage.world.call, Person(stage)
    items = [{"product_id": stage.made, "quantity": 3}, {"product_id": stage.bought, "quantity": 1}]
    deal = call("deals.create", customer_id=stage.customer, name="A deal", items=items)["deal_id"]
    watched.look("tryton-deals-won")
    assert watched.told() == {}

    person.win(deal)
    watched.look("tryton-deals-won")
    watched.run("order-fulfilment", "waiting")
    [order] = [each for each in call("orders.search", limit=200)["orders"] if each["deal_id"] == deal]
    assert order["status"] == "in_production"

    [made] = call("production.check_all_complete", order_id=order["order_id"])["open"]
    person.make(int(made))
    watched.look("tryton-productions-completed")
    shipment = watched.run("order-fulfilment", "completed").output["shipment_id"]
    assert call("logistics.track", shipment_id=shipment)["order_id"] == order["order_id"]

    [invoice] = [each for each in call("invoices.list", limit=200)["rows"] if each["order_id"] == order["order_id"]]
    payment = person.pay(int(invoice["invoice_id"]))
    watched.look("tryton-payments-received")
    watched.run("payment-received", "completed")
    assert call("orders.update_payment_status", order_id=order["order_id"])["payment_status"] == "paid"

    watched.look()
    watched.look(
        "tryton-deals-won", "tryton-productions-completed", "tryton-payments-received", "tryton-orders-created"
    )
    told = watched.told()
    assert told.keys() >= {"deal.won", "order.created", "order.updated", "production.order.completed", "stock.updated"}
    assert told["payment.received"].data["payment_id"] == str(payment)
    assert told["deal.won"].data["amount"] == "66.00"
    assert [(each.type, each.subject) for each in told.values() if each.times > 1 and "updated" not in each.type] == []
    assert watched.product.rows("SELECT * FROM dead_letters") == []


def test_the_definitions_are_right_for_a_tryton_and_their_tests_pass() -> None:
    flows = [each.stem for each in FOLDER.glob("*.yaml") if each.stem not in ("demo", "erp")]
    given = files(CONFIG.format(url="https://erp.example.com", company=1, employee=1), INITIAL, *flows)
    result = check([File(each["path"], each["text"].encode()) for each in given], catalog(), default_kinds())
    assert [str(each) for each in result.findings if each.severity == "error" or "tryton" in str(each)] == []
    mine = [each for each in result.documents if each.name.startswith("tryton-")]
    outcomes = run_tests(mine, catalog(), default_kinds()).outcomes
    assert [each for each in outcomes if not each.passed] == []
    assert len(outcomes) >= len(mine)
