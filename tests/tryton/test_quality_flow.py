"""The flow quality-control, word for word, on a real Tryton: a production that runs is inspected before it is done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from plugins.tryton.rest import Tryton
from server.kernel.errors import Retryable
from server.sdk import CallRequest
from tests.tryton.test_broken_off import Breaking

if TYPE_CHECKING:
    from server.sdk.port_inputs.stage import Stage
    from tests.tryton.company import Company


FLOWS = ("quality-control",)


def begun(stage: Stage, name: str) -> tuple[str, str]:
    """Return a product with two checkpoints, and a production of three that runs."""
    call = stage.world.call
    product = call("products.upsert", external_id=name, name=f"Table {name}", price="90.00")["product_id"]
    height = {"name": "height", "kind": "automated", "minimum": 70, "maximum": 80}
    points = [height, {"name": "looks_good", "kind": "manual"}]
    assert len(call("quality.set_checkpoints", product_id=product, checkpoints=points)["checkpoints"]) == 2
    made = call("production.create_order", product_id=product, quantity=3)["production_order_id"]
    call("production.update_status", production_order_id=made, status="in_progress")
    return product, made


def batch(company: Company, product: str, made: str, height: float) -> None:
    about = {"production_order_id": made, "product_id": product, "quantity": 3, "in_stock": False}
    company.tell("production.batch.completed", f"production/{made}", **about, measurements={"height": height})


def in_stock(stage: Stage, product: str) -> float:
    [level] = stage.world.call("inventory.stock_report", product_ids=[product])["products"]
    return float(level["on_hand"])


@pytest.mark.timeout(300)
def test_what_a_person_has_passed_goes_into_stock(company: Company, stage: Stage) -> None:
    product, made = begun(stage, "T-GOOD")
    batch(company, product, made, 75)
    company.run("quality-control", "waiting")
    assert in_stock(stage, product) == 0
    client = company.product.client()
    [run] = client.get("/api/v1/flow-runs").json["items"]
    answer = client.post(f"/api/v1/flow-runs/{run['id']}/steps/looked_at/approve", json={"comment": "as it should be"})
    assert answer.status_code in (200, 202), answer.text
    assert company.run("quality-control", "completed").output == {"passed": True}
    assert in_stock(stage, product) == 3
    assert stage.world.call("production.get_order", production_order_id=made)["status"] == "completed"


@pytest.mark.timeout(300)
def test_what_has_failed_is_not_in_stock_and_is_made_again(company: Company, stage: Stage) -> None:
    product, made = begun(stage, "T-BAD")
    batch(company, product, made, 90)
    run = company.run("quality-control", "completed", "failed", "compensated")
    assert run.output == {"passed": False}, run.error
    assert in_stock(stage, product) == 0
    handled = company.product.rows("SELECT result FROM flow_steps WHERE path LIKE '%failure%'")
    [again] = [each.result["production_order_id"] for each in handled if each.result]
    assert again != made
    order = stage.world.call("production.get_order", production_order_id=again)
    assert (order["product_id"], order["quantity"], order["status"]) == (product, 3, "planned")


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_failure_whose_handling_breaks_off_anywhere_is_handled_by_its_repetition(stage: Stage) -> None:
    call, whole = stage.world.call, stage.world.context("whole")
    for after in range(1, 100):
        product, made = begun(stage, f"T-{after}")
        about = {"product_id": product, "quantity": 3, "production_order_id": made}
        inspection = {"inspection_id": call("quality.create_inspection", **about)["inspection_id"]}
        call("quality.automated_checks", **inspection, measurements={"height": 90})
        key, given = f"remade after {after}", {**inspection, "action": "remake"}
        broken = replace(whole, http=Breaking(whole.http, after), idempotency_key=key)
        try:
            stage.world.adapter.execute(CallRequest("quality.handle_failure", given), broken)
        except Retryable:
            assert call("quality.handle_failure", key, **given)["status"] == "handled"
        else:
            assert after > 5, "it was broken off at each of its requests"
            return
        found = Tryton(whole, "").search("production", [["product", "=", int(product)]], ("state",))
        assert (sorted(each["state"] for each in found), in_stock(stage, product)) == (["done", "draft"], 0), after


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_who_fails_a_whole_that_would_pass_is_heard_wherever_the_call_breaks_off(stage: Stage) -> None:
    call, whole = stage.world.call, stage.world.context("whole")
    for after in range(1, 100):
        made = call("quality.create_inspection", product_id=stage.bought, quantity=2)
        given = {"inspection_id": made["inspection_id"], "passed": False, "note": "scratched"}
        key = f"failed after {after}"
        broken = replace(whole, http=Breaking(whole.http, after), idempotency_key=key)
        try:
            stage.world.adapter.execute(CallRequest("quality.record_result", given), broken)
        except Retryable:
            assert call("quality.record_result", key, **given)["status"] == "failed", after
        else:
            assert after > 5, "it was broken off at each of its requests"
            return
