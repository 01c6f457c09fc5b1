"""Sets the stage of the contract of sources and targets on a real Tryton: records made over REST, their moments written into its database.

Each stage is a customer, an order or a city of its own, so that what other tests made is not seen.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

from plugins.tryton import customers, finding, products
from plugins.tryton.invoices import INVOICE
from plugins.tryton.rest import Tryton
from server.sdk import SourceStage, TargetStage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.sdk import Context
    from tests.tryton.server import TrytonServer

START = datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)
_numbers = count(1)


def moment(tick: float) -> datetime:
    return START + timedelta(seconds=tick)


class Staging:
    """Plays the mock of the contract: `source` makes one record for each tick, `stamp` says when one was made and written."""

    def __init__(self, server: TrytonServer, context: Context) -> None:
        self.erp = Tryton(context, "staging")
        self._file = server.folder / "erp.sqlite"
        self._prefix = ""

    def source(self, name: str, ticks: Sequence[int]) -> SourceStage:
        make = getattr(self, f"_{name.partition('.')[0]}")
        model, key, options, records = make(len(ticks))
        for place, (number, tick) in enumerate(zip(records, ticks, strict=True)):
            written = place % 2  # of every second record the moment is that of its making
            self.stamp(model, number, made=0 if written else tick, written=tick if written else None)
        return SourceStage(options=options, primary_key=(key,), cursor=("updated_at",))

    def target(self, name: str) -> TargetStage:
        """Let nothing be there whose code begins as those of this stage."""
        self._prefix = f"Stage {next(_numbers)} no "
        more = {"city": "Ghent", "credit_limit": "1200.50"} if name == "customers.upsert" else {"price": "12.50"}

        def record(number: int, text: str) -> dict[str, Any]:
            return {"external_id": f"{self._prefix}{number}", "name": text, **more}

        return TargetStage(options={}, match_on=("external_id",), record=record)

    def stored(self, name: str) -> list[dict[str, Any]]:
        room = customers if name == "customers.upsert" else products
        model = customers.PARTY if room is customers else products.PRODUCT
        return [
            room.shown(each) for each in self.erp.search(model, [["code", "like", f"{self._prefix}%"]], room.FIELDS)
        ]

    def stamp(self, model: str, number: int, *, made: float, written: float | None) -> None:
        when = [None if each is None else f"{moment(each):%Y-%m-%d %H:%M:%S.%f}" for each in (made, written)]
        table = model.replace(".", "_")
        with closing(sqlite3.connect(self._file, timeout=30)) as connection, connection:
            connection.execute(f'UPDATE "{table}" SET create_date = ?, write_date = ? WHERE id = ?', (*when, number))

    def party(self, city: str = "Ghent") -> int:
        name = f"Stage {next(_numbers)}"
        made = self.erp.create("party.party", {"name": name, "addresses": [["create", [{"city": city}]]]})
        return int(made["id"])

    def _made(self, model: str, number: int, values: dict[str, Any]) -> list[int]:
        return [int(self.erp.create(model, values)["id"]) for _ in range(number)]

    def _customers(self, number: int) -> tuple[str, str, dict[str, Any], list[int]]:
        city = f"City {next(_numbers)}"
        return "party.party", "customer_id", {"city": city}, [self.party(city) for _ in range(number)]

    def _products(self, number: int) -> tuple[str, str, dict[str, Any], list[int]]:
        name = f"Category {next(_numbers)}"
        known = finding.products(self.erp, ["1"], "none", ("default_uom", "account_category.account_revenue"))["1"]
        accounts = {"account_revenue": known["account_category"]["account_revenue"]}
        category = self.erp.create("product.category", {"name": name, "accounting": True, **accounts})["id"]
        values = {"name": name, "type": "goods", "default_uom": known["default_uom"], "account_category": category}
        made = [
            self.erp.create("product.template", {**values, "products": [["create", [{}]]]}, ("products",))
            for _ in range(number)
        ]
        for each in made:
            self.stamp("product.template", each["id"], made=0, written=None)
        return "product.product", "product_id", {"category": name}, [each["products"][0] for each in made]

    def _deals(self, number: int) -> tuple[str, str, dict[str, Any], list[int]]:
        party = self.party()
        made = self._made("sale.opportunity", number, {"party": party, "description": "Stage"})
        return "sale.opportunity", "deal_id", {"customer_id": str(party)}, made

    def _orders(self, number: int) -> tuple[str, str, dict[str, Any], list[int]]:
        party = self.party()
        where = {"currency": finding.currency(self.erp), "warehouse": finding.warehouse(self.erp)["id"]}
        return (
            "sale.sale",
            "order_id",
            {"customer_id": str(party)},
            self._made("sale.sale", number, {"party": party, **where}),
        )

    def _production(self, number: int) -> tuple[str, str, dict[str, Any], list[int]]:
        order = str(1_000_000 + next(_numbers))
        house = finding.warehouse(self.erp)
        known = finding.products(self.erp, ["1"], "none")["1"]
        values = {
            "reference": f"order {order}; staged",
            "warehouse": house["id"],
            "location": house["production_location"],
            "product": 1,
            "quantity": 1.0,
            "unit": known["default_uom"],
        }
        return "production", "production_order_id", {"order_id": order}, self._made("production", number, values)

    def _shipments(self, number: int) -> tuple[str, str, dict[str, Any], list[int]]:
        party, house = self.party(), finding.warehouse(self.erp)
        values = {
            "customer": party,
            "delivery_address": self._address(party),
            "warehouse": house["id"],
            "warehouse_storage": house["storage_location"],
            "warehouse_output": house["output_location"],
        }
        made = self._made("stock.shipment.out", number, values)
        return "stock.shipment.out", "shipment_id", {"customer_id": str(party)}, made

    def _address(self, party: int) -> int:
        found = self.erp.get("party.party", party, ("addresses",))
        assert found is not None
        return int(found["addresses"][0])

    def invoice(self, party: int) -> dict[str, Any]:
        receivable = self.erp.first("account.account", [["type.receivable", "=", True]], ("id",))
        journal = self.erp.first("account.journal", [["type", "=", "revenue"]], ("id",))
        assert receivable is not None
        assert journal is not None
        return {
            "type": "out",
            "party": party,
            "invoice_address": self._address(party),
            "account": receivable["id"],
            "journal": journal["id"],
            "currency": finding.currency(self.erp),
        }

    def _invoices(self, number: int) -> tuple[str, str, dict[str, Any], list[int]]:
        party = self.party()
        return INVOICE, "invoice_id", {"customer_id": str(party)}, self._made(INVOICE, number, self.invoice(party))
