"""The one rule for values, and every problem of a map named with its place."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from server.kernel.errors import Invalid, Permanent
from server.mapping import OPTIONS, PLACES, VALUE_TYPES, EvaluationError, ExpressionError, check_map, compile_map
from server.store.values import read_json, write_json

ROOTS = PLACES["outbound_webhook"]
DATA = {
    "event": {"type": "order.created"},
    "data": {
        "id": 42,
        "name": "ACME",
        "empty": "",
        "none": None,
        "rate": 0.05,
        "total": "1500.005",
        "price": Decimal("9.90"),
        "when": "2026-12-01T23:30:00+05:00",
        "lines": [{"sku": "A", "qty": 2, "price": "10.00"}, {"sku": "B", "qty": 0, "price": "1.005"}],
        "groups": [{"name": "x", "items": [1, 2]}, {"name": "y", "items": []}],
    },
}


def made(node: Any) -> Any:
    result = compile_map(node, ROOTS).run(DATA)
    write_json(result)
    return result


@pytest.mark.parametrize(
    ("node", "result"),
    [
        ("data.name", "ACME"),
        ({"a": "data.id", "b": {"c": "data.name"}}, {"a": 42, "b": {"c": "ACME"}}),
        (["data.id", {"x": "data.name"}, 1], [42, {"x": "ACME"}, 1]),
        ({"value": "pending"}, "pending"),
        ({"value": {"from": "as it stands", "n": [1, None]}}, {"from": "as it stands", "n": [1, None]}),
        ({"value": "data.id", "currency": "data.name"}, "EXPR"),
        (5, 5),
        (0.5, 0.5),
        (True, True),
        (None, None),
        ({}, {}),
        ([], []),
        ("data.nope", None),
        ("data.price", Decimal("9.90")),
        ("data.rate", 0.05),
        ("0.10", Decimal("0.10")),
        ("7", 7),
        ("[data.price, data.id]", [Decimal("9.90"), 42]),
        ('{"from": data.id, "to": data.name}', {"from": 42, "to": "ACME"}),
        ({"from": "data.id"}, 42),
        ({"from": "data.none", "default": "unknown"}, "unknown"),
        ({"from": "data.empty", "default": "unknown"}, ""),
        ({"from": "data.none"}, None),
        ({"from": "data.none", "type": "decimal"}, None),
        ({"each": "data.lines", "map": "item.sku"}, ["A", "B"]),
        (
            {"each": "data.lines", "map": {"sku": "item.sku", "of": "data.id"}},
            [{"sku": "A", "of": 42}, {"sku": "B", "of": 42}],
        ),
        ({"each": "data.lines", "when": "item.qty > 0", "map": "item.sku"}, ["A"]),
        ({"each": "data.none", "map": "item"}, []),
        ({"each": "data.groups", "map": {"each": "item.items", "map": "mul(item, 2)"}}, [[2, 4], []]),
        ({"map": "data.id", "when": "data.name"}, {"map": 42, "when": "ACME"}),
    ],
)
def test_each_form_of_a_value_makes_its_json(node: Any, result: Any) -> None:
    if result == "EXPR":
        assert made(node) == {"value": 42, "currency": "ACME"}
    else:
        assert made(node) == result


@pytest.mark.parametrize(
    ("type_", "value", "options", "result"),
    [
        ("text", 42, {}, "42"),
        ("text", 0.1, {}, "0.1"),
        ("text", Decimal("1.50"), {}, "1.50"),
        ("text", True, {}, "true"),
        ("text", [1], {}, "EXPR_TYPE"),
        ("integer", "42", {}, 42),
        ("integer", 42.0, {}, 42),
        ("integer", "42.5", {}, "EXPR_VALUE"),
        ("integer", "42.5", {"round": 0}, 43),
        ("integer", True, {}, "EXPR_TYPE"),
        ("decimal", "1500.00", {}, "1500.00"),
        ("decimal", "1e3", {}, "1000"),
        ("decimal", 0.1, {}, "0.1"),
        ("decimal", 2, {"round": 2}, "2.00"),
        ("decimal", "1.005", {"round": 2}, "1.01"),
        ("decimal", "-1.005", {"round": 2}, "-1.01"),
        ("decimal", "2.5", {"round": 0}, "3"),
        ("decimal", "ten", {}, "EXPR_VALUE"),
        ("decimal", [], {}, "EXPR_TYPE"),
        (None, "1.005", {"round": 2}, "1.01"),
        ("number", "1.50", {}, Decimal("1.50")),
        ("number", "7.00", {}, 7),
        ("number", "0.1234567890123456789", {}, Decimal("0.1234567890123456789")),
        ("number", "1.005", {"round": 2}, Decimal("1.01")),
        ("number", Decimal("1E+500"), {}, "EXPR_VALUE"),
        ("boolean", "TRUE", {}, True),
        ("boolean", 0, {}, False),
        ("boolean", "yes", {}, "EXPR_VALUE"),
        ("boolean", [], {}, "EXPR_VALUE"),
        ("date", "2026-12-01T23:30:00+05:00", {}, "2026-12-01"),
        ("date", "2026-12-01", {"format": "DD.MM.YYYY"}, "01.12.2026"),
        ("date", "soon", {}, "EXPR_VALUE"),
        ("date", 20261201, {}, "EXPR_TYPE"),
        ("datetime", "2026-12-01", {}, "2026-12-01T00:00:00Z"),
        ("datetime", "2026-12-01T10:00:00", {}, "2026-12-01T10:00:00Z"),
        ("datetime", "2026-12-01T10:00:00+05:00", {}, "2026-12-01T10:00:00+05:00"),
        ("datetime", "2026-12-01T10:05:00Z", {"format": "HH:mm"}, "10:05"),
    ],
)
def test_a_type_converts_or_refuses(type_: str | None, value: Any, options: dict[str, Any], result: Any) -> None:
    node = {"from": "data", **({"type": type_} if type_ else {}), **options}
    compiled = compile_map({"x": node}, ROOTS)
    try:
        answer = compiled.run({"data": value})["x"]
    except EvaluationError as error:
        answer = error.code
        pointer = error.pointer
    else:
        pointer = ("x",)
        write_json(answer)
    assert answer == result
    assert type(answer) is type(result)
    assert pointer == ("x",)


def test_every_problem_of_a_map_is_reported_with_its_pointer_and_position() -> None:
    node = {
        "a": "dta.id",
        "b": ["data.id", "data.["],
        "c": {"from": "lwoer(data.name)", "typ": "text", "round": 2, "type": "texd"},
        "d": {"each": "data.lines", "map": {"x": "itm.sku", "y": "item.qty"}, "where": "item"},
        "e": {"from": "data.id", "type": "text", "round": 2},
        "f": {"from": "data.id", "type": "decimal", "default": "ten"},
        "g": {"from": "data.id", "required": True, "default": 1},
        "h": {"from": "data.id", "format": "DD"},
        "i": {"each": "data.lines"},
        "j": {"from": 5},
        "k": float("nan"),
        3: "data.id",
        "l": "item.sku",
        "m": {"from": "data.id", "required": "yes"},
        "n": {"from": "data.id", "round": 99},
    }
    found = [
        (problem.pointer, problem.position, problem.code, problem.suggestion) for problem in check_map(node, ROOTS)
    ]
    assert found == [
        (("a",), 0, "EXPR_UNKNOWN_ROOT", "data"),
        (("b", 1), 6, "EXPR_SYNTAX", None),
        (("c", "typ"), None, "MAP_OPTION", "type"),
        (("c", "type"), None, "MAP_OPTION", "text"),
        (("c", "round"), None, "MAP_OPTION", None),
        (("c", "from"), 0, "EXPR_UNKNOWN_FUNCTION", "lower"),
        (("d", "where"), None, "MAP_OPTION", "when"),
        (("d", "map", "x"), 0, "EXPR_UNKNOWN_ROOT", "item"),
        (("e", "round"), None, "MAP_OPTION", None),
        (("f", "default"), None, "MAP_OPTION", None),
        (("g", "required"), None, "MAP_OPTION", None),
        (("h", "format"), None, "MAP_OPTION", None),
        (("i",), None, "MAP_OPTION", None),
        (("j", "from"), None, "EXPR_SYNTAX", None),
        (("k",), None, "MAP_NODE", None),
        ((), None, "MAP_NODE", None),
        (("l",), 0, "EXPR_UNKNOWN_ROOT", None),
        (("m", "required"), None, "MAP_OPTION", None),
        (("n", "round"), None, "MAP_OPTION", None),
    ]


def test_compiling_a_bad_map_raises_the_first_problem_and_lists_all() -> None:
    with pytest.raises(Invalid) as refused:
        compile_map({"a": "dta.id", "b": "data.["}, ROOTS)
    assert isinstance(refused.value, ExpressionError)
    assert refused.value.code == "EXPR_UNKNOWN_ROOT"
    assert [error["pointer"] for error in refused.value.details["errors"]] == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("pending", "for text write {value: pending}"),
        ("lower(pending)", "for text write {value: pending}"),
        ("order.confirmed", "for text write {value: order.confirmed}"),
        ("in progress", "for text write {value: in progress}"),
        ("in-progress", "for text write {value: in-progress}"),
    ],
)
def test_a_text_that_was_meant_as_text_gets_the_way_to_write_it(text: str, ends: str) -> None:
    (problem,) = check_map(text, ROOTS)
    assert problem.message.endswith(ends)


@pytest.mark.parametrize(
    ("node", "code", "pointer", "items"),
    [
        ({"a": {"b": "to_decimal(data.name)"}}, "EXPR_VALUE", ("a", "b"), ()),
        ({"a": ["data.id", "data.id > data.name"]}, "EXPR_TYPE", ("a", 1), ()),
        ({"a": {"from": "data.none", "required": True}}, "EXPR_MISSING", ("a",), ()),
        (
            {"l": {"each": "data.lines", "map": {"x": "div(1, item.qty)"}}},
            "EXPR_VALUE",
            ("l", "map", "x"),
            (1,),
        ),
        (
            {"g": {"each": "data.groups", "map": {"each": "item.items", "map": "to_decimal(data.name)"}}},
            "EXPR_VALUE",
            ("g", "map", "map"),
            (0, 0),
        ),
        ({"l": {"each": "data.lines", "when": "item.sku > 1", "map": "item"}}, "EXPR_TYPE", ("l", "when"), (0,)),
        ({"l": {"each": "data.name", "map": "item"}}, "EXPR_TYPE", ("l", "each"), ()),
    ],
)
def test_an_evaluation_error_carries_its_place(
    node: Any, code: str, pointer: tuple[Any, ...], items: tuple[int, ...]
) -> None:
    with pytest.raises(Permanent) as failed:
        compile_map(node, ROOTS).run(DATA)
    error = failed.value
    assert isinstance(error, EvaluationError)
    assert (error.code, error.pointer, error.items) == (code, pointer, items)
    assert error.failure.details["pointer"] == list(pointer)
    assert error.failure.source == "mapping"
    assert not error.failure.retryable
    json.dumps(error.failure.as_dict())


def test_a_map_shares_nothing_with_its_scope_and_runs_the_same_twice() -> None:
    compiled = compile_map("data.lines", ROOTS)
    first, second = compiled.run(DATA), compiled.run(DATA)
    assert first == second
    first[0]["sku"] = "changed"
    assert DATA["data"]["lines"][0]["sku"] == "A"
    literal = compile_map({"value": {"k": [1]}}, ROOTS)
    literal.run(DATA)["k"].append(2)
    assert literal.run(DATA) == {"k": [1]}


def test_the_expressions_and_places_of_a_map_are_listed() -> None:
    compiled = compile_map({"a": "data.id", "l": {"each": "data.lines", "map": {"x": {"from": "item.sku"}}}}, ROOTS)
    assert [expression.text for expression in compiled.expressions] == ["data.id", "data.lines", "item.sku"]
    assert [place.pointer for place in compiled.places] == [("a",), ("l", "each"), ("l", "map", "x", "from")]
    assert [len(place.lists) for place in compiled.places] == [0, 0, 1]


def test_a_map_that_is_too_deep_is_a_problem_and_no_crash() -> None:
    node: Any = "data.id"
    for _ in range(2000):
        node = [node]
    assert [problem.code for problem in check_map(node, ROOTS)] == ["MAP_NODE"]
    value: Any = 1
    for _ in range(2000):
        value = {"a": value}
    assert [problem.code for problem in check_map({"value": value}, ROOTS)] == ["MAP_NODE"]


def test_options_types_and_places_are_data_for_the_reference() -> None:
    assert [option.name for option in OPTIONS] == ["from", "type", "default", "required", "round", "format"]
    assert [kind.name for kind in VALUE_TYPES] == [
        "text",
        "integer",
        "decimal",
        "number",
        "boolean",
        "date",
        "datetime",
    ]
    assert all(entry.about.endswith(".") for entry in (*OPTIONS, *VALUE_TYPES))
    assert {
        "event_type": {"event", "data"},
        "outbound_webhook": {"event", "data"},
        "inbound_webhook": {"request", "headers", "params", "body"},
        "inbound_webhook_item": {"request", "headers", "params", "body", "item"},
        "inbound_webhook_answer": {"request", "headers", "params", "body", "events"},
        "sync_job": {"row", "run"},
        "sync_job_on_event": {"event", "data"},
        "integration_fallback": {"input", "operation", "error"},
        "flow_start": {"event", "data"},
        "flow": {"event", "data", "steps", "run"},
        "flow_undo": {"event", "data", "steps", "run", "result"},
        "flow_error": {"event", "data", "steps", "run", "error"},
        "flow_wait_for": {"event", "data", "steps", "run", "arrived"},
        "flow_item": {"event", "data", "steps", "run", "item"},
        "flow_undo_item": {"event", "data", "steps", "run", "result", "item"},
        "flow_error_item": {"event", "data", "steps", "run", "error", "item"},
        "flow_wait_for_item": {"event", "data", "steps", "run", "arrived", "item"},
    } == PLACES


def test_a_number_that_is_passed_on_keeps_its_kind_and_its_digits() -> None:
    scope = {"data": read_json('{"rate": 0.10, "n": 3, "list": [1.50, {"x": 2.0}]}')}
    node = {
        "rate": "data.rate",
        "n": "data.n",
        "list": "data.list",
        "sum": "add(data.rate, data.n)",
        "text": {"from": "data.rate", "type": "decimal"},
    }
    assert (
        write_json(compile_map(node, ROOTS).run(scope))
        == '{"rate":0.10,"n":3,"list":[1.50,{"x":2.0}],"sum":3.10,"text":"0.10"}'
    )


@pytest.mark.parametrize("number", ["1e999999999", "1e-999999999", "-1E+500"])
@pytest.mark.parametrize(
    "node", ["data.n", ["data"], {"from": "data.n", "type": "text"}, {"from": "data.n", "type": "decimal"}]
)
def test_a_number_of_endless_zeros_is_refused_before_it_is_written(number: str, node: Any) -> None:
    with pytest.raises(EvaluationError) as failed:
        compile_map(node, ROOTS).run({"data": read_json(f'{{"n": {number}}}')})
    assert failed.value.code == "EXPR_VALUE"
