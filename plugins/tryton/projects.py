"""The port `projects` on Tryton's work: a project, and tasks below it with their effort and whose they are.

Who has a task is its allocation; a task that is dropped has the status of that name and no effort any more. The key of a call that
made one stands in its comment. When a project ends is Tryton's own plan.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.coverage import not_supported
from plugins.tryton.people import (
    employee_of,
    employees_of,
    everything,
    hours,
    loads,
    shown,
    skills,
    working_hours,
    workload,
)
from plugins.tryton.values import exact, goods, quantity
from server.sdk.ports.projects import NOBODY_FITS, PROJECT_UNKNOWN, TASK_STATUS, TASK_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

WORK = "project.work"
DROPPED = "Cancelled"
"""The name of the status of work that is dropped; Tryton comes without one."""
_STATUS = "project.work.status"
_FIELDS = (
    *("name", "type", "parent.type", "effort_duration", "status.name", "status.progress", "allocations.employee"),
    *("constraint_start_date", "constraint_finish_date", "early_start_date", "early_finish_date", "create_date"),
)
_PERCENT = 100
_SKILLED, _ROOMY = Decimal("0.7"), Decimal("0.3")


def _mark(erp: Tryton) -> str | None:
    return f"[{erp.key}]" if erp.key else None


def _keyed(erp: Tryton) -> Record | None:
    mark = _mark(erp)
    return erp.first(WORK, [["comment", "like", f"%{finding.literal(mark)}%"]], _FIELDS) if mark else None


def _made(erp: Tryton, values: dict[str, Any]) -> Record:
    """Make a work in the name of the call, once; of two calls of one key at once the younger gives its own back."""
    found = _keyed(erp)
    if found is None:
        kind = values["type"]
        status = erp.first(_STATUS, [["types", "in", kind], ["default", "=", True]], ("id",))
        made = erp.create(WORK, {**values, "status": status["id"] if status else None, "comment": _mark(erp)}, _FIELDS)
        found = _keyed(erp) or made
        if found["id"] != made["id"]:
            erp.delete(WORK, made["id"])
    return found


def _work(erp: Tryton, kind: str, text: str, unknown: str) -> Record:
    domain = [["id", "=", finding.number(text)], ["type", "=", kind], ["company", "=", erp.settings["company"]]]
    found = erp.first(WORK, domain, _FIELDS)
    if found is None:
        raise finding.refused(unknown, f"there is no {kind} with this id", **{f"{kind}_id": text})
    return found


def _create_project(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    starts = finding.date_of(given["starts_on"])
    project = _made(erp, {"type": "project", "name": given["name"], "constraint_start_date": starts})
    return {**_project(erp, project), "change": "created"}


def _project(erp: Tryton, project: Record) -> dict[str, Any]:
    domain = [["parent", "child_of", [project["id"]], "parent"], ["type", "=", "task"]]
    tasks = everything(erp, WORK, domain, ("effort_duration", "status.progress"))
    left = [each for each in tasks if each["status"]["progress"] != 1]
    starts = project["constraint_start_date"] or project["early_start_date"] or project["create_date"].date()
    return {
        "project_id": str(project["id"]),
        "name": project["name"],
        "starts_on": finding.day_of(starts),
        "ends_on": finding.day_of(project["early_finish_date"]) if tasks else None,
        "open_hours": goods(sum((hours(each["effort_duration"]) for each in left), Decimal(0))),
        "open_tasks": len(left),
    }


def _recalculate(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """Let Tryton plan a project anew, as it does whenever a constraint of it is saved."""
    project = _work(erp, "project", given["project_id"], PROJECT_UNKNOWN)
    before = _project(erp, project)
    erp.write(WORK, project["id"], {"constraint_start_date": project["constraint_start_date"]})
    after = _project(erp, _work(erp, "project", given["project_id"], PROJECT_UNKNOWN))
    return {**after, "change": "none" if after == before else "updated"}


def _task(erp: Tryton, given: Mapping[str, Any]) -> Record:
    return _work(erp, "task", given["task_id"], TASK_UNKNOWN)


def _status_of(task: Record) -> str:
    if task["status"]["name"] == DROPPED:
        return "cancelled"
    if task["status"]["progress"] == 1:
        return "done"
    return "assigned" if task["allocations"] else "open"


def _shown(task: Record) -> dict[str, Any]:
    parent = task["parent"]
    return {
        "task_id": str(task["id"]),
        "title": task["name"],
        "project_id": str(parent["id"]) if parent and parent["type"] == "project" else None,
        "skills": [],
        "hours": goods(hours(task["effort_duration"])),
        "priority": "normal",
        "due_date": finding.day_of(task["constraint_finish_date"]),
        "status": _status_of(task),
        "employee_id": next((str(each["employee"]) for each in task["allocations"]), None),
    }


def _create(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    if given.get("skills"):
        raise not_supported("tasks.create", "a task does not say what skills it needs", field="skills")
    if given.get("priority", "normal") != "normal":
        raise not_supported("tasks.create", "a task has no priority", field="priority")
    project = given.get("project_id")
    values = {
        "type": "task",
        "name": given["title"],
        "parent": None if project is None else _work(erp, "project", project, PROJECT_UNKNOWN)["id"],
        "effort_duration": timedelta(hours=quantity(given["hours"])) if "hours" in given else None,
        "constraint_finish_date": finding.date_of(given["due_date"]) if given.get("due_date") else None,
    }
    return {**_shown(_made(erp, values)), "change": "created"}


def _refuse(task: Record, *wanted: str) -> None:
    status = _status_of(task)
    if status not in wanted:
        raise finding.refused(TASK_STATUS, f"the task is {status}", status=status)


def _changed(erp: Tryton, given: Mapping[str, Any], task: Record, values: dict[str, Any]) -> dict[str, Any]:
    if not values:
        return {**_shown(task), "change": "none"}
    erp.write(WORK, task["id"], values)
    return {**_shown(_task(erp, given)), "change": "updated"}


def _assign(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    task, employee = _task(erp, given), employee_of(erp, given["employee_id"])
    _refuse(task, "open", "assigned")
    there = task["allocations"]
    if [each["employee"] for each in there] == [employee["id"]]:
        return _changed(erp, given, task, {})
    given_up = [["delete", [each["id"] for each in there]]] if there else []
    mine = ["create", [{"employee": employee["id"], "percentage": 100.0}]]
    return _changed(erp, given, task, {"allocations": [*given_up, mine]})


def _unassign(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    task = _task(erp, given)
    taken = _status_of(task) == "assigned"
    return _changed(erp, given, task, _nobody(task) if taken else {})


def _nobody(task: Record) -> dict[str, Any]:
    there = [each["id"] for each in task["allocations"]]
    return {"allocations": [["delete", there]]} if there else {}


def _complete(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    task = _task(erp, given)
    _refuse(task, "assigned", "done")
    if _status_of(task) == "done":
        return _changed(erp, given, task, {})
    domain = [["types", "in", "task"], ["progress", "=", 1.0], ["name", "!=", DROPPED]]
    return _changed(erp, given, task, _over(erp, "tasks.complete", domain))


def _cancel(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    task = _task(erp, given)
    _refuse(task, "open", "assigned", "cancelled")
    if _status_of(task) == "cancelled":
        return _changed(erp, given, task, {})
    over = _over(erp, "tasks.cancel", [["types", "in", "task"], ["name", "=", DROPPED]])
    # Without effort it lies in no plan and no sum any more.
    return _changed(erp, given, task, {**over, **_nobody(task), "effort_duration": None})


def _over(erp: Tryton, operation: str, domain: list[Any]) -> dict[str, Any]:
    status = erp.first(_STATUS, domain, ("id",))
    if status is None:
        raise not_supported(operation, "among the work statuses there is none for it", field="status")
    return {"status": status["id"], "progress": 1.0}


def _estimate(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """Estimate by size: half a day, two days, a week. As no task names skills, none is like this one."""
    day, week = (working_hours(erp)[f"hours_per_work_{each}"] for each in ("day", "week"))
    sizes = {"small": day / 2, "medium": day * 2, "large": week}
    return {"hours": goods(sizes[given.get("size", "medium")]), "basis": "size", "tasks": 0}


def _best_match(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """Choose by the share of the skills that somebody has, then by how much room is left after the task."""
    needs, more = set(given.get("skills", [])), exact(given.get("hours"))
    people = {each["id"]: each for each in employees_of(erp, [each["employee_id"] for each in given["employees"]])}
    planned, scored = loads(erp, people), []
    for number, each in people.items():
        skilled = Decimal(len(needs & set(skills(each)))) / len(needs) if needs else Decimal(1)
        room = max(1 - workload(erp, planned[number] + more) / _PERCENT, Decimal(0))
        if skilled and room:
            scored.append((skilled * _SKILLED + room * _ROOMY, -number))
    if not scored:
        raise finding.refused(NOBODY_FITS, "nobody has the skills and the room", asked=len(given["employees"]))
    score, best = max(scored)
    return {
        "employee_id": str(-best),
        "score": goods(score),
        "employee": shown(erp, people[-best], planned[-best]),
    }


OPERATIONS: dict[str, Work] = {
    "projects.create": _create_project,
    "projects.recalculate_timeline": _recalculate,
    "tasks.estimate_hours": _estimate,
    "tasks.best_match": _best_match,
    "tasks.create": _create,
    "tasks.assign": _assign,
    "tasks.unassign": _unassign,
    "tasks.complete": _complete,
    "tasks.cancel": _cancel,
}
