"""The modules `hr`, `projects` and `notifications`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.erp_sandbox.people import days, employees, tasks

if TYPE_CHECKING:
    from plugins.erp_sandbox.desk import Work

READS: dict[str, Work] = {
    "employees.get": employees.get,
    "employees.find_available": employees.find_available,
    "payroll.export": days.payroll,
    "tasks.estimate_hours": tasks.estimate,
    "tasks.best_match": tasks.best_match,
}
WRITES: dict[str, Work] = {
    "employees.onboard": employees.onboard,
    "employees.offboard": employees.offboard,
    "employees.update_workload": employees.update_workload,
    "attendance.record": days.record_attendance,
    "leave.request": days.request_leave,
    "leave.cancel": days.cancel_leave,
    "projects.create": tasks.create_project,
    "projects.recalculate_timeline": tasks.recalculate,
    "tasks.create": tasks.create,
    "tasks.assign": tasks.assign,
    "tasks.unassign": tasks.unassign,
    "tasks.complete": tasks.complete,
    "tasks.cancel": tasks.cancel,
    "notifications.send": tasks.notify,
}

__all__ = ["READS", "WRITES"]
