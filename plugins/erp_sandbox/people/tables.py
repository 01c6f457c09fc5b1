"""Employees, their days, projects, tasks, and what people were told."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, Text, UniqueConstraint

from plugins.erp_sandbox.tables import METADATA, Moment, Quantity, company

_DAY = String(10)
EMPLOYEES = Table(
    "employees",
    METADATA,
    company(),
    Column("employee_id", String(64), primary_key=True),
    Column("external_id", String(200)),
    Column("name", String(300), nullable=False),
    Column("email", String(320)),
    Column("department", String(100)),
    Column("skills", Text(), nullable=False),
    Column("capacity_hours", Quantity(), nullable=False),
    Column("assigned_hours", Quantity(), nullable=False),
    Column("state", String(20), nullable=False),
    Column("started_on", _DAY),
    Column("revision", Integer(), nullable=False),
    Column("created_at", Moment(), nullable=False),
    Column("updated_at", Moment(), nullable=False),
    UniqueConstraint("company", "external_id", name="employees_by_external_id"),
    Index("employees_by_department", "company", "state", "department"),
)
ATTENDANCE = Table(
    "attendance",
    METADATA,
    company(),
    Column("employee_id", String(64), primary_key=True),
    Column("day", _DAY, primary_key=True),
    Column("hours", Quantity(), nullable=False),
    Index("attendance_by_day", "company", "day"),
)
LEAVES = Table(
    "leaves",
    METADATA,
    company(),
    Column("leave_id", String(64), primary_key=True),
    Column("employee_id", String(64), nullable=False),
    Column("first_day", _DAY, nullable=False),
    Column("last_day", _DAY, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("status", String(20), nullable=False),
    Index("leaves_by_employee", "company", "employee_id", "last_day"),
    Index("leaves_by_day", "company", "last_day"),
)
PROJECTS = Table(
    "projects",
    METADATA,
    company(),
    Column("project_id", String(64), primary_key=True),
    Column("name", String(300), nullable=False),
    Column("starts_on", _DAY, nullable=False),
    Column("ends_on", _DAY),
)
TASKS = Table(
    "tasks",
    METADATA,
    company(),
    Column("task_id", String(64), primary_key=True),
    Column("title", String(300), nullable=False),
    Column("project_id", String(64)),
    Column("skills", Text(), nullable=False),
    Column("hours", Quantity(), nullable=False),
    Column("priority", String(20), nullable=False),
    Column("due_date", _DAY),
    Column("status", String(20), nullable=False),
    Column("employee_id", String(64)),
    Column("created_at", Moment(), nullable=False),
    Index("tasks_by_project", "company", "project_id", "status"),
    Index("tasks_done", "company", "status", "created_at"),
)
NOTIFICATIONS = Table(
    "notifications",
    METADATA,
    company(),
    Column("notification_id", String(64), primary_key=True),
    Column("recipient", String(320), nullable=False),
    Column("channel", String(20), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("body", Text()),
    Column("sent_at", Moment(), nullable=False),
    Index("notifications_by_time", "company", "sent_at"),
)
PEOPLE_TABLES = (EMPLOYEES, ATTENDANCE, LEAVES, PROJECTS, TASKS, NOTIFICATIONS)
