"""What an expression reads, and what the schemas say about it before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from server.mapping import ExpressionError, check_map_paths, check_paths, compile_expression, compile_map

ORDER = {
    "type": "object",
    "properties": {
        "order_id": {"type": "string"},
        "total": {"type": "string"},
        "paid": {"type": "boolean"},
        "customer": {"$ref": "#/$defs/party"},
        "ship_to": {"anyOf": [{"$ref": "#/$defs/party"}, {"type": "null"}]},
        "extra": {"type": "object", "additionalProperties": {"type": "integer"}},
        "free": {},
        "matrix": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "sku": {"type": "string"},
                    "quantity": {"type": "number"},
                    "unit_price": {"type": ["string", "null"]},
                },
            },
        },
        "all": {
            "allOf": [
                {"properties": {"x": {"type": "string"}}},
                {"properties": {"y": {"type": "string"}}, "type": "object"},
            ]
        },
    },
    "$defs": {
        "party": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "parent": {"$ref": "#/$defs/party"}},
            "additionalProperties": False,
        }
    },
}
LINE = ("data", "lines", "[]")
SCHEMAS = {"data": ORDER}


@pytest.mark.parametrize(
    ("text", "roots", "paths"),
    [
        ("data.order_id", {"data"}, [("data", "order_id")]),
        ("data.lines[].sku", {"data"}, [("data", "lines", "[]", "sku")]),
        ("data.lines[*].sku", {"data"}, [("data", "lines", "[]", "sku")]),
        ("data.lines[0].sku", {"data"}, [("data", "lines", "[]", "sku")]),
        ("data.lines[1:].sku | [0]", {"data"}, [("data", "lines", "[]", "sku", "[]")]),
        ("data.extra.*.x", {"data"}, [("data", "extra", "*", "x")]),
        ("data.lines[?qty > 1].sku", {"data"}, [("data", "lines", "[]", "qty"), ("data", "lines", "[]", "sku")]),
        ("sum_by(data.lines, &mul(qty, price))", {"data"}, [(*LINE, "qty"), (*LINE, "price"), ("data", "lines")]),
        ("data.a || event.b", {"data", "event"}, [("data", "a"), ("event", "b")]),
        ("(data.a || event).b", {"data", "event"}, [("data", "a", "b"), ("event", "b")]),
        ("data.{x: a, y: b.c}.x", {"data"}, [("data", "a"), ("data", "b", "c")]),
        ("data | a.b", {"data"}, [("data", "a", "b")]),
        ("@.data.a", {"data"}, [("data", "a")]),
        ("[data.a, event.b]", {"data", "event"}, [("data", "a"), ("event", "b")]),
        ("sort_by(data.lines, &sku)[0].sku", {"data"}, [("data", "lines", "[]", "sku"), ("data", "lines")]),
        ("first(data.lines).sku", {"data"}, [("data", "lines"), ("data", "lines", "[]", "sku")]),
        ('`{"a": 1}`.a', set(), []),
        ("'x'", set(), []),
        ("@", set(), []),
    ],
)  # fmt: skip
def test_roots_and_paths_are_known_without_running(text: str, roots: set[str], paths: list[tuple[str, ...]]) -> None:
    expression = compile_expression(text)
    assert expression.roots == roots
    assert sorted(expression.paths) == sorted(paths)


@pytest.mark.parametrize(
    ("text", "position", "suggestion"),
    [
        ("dta.id", 0, "data"),
        ("data.id == evnt.id", 11, "event"),
        ("concat('a', pending)", 12, None),
        ("[data, {x: nope}]", 11, None),
        ("@ | nope", 4, None),
        ("(data.lines[?data.x].y | [0]) || nope", 33, None),
    ],
)
def test_a_root_that_the_place_does_not_know_is_refused(text: str, position: int, suggestion: str | None) -> None:
    with pytest.raises(ExpressionError) as refused:
        compile_expression(text, frozenset(("data", "event")))
    assert (refused.value.code, refused.value.position, refused.value.suggestion) == (
        "EXPR_UNKNOWN_ROOT",
        position,
        suggestion,
    )


@pytest.mark.parametrize(
    "text",
    [
        "data.order_id",
        "data.lines[].sku",
        "data.lines[?quantity > 2].sku",
        "data.customer.parent.parent.id",
        "data.ship_to.id",
        "data.extra.anything",
        "data.free.anything.at[0].all",
        "data.all.x || data.all.y",
        "data.matrix[][] | [0]",
        "data.matrix[].mul(@, 2)",
        "event.type",
        "to_decimal(data.total) > 100",
        "mul(data.lines[0].quantity, to_decimal(data.lines[0].unit_price))",
        "sum_by(data.lines, &quantity)",
        "sort_by(data.lines, &sku)[0].sku",
        "map(&sku, data.lines)[0]",
        "first(data.lines).sku",
        "data.lines[].{s: sku} | [0].s",
        "data.paid == `true`",
        "data.lines[0].unit_price == `null`",
        "length(data.total) > 5",
        "data.extra.* | [0] > 1",
        "not_null(data.order_id, 'x')",
        "contains(data.lines[].sku, 'A')",
        "data.lines[*].[sku, quantity][]",
        "if(data.paid, data.customer, data.ship_to).id",
    ],
)
def test_what_the_schema_has_is_no_problem(text: str) -> None:
    assert check_paths(compile_expression(text), SCHEMAS) == []


@pytest.mark.parametrize(
    ("text", "position", "code", "severity", "suggestion"),
    [
        ("data.ordr_id", 5, "PATH_UNKNOWN", "warning", "order_id"),
        ("data.zzz", 5, "PATH_UNKNOWN", "warning", None),
        ("data.lines[].skuu", 13, "PATH_UNKNOWN", "error", "sku"),
        ("data.lines[?qty > 2]", 12, "PATH_UNKNOWN", "error", None),
        ("data.lines[0].price", 14, "PATH_UNKNOWN", "error", "unit_price"),
        ("data | lines | [0].nope", 19, "PATH_UNKNOWN", "error", None),
        ("sum_by(data.lines, &quantiy)", 20, "PATH_UNKNOWN", "error", "quantity"),
        ("map(&[@.skku], data.lines)", 8, "PATH_UNKNOWN", "error", "sku"),
        ("data.lines[].{s: sku} | [0].t", 28, "PATH_UNKNOWN", "error", None),
        ("data.customer.parent.nme", 21, "PATH_UNKNOWN", "error", None),
        ("data.ship_to.idd", 13, "PATH_UNKNOWN", "error", "id"),
        ("data.order_id.x", 14, "PATH_KIND", "error", None),
        ("data.lines.sku", 11, "PATH_KIND", "error", None),
        ("data.order_id[0]", 5, "PATH_KIND", "error", None),
        ("data.order_id[*].x", 5, "PATH_KIND", "error", None),
        ("data.customer[]", 0, "PATH_KIND", "error", None),
        ("data.lines.*", 0, "PATH_KIND", "error", None),
        ("data.total > 100", 11, "PATH_TYPE", "error", None),
        ("mul(data.lines[0].quantity, data.lines[0].unit_price)", 28, "PATH_TYPE", "error", None),
        ("lower(data.paid)", 6, "PATH_TYPE", "error", None),
        ("data.order_id == 5", 14, "PATH_TYPE", "warning", None),
        ("length(data.paid)", 7, "PATH_TYPE", "error", None),
        ("if(data.paid, data.customer, data.ship_to).nme", 43, "PATH_UNKNOWN", "error", None),
    ],
)
def test_what_the_schema_cannot_have_is_reported(
    text: str, position: int, code: str, severity: str, suggestion: str | None
) -> None:
    problems = check_paths(compile_expression(text), SCHEMAS)
    assert [(p.position, p.code, p.severity, p.suggestion) for p in problems] == [
        (position, code, severity, suggestion)
    ]


def test_a_map_is_checked_with_the_shape_of_each_item() -> None:
    node: Any = {
        "id": "data.order_idd",
        "lines": {"each": "data.lines", "map": {"sku": "item.sku", "bad": "item.name", "when": "data.total"}},
        "deep": {"each": "data.matrix", "map": {"each": "item", "map": "lower(item)"}},
    }
    found = check_map_paths(compile_map(node, frozenset(("data",))), SCHEMAS)
    assert [(pointer, problem.code) for pointer, problem in found] == [
        (("id",), "PATH_UNKNOWN"),
        (("lines", "map", "bad"), "PATH_UNKNOWN"),
        (("deep", "map", "map"), "PATH_TYPE"),
    ]
