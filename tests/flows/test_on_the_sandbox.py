"""The other flows of `definitions/flows`, each run on the embedded ERP by the events that start it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.flows.selling import Sales

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.product import Product


@pytest.fixture
def company(product: Product) -> Iterator[Sales]:
    made = Sales(product, "demo.yaml")
    with product.worker():
        yield made
    made.drop()


def new_product(company: Sales, name: str, **stock: Any) -> str:
    made = company.erp("products.upsert", external_id=name, name=name, price="10.00", tax_rate="19")["product_id"]
    if stock:
        company.erp("inventory.update_stock_levels", levels=[{"product_id": made, **stock}])
    return str(made)


def publish(company: Sales, type_: str, **data: Any) -> None:
    answer = company.client.post("/api/v1/events", json={"type": type_, "data": data})
    assert answer.status_code == 202, answer.json


def test_what_is_made_is_planned_inspected_and_made_again_where_it_failed(company: Sales) -> None:
    table, leg = new_product(company, "T"), new_product(company, "L", on_hand=100)
    company.erp("boms.upsert", product_id=table, components=[{"product_id": leg, "quantity": 4}])
    checkpoints = [{"name": "height", "kind": "automated", "minimum": 70, "maximum": 80}]
    company.erp("quality.set_checkpoints", product_id=table, checkpoints=checkpoints)
    order = company.erp("production.create_order", product_id=table, quantity=3)["production_order_id"]
    assert company.ended("production-planning")["output"] == {"scheduled": True, "requirements": 1}
    company.erp("production.complete", production_order_id=order, into_stock=False)
    assert company.ended("quality-control")["output"] == {"passed": False}, "nobody has measured anything"
    made = company.erp("production.get_order", production_order_id=order)
    assert (made["status"] == "completed", made["produced"]) == (False, 0)

    company.erp("quality.set_checkpoints", product_id=table, checkpoints=[])
    company.erp("production.complete", production_order_id=order, into_stock=False)
    assert company.ended("quality-control", 2)["output"] == {"passed": True}
    assert company.rows(f"SELECT on_hand FROM stock WHERE product_id = '{table}'") == [(3,)]
    assert company.erp("production.get_order", production_order_id=order)["status"] == "completed"


def test_what_lacks_materials_waits_until_what_was_asked_for_has_come(company: Sales) -> None:
    table, leg = new_product(company, "T"), new_product(company, "L", on_hand=5)
    company.erp("boms.upsert", product_id=table, components=[{"product_id": leg, "quantity": 4}])
    order = company.erp("production.create_order", product_id=table, quantity=3)["production_order_id"]
    assert company.ended("production-planning")["output"]["scheduled"] is False
    assert company.erp("production.get_order", production_order_id=order)["status"] == "waiting_materials"
    assert company.rows("SELECT product_id, quantity FROM requisition_items") == [(leg, 7)]

    company.erp("inventory.add_stock", product_id=leg, quantity=2)
    company.ended("materials-arrived", 2)
    assert company.erp("production.get_order", production_order_id=order)["status"] == "waiting_materials", "5 of 7"
    company.erp("suppliers.upsert", external_id="S", name="Wood Ltd", product_ids=[leg])
    asked = company.rows("SELECT requisition_id FROM requisitions")[0][0]
    bought = company.erp("procurement.create_purchase_order", requisition_id=asked)["purchase_order_id"]
    company.erp("procurement.receive_stock", purchase_order_id=bought)
    company.ended("materials-arrived", 3)
    assert company.erp("production.get_order", production_order_id=order)["status"] == "scheduled"


def test_what_runs_low_is_ordered_anew(company: Sales) -> None:
    leg = new_product(company, "L", on_hand=10, reorder_point=5, reorder_quantity=50)
    company.erp("suppliers.upsert", external_id="S", name="Wood Ltd", product_ids=[leg])
    company.erp("inventory.adjust_stock", product_id=leg, change=-6, reason="counted")
    purchase = company.ended("stock-low")["output"]["purchase_order_id"]
    assert company.rows("SELECT purchase_order_id FROM purchase_orders") == [(purchase,)]
    assert company.rows("SELECT recipient FROM notifications") == [("purchasing@example.com",)]
    for change in (3, -3):
        company.erp("inventory.adjust_stock", product_id=leg, change=change, reason="counted")
    assert company.ended("stock-low", 2)["output"] == {"purchase_order_id": None}, "50 are on their way"


def test_a_cancelled_order_gives_back_goods_and_money(company: Sales) -> None:
    chair = new_product(company, "C", on_hand=5)
    buyer = company.erp("customers.upsert", external_id="B", name="Buyer")["customer_id"]
    order = company.erp("orders.create", customer_id=buyer, items=[{"product_id": chair, "quantity": 2}])["order_id"]
    invoice = company.erp("invoices.create_from_order", order_id=order)
    company.erp("inventory.reserve_stock", order_id=order)
    company.erp("payments.record", invoice_id=invoice["invoice_id"], amount="5.00")
    company.ended("payment-received")
    making = company.erp("production.create_order", product_id=chair, quantity=9, order_id=order)["production_order_id"]
    company.erp("orders.cancel", order_id=order)
    company.ended("order-cancelled")
    assert company.erp("production.get_order", production_order_id=making)["status"] == "cancelled"
    assert company.rows("SELECT on_hand, reserved FROM stock") == [(5, 0)]
    assert company.rows("SELECT amount, refunded FROM payments") == [(5, 5)]
    assert company.rows("SELECT status FROM invoices") == [("void",)]
    assert company.rows("SELECT sum(amount) FROM postings") == [(0,)]
    assert company.rows("SELECT payment_status FROM orders") == [("unpaid",)]


def test_a_deal_has_its_prediction_and_people_have_their_tasks(company: Sales) -> None:
    chair = new_product(company, "C")
    buyer = company.erp("customers.upsert", external_id="B", name="Buyer")["customer_id"]
    items = [{"product_id": chair, "quantity": 2}]
    deal = company.erp("deals.create", customer_id=buyer, name="Chairs", items=items)["deal_id"]
    said = company.ended("deal-prediction")["output"]["probability"]
    assert float(company.erp("deals.get", deal_id=deal)["probability"]) == float(said)

    anna = company.erp("employees.onboard", name="Anna", email="a@example.com", skills=["python"])["employee_id"]
    assert len(company.ended("employee-onboarded")["output"]["tasks"]) == 3
    project = company.erp("projects.create", name="P", starts_on="2026-01-05")["project_id"]
    publish(company, "task.requested", title="Connect", skills=["python"], project_id=project, size="small")
    assigned = company.ended("task-assignment")["output"]
    assert assigned["employee_id"] == anna
    assert company.erp("employees.get", employee_id=anna)["assigned_hours"] == 6 + 4
    assert company.rows(f"SELECT ends_on IS NOT NULL FROM projects WHERE project_id = '{project}'") == [(True,)]
