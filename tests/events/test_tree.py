"""What came of what: a chain is shown whole from anywhere in it, bounded, and never across workspaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from server.events import tree
from server.events.envelope import NewEvent
from server.kernel.ids import new_uuid, show
from tests.support.product import until
from tests.support.receiver import Answer

if TYPE_CHECKING:
    from tests.support.product import Product
    from tests.support.receiver import Receiver


def publish(product: Product, *events: tuple[str, str | None], correlation: str = "c1", **more: Any) -> None:
    with product.tx(more.pop("scope", None)) as tx:
        news = [
            NewEvent(type="order.created", data="{}", id=id_, causation_id=cause, correlation_id=correlation, **more)
            for id_, cause in events
        ]
        product.core.publisher.publish(tx, news)


def read(product: Product, id_: str, **query: str) -> Any:
    answer = product.client().get(f"/api/v1/events/{id_}/tree", query_string=query)
    assert answer.status_code == 200, answer.json
    return answer.json


def outline(node: dict[str, Any]) -> Any:
    below = [outline(each) for each in node["children"]]
    return {node["id"]: below} if below else node["id"]


def deepest(node: dict[str, Any]) -> int:
    return 1 + max(map(deepest, node["children"]), default=0)


@pytest.mark.parametrize("asked", ["a", "b", "d"])
def test_a_chain_is_the_same_from_wherever_it_is_asked_for(product: Product, asked: str) -> None:
    publish(product, ("a", None), ("b", "a"), ("c", "a"), ("d", "b"), ("other", None))
    publish(product, ("elsewhere", None), correlation="c2")
    found = read(product, asked)
    assert [outline(each) for each in found["trees"]] == [{"a": [{"b": ["d"]}, "c"]}, "other"]
    assert (found["nodes"], found["cut"]) == (5, None)


def test_requests_and_deliveries_stand_in_the_chain(product: Product, receiver: Receiver) -> None:
    hook = product.webhook("orders", receiver.url)
    request = new_uuid()
    with product.core.engine.engine.begin() as conn:
        conn.execute(
            text("""INSERT INTO inbound_requests (id, workspace_id, webhook_id, definition_version, state, received_at, method,
                                                  path, headers, body, client, correlation_id)
                    VALUES (:id, :workspace, :webhook, 1, 'emitted', now(), 'POST', 'shop', '{}', '', '', 'c1')"""),
            {"id": request, "workspace": product.scope.workspace_id, "webhook": hook.id},
        )
    publish(product, ("a", show("req", request)))
    publish(product, ("b", "a"))
    found = read(product, "b")
    [top] = found["trees"]
    assert (top["kind"], top["id"], top["name"], top["details"]["method"]) == (
        "request",
        show("req", request),
        "orders",
        "POST",
    )
    [first] = top["children"]
    kinds = {each["kind"]: each for each in first["children"]}
    assert kinds.keys() == {"delivery", "event"}
    made = kinds["delivery"]
    assert (made["name"], made["state"], made["details"]["attempts"]) == ("orders", "pending", 0)
    assert [each["kind"] for each in kinds["event"]["children"]] == ["delivery"]
    assert found["nodes"] == 5


def test_a_dead_letter_stands_below_the_delivery_that_it_tells_of(product: Product, receiver: Receiver) -> None:
    receiver.answer = Answer(422)
    product.webhook("orders", receiver.url)
    publish(product, ("a", None))
    with product.worker():
        until(lambda: product.states().get("dead") == 1)
        until(lambda: product.rows("SELECT FROM events WHERE type = 'crossdock.dead_letter.created'"))
    [letter] = product.client().get("/api/v1/events?type=crossdock.dead_letter.created").json["items"]
    for asked in ("a", letter["id"]):
        [top] = read(product, asked)["trees"]
        [delivery] = [each for each in top["children"] if each["kind"] == "delivery"]
        assert (top["id"], delivery["state"], delivery["details"]["attempts"]) == ("a", "dead", 1)
        assert [each["id"] for each in delivery["children"]] == [letter["id"]]


def test_a_chain_that_goes_round_in_circles_ends(product: Product) -> None:
    publish(product, ("a", "b"), ("b", "a"))
    found = read(product, "a")
    assert found["nodes"] == 2


def test_what_is_too_deep_or_too_much_is_cut_and_that_is_said(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(product, ("0", None), *((str(number), str(number - 1)) for number in range(1, 40)))
    for asked in ("0", "39"):
        found = read(product, asked)
        assert found["cut"] == "depth"
        assert deepest(found["trees"][0]) == tree.MOST_DEEP
    monkeypatch.setattr(tree, "MOST_NODES", 20)
    publish(product, ("many", None), *((f"m{number}", "many") for number in range(30)), correlation="c2")
    found = read(product, "many")
    assert (found["cut"], found["nodes"]) == ("nodes", 20)


def test_another_workspace_sees_nothing_of_a_chain(product: Product) -> None:
    other = product.workspace("acme", "other")
    publish(product, ("a", None))
    publish(product, ("b", "a"), scope=other)
    assert outline(read(product, "a")["trees"][0]) == "a"
    assert product.client(other).get("/api/v1/events/a/tree").status_code == 404


def test_an_id_of_several_sources_needs_its_source(product: Product) -> None:
    publish(product, ("a", None))
    publish(product, ("a", None), source="shop")
    assert product.client().get("/api/v1/events/a/tree").json["code"] == "AMBIGUOUS_EVENT"
    assert read(product, "a", source="shop")["trees"][0]["details"]["source"] == "shop"
