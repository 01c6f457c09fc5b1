"""A gap is filled through the webhook itself: what came already is not emitted again, what did not is mapped like the rest."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from server.events.admitting import Admitted, Offered
from server.kernel.errors import Invalid, NotFound
from server.kernel.ids import show
from tests.support.inbound import ORDER, declare, drained, emitted, states

if TYPE_CHECKING:
    from server.store import Scope
    from tests.support.product import Product

JSON = {"content-type": "application/json"}
KEYED = {"dedupe": {"key": "body.id"}}


def admit(product: Product, *bodies: Any, scope: Scope | None = None, **more: Any) -> list[Admitted]:
    with product.core.engine.begin(scope or product.scope, product.cause) as tx:
        return product.core.admit(tx, "orders-in", [Offered(body=each, **more) for each in bodies])


def post(product: Product, body: Any) -> Any:
    return product.receive("orders-in", json.dumps(body).encode(), JSON)


def test_what_was_received_already_is_not_emitted_again(product: Product) -> None:
    declare(product, **KEYED)
    came = post(product, ORDER)
    drained(product)
    [known, new] = admit(product, ORDER, {**ORDER, "id": 43})
    assert (known.duplicate, show("req", known.request_id), new.duplicate) == (True, came.json["id"], False)
    drained(product)
    assert [each.subject for each in emitted(product)] == ["42", "43"]
    late = post(product, {**ORDER, "id": 43})
    assert (late.status, late.json["id"]) == (202, show("req", new.request_id)), (
        "and the sender that comes late is told so"
    )
    drained(product)
    assert len(emitted(product)) == 2


def test_the_same_row_twice_is_one_request(product: Product) -> None:
    declare(product, **KEYED)
    [one, two] = admit(product, ORDER, ORDER)
    assert (one.request_id == two.request_id, {one.duplicate, two.duplicate}) == (True, {False, True})
    assert [each.duplicate for each in admit(product, ORDER)] == [True]
    drained(product)
    assert states(product) == {"emitted": 1}


def test_headers_and_parameters_are_seen_as_those_of_a_sender(product: Product) -> None:
    emit = {"type": "order.created", "data": {"shop": "params.shop", "topic": "headers.x_topic"}}
    declare(product, **KEYED, path="{shop}/orders", emit=emit)
    admit(product, ORDER, headers={"X-Topic": "created"}, params={"shop": "north"})
    drained(product)
    assert json.loads(emitted(product)[0].data) == {"shop": "north", "topic": "created"}
    assert emitted(product)[0].correlation_id == product.cause.correlation_id


def test_nothing_of_a_transaction_that_fails_is_admitted(product: Product) -> None:
    declare(product, **KEYED)
    with contextlib.suppress(RuntimeError), product.core.engine.begin(product.scope, product.cause) as tx:
        product.core.admit(tx, "orders-in", [Offered(body=ORDER)])
        raise RuntimeError
    assert states(product) == {}
    assert not admit(product, ORDER)[0].duplicate


def test_the_sender_of_a_synchronous_webhook_that_comes_late_gets_the_events(product: Product) -> None:
    declare(product, **KEYED, sync=True)
    admit(product, ORDER)
    assert post(product, ORDER).status == 503, "while it is being mapped"
    with product.core.engine.connect() as conn:
        conn.exec_driver_sql("UPDATE due SET due_at = now() - interval '1 second' WHERE kind = 'inbound'")
    drained(product)
    assert [each["subject"] for each in post(product, ORDER).json["events"]] == ["42"]
    assert len(emitted(product)) == 1


def test_what_cannot_be_told_apart_is_refused(product: Product) -> None:
    declare(product)
    with pytest.raises(Invalid) as refused:
        admit(product, ORDER)
    assert refused.value.code == "ADMIT_REFUSED"


def test_another_workspace_has_no_such_webhook(product: Product) -> None:
    declare(product, **KEYED)
    with pytest.raises(NotFound):
        admit(product, ORDER, scope=product.workspace("default", "other"))
