"""What runs wait for: found by its value, from before and after, with no gap between, whoever is in the middle of publishing."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.events.envelope import NewEvent, to_json
from server.flows import waits
from server.flows.waits import NewWait, canonical
from server.kernel.ids import new_uuid
from server.mapping import compile_expression

if TYPE_CHECKING:
    from uuid import UUID

    from server.store import Scope
    from tests.support.product import Product

TYPE = "production.order.completed"
SCALARS = st.one_of(
    st.text(max_size=5),
    st.integers(-3, 3),
    st.booleans(),
    st.sampled_from([Decimal("1.0"), Decimal("2.50"), Decimal("2.5")]),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(st.sampled_from("ab"), SCALARS, max_size=2))


@given(VALUES, VALUES)
def test_what_is_equal_for_an_expression_is_looked_for_as_one(left: Any, right: Any) -> None:
    same = compile_expression("data.left == data.right", frozenset({"data"})).run(
        {"data": {"left": left, "right": right}}
    )
    assert (canonical(left) == canonical(right)) == same


def test_null_is_looked_for_by_nobody_and_long_values_by_their_hash() -> None:
    assert canonical(None) is None
    assert len(canonical("x" * 10_000) or "") == 64
    assert canonical("x" * 10_000) != canonical("x" * 10_001)


@pytest.fixture
def flowing(product: Product) -> Product:
    """Let the workspace have a flow: one that never had any is not asked."""
    with product.tx() as tx:
        tx.run(
            """INSERT INTO flows (organization_id, workspace_id, id, name, state, version, definition_version, body, created_at,
                                  created_by, updated_at, updated_by)
               VALUES (:org, :workspace_id, :id, 'f', 'archived', 1, 1, '{}', now(), 'test', now(), 'test')""",
            org=product.scope.organization_id,
            id=new_uuid(),
        )
    return product


def emit(product: Product, order: Any, correlation: str = "cor_other", scope: Scope | None = None) -> None:
    with product.tx(scope) as tx:
        data = to_json({"order_id": order})
        product.core.publisher.publish(tx, [NewEvent(type=TYPE, data=data, correlation_id=correlation)])


def wait(product: Product, value: Any, field: str | None = "data.order_id") -> UUID:
    run = new_uuid()
    with product.core.engine.connect() as conn:
        new = NewWait(
            workspace_id=product.scope.workspace_id, run_id=run, path="w", type=TYPE, needed=1, field=field, value=value
        )
        waits.begin(conn, [new])
    return run


def look(product: Product, run: UUID, correlation: str = "cor_mine") -> Any:
    with product.core.engine.connect() as conn:
        return waits.look_back(conn, product.scope.workspace_id, run, "w", correlation)


def came(product: Product, run: UUID) -> list[Any]:
    with product.core.engine.connect() as conn:
        return [
            waits.arrived(each)["data"]["order_id"]
            for each in waits.arrivals(conn, product.scope.workspace_id, run, "w")
        ]


def waked(product: Product) -> set[UUID]:
    return {row.ref for row in product.rows("SELECT ref FROM due WHERE kind = 'flow_wake'")}


def test_events_arrive_where_their_value_is_waited_for_and_wake_the_run(flowing: Product) -> None:
    seven, eight, number, any_ = (wait(flowing, value) for value in ("SO-7", "SO-8", 7, None))
    every = wait(flowing, None, field=None)
    for order in ("SO-7", 7.0, None, "SO-7"):
        emit(flowing, order)
    assert came(flowing, seven) == ["SO-7", "SO-7"]
    assert (came(flowing, eight), came(flowing, any_)) == ([], []), "null never matches"
    assert [float(each) for each in came(flowing, number)] == [7.0]
    assert len(came(flowing, every)) == 4
    assert waked(flowing) == {seven, number, every}


def test_events_from_before_count_back_to_the_first_of_the_correlation(flowing: Product) -> None:
    emit(flowing, "SO-7")
    emit(flowing, "SO-1", "cor_mine")
    emit(flowing, "SO-7")
    emit(flowing, "SO\\u002d7")
    run = wait(flowing, "SO-7")
    assert look(flowing, run) is None
    assert came(flowing, run) == ["SO-7"], "the first came before the correlation began"
    assert look(flowing, run) is None
    assert came(flowing, run) == ["SO-7"], "nothing arrives twice"


def test_an_event_written_with_escapes_is_found_too(flowing: Product) -> None:
    emit(flowing, "SO-1", "cor_mine")
    with flowing.tx() as tx:
        flowing.core.publisher.publish(tx, [NewEvent(type=TYPE, data='{"order_id": "\\u0053O-7"}')])
    run = wait(flowing, "SO-7")
    assert look(flowing, run) is None
    assert came(flowing, run) == ["SO-7"]


def test_a_publisher_that_is_in_the_middle_is_neither_missed_nor_waited_for(flowing: Product) -> None:
    emit(flowing, "SO-1", "cor_mine")
    published, go = threading.Event(), threading.Event()

    def publish() -> None:
        with flowing.tx() as tx:
            flowing.core.publisher.publish(tx, [NewEvent(type=TYPE, data='{"order_id": "SO-7"}')])
            published.set()
            assert go.wait(10)

    thread = threading.Thread(target=publish)
    thread.start()
    assert published.wait(10)
    run = wait(flowing, "SO-7")
    pause = look(flowing, run)
    assert pause is not None
    assert came(flowing, run) == []
    go.set()
    thread.join()
    assert came(flowing, run) == [], "it looked for waits before there was one"
    assert look(flowing, run) is None
    assert came(flowing, run) == ["SO-7"]


def test_no_workspace_s_event_arrives_in_another(flowing: Product) -> None:
    run = wait(flowing, "SO-7")
    emit(flowing, "SO-7", scope=flowing.workspace("rival", "main"))
    assert look(flowing, run) is None
    assert came(flowing, run) == []


def test_what_ended_is_waited_for_no_more(flowing: Product) -> None:
    run = wait(flowing, "SO-7")
    emit(flowing, "SO-7")
    with flowing.core.engine.connect() as conn:
        waits.end(conn, [run])
    emit(flowing, "SO-7")
    assert came(flowing, run) == []
    assert flowing.rows("SELECT 1 FROM flow_waits UNION ALL SELECT 1 FROM flow_arrivals") == []
