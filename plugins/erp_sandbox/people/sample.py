"""A few people, for the mock of the plugin."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox.people.tables import EMPLOYEES, LEAVES, PROJECTS, TASKS

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Table


def rows(company: str, at: datetime) -> list[tuple[Table, dict[str, Any]]]:
    """Return two employees, one of them on leave some day, a project, and four tasks of the first one."""
    mine = {"company": company}
    employee: dict[str, Any] = {
        **mine,
        "employee_id": "emp_0001",
        "external_id": "E-1",
        "name": "Anna",
        "email": "anna@example.com",
        "department": "sales",
        "skills": '["python", "sql"]',
        "capacity_hours": Decimal(40),
        "assigned_hours": Decimal(8),
        "state": "active",
        "started_on": "2026-01-01",
        "revision": 1,
        "created_at": at,
        "updated_at": at,
    }
    leave = {
        **mine,
        "leave_id": "lea_0001",
        "employee_id": "emp_0001",
        "first_day": "2026-02-02",
        "last_day": "2026-02-03",
    }
    project = {**mine, "project_id": "prj_0001", "name": "Rollout", "starts_on": "2026-01-05", "ends_on": None}
    task: dict[str, Any] = {
        **mine,
        "task_id": "tsk_0001",
        "title": "Connect the shop",
        "project_id": "prj_0001",
        "skills": '["python"]',
        "hours": Decimal(8),
        "priority": "normal",
        "due_date": None,
        "status": "assigned",
        "employee_id": "emp_0001",
        "created_at": at,
    }
    boris = {**employee, "employee_id": "emp_0002", "external_id": "E-2", "name": "Boris", "email": None}
    return [
        (EMPLOYEES, employee),
        (EMPLOYEES, boris),
        (LEAVES, {**leave, "kind": "vacation", "status": "approved"}),
        (PROJECTS, project),
        *((TASKS, {**task, "task_id": f"tsk_{number:04d}"}) for number in range(1, 5)),
    ]
