"""Answers the module ports from tables of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from plugins.erp_sandbox import sales
from plugins.erp_sandbox.desk import working
from plugins.erp_sandbox.outbox import ErpOutbox
from plugins.erp_sandbox.syncing import CustomersRead, CustomersWrite
from server.sdk import Adapter, measured
from server.sdk.ports import PORTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Work
    from server.sdk import CallRequest, Context, Health


_MODULES = (sales,)
_READS: dict[str, Work] = {name: work for module in _MODULES for name, work in module.READS.items()}
_WRITES: dict[str, Work] = {name: work for module in _MODULES for name, work in module.WRITES.items()}


class ErpSandboxAdapter(Adapter):
    """One integration is one company of a workspace."""

    id = "erp_sandbox"
    version = "0.1.0"
    operations = tuple(operation for port in PORTS for operation in port if operation.name in {*_READS, *_WRITES})
    sources = (CustomersRead(),)
    targets = (CustomersWrite(),)
    outbox = ErpOutbox()

    def execute(self, request: CallRequest, context: Context) -> dict[str, Any]:
        """Work on the call in one transaction; a write with a key is done once."""
        work = _READS.get(request.operation)
        if work is not None:
            with working(context) as desk:
                return work(desk, request.input)
        with working(context, writes=True) as desk:
            return desk.once(request, lambda: _WRITES[request.operation](desk, request.input))

    def health_check(self, context: Context) -> Health:
        """Ask the database for nothing."""

        def ask() -> Mapping[str, Any]:
            with working(context) as desk:
                desk.connection.execute(text("SELECT 1")).scalar()
                return {"company": desk.company}

        return measured(context, ask)
