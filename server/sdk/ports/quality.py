"""The ports `quality` and `maintenance`: what is made or received is inspected, and machines are looked after.

An inspection is `open` until every checkpoint has its result, then `passed` or `failed`; one that failed is `handled` once it is
said what becomes of the goods. A product without checkpoints of its own has one, `quantity`: that there is as much as was said.
"""

from __future__ import annotations

from server.kernel.errors import code
from server.sdk.ports.inventory import PRODUCTION_STATUS, PRODUCTION_UNKNOWN, STOCK_SHORT
from server.sdk.ports.port import Port, read, write
from server.sdk.ports.production import PRODUCTION_TOO_MUCH
from server.sdk.ports.products import PRODUCT_UNKNOWN
from server.sdk.ports.shapes import (
    AMOUNT_OF_GOODS,
    CHANGE,
    DAY,
    FLAG,
    ID,
    MOMENT,
    PRIORITY,
    QUANTITY,
    answer,
    given,
    listed,
    or_null,
    text,
    words,
)

INSPECTION_UNKNOWN = code("INSPECTION_UNKNOWN", "The ERP has no such inspection.")
INSPECTION_STATUS = code("INSPECTION_STATUS", "The inspection's status, in `details.status`, does not allow this.")
INSPECTION_TOO_MUCH = code("INSPECTION_TOO_MUCH", "More would be inspected than the production order has made.")
INSPECTION_OF_NO_ORDER = code("INSPECTION_OF_NO_ORDER", "Only what a production order has made can be made again.")
CHECKPOINT_UNKNOWN = code("CHECKPOINT_UNKNOWN", "The inspection has no such checkpoint.")

INSPECTION_STATUSES = ("open", "passed", "failed", "handled")
_NUMBER = {"type": "number", "minimum": -1_000_000_000, "maximum": 1_000_000_000}
_NAME = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$"}
_CHECKPOINT = {
    "name": _NAME,
    "kind": {"enum": ["automated", "manual"], "description": "Automated: a measure between two bounds."},
    "minimum": or_null(_NUMBER),
    "maximum": or_null(_NUMBER),
}
_RESULT = answer(
    {"name": _NAME, "kind": _CHECKPOINT["kind"], "passed": or_null(FLAG)},
    {"minimum": or_null(_NUMBER), "maximum": or_null(_NUMBER), "value": or_null(_NUMBER), "note": words(500)},
)
_INSPECTION = {
    "inspection_id": ID,
    "product_id": ID,
    "quantity": AMOUNT_OF_GOODS,
    "status": {"enum": list(INSPECTION_STATUSES)},
    "checkpoints": listed(_RESULT),
}
_MORE = {"production_order_id": or_null(ID), "purchase_order_id": or_null(ID), "created_at": MOMENT, "change": CHANGE}
_TOLD = ("inspection.completed",)

QUALITY = Port(
    "quality",
    (
        write(
            "quality.set_checkpoints",
            "Say what is looked at when a product is inspected; inspections that were made keep theirs.",
            given(
                {"product_id": ID, "checkpoints": listed(given(_CHECKPOINT, ["name", "kind"]), 0, 50)},
                ["product_id", "checkpoints"],
            ),
            answer({"product_id": ID, "checkpoints": listed(answer(_CHECKPOINT))}),
            (PRODUCT_UNKNOWN,),
            undo="quality.set_checkpoints",
        ),
        read(
            "quality.get_checkpoints",
            "Say what is looked at when a product is inspected.",
            given({"product_id": ID}, ["product_id"]),
            answer({"product_id": ID, "checkpoints": listed(answer(_CHECKPOINT))}),
            (PRODUCT_UNKNOWN,),
        ),
        write(
            "quality.create_inspection",
            "Begin an inspection of goods; of a production order, of a batch that it has made.",
            given(
                {
                    "product_id": ID,
                    "quantity": QUANTITY,
                    "production_order_id": or_null(ID),
                    "purchase_order_id": or_null(ID),
                },
                ["product_id", "quantity"],
            ),
            answer(_INSPECTION, _MORE),
            (PRODUCT_UNKNOWN, PRODUCTION_UNKNOWN, INSPECTION_TOO_MUCH),
        ),
        write(
            "quality.automated_checks",
            "Judge the automated checkpoints by what was measured; what was not measured has not passed. `passed` is false as soon"
            " as one has failed, and null while somebody has to look.",
            given(
                {
                    "inspection_id": ID,
                    "measurements": {"type": "object", "additionalProperties": _NUMBER, "maxProperties": 50},
                },
                ["inspection_id"],
            ),
            answer({**_INSPECTION, "passed": or_null(FLAG)}, _MORE),
            (INSPECTION_UNKNOWN, INSPECTION_STATUS),
            events=_TOLD,
        ),
        write(
            "quality.record_result",
            "Note what somebody found, at one checkpoint or, without one, in all.",
            given(
                {
                    "inspection_id": ID,
                    "passed": FLAG,
                    "checkpoint": _NAME,
                    "value": _NUMBER,
                    "note": text(500),
                },
                ["inspection_id", "passed"],
            ),
            answer({**_INSPECTION, "passed": or_null(FLAG)}, _MORE),
            (INSPECTION_UNKNOWN, INSPECTION_STATUS, CHECKPOINT_UNKNOWN),
            events=_TOLD,
        ),
        write(
            "quality.handle_failure",
            "Say what becomes of goods that failed. They leave the stock where they lay in it; `scrap` ends there; for `rework` and"
            " `remake` the production order has to make as much again, for `remake` with new materials.",
            given(
                {"inspection_id": ID, "action": {"enum": ["scrap", "rework", "remake"]}, "note": text(500)},
                ["inspection_id", "action"],
            ),
            answer(
                {
                    "inspection_id": ID,
                    "status": {"enum": list(INSPECTION_STATUSES)},
                    "action": {"enum": ["scrap", "rework", "remake"]},
                    "production_order_id": or_null(ID),
                }
            ),
            (
                INSPECTION_UNKNOWN,
                INSPECTION_STATUS,
                INSPECTION_OF_NO_ORDER,
                STOCK_SHORT,
                PRODUCTION_STATUS,
                PRODUCTION_TOO_MUCH,
            ),
            events=("stock.updated", "production.order.completed", "order.ready.for.fulfillment"),
        ),
    ),
)
MAINTENANCE = Port(
    "maintenance",
    (
        write(
            "maintenance.create_work_order",
            "Order that a machine be looked after.",
            given(
                {
                    "equipment": text(200),
                    "description": text(2000),
                    "priority": PRIORITY,
                    "due_date": or_null(DAY),
                    "inspection_id": or_null(ID),
                },
                ["equipment", "description"],
            ),
            answer(
                {"work_order_id": ID, "equipment": text(200), "status": {"enum": ["open"]}},
                {"description": text(2000), "priority": PRIORITY, "due_date": or_null(DAY), "created_at": MOMENT},
            ),
        ),
    ),
)
