"""A call that breaks off after any of its requests is finished by its repetition: there is one of what it makes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from plugins.tryton.rest import Tryton
from server.kernel.errors import Retryable
from server.sdk import CallRequest
from server.sdk.port_inputs import INPUTS

if TYPE_CHECKING:
    import requests

    from server.sdk.port_inputs.stage import Stage

MADE = {
    "orders.create": ("sale.sale", "reference", "order_id"),
    "production.create_order": ("production", "reference", "production_order_id"),
    "employees.onboard": ("company.employee", "party.identifiers.code", "employee_id"),
    "payments.record": ("account.move", "description", "payment_id"),
    "quality.create_inspection": ("quality.inspection", "reference", "inspection_id"),
    "procurement.create_purchase_order": ("purchase.purchase", "reference", "purchase_order_id"),
    "procurement.create_requisition": ("purchase.requisition", "description", "requisition_id"),
}


class Breaking:
    """A session whose answer to one request is lost: what was asked is done over there."""

    def __init__(self, session: requests.Session, after: int) -> None:
        self.session = session
        self.left = after

    def request(self, *given: Any, **more: Any) -> requests.Response:
        response = self.session.request(*given, **more)
        self.left -= 1
        if self.left == 0:
            raise Retryable("the connection is lost", source="http")
        return response


LONG = [pytest.param(each, marks=pytest.mark.faults) for each in sorted(MADE) if each != "production.create_order"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("operation", ["production.create_order", *LONG])
def test_a_call_that_breaks_off_anywhere_is_finished_by_its_repetition(stage: Stage, operation: str) -> None:
    model, field, named = MADE[operation]
    given = {each: value for each, value in INPUTS[operation](stage).items() if each != "external_id"}
    whole = stage.world.context("whole")
    for after in range(1, 100):
        key = f"broken off after {after}"
        broken = replace(whole, http=Breaking(whole.http, after), idempotency_key=key)
        if operation == "payments.record":
            given = INPUTS[operation](stage)
        try:
            stage.world.adapter.execute(CallRequest(operation, given), broken)
        except Retryable:
            answer = stage.world.call(operation, key, **given)
        else:
            assert after > 5, "it was broken off at each of its requests"
            return
        found = Tryton(whole, "").search(model, [[field, "like", f"%{operation} {key}"]], ("id",))
        assert [str(each["id"]) for each in found] == [answer[named]], key
