"""The modules `quality` and `maintenance`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.erp_sandbox.quality import inspections, maintenance

if TYPE_CHECKING:
    from plugins.erp_sandbox.desk import Work

READS: dict[str, Work] = {"quality.get_checkpoints": inspections.checkpoints}
WRITES: dict[str, Work] = {
    "quality.set_checkpoints": inspections.set_checkpoints,
    "quality.create_inspection": inspections.create,
    "quality.automated_checks": inspections.automated,
    "quality.record_result": inspections.record,
    "quality.handle_failure": inspections.handle_failure,
    "maintenance.create_work_order": maintenance.create,
}

__all__ = ["READS", "WRITES"]
