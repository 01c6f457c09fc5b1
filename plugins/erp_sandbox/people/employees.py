"""Employees: taken on, found by skills and room, loaded with hours."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Float, cast, exists, select

from plugins.erp_sandbox.people.tables import EMPLOYEES, LEAVES
from plugins.erp_sandbox.records import NOTHING, add, by_id, change, many, number, one, parts, refused, shown, stamped
from server.sdk.ports.hr import EMPLOYEE_CONFLICT, EMPLOYEE_UNKNOWN, WORKLOAD_NEGATIVE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

_WEEK = Decimal("40.0000")
_ROOM = 80
_PERCENT = 100
_LIMIT = 50


def load(record: Mapping[str, Any]) -> Decimal:
    """Return the workload in percent."""
    return parts(record["assigned_hours"] * _PERCENT / record["capacity_hours"])


def view(record: Mapping[str, Any]) -> Record:
    """Return an employee as the port has it."""
    plain = shown(EMPLOYEES, record, "revision", "created_at", "updated_at")
    return {**plain, "skills": json.loads(record["skills"]), "workload": number(load(record))}


def at_work(desk: Desk, employee_id: str, *, lock: bool = False) -> Record:
    """Return an employee.

    Raises:
        Permanent: EMPLOYEE_UNKNOWN.

    """
    found = one(desk, EMPLOYEES, lock=lock, employee_id=employee_id)
    if found is None or found["state"] != "active":
        raise refused(EMPLOYEE_UNKNOWN, f"there is no employee {employee_id}", employee_id=employee_id)
    return found


def get(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Return one employee."""
    return view(at_work(desk, given["employee_id"]))


def onboard(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Take on an employee; one who was let go, under the same external id and name, is the same again."""
    external = given.get("external_id")
    known = one(desk, EMPLOYEES, lock=True, external_id=external) if external is not None else None
    if known is not None and known["name"] != given["name"]:
        raise refused(EMPLOYEE_CONFLICT, "another employee has this external id", external_id=external)
    if known is not None and known["state"] == "active":
        return {**view(known), "change": "none"}
    values = {
        "external_id": external,
        "name": given["name"],
        "email": given.get("email"),
        "department": given.get("department"),
        "skills": json.dumps(sorted(set(given.get("skills", [])))),
        "capacity_hours": parts(given["capacity_hours"]) if "capacity_hours" in given else _WEEK,
        "assigned_hours": NOTHING,
        "state": "active",
        "started_on": given.get("start_date", desk.now.date().isoformat()),
    }
    if known is None:
        record = stamped(desk, {"employee_id": desk.new_id("emp"), **values})
        add(desk, EMPLOYEES, record)
    else:
        record = change(desk, EMPLOYEES, known, **values)
    said = view(record)
    told = ("employee_id", "name", "email", "department", "skills", "started_on")
    desk.emit("employee.onboarded", f"employee/{record['employee_id']}", {name: said[name] for name in told})
    return {**said, "change": "created" if known is None else "updated"}


def offboard(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Let an employee go."""
    found = one(desk, EMPLOYEES, lock=True, employee_id=given["employee_id"])
    if found is None:
        raise refused(EMPLOYEE_UNKNOWN, f"there is no employee {given['employee_id']}")
    if found["state"] == "left":
        return {**view(found), "change": "none"}
    return {**view(change(desk, EMPLOYEES, found, state="left", assigned_hours=NOTHING)), "change": "updated"}


def find_available(desk: Desk, given: Mapping[str, Any]) -> Record:
    """List who has room, the least loaded first."""
    column = EMPLOYEES.c
    loaded = cast(column.assigned_hours, Float) * _PERCENT / cast(column.capacity_hours, Float)
    where = [column.state == "active", loaded < float(given.get("max_workload", _ROOM))]
    if "department" in given:
        where.append(column.department == given["department"])
    # a skill has no quotes in it, so in the JSON of all of them it stands like this
    where += [column.skills.contains(f'"{skill}"', autoescape=True) for skill in given.get("skills", [])]
    where.append(~_away(desk, given.get("on", desk.now.date().isoformat())))
    order = (loaded, column.employee_id)
    found = many(desk, EMPLOYEES, *where, order=order, most=int(given.get("limit", _LIMIT)))
    return {"employees": [view(each) for each in found]}


def update_workload(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Add hours to what is assigned to an employee, or take some away."""
    found = at_work(desk, given["employee_id"], lock=True)
    hours = found["assigned_hours"] + parts(given["hours"])
    if hours < 0:
        raise refused(
            WORKLOAD_NEGATIVE, "so many hours are not assigned", assigned_hours=number(found["assigned_hours"])
        )
    after = change(desk, EMPLOYEES, found, assigned_hours=hours)
    return {**view(after), "change": "none" if after is found else "updated"}


def named(desk: Desk, ids: list[str]) -> dict[str, Record]:
    """Return those of some employees who are at work, by id."""
    found = by_id(desk, EMPLOYEES, "employee_id", ids)
    return {key: each for key, each in found.items() if each["state"] == "active"}


def _away(desk: Desk, day: str) -> ColumnElement[bool]:
    column = LEAVES.c
    theirs = (column.company == desk.company, column.employee_id == EMPLOYEES.c.employee_id)
    now = (column.status == "approved", column.first_day <= day, column.last_day >= day)
    return exists(select(column.leave_id).where(*theirs, *now))
