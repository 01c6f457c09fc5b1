"""Inputs for checkpoints and inspections."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from server.sdk.port_inputs.stage import Inputs, Stage

_HEIGHT = {"name": "height", "kind": "automated", "minimum": 70, "maximum": 80}
_LOOKS = {"name": "looks_good", "kind": "manual"}


def _product(stage: Stage, *checkpoints: dict[str, Any]) -> dict[str, Any]:
    name = f"Q-{uuid.uuid4().hex[:8]}"
    product = {
        "product_id": stage.world.call("products.upsert", external_id=name, name=name, price="9.00")["product_id"]
    }
    stage.world.call("quality.set_checkpoints", **product, checkpoints=list(checkpoints))
    return product


def _inspection(stage: Stage, *checkpoints: dict[str, Any]) -> dict[str, Any]:
    given = {**_product(stage, *checkpoints), "quantity": 2}
    return {"inspection_id": stage.world.call("quality.create_inspection", **given)["inspection_id"]}


def _failed(stage: Stage) -> dict[str, Any]:
    given = {**_product(stage), "quantity": 2}
    stage.world.call("inventory.add_stock", **given)
    inspection = {"inspection_id": stage.world.call("quality.create_inspection", **given)["inspection_id"]}
    stage.world.call("quality.record_result", **inspection, passed=False)
    return inspection


INPUTS: Inputs = {
    "quality.automated_checks": lambda stage: {**_inspection(stage, _HEIGHT), "measurements": {"height": 75}},
    "quality.create_inspection": lambda stage: {**_product(stage, _HEIGHT, _LOOKS), "quantity": 2},
    "quality.get_checkpoints": lambda stage: _product(stage, _HEIGHT),
    "quality.handle_failure": lambda stage: {**_failed(stage), "action": "scrap", "note": "scratched"},
    "quality.record_result": lambda stage: {
        **_inspection(stage, _LOOKS),
        "checkpoint": "looks_good",
        "passed": True,
        "note": "as new",
    },
    "quality.set_checkpoints": lambda stage: {**_product(stage), "checkpoints": [_HEIGHT, _LOOKS]},
}
