"""Projects and their tasks: estimated, given to who fits best, and what is left of them."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox.people.employees import at_work, load, named, view
from plugins.erp_sandbox.people.tables import EMPLOYEES, NOTIFICATIONS, PROJECTS, TASKS
from plugins.erp_sandbox.records import NOTHING, add, by_id, change, many, moment, number, one, parts, refused, shown
from plugins.erp_sandbox.transitions import Transitions
from server.sdk.ports.projects import NOBODY_FITS, PROJECT_UNKNOWN, TASK_STATUS, TASK_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

MOVES = Transitions(
    "task",
    TASK_STATUS,
    {
        "assign": {"open": "assigned", "assigned": "assigned"},
        "unassign": {"assigned": "open", "open": "open", "cancelled": "cancelled", "done": "done"},
        "complete": {"assigned": "done", "done": "done"},
        "cancel": {"open": "cancelled", "assigned": "cancelled", "cancelled": "cancelled"},
    },
)
_SIZES = {"small": Decimal(4), "medium": Decimal(16), "large": Decimal(40)}
_HISTORY = 50
_ENOUGH = 3
_PERCENT = 100
_WEEKDAYS = 5
_DAY_HOURS = Decimal(8)
_MOST_DAYS = 3_660


def create_project(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Begin a project."""
    record = {
        "company": desk.company,
        "project_id": desk.new_id("prj"),
        "name": given["name"],
        "starts_on": given["starts_on"],
        "ends_on": None,
    }
    add(desk, PROJECTS, record)
    return {**shown(PROJECTS, record), "open_hours": 0, "open_tasks": 0, "change": "created"}


def recalculate(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Work out when a project ends, from today or its beginning, whichever is later."""
    project = one(desk, PROJECTS, lock=True, project_id=given["project_id"])
    if project is None:
        raise refused(PROJECT_UNKNOWN, f"there is no project {given['project_id']}")
    left = many(desk, TASKS, TASKS.c.project_id == project["project_id"], TASKS.c.status.in_(("open", "assigned")))
    hours = sum((each["hours"] for each in left), NOTHING)
    people = by_id(desk, EMPLOYEES, "employee_id", {each["employee_id"] for each in left if each["employee_id"]})
    daily = sum((each["capacity_hours"] / _WEEKDAYS for each in people.values()), NOTHING) or _DAY_HOURS
    days = min(int((hours / daily).to_integral_value(ROUND_CEILING)), _MOST_DAYS)
    begins = max(date.fromisoformat(project["starts_on"]), desk.now.date())
    after = change(desk, PROJECTS, project, ends_on=_workday(begins, days).isoformat())
    same = "none" if after is project else "updated"
    return {**shown(PROJECTS, after), "open_hours": number(hours), "open_tasks": len(left), "change": same}


def estimate(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Estimate a task: the median of others that needed its skills, where there are enough; else by its size."""
    needs = set(given.get("skills", []))
    done = many(desk, TASKS, TASKS.c.status == "done", order=(TASKS.c.created_at.desc(), TASKS.c.task_id), most=500)
    like = sorted(each["hours"] for each in done if needs and needs <= set(json.loads(each["skills"])))[:_HISTORY]
    if len(like) >= _ENOUGH:
        return {"hours": number(like[len(like) // 2]), "basis": "history", "tasks": len(like)}
    return {"hours": number(_SIZES[given.get("size", "medium")]), "basis": "size", "tasks": len(like)}


def best_match(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Choose by the share of the skills that somebody has, then by how much room is left after the task."""
    needs, hours = set(given.get("skills", [])), parts(given.get("hours", 0))
    people = named(desk, [each["employee_id"] for each in given["employees"]])
    scored = []
    for each in people.values():
        after = load(each) + hours * _PERCENT / each["capacity_hours"]
        skilled = Decimal(len(needs & set(json.loads(each["skills"])))) / len(needs) if needs else Decimal(1)
        room = max(1 - after / _PERCENT, Decimal(0))
        if skilled and room:
            scored.append((parts(skilled * Decimal("0.7") + room * Decimal("0.3")), each))
    if not scored:
        raise refused(NOBODY_FITS, "nobody has the skills and the room", asked=len(given["employees"]))
    score, best = min(scored, key=lambda pair: (-pair[0], pair[1]["employee_id"]))
    return {"employee_id": best["employee_id"], "score": number(score), "employee": view(best)}


def create(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Make a task."""
    project = given.get("project_id")
    if project is not None and one(desk, PROJECTS, project_id=project) is None:
        raise refused(PROJECT_UNKNOWN, f"there is no project {project}")
    record = {
        "company": desk.company,
        "task_id": desk.new_id("tsk"),
        "title": given["title"],
        "project_id": project,
        "skills": json.dumps(sorted(set(given.get("skills", [])))),
        "hours": parts(given["hours"]) if "hours" in given else parts(_SIZES["medium"]),
        "priority": given.get("priority", "normal"),
        "due_date": given.get("due_date"),
        "status": "open",
        "employee_id": None,
        "created_at": desk.now,
    }
    add(desk, TASKS, record)
    return {**_view(record), "change": "created"}


def assign(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Give a task to an employee."""
    at_work(desk, given["employee_id"])
    return _moved(desk, given, "assign", employee_id=given["employee_id"])


def unassign(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Take a task from who has it; one that is over keeps its name."""
    over = _task(desk, given)["status"] in ("done", "cancelled")
    return _moved(desk, given, "unassign", **({} if over else {"employee_id": None}))


def complete(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Say that a task is done."""
    return _moved(desk, given, "complete")


def cancel(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Drop a task."""
    return _moved(desk, given, "cancel")


def notify(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Keep what a person is told: the sandbox has nobody to send it to."""
    to = given["to"]
    person = one(desk, EMPLOYEES, employee_id=to)
    record = {
        "company": desk.company,
        "notification_id": desk.new_id("ntf"),
        "recipient": (person["email"] if person else None) or to,
        "channel": given.get("channel", "email"),
        "subject": given["subject"],
        "body": given.get("body"),
        "sent_at": desk.now,
    }
    add(desk, NOTIFICATIONS, record)
    return {
        "notification_id": record["notification_id"],
        "to": record["recipient"],
        "channel": record["channel"],
        "sent_at": moment(desk.now),
    }


def _task(desk: Desk, given: Mapping[str, Any]) -> Record:
    found = one(desk, TASKS, lock=True, task_id=given["task_id"])
    if found is None:
        raise refused(TASK_UNKNOWN, f"there is no task {given['task_id']}")
    return found


def _moved(desk: Desk, given: Mapping[str, Any], verb: str, **values: Any) -> Record:
    task = _task(desk, given)
    after = change(desk, TASKS, task, status=MOVES.after(task["status"], verb), **values)
    return {**_view(after), "change": "none" if after is task else "updated"}


def _view(record: Mapping[str, Any]) -> Record:
    return {**shown(TASKS, record, "created_at"), "skills": json.loads(record["skills"])}


def _workday(begins: date, days: int) -> date:
    """Return the last of so many weekdays from a day on; the last day that there is, where that comes first."""
    day = begins
    while True:
        if day.weekday() < _WEEKDAYS:
            days -= 1
        if days <= 0 or day == date.max:
            return day
        day += timedelta(days=1)
