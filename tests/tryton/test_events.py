"""People work in Tryton's own client, and the flows run to their end: nobody publishes an event, sync jobs find what has changed.

What is applied is what docs/operations.md says: `definitions/flows` with `erp` being Tryton, and the plugin's `tryton-events.yaml`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from plugins.tryton.rest import Tryton
from server.authoring.check import check
from server.authoring.kinds import default_kinds
from server.authoring.testing import test as run_tests
from server.documents.reading import File
from tests.authoring.worlds import catalog
from tests.support.product import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.sdk.port_inputs.stage import Stage
    from tests.support.product import Product
    from tests.tryton.server import TrytonServer

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "definitions/flows"
FLOWS = ("deal-won", "order-fulfilment", "payment-received")
EVENTS = ROOT / "plugins/tryton/definitions/tryton-events.yaml"
INITIAL = "2027-01-01T00:00:00Z"
SECONDS = 90.0
_CHANGES = """
SELECT type, subject, data::json AS data, count(*) OVER (PARTITION BY type, subject) AS times FROM events
WHERE source = 'webhook/tryton-events' ORDER BY uid
"""


def files(config: str, since: str, *names: str) -> list[dict[str, str]]:
    """Return the definitions as somebody edits them: the plugin of `erp`, its config, and from when on something is told."""
    texts = {name: (FOLDER / f"{name}.yaml").read_text("utf-8") for name in (*names, "erp")}
    texts["erp"] = texts["erp"].replace("plugin: erp_sandbox\n", f"plugin: tryton\nconfig: {config}\n", 1)
    texts["tryton-events"] = EVENTS.read_text("utf-8").replace(INITIAL, since)
    return [{"path": f"{name}.yaml", "text": text} for name, text in sorted(texts.items())]


CONFIG = "{{url: {url!r}, database: erp, key: {{secret: TRYTON_KEY}}, company: {company}, employee: {employee}}}"


class Watched:
    """A workspace with the flows, whose ERP is the Tryton of the tests, and the sync jobs that watch it."""

    def __init__(self, product: Product, server: TrytonServer) -> None:
        self.product, self.client = product, product.client()
        now = datetime.now(UTC) - timedelta(seconds=1)
        self._ask("PUT", "secrets/TRYTON_KEY", {"value": server.config["key"]})
        config = CONFIG.format(**{name: server.config[name] for name in ("url", "company", "employee")})
        self._ask(
            "POST", "definitions/apply", {"files": files(config, now.isoformat(), *FLOWS), "origin": "folder:flows"}
        )
        jobs = self._ask("GET", "sync-jobs", None)["items"]
        self.jobs = sorted(each["name"] for each in jobs)

    def _ask(self, method: str, path: str, body: Any) -> Any:
        answer = self.client.open(f"/api/v1/{path}", method=method, json=body)
        assert answer.status_code < 300, answer.get_json()
        return answer.get_json()

    def look(self, *jobs: str) -> None:
        """Run sync jobs, all of them where none is named, as their schedule does each minute."""
        runs = [self._ask("POST", f"sync-jobs/{name}/runs", {})["id"] for name in jobs or self.jobs]
        for run in runs:
            done = until(lambda run=run: self._done(run), SECONDS, f"{run} does not end")
            assert done["state"] == "succeeded", done

    def _done(self, run: str) -> Any:
        found = self._ask("GET", f"sync-runs/{run}", None)
        return found if found["ended_at"] else None

    def told(self) -> dict[str, Any]:
        """Return the last change of each type that was told."""
        return {each.type: each for each in self.product.rows(_CHANGES)}

    def run(self, flow: str, state: str) -> Any:
        """Return the run of a flow once it is in a state."""
        sql = "SELECT r.* FROM flow_runs r JOIN flows f ON f.id = r.flow_id WHERE f.name = :flow"

        def found() -> Any:
            runs = self.product.rows(sql, flow=flow)
            assert not [each.error for each in runs if each.state in ("failed", "compensated") != state]
            return next((each for each in runs if each.state == state), None)

        return until(found, SECONDS, f"{flow} is not {state}")


@pytest.fixture
def watched(product: Product, tryton_server: TrytonServer) -> Iterator[Watched]:
    made = Watched(product, tryton_server)
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
