"""The ports `projects` and `notifications`: tasks with what they need, who does them, what that makes of a project, and telling people."""

from __future__ import annotations

from server.kernel.errors import code
from server.sdk.ports.hr import EMPLOYEE, EMPLOYEE_UNKNOWN, HOURS, SKILLS
from server.sdk.ports.port import Port, read, write
from server.sdk.ports.shapes import (
    CHANGE,
    COUNT,
    DAY,
    ID,
    MOMENT,
    PRIORITY,
    answer,
    choice,
    given,
    listed,
    or_null,
    text,
    words,
)

PROJECT_UNKNOWN = code("PROJECT_UNKNOWN", "The ERP has no such project.")
TASK_UNKNOWN = code("TASK_UNKNOWN", "The ERP has no such task.")
TASK_STATUS = code("TASK_STATUS", "The task's status, in `details.status`, does not allow this.")
NOBODY_FITS = code("NOBODY_FITS", "Nobody has the skills and the room that the task needs.")

_NUMBER = {"type": "number"}
PROJECT = answer(
    {
        "project_id": ID,
        "name": text(300),
        "starts_on": DAY,
        "ends_on": or_null(DAY),
        "open_hours": _NUMBER,
        "open_tasks": COUNT,
    },
    {"change": CHANGE},
)
TASK = answer(
    {
        "task_id": ID,
        "title": text(300),
        "project_id": or_null(ID),
        "skills": SKILLS,
        "hours": _NUMBER,
        "priority": PRIORITY,
        "due_date": or_null(DAY),
        "status": choice("open", "assigned", "done", "cancelled"),
        "employee_id": or_null(ID),
    },
    {"change": CHANGE},
)
_THIS = given({"task_id": ID}, ["task_id"])

PROJECTS = Port(
    "projects",
    (
        write(
            "projects.create",
            "Begin a project.",
            given({"name": text(300), "starts_on": DAY}, ["name", "starts_on"]),
            PROJECT,
        ),
        write(
            "projects.recalculate_timeline",
            "Work out when a project ends: its open hours over the daily hours of those who work on it, on weekdays.",
            given({"project_id": ID}, ["project_id"]),
            PROJECT,
            (PROJECT_UNKNOWN,),
        ),
        read(
            "tasks.estimate_hours",
            "Estimate a task by what others with its skills took, else by its size.",
            given({"title": text(300), "skills": SKILLS, "size": choice("small", "medium", "large")}),
            answer({"hours": _NUMBER, "basis": choice("history", "size")}, {"tasks": COUNT}),
        ),
        read(
            "tasks.best_match",
            "Choose who should do a task: most of its skills first, then the least load after it.",
            given(
                {
                    "skills": SKILLS,
                    "hours": HOURS,
                    "employees": listed(
                        {"type": "object", "required": ["employee_id"], "properties": {"employee_id": ID}}, 0, 200
                    ),
                },
                ["employees"],
            ),
            answer({"employee_id": ID, "score": {**_NUMBER, "minimum": 0, "maximum": 1}, "employee": EMPLOYEE}),
            (NOBODY_FITS,),
        ),
        write(
            "tasks.create",
            "Make a task.",
            given(
                {
                    "title": text(300),
                    "project_id": or_null(ID),
                    "skills": SKILLS,
                    "hours": HOURS,
                    "priority": PRIORITY,
                    "due_date": or_null(DAY),
                },
                ["title"],
            ),
            TASK,
            (PROJECT_UNKNOWN,),
            undo="tasks.cancel",
        ),
        write(
            "tasks.assign",
            "Give a task to an employee; the one who has it already keeps it.",
            given({"task_id": ID, "employee_id": ID}, ["task_id", "employee_id"]),
            TASK,
            (TASK_UNKNOWN, TASK_STATUS, EMPLOYEE_UNKNOWN),
            undo="tasks.unassign",
        ),
        write(
            "tasks.unassign", "Take a task from who has it. One that nobody has stays so.", _THIS, TASK, (TASK_UNKNOWN,)
        ),
        write("tasks.complete", "Say that a task is done.", _THIS, TASK, (TASK_UNKNOWN, TASK_STATUS)),
        write("tasks.cancel", "Drop a task. What is cancelled stays so.", _THIS, TASK, (TASK_UNKNOWN, TASK_STATUS)),
    ),
)

NOTIFICATIONS = Port(
    "notifications",
    (
        write(
            "notifications.send",
            "Tell a person something. It cannot be taken back.",
            given(
                {
                    "to": {**text(320), "description": "An address, or the id of an employee."},
                    "channel": choice("email", "chat", "sms", "none"),
                    "subject": text(300),
                    "body": words(10_000),
                },
                ["to", "subject"],
            ),
            answer({"notification_id": ID, "to": text(320), "channel": text(20), "sent_at": MOMENT}),
        ),
    ),
)
