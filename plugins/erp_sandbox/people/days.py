"""Days of employees: at work, on leave, and what payroll needs of them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from plugins.erp_sandbox.people.employees import at_work
from plugins.erp_sandbox.people.tables import ATTENDANCE, EMPLOYEES, LEAVES
from plugins.erp_sandbox.records import NOTHING, add, change, many, moment, number, one, parts, refused, shown
from server.sdk.ports.hr import DAYS_INVALID, LEAVE_CONFLICT, LEAVE_UNKNOWN, PAYROLL_TOO_LARGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record

_MOST_DAYS = 366
_MOST = 10_000
_WEEKDAYS = 5
_KINDS = ("vacation", "sick", "unpaid")


def record_attendance(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Note how long an employee worked on a day."""
    employee, day, hours = given["employee_id"], given["day"], parts(given["hours"])
    at_work(desk, employee, lock=True)
    said = {"employee_id": employee, "day": day, "hours": number(hours)}
    known = one(desk, ATTENDANCE, employee_id=employee, day=day)
    if known is None:
        add(desk, ATTENDANCE, {"company": desk.company, "employee_id": employee, "day": day, "hours": hours})
        return {**said, "before": None, "change": "created"}
    after = change(desk, ATTENDANCE, known, hours=hours)
    return {**said, "before": number(known["hours"]), "change": "none" if after is known else "updated"}


def request_leave(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Take leave."""
    first, last = _days(given)
    at_work(desk, given["employee_id"], lock=True)
    column = LEAVES.c
    same = (column.employee_id == given["employee_id"], column.status == "approved")
    if many(desk, LEAVES, *same, column.first_day <= last, column.last_day >= first, most=1):
        raise refused(LEAVE_CONFLICT, "the employee is away in these days already")
    record = {
        "company": desk.company,
        "leave_id": desk.new_id("lea"),
        "employee_id": given["employee_id"],
        "first_day": first,
        "last_day": last,
        "kind": given["kind"],
        "status": "approved",
    }
    add(desk, LEAVES, record)
    return {**shown(LEAVES, record), "change": "created"}


def cancel_leave(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Take leave back."""
    found = one(desk, LEAVES, lock=True, leave_id=given["leave_id"])
    if found is None:
        raise refused(LEAVE_UNKNOWN, f"there is no leave {given['leave_id']}")
    after = change(desk, LEAVES, found, status="cancelled")
    return {**shown(LEAVES, after), "change": "none" if after is found else "updated"}


def payroll(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Sum up hours and weekdays of leave."""
    first, last = _days(given)
    where = [EMPLOYEES.c.department == given["department"]] if "department" in given else []
    people = many(desk, EMPLOYEES, *where, most=_MOST + 1)
    if len(people) > _MOST:
        raise refused(PAYROLL_TOO_LARGE, f"there are more than {_MOST} employees: ask by department")
    hours = dict.fromkeys((each["employee_id"] for each in people), NOTHING)
    worked = select(ATTENDANCE.c.employee_id, func.sum(ATTENDANCE.c.hours)).where(
        ATTENDANCE.c.company == desk.company, ATTENDANCE.c.day >= first, ATTENDANCE.c.day <= last
    )
    for employee, sum_ in desk.connection.execute(worked.group_by(ATTENDANCE.c.employee_id)):
        if employee in hours:
            hours[employee] = sum_
    leave: dict[str, dict[str, int]] = {each: dict.fromkeys(_KINDS, 0) for each in hours}
    column = LEAVES.c
    for row in many(desk, LEAVES, column.status == "approved", column.first_day <= last, column.last_day >= first):
        if row["employee_id"] in leave:
            days = _weekdays(max(first, row["first_day"]), min(last, row["last_day"]))
            leave[row["employee_id"]][row["kind"]] += days
    lines = [
        {
            "employee_id": each["employee_id"],
            "name": each["name"],
            "hours": number(hours[each["employee_id"]]),
            "leave_days": leave[each["employee_id"]],
        }
        for each in people
    ]
    total = number(sum(hours.values(), NOTHING))
    return {"first_day": first, "last_day": last, "employees": lines, "total_hours": total, "made_at": moment(desk.now)}


def _days(given: Mapping[str, Any]) -> tuple[str, str]:
    first, last = given["first_day"], given["last_day"]
    if last < first or (date.fromisoformat(last) - date.fromisoformat(first)).days > _MOST_DAYS:
        raise refused(DAYS_INVALID, f"{first} to {last} are no days, or more than {_MOST_DAYS}")
    return first, last


def _weekdays(first: str, last: str) -> int:
    day, end, count = date.fromisoformat(first), date.fromisoformat(last), 0
    while day <= end:
        count += day.weekday() < _WEEKDAYS
        day += timedelta(days=1)
    return count
