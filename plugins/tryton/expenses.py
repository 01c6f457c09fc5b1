"""Expenses: a posted move from the payment method's account to an account of costs, with its tax.

The category is an account of costs by name or code, or a category of products; any other stands on the account of costs of the
oldest category of products. With a supplier or an employee the money goes through what we owe them, so that it shows among their moves.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.customers import PARTY
from plugins.tryton.invoices import account_of
from plugins.tryton.payments import MOVE, booked, line, method_of
from plugins.tryton.values import CENT, amount, day, exact, moment
from server.sdk.ports.finance import INVOICE_STATUS
from server.sdk.ports.hr import EMPLOYEE_UNKNOWN
from server.sdk.ports.procurement import SUPPLIER_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

_BUYING = ("purchase", "both")
_FIELDS = ("state", "date", "create_date")


def _record(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    worth = exact(given["amount"])
    net = (worth / (1 + exact(given.get("tax_rate")) / 100)).quantize(CENT, ROUND_HALF_UP)
    move = finding.keyed(erp, MOVE, _FIELDS, field="description")
    if move is None:
        method = method_of(erp)
        lines = [*_costs(erp, given, net, worth - net), *_through(erp, given, worth)]
        lines.append(line(method["credit_account"], credit=worth, description=given.get("reference")))
        when = finding.date_of(given["spent_on"]) if "spent_on" in given else finding.today(erp)
        made = booked(erp, method["journal"], when, lines, description=erp.key)
        number = finding.settled(erp, MOVE, made, field="description")["id"]
        move = erp.get(MOVE, number, _FIELDS) or made
    if move["state"] != "posted":
        erp.press(MOVE, move["id"], "post")
    return {
        "expense_id": str(move["id"]),
        "category": given["category"],
        "amount": amount(worth),
        "net": amount(net),
        "tax": amount(worth - net),
        "spent_on": day(move["date"]),
        **{name: given.get(name) for name in ("description", "supplier_id", "employee_id", "reference")},
        "created_at": moment(move["create_date"]),
    }


def _costs(erp: Tryton, given: Mapping[str, Any], net: Decimal, tax: Decimal) -> list[dict[str, Any]]:
    said = ": ".join(each for each in (given["category"], given.get("description")) if each)
    costs = line(_account(erp, given["category"]), debit=net, description=said)
    if not tax:
        return [costs]
    rate = exact(given["tax_rate"]) / 100
    domain = [["rate", "=", rate], ["type", "=", "percentage"], ["parent", "=", None], ["group.kind", "in", _BUYING]]
    found = erp.first("account.tax", domain, ("invoice_account",)) or erp.first(
        "account.tax", [*domain[:3], ["group", "=", None]], ("invoice_account",)
    )
    if found is None or found["invoice_account"] is None:
        raise finding.refused(INVOICE_STATUS, "the books have no tax of this rate", tax_rate=given["tax_rate"])
    owed = line(found["invoice_account"], debit=tax, description=said)
    costs["tax_lines"] = [["create", [{"amount": net, "tax": found["id"], "type": "base"}]]]
    owed["tax_lines"] = [["create", [{"amount": tax, "tax": found["id"], "type": "tax"}]]]
    return [costs, owed]


def _account(erp: Tryton, category: str) -> int:
    called = ["OR", ["name", "=", category], ["code", "=", category]]
    found = erp.first("account.account", [["type.expense", "=", True], ["closed", "!=", True], called], ("id",))
    if found is not None:
        return int(found["id"])
    goods = erp.search("product.category", [["accounting", "=", True]], ("name", "account_expense"))
    own = [each for each in goods if each["account_expense"] is not None]
    named = [each for each in own if each["name"] == category]
    return int((named or own)[0]["account_expense"]) if own else account_of(erp, "expense")


def _through(erp: Tryton, given: Mapping[str, Any], worth: Decimal) -> list[dict[str, Any]]:
    """Return the lines by which the money goes through what we owe somebody, nothing where nobody is named."""
    party = _party(erp, given)
    if party is None:
        return []
    account = account_of(erp, "payable", party["id"])
    return [line(account, credit=worth, party=party["id"]), line(account, debit=worth, party=party["id"])]


def _party(erp: Tryton, given: Mapping[str, Any]) -> Record | None:
    if "supplier_id" in given:
        found = erp.get(PARTY, finding.number(given["supplier_id"]), ("id",))
        if found is None:
            raise finding.refused(SUPPLIER_UNKNOWN, "there is no such supplier", supplier_id=given["supplier_id"])
        return found
    if "employee_id" in given:
        employee = erp.get("company.employee", finding.number(given["employee_id"]), ("party",))
        if employee is None:
            raise finding.refused(EMPLOYEE_UNKNOWN, "there is no such employee", employee_id=given["employee_id"])
        return {"id": employee["party"]}
    return None


OPERATIONS: dict[str, Work] = {"expenses.record": _record}
