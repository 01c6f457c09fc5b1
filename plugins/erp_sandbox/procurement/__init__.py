"""The module `procurement`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.erp_sandbox.procurement import buying, suppliers

if TYPE_CHECKING:
    from plugins.erp_sandbox.desk import Work

READS: dict[str, Work] = {"suppliers.get": suppliers.get, "suppliers.search": suppliers.search}
WRITES: dict[str, Work] = {
    "suppliers.upsert": suppliers.upsert,
    "procurement.create_requisition": buying.ask,
    "procurement.cancel_requisition": buying.withdraw,
    "procurement.create_purchase_order": buying.order,
    "procurement.cancel_purchase_order": buying.cancel,
    "procurement.receive_stock": buying.receive,
}

__all__ = ["READS", "WRITES"]
