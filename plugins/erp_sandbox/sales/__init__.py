"""The module `sales`: what it answers, by the operation's name. `READS` change nothing; `WRITES` are done once for each key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox.sales import customers, deals, history, orders, pricing, products, quotes, validating

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk, Work


def _upsert(desk: Desk, given: Mapping[str, Any]) -> dict[str, Any]:
    written = customers.write(desk, [given], "external_id")
    row = customers.get(desk, {"external_id": given["external_id"]})
    return {**customers.shown(row), "change": written.changes[0]}


def _archive(desk: Desk, given: Mapping[str, Any]) -> dict[str, Any]:
    return customers.archive(desk, [customers.get(desk, given, lock=True)])[0]


def _deal(work: Work) -> Work:
    """Tell of a deal that was begun or changed; what is predicted of it is no such change."""

    def told(desk: Desk, given: Mapping[str, Any]) -> dict[str, Any]:
        answer = work(desk, given)
        if answer["change"] != "none":
            desk.emit("deal.updated", f"deal/{answer['deal_id']}", answer)
        return answer

    return told


READS: dict[str, Work] = {
    "customers.get": lambda desk, given: customers.shown(customers.get(desk, given)),
    "customers.search": customers.search,
    "customers.validate": validating.validate,
    "customers.order_history": history.order_history,
    "customers.preferences": history.preferences,
    "customers.report": history.report,
    "products.get": products.get,
    "products.search": products.search,
    "pricing.standard": pricing.standard,
    "pricing.discount": pricing.discount,
    "deals.get": lambda desk, given: deals.show(desk, deals.find(desk, **given))[0],
    "deals.find_active": deals.find_active,
    "deals.conversion_rate": deals.conversion,
    "deals.history": deals.history,
    "quotes.get": quotes.get,
    "orders.get": orders.get,
    "orders.search": orders.search,
}
WRITES: dict[str, Work] = {
    "customers.upsert": _upsert,
    "customers.archive": _archive,
    "customers.update_metrics": history.update_metrics,
    "products.upsert": products.upsert,
    "deals.create": _deal(deals.create),
    "deals.upsert": _deal(deals.upsert),
    "deals.win": deals.win,
    "deals.lose": deals.lose,
    "deals.record_prediction": deals.record_prediction,
    "quotes.create": quotes.create,
    "quotes.accept": quotes.accept,
    "orders.create": orders.create,
    "orders.create_from_deal": orders.create_from_deal,
    "orders.create_from_quote": orders.create_from_quote,
    "orders.set_priority": orders.set_priority,
}

__all__ = ["READS", "WRITES"]
