"""Answers the module ports from tables of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from plugins.erp_sandbox import customers
from plugins.erp_sandbox.desk import working
from plugins.erp_sandbox.outbox import ErpOutbox
from plugins.erp_sandbox.syncing import CustomersRead, CustomersWrite
from server.sdk import Adapter, measured
from server.sdk.ports import SALES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from plugins.erp_sandbox.desk import Desk
    from server.sdk import CallRequest, Context, Health


def _upsert(desk: Desk, given: Mapping[str, Any]) -> dict[str, Any]:
    written = customers.write(desk, [given], "external_id")
    row = customers.get(desk, {"external_id": given["external_id"]})
    return {**customers.shown(row), "change": written.changes[0]}


def _archive(desk: Desk, given: Mapping[str, Any]) -> dict[str, Any]:
    return customers.archive(desk, [customers.get(desk, given, lock=True)])[0]


_READS: dict[str, Callable[[Desk, Mapping[str, Any]], dict[str, Any]]] = {
    "customers.get": lambda desk, given: customers.shown(customers.get(desk, given)),
    "customers.search": customers.search,
}
_WRITES: dict[str, Callable[[Desk, Mapping[str, Any]], dict[str, Any]]] = {
    "customers.upsert": _upsert,
    "customers.archive": _archive,
}


class ErpSandboxAdapter(Adapter):
    """One integration is one company of a workspace."""

    id = "erp_sandbox"
    version = "0.1.0"
    operations = tuple(SALES)
    sources = (CustomersRead(),)
    targets = (CustomersWrite(),)
    outbox = ErpOutbox()

    def execute(self, request: CallRequest, context: Context) -> dict[str, Any]:
        """Work on the call in one transaction; a write with a key is done once."""
        if request.operation in _READS:
            with working(context) as desk:
                return _READS[request.operation](desk, request.input)
        with working(context, writes=True) as desk:
            return desk.once(request, lambda: _WRITES[request.operation](desk, request.input))

    def health_check(self, context: Context) -> Health:
        """Ask the database for nothing."""

        def ask() -> Mapping[str, Any]:
            with working(context) as desk:
                desk.connection.execute(text("SELECT 1")).scalar()
                return {"company": desk.company}

        return measured(context, ask)
