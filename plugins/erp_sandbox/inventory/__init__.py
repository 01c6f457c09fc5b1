"""The module `inventory`; what it has to do with production orders stands there.

`orders.cancel` stands here and not with the orders: it also frees what was made for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.erp_sandbox.inventory import levels, reservations

if TYPE_CHECKING:
    from plugins.erp_sandbox.desk import Work

READS: dict[str, Work] = {
    "inventory.check_stock": levels.check,
    "inventory.stock_report": levels.report,
    "inventory.stock_analytics": levels.analytics,
}
WRITES: dict[str, Work] = {
    "inventory.reserve_stock": reservations.reserve,
    "inventory.release_stock": reservations.release,
    "inventory.update_stock_levels": levels.update,
    "inventory.adjust_stock": levels.adjust,
    "orders.cancel": reservations.cancel_order,
}

__all__ = ["READS", "WRITES"]
