"""The flows about people, word for word, on a real Tryton: what it has no notion of, they do without."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from server.sdk.port_inputs.stage import Stage
    from tests.tryton.company import Company


FLOWS = ("employee-onboarded", "task-assignment")


@pytest.mark.timeout(300)
def test_who_begins_has_the_tasks_of_the_first_week_and_then_a_task_that_needs_their_skills(
    company: Company, stage: Stage
) -> None:
    call = stage.world.call
    anna = call("employees.onboard", name="Anna", skills=["cobol", "sql"], department="it")
    boris = call("employees.onboard", name="Boris", skills=["cobol"], department="it")
    told = {name: anna[name] for name in ("employee_id", "name", "started_on")}
    company.tell("employee.onboarded", f"employee/{anna['employee_id']}", **told)
    tasks = company.run("employee-onboarded", "completed", "compensated", "failed").output["tasks"]
    assert len(tasks) == 3
    loaded = call("employees.get", employee_id=anna["employee_id"])
    assert (loaded["assigned_hours"], loaded["workload"]) == (6, 15)

    today = datetime.now(UTC).date()
    monday = today + timedelta(days=7 - today.weekday())
    project = call("projects.create", name="Rollout", starts_on=monday.isoformat())["project_id"]
    asked: dict[str, Any] = {"title": "Move the ledger", "skills": ["cobol", "sql"], "project_id": project}
    company.tell("task.requested", f"project/{project}", **asked)
    output = company.run("task-assignment", "completed", "compensated", "failed").output
    assert output["employee_id"] == anna["employee_id"] != boris["employee_id"]
    assert call("employees.get", employee_id=anna["employee_id"])["assigned_hours"] == 6 + 16
    planned = call("projects.recalculate_timeline", project_id=project)
    ends = (monday + timedelta(days=2)).isoformat()  # Tryton counts to the morning after
    assert (planned["open_tasks"], planned["open_hours"], planned["ends_on"]) == (1, 16, ends)


@pytest.mark.timeout(300)
def test_a_project_that_is_not_there_leaves_no_task(company: Company, stage: Stage) -> None:
    call = stage.world.call
    carl = call("employees.onboard", name="Carl", skills=["fortran"])["employee_id"]
    company.tell("task.requested", "project/0", title="Count the stars", skills=["fortran"], project_id="999999999")
    run = company.run("task-assignment", "completed", "compensated", "failed")
    assert (run.state, run.error["code"]) == ("compensated", "PROJECT_UNKNOWN")
    assert call("employees.get", employee_id=carl)["assigned_hours"] == 0
