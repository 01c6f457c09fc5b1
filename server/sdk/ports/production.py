"""The port `production`: bills of materials, and orders to make something.

A production order is `planned`, then `scheduled` and `in_progress`; it may wait (`waiting_materials`, `on_hold`), and `inspection`
is where all is made and waits for its inspection. It ends as `completed` or `cancelled`. What is made for an order is kept for it:
nobody else can reserve it, until that order is cancelled.
"""

from __future__ import annotations

from typing import Any

from server.kernel.errors import code
from server.sdk.ports.inventory import (
    ASKED,
    GOODS,
    PRODUCT_NOT_STOCKED,
    PRODUCTION_STATUS,
    PRODUCTION_UNKNOWN,
    PUT,
)
from server.sdk.ports.orders import ORDER_UNKNOWN
from server.sdk.ports.port import Port, read, write
from server.sdk.ports.products import PRODUCT_UNKNOWN
from server.sdk.ports.shapes import (
    AMOUNT_OF_GOODS,
    CHANGE,
    COUNT,
    CURSOR,
    DAY,
    FLAG,
    ID,
    LIMIT,
    MOMENT,
    PRIORITY,
    QUANTITY,
    REVISION,
    answer,
    given,
    listed,
    one_of,
    or_null,
    page,
    text,
    words,
)

BOM_UNKNOWN = code("BOM_UNKNOWN", "The product has no bill of materials.")
BOM_CYCLE = code("BOM_CYCLE", "The product would be a material of itself; `details.cycle` names the way.")
BOM_TOO_DEEP = code("BOM_TOO_DEEP", "Bills of materials stand more than 20 levels deep.")
MATERIALS_SHORT = code(
    "MATERIALS_SHORT", "The materials do not suffice; `details.missing` names each product and how much lacks."
)
PRODUCTION_TOO_MUCH = code("PRODUCTION_TOO_MUCH", "More would be made than was ordered, or than can be counted.")
CAPACITY_SHORT = code("CAPACITY_SHORT", "There is no room for it within a year.")

PRODUCTION_STATUSES = (
    "planned",
    "scheduled",
    "waiting_materials",
    "on_hold",
    "in_progress",
    "inspection",
    "completed",
    "cancelled",
)
_STATUS = {"enum": list(PRODUCTION_STATUSES)}
_SETS = {"enum": ["planned", "scheduled", "waiting_materials", "on_hold", "in_progress"]}
PRODUCTION_ORDER = answer(
    {
        "production_order_id": ID,
        "order_id": or_null(ID),
        "product_id": ID,
        "quantity": AMOUNT_OF_GOODS,
        "status": _STATUS,
    },
    {
        "due_date": or_null(DAY),
        "priority": PRIORITY,
        "produced": AMOUNT_OF_GOODS,
        "stocked": AMOUNT_OF_GOODS,
        "rejected": AMOUNT_OF_GOODS,
        "scheduled_start": or_null(DAY),
        "scheduled_end": or_null(DAY),
        "materials": listed(PUT),
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "change": CHANGE,
    },
)
_BY_ID = given({"production_order_id": ID}, ["production_order_id"])
_NEEDED = answer(
    {"product_id": ID, "quantity": AMOUNT_OF_GOODS},
    {"level": COUNT, "made": {**FLAG, "description": "It has a bill of materials of its own."}},
)
_TOLD = ("production.batch.completed", "production.order.completed", "order.ready.for.fulfillment")


def _with(more: dict[str, Any]) -> dict[str, Any]:
    return {
        **PRODUCTION_ORDER,
        "required": [*PRODUCTION_ORDER["required"], *more],
        "properties": {**PRODUCTION_ORDER["properties"], **more},
    }


PRODUCTION = Port(
    "production",
    (
        write(
            "boms.upsert",
            "Say what a product is made of; the list that it had is replaced, and orders that were made keep theirs.",
            given(
                {
                    "product_id": ID,
                    "components": listed(GOODS, 1, 100),
                    "makes": {**QUANTITY, "description": "How much of the product that gives; 1 unless said."},
                },
                ["product_id", "components"],
            ),
            answer(
                {"product_id": ID, "components": listed(PUT), "makes": AMOUNT_OF_GOODS, "change": CHANGE},
                {"revision": REVISION},
            ),
            (PRODUCT_UNKNOWN, PRODUCT_NOT_STOCKED, BOM_CYCLE, BOM_TOO_DEEP),
            undo="boms.upsert",
        ),
        read(
            "boms.calculate_requirements",
            "Say what a quantity of a product takes: `materials` are what nothing is made of, over all levels; `components` all"
            " that is in between too. Or of a production order, as it was when that was made.",
            one_of(
                {"product_id": ID, "production_order_id": ID},
                {"quantity": {**QUANTITY, "description": "With `product_id`; 1 unless said."}},
            ),
            answer(
                {
                    "product_id": ID,
                    "quantity": AMOUNT_OF_GOODS,
                    "materials": listed(PUT, most=10_000),
                    "components": listed(_NEEDED, most=10_000),
                }
            ),
            (PRODUCT_UNKNOWN, PRODUCTION_UNKNOWN, BOM_UNKNOWN, BOM_TOO_DEEP, PRODUCTION_TOO_MUCH),
        ),
        write(
            "production.create_order",
            "Order that something be made, for an order or for the stock. Without a bill of materials it takes none.",
            given(
                {
                    "order_id": or_null(ID),
                    "product_id": ID,
                    "quantity": QUANTITY,
                    "due_date": or_null(DAY),
                    "priority": PRIORITY,
                },
                ["product_id", "quantity"],
            ),
            _with({"materials": listed(PUT)}),
            (ORDER_UNKNOWN, PRODUCT_UNKNOWN, PRODUCT_NOT_STOCKED, BOM_TOO_DEEP, PRODUCTION_TOO_MUCH),
            undo="production.cancel_order",
            events=("production.order.created",),
        ),
        read("production.get_order", "Read one production order.", _BY_ID, PRODUCTION_ORDER, (PRODUCTION_UNKNOWN,)),
        read(
            "production.find_waiting",
            "List the production orders that wait for materials, or for just one material, page by page in the order of their ids.",
            given({"product_id": ID, "limit": LIMIT, "cursor": CURSOR}),
            page("production_orders", PRODUCTION_ORDER),
        ),
        write(
            "production.schedule",
            "Give a production order the first free days; weekends are free. What it had before is given up.",
            given(
                {
                    "production_order_id": ID,
                    "not_before": {**DAY, "description": "Tomorrow unless said."},
                    "capacity_per_day": {**QUANTITY, "description": "How much is made a day in all; 1000 unless said."},
                },
                ["production_order_id"],
            ),
            _with({"scheduled_start": DAY, "scheduled_end": DAY, "is_late": FLAG}),
            (PRODUCTION_UNKNOWN, PRODUCTION_STATUS, CAPACITY_SHORT),
            undo="production.update_status",
            events=("production.order.scheduled",),
        ),
        write(
            "production.update_status",
            "Say that a production order is worked on, waits, or goes on. Waiting for materials is told, with what is missing.",
            given(
                {
                    "production_order_id": ID,
                    "status": _SETS,
                    "missing": {**listed(ASKED), "description": "What lacks; without it, what its materials lack now."},
                    "note": text(500),
                },
                ["production_order_id", "status"],
            ),
            PRODUCTION_ORDER,
            (PRODUCTION_UNKNOWN, PRODUCTION_STATUS),
            events=("production.waiting.materials",),
        ),
        write(
            "production.complete",
            "Make a batch, all that lacks unless said: its materials are used up and it goes into stock. With `into_stock: false` it"
            " waits for its inspection; the next call, or `inventory.add_stock`, takes it in. Complete is what is made and taken in.",
            given(
                {
                    "production_order_id": ID,
                    "quantity": QUANTITY,
                    "into_stock": {**FLAG, "description": "True unless said."},
                },
                ["production_order_id"],
            ),
            _with({"produced": AMOUNT_OF_GOODS, "stocked": AMOUNT_OF_GOODS, "change": CHANGE}),
            (PRODUCTION_UNKNOWN, PRODUCTION_STATUS, PRODUCTION_TOO_MUCH, MATERIALS_SHORT),
            events=(*_TOLD, "stock.updated", "stock.low", "inventory.stock.low"),
        ),
        write(
            "production.cancel_order",
            "Cancel a production order of which nothing is made. For one that never was, nothing is done.",
            given({"production_order_id": ID, "reason": text(500)}, ["production_order_id"]),
            answer({"production_order_id": ID, "status": words(40), "change": CHANGE}),
            (PRODUCTION_STATUS,),
            events=("production.order.cancelled",),
        ),
        read(
            "production.check_all_complete",
            "Say whether all production orders of an order are completed; cancelled ones do not count.",
            given({"order_id": ID}, ["order_id"]),
            answer(
                {
                    "order_id": ID,
                    "all_complete": FLAG,
                    "total": COUNT,
                    "completed": COUNT,
                    "open": listed(ID, most=10_000),
                }
            ),
        ),
    ),
)
