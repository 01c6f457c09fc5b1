"""Answers the module ports from a Tryton server, by its REST interface alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.tryton import (
    attendance,
    cancelling,
    controls,
    crediting,
    customers,
    deals,
    expenses,
    failures,
    histories,
    inspections,
    invoices,
    making,
    orders,
    payments,
    people,
    planning,
    procurement,
    products,
    projects,
    receipts,
    refunds,
    reports,
    requisitions,
    shipments,
    stock,
    suppliers,
    turnover,
)
from plugins.tryton.coverage import not_supported
from plugins.tryton.rest import Tryton
from plugins.tryton.syncing import LISTED, READ
from plugins.tryton.writing import WRITTEN
from server.sdk import Adapter, first_rows, measured
from server.sdk.ports import PORTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.tryton.customers import Work
    from server.sdk import CallRequest, Context, Health

_MODULES = (
    *(attendance, cancelling, controls, customers, deals, expenses, failures, histories, inspections, invoices),
    *(making, orders, payments, people, planning, procurement, products, projects, receipts, refunds, reports),
    *(crediting, requisitions, shipments, stock, suppliers, turnover),
)
ANSWERED: dict[str, Work] = {name: work for module in _MODULES for name, work in module.OPERATIONS.items()}


class TrytonAdapter(Adapter):
    """One integration is one company of one Tryton database."""

    id = "tryton"
    version = "0.1.0"
    operations = (*(operation for port in PORTS for operation in port), *LISTED)
    not_supported = frozenset(each.name for each in operations) - ANSWERED.keys() - {each.name for each in LISTED}
    sources = READ
    targets = WRITTEN

    def execute(self, request: CallRequest, context: Context) -> dict[str, Any]:
        """Work on the call; what Tryton has no notion of is refused with NOT_SUPPORTED_HERE."""
        work = ANSWERED.get(request.operation)
        if work is None and (source := self.source(request.operation)) is not None:
            return first_rows(source, request, context)
        if work is None:
            raise not_supported(request.operation)
        return work(Tryton(context, request.operation), request.input)

    def health_check(self, context: Context) -> Health:
        """Ask for the company."""

        def ask() -> Mapping[str, Any]:
            company = Tryton(context, "").get("company.company", context.config["company"], ("rec_name",))
            return {"company": company["rec_name"] if company else None}

        return measured(context, ask)
