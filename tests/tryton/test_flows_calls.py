"""The calls of the example flows, one after the other, on a real Tryton."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.tryton.calling import Caller


def won_deal(erp: Caller, items: list[dict[str, Any]]) -> str:
    customer = erp.call("customers.get", external_id="C-1")["customer_id"]
    deal = erp.call("deals.create", customer_id=customer, name="A deal", items=items)["deal_id"]
    assert erp.call("deals.win", deal_id=deal)["status"] == "won"
    return str(deal)


def test_a_won_deal_becomes_order_productions_and_invoice_and_all_is_undone(erp: Caller) -> None:
    products = {each: erp.call("products.get", external_id=each)["product_id"] for each in ("P1", "P2")}
    deal = won_deal(erp, [{"product_id": products["P1"], "quantity": 5}, {"product_id": products["P2"], "quantity": 2}])
    order = erp.call("orders.create_from_deal", "run:order", deal_id=deal, status="pending")
    assert erp.call("orders.create_from_deal", "run:order", deal_id=deal, status="pending") == order
    assert (order["status"], order["net"], order["tax"], order["total"]) == ("pending", "100.00", "20.00", "120.00")
    checked = erp.call("inventory.check_stock", items=order["items"])
    assert [(each["product_id"], each["missing"]) for each in checked["unavailable"]] == [(products["P1"], 5)]
    made = []
    for index, each in enumerate(checked["unavailable"]):
        wanted = {"product_id": each["product_id"], "quantity": each["missing"], "due_date": order["delivery_date"]}
        given = {"order_id": order["order_id"], **wanted}
        made.append(erp.call("production.create_order", f"run:produce:{index}", **given))
        assert erp.call("production.create_order", f"run:produce:{index}", **given) == made[-1]
    assert [(each["quantity"], each["materials"][0]["quantity"], each["status"]) for each in made] == [
        (5, 10, "planned")
    ]
    assert erp.call("orders.get", order_id=order["order_id"])["status"] == "pending"
    invoice = erp.call("invoices.create_from_order", "run:invoice", order_id=order["order_id"])
    assert erp.call("invoices.create_from_order", "run:invoice", order_id=order["order_id"]) == invoice
    assert (invoice["status"], invoice["total"], invoice["open"]) == ("open", "120.00", "120.00")
    assert erp.call("orders.get", order_id=order["order_id"])["status"] == "in_production"
    for again, change in ((1, "updated"), (2, "none")):
        assert erp.call("invoices.void", f"u{again}", invoice_id=invoice["invoice_id"])["change"] == change
        for each in made:
            done = erp.call("production.cancel_order", production_order_id=each["production_order_id"])
            assert (done["status"], done["change"]) == ("cancelled", change)
        assert erp.call("orders.cancel", order_id=order["order_id"])["change"] == change
    assert erp.call("orders.get", order_id=order["order_id"])["status"] == "cancelled"
    another = erp.call("orders.create_from_deal", "second run", deal_id=deal)
    assert another["order_id"] != order["order_id"]
    assert another["total"] == "120.00"


def test_an_order_is_reserved_picked_packed_and_shipped_and_taken_back_step_by_step(erp: Caller) -> None:
    customer = erp.call("customers.get", external_id="C-1")["customer_id"]
    product = erp.call("products.get", external_id="P2")["product_id"]
    before = erp.call("inventory.check_stock", items=[{"product_id": product, "quantity": 1}])["available"][0][
        "available"
    ]
    order = erp.call("orders.create", customer_id=customer, items=[{"product_id": product, "quantity": 4}])["order_id"]

    def free() -> Any:
        return erp.call("inventory.check_stock", items=[{"product_id": product, "quantity": 1}])["available"][0][
            "available"
        ]

    def status() -> str:
        return str(erp.call("orders.get", order_id=order)["status"])

    assert erp.call("inventory.reserve_stock", "reserve", order_id=order)["status"] == "held"
    assert erp.call("inventory.reserve_stock", "reserve", order_id=order)["status"] == "held"
    assert (free(), status()) == (before - 4, "ready")
    picking = erp.call("warehouse.create_picking", "pick", order_id=order)
    assert erp.call("warehouse.create_picking", "pick", order_id=order) == picking
    packing = erp.call("warehouse.create_packing", "pack", picking_id=picking["picking_id"])
    assert erp.call("warehouse.create_packing", "pack", picking_id=picking["picking_id"]) == packing
    given = {"order_id": order, "packing_id": packing["packing_id"]}
    shipment = erp.call("logistics.create_shipment", "ship", **given)
    assert erp.call("logistics.create_shipment", "ship", **given) == shipment
    assert (free(), status()) == (before - 4, "shipped")
    undo = [
        ("logistics.cancel_shipment", {"shipment_id": shipment["shipment_id"]}),
        ("warehouse.cancel_packing", {"packing_id": packing["packing_id"]}),
        ("warehouse.cancel_picking", {"picking_id": picking["picking_id"]}),
        ("inventory.release_stock", {"order_id": order}),
        ("orders.cancel", {"order_id": order}),
    ]
    for name, named in undo:
        erp.call(name, **named)
        assert erp.call(name, **named)["change"] == "none", name
    assert (free(), status()) == (before, "cancelled")
