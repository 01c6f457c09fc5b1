"""Inputs for employees, their days, projects and tasks."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from server.sdk.port_inputs.stage import Inputs, Stage


def _employee(stage: Stage) -> dict[str, Any]:
    name = f"E-{uuid.uuid4().hex[:8]}"
    what = {"skills": ["sql", "python"], "department": "sales", "start_date": "2026-01-05"}
    return {"employee_id": stage.world.call("employees.onboard", external_id=name, name=name, **what)["employee_id"]}


def _task(stage: Stage, *, assigned: bool = False) -> dict[str, Any]:
    task = {"task_id": stage.world.call("tasks.create", title="Connect the shop", hours=16)["task_id"]}
    if assigned:
        stage.world.call("tasks.assign", **task, **_employee(stage))
    return task


def _project(stage: Stage) -> dict[str, Any]:
    given = {"name": "Rollout", "starts_on": "2026-11-02"}
    return {"project_id": stage.world.call("projects.create", **given)["project_id"]}


def _planned(stage: Stage) -> dict[str, Any]:
    project = _project(stage)
    task = stage.world.call("tasks.create", title="Connect the shop", hours=16, **project)["task_id"]
    stage.world.call("tasks.assign", task_id=task, **_employee(stage))
    return project


INPUTS: Inputs = {
    "attendance.record": lambda stage: {**_employee(stage), "day": "2026-11-02", "hours": 7.5},
    "employees.find_available": lambda _stage: {"skills": ["sql"], "department": "sales", "limit": 3},
    "employees.get": _employee,
    "employees.offboard": _employee,
    "employees.onboard": lambda _stage: {
        "name": "Anna",
        "email": "anna@example.com",
        "department": "sales",
        "skills": ["python"],
        "start_date": "2026-11-02",
    },
    "projects.create": lambda _stage: {"name": "Rollout", "starts_on": "2026-11-02"},
    "projects.recalculate_timeline": _planned,
    "tasks.assign": lambda stage: {**_task(stage), **_employee(stage)},
    "tasks.best_match": lambda stage: {"skills": ["sql"], "hours": 8, "employees": [_employee(stage)]},
    "tasks.cancel": _task,
    "tasks.complete": lambda stage: _task(stage, assigned=True),
    "tasks.create": lambda stage: {
        **_project(stage),
        "title": "Connect the shop",
        "hours": 16,
        "due_date": "2026-12-01",
        "priority": "normal",
    },
    "tasks.estimate_hours": lambda _stage: {"title": "Connect the shop", "size": "large"},
    "tasks.unassign": lambda stage: _task(stage, assigned=True),
}
