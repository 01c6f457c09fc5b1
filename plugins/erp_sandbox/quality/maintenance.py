"""Orders to look after machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox import records
from plugins.erp_sandbox.quality.tables import WORK_ORDERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record


def create(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Order that a machine be looked after."""
    order = {
        "company": desk.company,
        "work_order_id": desk.new_id("wo"),
        "equipment": given["equipment"],
        "description": given["description"],
        "priority": given.get("priority", "normal"),
        "due_date": given.get("due_date"),
        "inspection_id": given.get("inspection_id"),
        "status": "open",
        "created_at": desk.now,
    }
    records.add(desk, WORK_ORDERS, order)
    return records.shown(WORK_ORDERS, order)
