"""The history of a subject: every event about it, oldest first, and what each changed."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.events.envelope import NewEvent
from server.events.history import changes

if TYPE_CHECKING:
    from tests.support.product import Product


def publish(product: Product, type_: str, data: str, subject: str = "SO-1", scope: Any = None) -> None:
    with product.tx(scope) as tx:
        product.core.publisher.publish(tx, [NewEvent(type=type_, data=data, subject=subject)])


def read(product: Product, **query: Any) -> Any:
    answer = product.client().get("/api/v1/subjects/history", query_string={"subject": "SO-1", **query})
    assert answer.status_code == 200, answer.json
    return answer.json


def test_each_event_shows_what_it_changed(product: Product) -> None:
    publish(product, "order.created", '{"total": 10.50, "lines": [{"sku": "a"}], "note": "x"}')
    publish(product, "order.changed", '{"total": 12.00, "lines": [{"sku": "a"}, {"sku": "b"}]}')
    publish(product, "order.created", "{}", subject="SO-2")
    publish(product, "order.changed", '{"total": 1}', scope=product.workspace("acme", "other"))
    first, second = read(product)["items"]
    assert (first["type"], first["changes"], first["more_changes"]) == ("order.created", [], False)
    assert second["changes"] == [
        {"pointer": "/total", "before": 10.5, "after": 12.0},
        {"pointer": "/lines/1", "after": {"sku": "b"}},
        {"pointer": "/note", "before": "x"},
    ]


def test_pages_compare_across_their_edges(product: Product) -> None:
    for number in range(5):
        publish(product, "order.changed", json.dumps({"n": number}))
    seen, cursor = [], {}
    while True:
        page = read(product, limit=2, **cursor)
        seen += page["items"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert [each["data"]["n"] for each in seen] == [0, 1, 2, 3, 4]
    assert [each["changes"] for each in seen[1:]] == [
        [{"pointer": "/n", "before": number, "after": number + 1}] for number in range(4)
    ]


def test_a_type_compares_its_own_events(product: Product) -> None:
    publish(product, "order.created", '{"a": 1}')
    publish(product, "invoice.paid", '{"b": 1}')
    publish(product, "order.changed", '{"a": 2}')
    items = read(product, type="order.*")["items"]
    assert [each["changes"] for each in items] == [[], [{"pointer": "/a", "before": 1, "after": 2}]]


def test_many_changes_are_cut_and_that_is_said(product: Product) -> None:
    publish(product, "order.created", "{}")
    publish(product, "order.changed", json.dumps({str(number): number for number in range(150)}))
    last = read(product)["items"][1]
    assert (len(last["changes"]), last["more_changes"]) == (100, True)


CASES: list[tuple[Any, Any, list[dict[str, Any]]]] = [
    ({}, {}, []),
    (1, 1.0, []),
    (1, True, [{"pointer": "", "before": 1, "after": True}]),
    (Decimal("1.50"), Decimal("1.5"), []),
    ({"a/b": 1}, {"a/b": 2}, [{"pointer": "/a~1b", "before": 1, "after": 2}]),
    ({"a": None}, {}, [{"pointer": "/a", "before": None}]),
    ({"a": []}, {"a": {}}, [{"pointer": "/a", "before": [], "after": {}}]),
    ([1, 2], [1], [{"pointer": "/1", "before": 2}]),
]


@pytest.mark.parametrize(("before", "after", "expected"), CASES)
def test_table_of_changes(before: Any, after: Any, expected: list[dict[str, Any]]) -> None:
    assert list(changes("", before, after)) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(json_values, json_values)
def test_nothing_changed_exactly_when_nothing_is_told(before: Any, after: Any) -> None:
    assert list(changes("", before, before)) == []
    told = list(changes("", before, after))
    assert bool(told) == (json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True))
