"""Fills a fresh Tryton with a company that can sell, store, make, buy and invoice: run as a process of its own.

    python seeding.py CONF    → prints JSON: the key that the plugin shows, and how products and customers are numbered

It goes by proteus, Tryton's own scripting client, which brings the whole server into the process: the tests import none of it.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import warnings
from decimal import Decimal
from typing import Any

DATABASE = "erp"
GROUPS = (
    "Account Credit Limit",
    "Accounting",
    "Account Product Administration",
    "Attendance Administration",
    "Employee Administration",
    "Party Administration",
    "Product Administration",
    "Production",
    "Production Administration",
    "Project Administration",
    "Purchase",
    "Purchase Administrator",
    "Purchase Request",
    "Purchase Requisition",
    "Quality",
    "Quality Administration",
    "Sale Opportunity",
    "Sales",
    "Sales Administrator",
    "Stock",
    "Stock Cancellation",
    "Timesheet Administration",
)


class Seed:
    """One company in euros, with its books of three years."""

    def __init__(self, conf: str) -> None:
        from proteus import Model, Wizard, config

        self.model, self.wizard = Model.get, Wizard
        self.config = config.set_trytond(f"sqlite:///{DATABASE}", user="admin", config_file=conf)
        self.key = ""
        self.products: dict[str, int] = {}

    def one(self, model: str, *domain: Any) -> Any:
        found = self.model(model).find(list(domain))
        assert len(found) == 1, (model, domain, found)
        return found[0]

    def company(self) -> None:
        from trytond.modules.account.tests.tools import create_chart, create_fiscalyear, create_tax, get_accounts
        from trytond.modules.account_invoice.tests.tools import set_fiscalyear_invoice_sequences
        from trytond.modules.company.tests.tools import create_company, get_company

        create_company()
        create_chart()
        self.mine = get_company()
        self.mine.cancel_invoice_out = True
        self.mine.save()
        self.accounts = get_accounts()
        year = dt.datetime.now(dt.UTC).year
        span = (dt.date(year - 1, 1, 1), dt.date(year + 1, 12, 31))
        books = set_fiscalyear_invoice_sequences(create_fiscalyear(today=span))
        books.click("create_period")
        self.tax = create_tax(Decimal("0.20"))
        self.tax.name = self.tax.description = "VAT 20 %"
        self.tax.save()

    def terms(self) -> None:
        for name, days in (("Direct", 0), ("30 days", 30)):
            term = self.model("account.invoice.payment_term")(name=name)
            line = term.lines.new(type="remainder")
            line.relativedeltas.new(days=days)
            term.save()
        cash = self.one("account.journal", ("type", "=", "cash"))
        method = self.model("account.invoice.payment.method")(name="Cash", journal=cash)
        method.credit_account = method.debit_account = self.accounts["cash"]
        method.save()

    def goods(self) -> None:
        category = self.model("product.category")(name="Goods", accounting=True)
        category.account_expense = self.accounts["expense"]
        category.account_revenue = self.accounts["revenue"]
        category.customer_taxes.append(self.tax)
        category.save()
        self.category = category
        self.supplier = self.model("party.party")(name="Mill and Sons", code="SUP-1")
        self.supplier.save()
        for code, price, cost, stock in (("P1", "10", "4", 0), ("P2", "25", "11", 100), ("WOOD", "3", "1", 1000)):
            self.product(code, Decimal(price), Decimal(cost), stock)
        self.bom("P1", "WOOD", 2)

    def product(self, code: str, price: Decimal, cost: Decimal, stock: int) -> None:
        unit = self.one("product.uom", ("symbol", "=", "u"))
        template = self.model("product.template")(name=f"Product {code}", code=code, type="goods", list_price=price)
        template.default_uom = unit
        template.salable = template.purchasable = template.producible = True
        template.account_category = self.category
        template.save()
        made = template.products[0]
        made.cost_price = cost
        made.product_suppliers.new(party=self.supplier).prices.new(quantity=0, unit_price=cost)
        made.save()
        self.products[code] = made.id
        if stock:
            self.stock(made, stock)

    def stock(self, product: Any, quantity: int) -> None:
        storage = self.one("stock.location", ("code", "=", "STO"))
        inventory = self.model("stock.inventory")(location=storage)
        inventory.lines.new(product=product, quantity=float(quantity))
        inventory.click("confirm")

    def bom(self, output: str, needs: str, quantity: int) -> None:
        product = self.model("product.product")
        made = self.model("production.bom")(name=output)
        made.inputs.new(product=product(self.products[needs]), quantity=quantity)
        made.outputs.new(product=product(self.products[output]), quantity=1)
        made.save()
        product_ = product(self.products[output])
        product_.boms.new(bom=made)
        product_.save()

    def quality(self) -> None:
        """What is scrapped has a place of its own, and work that is dropped has a status: both are settings of Tryton's."""
        house = self.one("stock.location", ("type", "=", "warehouse"))
        house.waste_locations.append(self.one("stock.location", ("type", "=", "lost_found")))
        house.save()
        self.model("project.work.status")(name="Cancelled", types=["task"], progress=1.0).save()

    def people(self) -> None:
        customer = self.model("party.party")(name="ACME", code="C-1")
        customer.save()
        party = self.model("party.party")(name="Crossdock")
        party.save()
        employee = self.model("company.employee")(party=party, company=self.mine)
        employee.save()
        user = self.model("res.user")(name="Crossdock", login="crossdock", password="a password of tests")
        user.companies.append(self.mine)
        user.company = self.mine
        user.employees.append(employee)
        user.employee = employee
        for name in GROUPS:
            user.groups.append(self.one("res.group", ("name", "=", name)))
        user.save()
        application = self.model("res.user.application")(user=user, application="rest", state="validated")
        application.save()
        self.key = application.key
        self.employee = employee.id

    def all(self) -> dict[str, Any]:
        self.company()
        self.terms()
        self.goods()
        self.quality()
        self.people()
        return {"key": self.key, "company": self.mine.id, "employee": self.employee, "products": self.products}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(Seed(sys.argv[1]).all()))
