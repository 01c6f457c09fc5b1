"""The module `production`, with what of the inventory knows of production orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.erp_sandbox.production import boms, making, orders, scheduling

if TYPE_CHECKING:
    from plugins.erp_sandbox.desk import Work

READS: dict[str, Work] = {
    "boms.calculate_requirements": orders.requirements,
    "inventory.check_materials": orders.check_materials,
    "production.get_order": orders.get,
    "production.find_waiting": orders.find_waiting,
    "production.check_all_complete": orders.all_complete,
}
WRITES: dict[str, Work] = {
    "boms.upsert": boms.upsert,
    "inventory.add_stock": making.add_stock,
    "production.create_order": orders.create,
    "production.schedule": scheduling.schedule,
    "production.update_status": orders.update_status,
    "production.complete": making.complete,
    "production.cancel_order": orders.cancel,
}

__all__ = ["READS", "WRITES"]
