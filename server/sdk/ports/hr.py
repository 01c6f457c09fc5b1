"""The port `hr`: employees with their skills and workload, attendance, leave and what payroll needs.

Workload is in percent of an employee's weekly capacity: hours that are assigned to them, over hours that they have. Skills are words
in lower case.
"""

from __future__ import annotations

from typing import Any

from server.kernel.errors import code
from server.sdk.ports.port import Port, read, write
from server.sdk.ports.shapes import (
    CHANGE,
    DAY,
    EXTERNAL_ID,
    ID,
    LIMIT,
    MOMENT,
    answer,
    choice,
    given,
    listed,
    or_null,
    text,
    words,
)

EMPLOYEE_UNKNOWN = code("EMPLOYEE_UNKNOWN", "The ERP has no such employee, or one that has left.")
EMPLOYEE_CONFLICT = code("EMPLOYEE_CONFLICT", "Another employee has this external id.")
WORKLOAD_NEGATIVE = code("WORKLOAD_NEGATIVE", "More hours are taken from an employee than are assigned to them.")
LEAVE_CONFLICT = code("LEAVE_CONFLICT", "The employee is away, or leave is asked for, in these days already.")
LEAVE_UNKNOWN = code("LEAVE_UNKNOWN", "The ERP has no such leave.")
DAYS_INVALID = code("DAYS_INVALID", "The last day comes before the first, or there are more than 366.")
PAYROLL_TOO_LARGE = code("PAYROLL_TOO_LARGE", "Payroll is exported for 10,000 employees at a time: ask by department.")

SKILLS = listed({"type": "string", "pattern": "^[a-z0-9][a-z0-9 +#.-]{0,49}$"}, 0, 50)
HOURS: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": 10_000, "multipleOf": 0.0001}
_HOURS_OF_DAY = {"type": "number", "minimum": 0, "maximum": 24, "multipleOf": 0.0001}
_CHANGE_OF_HOURS = {"type": "number", "minimum": -10_000, "maximum": 10_000, "multipleOf": 0.0001}
_NUMBER = {"type": "number"}
EMPLOYEE = answer(
    {
        "employee_id": ID,
        "name": text(300),
        "email": words(320),
        "department": words(100),
        "skills": SKILLS,
        "capacity_hours": _NUMBER,
        "assigned_hours": _NUMBER,
        "workload": {**_NUMBER, "description": "Percent of the capacity."},
    },
    {"external_id": words(200), "state": choice("active", "left"), "started_on": or_null(DAY), "change": CHANGE},
)
LEAVE = answer(
    {
        "leave_id": ID,
        "employee_id": ID,
        "first_day": DAY,
        "last_day": DAY,
        "kind": choice("vacation", "sick", "unpaid"),
        "status": choice("approved", "cancelled"),
    },
    {"change": CHANGE},
)
_DAYS = {"first_day": DAY, "last_day": DAY}

HR = Port(
    "hr",
    (
        write(
            "employees.onboard",
            "Take on an employee; one with the same external id is not taken on twice.",
            given(
                {
                    "external_id": EXTERNAL_ID,
                    "name": text(300),
                    "email": words(320),
                    "department": words(100),
                    "skills": SKILLS,
                    "capacity_hours": HOURS,
                    "start_date": DAY,
                },
                ["name"],
            ),
            EMPLOYEE,
            (EMPLOYEE_CONFLICT,),
            undo="employees.offboard",
            events=("employee.onboarded",),
        ),
        write(
            "employees.offboard",
            "Let an employee go: nothing is assigned to them any more. One that is gone stays so.",
            given({"employee_id": ID}, ["employee_id"]),
            EMPLOYEE,
            (EMPLOYEE_UNKNOWN,),
        ),
        read(
            "employees.get",
            "Read one employee.",
            given({"employee_id": ID}, ["employee_id"]),
            EMPLOYEE,
            (EMPLOYEE_UNKNOWN,),
        ),
        read(
            "employees.find_available",
            "List those who are at work and have room, the least loaded first; away on that day means not at work.",
            given(
                {
                    "department": text(100),
                    "skills": {**SKILLS, "description": "All of them are needed."},
                    "max_workload": {
                        "type": "number",
                        "minimum": 0,
                        "maximum": 1000,
                        "description": "Below that; 80 if not said.",
                    },
                    "on": {**DAY, "description": "Today if not said."},
                    "limit": LIMIT,
                }
            ),
            answer({"employees": listed(EMPLOYEE)}),
        ),
        write(
            "employees.update_workload",
            "Add hours to what is assigned to an employee, or take some away.",
            given({"employee_id": ID, "hours": _CHANGE_OF_HOURS}, ["employee_id", "hours"]),
            EMPLOYEE,
            (EMPLOYEE_UNKNOWN, WORKLOAD_NEGATIVE),
            undo="employees.update_workload",
        ),
        write(
            "attendance.record",
            "Note how long an employee worked on a day; said again, it is what was said last.",
            given(
                {"employee_id": ID, "day": DAY, "hours": _HOURS_OF_DAY},
                ["employee_id", "day", "hours"],
            ),
            answer({"employee_id": ID, "day": DAY, "hours": _NUMBER}, {"change": CHANGE, "before": or_null(_NUMBER)}),
            (EMPLOYEE_UNKNOWN,),
            undo="attendance.record",
        ),
        write(
            "leave.request",
            "Take leave; it is approved where no other lies in these days.",
            given(
                {"employee_id": ID, **_DAYS, "kind": choice("vacation", "sick", "unpaid")},
                ["employee_id", "first_day", "last_day", "kind"],
            ),
            LEAVE,
            (EMPLOYEE_UNKNOWN, LEAVE_CONFLICT, DAYS_INVALID),
            undo="leave.cancel",
        ),
        write(
            "leave.cancel",
            "Take leave back. What is cancelled stays so.",
            given({"leave_id": ID}, ["leave_id"]),
            LEAVE,
            (LEAVE_UNKNOWN,),
        ),
        read(
            "payroll.export",
            "Sum up per employee what payroll needs of some days: hours worked, and days of leave by kind.",
            given({**_DAYS, "department": text(100)}, ["first_day", "last_day"]),
            answer(
                {
                    **_DAYS,
                    "employees": listed(
                        answer(
                            {
                                "employee_id": ID,
                                "name": text(300),
                                "hours": _NUMBER,
                                "leave_days": answer({"vacation": _NUMBER, "sick": _NUMBER, "unpaid": _NUMBER}),
                            }
                        ),
                        0,
                        10_000,
                    ),
                    "total_hours": _NUMBER,
                },
                {"made_at": MOMENT},
            ),
            (DAYS_INVALID, PAYROLL_TOO_LARGE),
        ),
    ),
)
