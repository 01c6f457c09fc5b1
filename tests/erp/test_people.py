"""People of the embedded ERP: found by room and skills, loaded, away, given tasks; and predictions from plain statistics."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.erp_sandbox.ai.models import predict
from plugins.erp_sandbox.people.tasks import MOVES
from server.sdk import Permanent
from tests.erp.calling import ERP, call

if TYPE_CHECKING:
    from server.sdk import Context


def hire(context: Context, name: str, **more: Any) -> str:
    made = call(context, "employees.onboard", name=name, **more)
    return str(made["employee_id"])


def refusal(context: Context, operation: str, **given: Any) -> str:
    with pytest.raises(Permanent) as refused:
        call(context, operation, **given)
    return refused.value.code


def test_who_is_taken_on_is_told_of_once(context: Context) -> None:
    first = hire(context, "Anna", external_id="E-1", department="sales", skills=["sql", "python"])
    assert hire(context, "Anna", external_id="E-1") == first
    assert refusal(context, "employees.onboard", name="Boris", external_id="E-1") == "EMPLOYEE_CONFLICT"
    [told] = ERP.outbox.waiting(context, 10)
    assert (told.type, told.subject, told.data["skills"]) == (
        "employee.onboarded",
        f"employee/{first}",
        ["python", "sql"],
    )


def test_who_was_taken_on_and_let_go_can_be_taken_on_again(context: Context) -> None:
    first = hire(context, "Anna", external_id="E-1", department="sales")
    call(context, "employees.update_workload", employee_id=first, hours=8)
    call(context, "employees.offboard", employee_id=first)
    assert refusal(context, "employees.onboard", name="Boris", external_id="E-1") == "EMPLOYEE_CONFLICT"
    again = call(context, "employees.onboard", name="Anna", external_id="E-1", skills=["sql"])
    assert (again["employee_id"], again["state"], again["skills"], again["assigned_hours"]) == (
        first,
        "active",
        ["sql"],
        0,
    )
    assert call(context, "employees.onboard", name="Anna", external_id="E-1")["change"] == "none"
    assert len(ERP.outbox.waiting(context, 10)) == 2


def test_the_least_loaded_with_room_and_skills_comes_first_and_who_is_away_does_not(context: Context) -> None:
    anna, boris, carla, dora = (hire(context, each, department="it", skills=["sql"]) for each in ("A", "B", "C", "D"))
    hire(context, "E", department="it", skills=["python", "sql server", "mysql"])
    for who, hours in ((anna, 20), (boris, 32), (carla, 8)):
        call(context, "employees.update_workload", employee_id=who, hours=hours)
    leave = call(context, "leave.request", employee_id=dora, first_day="2026-01-01", last_day="2026-01-02", kind="sick")
    found = call(context, "employees.find_available", department="it", skills=["sql"])["employees"]
    assert [(each["employee_id"], each["workload"]) for each in found] == [(carla, 20), (anna, 50)], "80 % is no room"
    call(context, "leave.cancel", leave_id=leave["leave_id"])
    assert call(context, "leave.cancel", leave_id=leave["leave_id"])["change"] == "none"
    assert call(context, "employees.find_available", skills=["sql"])["employees"][0]["employee_id"] == dora


def test_workload_is_never_less_than_nothing_and_no_addition_is_lost(context: Context) -> None:
    anna = hire(context, "Anna")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: call(context, "employees.update_workload", employee_id=anna, hours=2), range(8)))
    assert call(context, "employees.get", employee_id=anna)["assigned_hours"] == 16
    assert refusal(context, "employees.update_workload", employee_id=anna, hours=-17) == "WORKLOAD_NEGATIVE"
    assert call(context, "employees.offboard", employee_id=anna)["assigned_hours"] == 0
    assert call(context, "employees.offboard", employee_id=anna)["change"] == "none"
    assert refusal(context, "employees.update_workload", employee_id=anna, hours=1) == "EMPLOYEE_UNKNOWN"


def test_payroll_sums_up_hours_and_weekdays_of_leave(context: Context) -> None:
    anna = hire(context, "Anna")
    assert call(context, "attendance.record", employee_id=anna, day="2026-02-02", hours=7.5)["change"] == "created"
    said = call(context, "attendance.record", employee_id=anna, day="2026-02-02", hours=8)
    assert (said["change"], said["before"]) == ("updated", 7.5)
    days = {"first_day": "2026-02-05", "last_day": "2026-02-10"}
    call(context, "leave.request", employee_id=anna, kind="vacation", **days)
    assert refusal(context, "leave.request", employee_id=anna, kind="sick", **days) == "LEAVE_CONFLICT"
    made = call(context, "payroll.export", first_day="2026-02-01", last_day="2026-02-09")
    [line] = made["employees"]
    assert (line["hours"], line["leave_days"]["vacation"], made["total_hours"]) == (8, 3, 8)
    assert refusal(context, "payroll.export", first_day="2026-02-02", last_day="2026-02-01") == "DAYS_INVALID"


def test_a_task_goes_to_who_fits_best_and_its_project_ends_when_its_hours_are_done(context: Context) -> None:
    project = call(context, "projects.create", name="P", starts_on="2026-01-05")["project_id"]
    anna, boris = hire(context, "A", skills=["sql"]), hire(context, "B", skills=["sql", "python"])
    call(context, "employees.update_workload", employee_id=boris, hours=20)
    free = call(context, "employees.find_available")["employees"]
    best = call(context, "tasks.best_match", skills=["python", "sql"], hours=8, employees=free)
    assert best["employee_id"] == boris, "skills come before room"
    assert call(context, "tasks.best_match", hours=8, employees=free)["employee_id"] == anna
    assert refusal(context, "tasks.best_match", skills=["cobol"], employees=free) == "NOBODY_FITS"
    task = call(context, "tasks.create", title="T", project_id=project, hours=24, skills=["python"])["task_id"]
    assert call(context, "tasks.assign", task_id=task, employee_id=boris)["status"] == "assigned"
    planned = call(context, "projects.recalculate_timeline", project_id=project)
    assert (planned["ends_on"], planned["open_hours"]) == ("2026-01-07", 24), "eight hours a day from Monday on"
    assert call(context, "tasks.complete", task_id=task)["status"] == "done"
    assert refusal(context, "tasks.cancel", task_id=task) == "TASK_STATUS"
    assert refusal(context, "tasks.create", title="T", project_id="prj_404") == "PROJECT_UNKNOWN"
    assert call(context, "tasks.estimate_hours", title="T", size="large") == {"hours": 40, "basis": "size", "tasks": 0}
    told = call(context, "notifications.send", to="b@example.com", subject="Yours")
    assert told["to"] == "b@example.com"


def test_every_move_of_a_task_is_in_the_table() -> None:
    for verb in MOVES.moves:
        for status in ("open", "assigned", "done", "cancelled"):
            allowed = status in MOVES.moves[verb]
            if allowed:
                assert MOVES.after(status, verb) in ("open", "assigned", "done", "cancelled")
            else:
                with pytest.raises(Permanent):
                    MOVES.after(status, verb)
    assert {verb: sorted(moves) for verb, moves in MOVES.moves.items()} == {
        "assign": ["assigned", "open"],
        "unassign": ["assigned", "cancelled", "done", "open"],
        "complete": ["assigned", "done"],
        "cancel": ["assigned", "cancelled", "open"],
    }


def ask(action: str, model: str = "deal-success-predictor", **context: Any) -> Any:
    return predict(None, {"model": model, "action": action, "context": context})  # type: ignore[arg-type]


FIGURE = st.integers(0, 1_000_000)


@given(FIGURE, FIGURE, FIGURE, FIGURE)
def test_a_probability_stays_one_and_rises_with_what_was_won(won: int, lost: int, amount: int, average: int) -> None:
    facts = {"lost": lost, "amount": amount, "average_amount": average}
    made = ask("predict-close-probability", won=won, **facts)
    assert 0.01 <= made["prediction"] <= 0.99
    assert 0 <= made["confidence"] <= 1
    assert ask("predict-close-probability", won=won + 1, **facts)["prediction"] >= made["prediction"]


def test_the_last_day_of_the_calendar_is_a_day_like_others(context: Context) -> None:
    assert call(context, "reports.kpis", to="9999-12-31")["orders_processed"] == 0
    project = call(context, "projects.create", name="A", starts_on="9999-12-31")["project_id"]
    call(context, "tasks.create", title="A", project_id=project, hours=100)
    assert call(context, "projects.recalculate_timeline", project_id=project)["ends_on"] == "9999-12-31"
    product = call(context, "products.upsert", external_id="P", name="P")["product_id"]
    made = call(context, "production.create_order", product_id=product, quantity=9000)["production_order_id"]
    assert (
        refusal(context, "production.schedule", production_order_id=made, not_before="9999-12-30") == "CAPACITY_SHORT"
    )


def test_demand_follows_its_trend_and_what_is_not_known_is_refused() -> None:
    made = ask("forecast-demand", "demand-forecaster", history=[10, 12, 14], periods=2)
    assert (made["prediction"], made["confidence"]) == ([16, 18], 1)
    for wrong, code in (
        ({"action": "guess"}, "MODEL_UNKNOWN"),
        ({"action": "forecast-demand", "model": "demand-forecaster", "history": ["x"]}, "CONTEXT_POOR"),
        ({"action": "predict-close-probability", "won": "many"}, "CONTEXT_POOR"),
        ({"action": "predict-close-probability", "won": -1}, "CONTEXT_POOR"),
        ({"action": "predict-close-probability", "conversion_rate": "1e40"}, "CONTEXT_POOR"),
        ({"action": "forecast-demand", "model": "demand-forecaster", "history": ["NaN", 1]}, "CONTEXT_POOR"),
        ({"action": "forecast-demand", "model": "demand-forecaster", "history": [1, "1e30"]}, "CONTEXT_POOR"),
        (
            {"action": "forecast-demand", "model": "demand-forecaster", "history": [1], "periods": "1e999999999"},
            "CONTEXT_POOR",
        ),
    ):
        with pytest.raises(Permanent) as refused:
            ask(**wrong)
        assert refused.value.code == code
