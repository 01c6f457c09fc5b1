"""The module `finance`, and what of customers and orders the books know: by the operation's name, as in `sales`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox.finance import books, expenses, invoices, payments, refunds, reports
from plugins.erp_sandbox.sales import figures, orders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk, Work


def _order_payment_status(desk: Desk, given: Mapping[str, Any]) -> dict[str, Any]:
    order = orders.find(desk, given["order_id"], lock=True)
    status = invoices.payment_status_of(desk, order["order_id"])
    answer = orders.set_payment_status(desk, order, status)
    return {name: answer[name] for name in ("order_id", "payment_status", "change")}


def _update_order(desk: Desk, given: Mapping[str, Any]) -> dict[str, Any]:
    """Change an order, as the sales module does; what is invoiced is what is delivered, so its items stay."""
    if "items" not in given:
        return orders.update(desk, given)
    order_id = orders.find(desk, given["order_id"], lock=True)["order_id"]
    before = orders.items(desk, order_id)
    answer = orders.update(desk, given)
    if orders.items(desk, order_id) != before:
        invoices.none_of(desk, order_id)
    return answer


READS: dict[str, Work] = {
    "customers.check_credit_limit": reports.check_credit,
    "customers.analytics": reports.analytics,
    "invoices.get": invoices.get,
    "payments.validate": payments.validate,
    "payments.search": payments.search,
    "reports.kpis": reports.kpis,
    "reports.sales": figures.sales,
    "reports.receivables": reports.receivables,
    "reports.trial_balance": books.trial_balance,
}
WRITES: dict[str, Work] = {
    "customers.update_balance": books.update_balance,
    "orders.update": _update_order,
    "orders.update_payment_status": _order_payment_status,
    "invoices.create": invoices.create,
    "invoices.create_from_order": invoices.create_from_order,
    "invoices.update_payment_status": payments.update_payment_status,
    "invoices.void": invoices.void,
    "payments.record": payments.record,
    "payments.process": payments.process,
    "payments.refund": refunds.refund,
    "expenses.record": expenses.record,
    "receipts.generate": expenses.receipt,
}

__all__ = ["READS", "WRITES"]
