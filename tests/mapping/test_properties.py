"""Whatever comes in, only our errors come out; and what the arithmetic says is what the decimal module says."""

from __future__ import annotations

import json
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.mapping import (
    FUNCTIONS,
    EvaluationError,
    ExpressionError,
    check_map,
    check_map_paths,
    check_paths,
    compile_expression,
    compile_map,
    compile_template,
)
from server.mapping.decimals import fixed, parse_number, rounded
from server.mapping.errors import Refused
from server.mapping.options import converter

from .languages import NAMES, any_json, scraps, standard_expressions

if TYPE_CHECKING:
    from collections.abc import Callable

ROOTS = frozenset(NAMES)
EXACT = Context(prec=34, rounding=ROUND_HALF_UP)
decimals = st.decimals(min_value=-(10**12), max_value=10**12, allow_nan=False, allow_infinity=False, places=4)
arguments = any_json.map(lambda value: "`" + json.dumps(value).replace("`", "\\`") + "`") | st.sampled_from(
    ("a", "b", "&a", "&@", "@", "'x'", "3", "-1", "0.5", "'2026-12-01'", "'YYYY-MM-DD'", "''")
)
calls = st.builds(
    lambda name, parts: f"{name}({', '.join(parts)})",
    st.sampled_from(sorted(FUNCTIONS)),
    st.lists(arguments, min_size=1, max_size=4),
)
map_nodes = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(
        ("a", "b.c", "item", "item.a", "mul(2, 3)", "mul(a, 0.5)", "a[].{x: @}", "nope", "a ||", "[a, b]")
    )
    | calls,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("x", "y", "from", "value", "each", "map", "when", "type", "default")), inner, max_size=3
        )
        | st.builds(lambda expr, node: {"each": expr, "map": node}, st.sampled_from(("a", "b", "a[]", "item")), inner)
        | st.builds(
            lambda expr, type_, rest: {"from": expr, "type": type_, **rest},
            st.sampled_from(("a", "b", "c", "1.25", "'12'")),
            st.sampled_from(("text", "integer", "decimal", "number", "boolean", "date", "datetime", "nope")),
            st.sampled_from(
                ({}, {"round": 2}, {"default": "0"}, {"required": True}, {"format": "DD.MM.YYYY"}, {"rond": 1})
            ),
        )
    ),
    max_leaves=8,
)
schemas = st.recursive(
    st.booleans()
    | st.sampled_from(
        ({}, {"type": "string"}, {"type": ["number", "null"]}, {"$ref": "#"}, {"$ref": "#/x"}, {"enum": [1]})
    ),
    lambda inner: st.one_of(
        st.builds(
            lambda fields, more: {"type": "object", "properties": fields, "additionalProperties": more},
            st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
            st.booleans() | inner,
        ),
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(
            lambda key, parts: {key: parts}, st.sampled_from(("allOf", "anyOf", "oneOf")), st.lists(inner, max_size=3)
        ),
        st.dictionaries(
            st.sampled_from(("type", "properties", "items", "allOf", "anyOf", "$ref", "enum")), inner, max_size=3
        ),
    ),
    max_leaves=8,
)


def attempt(do: Callable[[], Any]) -> tuple[Any, ExpressionError | EvaluationError | None]:
    """Return the value or our error; any other exception is a failure of the test."""
    try:
        return do(), None
    except (ExpressionError, EvaluationError) as error:
        return None, error


def decimal_only(value: Any) -> str:
    """Write the one kind of value that JSON's encoder does not know and ours does."""
    assert isinstance(value, Decimal)
    return f"{value:f}"


def run(text: str, scope: Any) -> Any:
    """Compile and run, and see that an error is a good one."""
    value, error = attempt(lambda: compile_expression(text).run(scope))
    if error is not None:
        json.dumps(error.failure.as_dict(), ensure_ascii=False).encode()
    if isinstance(error, ExpressionError):
        assert 0 <= error.position <= len(text)
    if isinstance(error, EvaluationError):
        assert error.code in ("EXPR_TYPE", "EXPR_BUDGET", "EXPR_VALUE")
        assert len(error.value) <= 80
    return value


@given(st.text(max_size=60) | scraps)
@example("[" * 3000)
@example("`" + "[" * 3000 + "`")
@example('"\\ud800"')
@example("\ud800")
@example("`1e999999999`")
def test_compiling_any_text_gives_an_expression_or_an_expression_error(text: str) -> None:
    run(text, {"a": [1, {"b": "x"}]})


@given(standard_expressions | calls, any_json)
@example("max_by(a, &@)", {"a": []})
@example("a == b", {"a": 0.1, "b": 10**400})
@example("to_string(a)", {"a": "\ud800"})
@example("sha256(a)", {"a": "\ud800"})
@example("text(a)", {"a": 10**5000})
@example("a < b", {"a": 10**5000, "b": 0.5})
@example("to_string(a)", {"a": 10**5000})
def test_running_on_any_json_gives_a_value_or_an_evaluation_error(text: str, document: Any) -> None:
    run(text, document if isinstance(document, dict) else {"a": document})


@given(st.text(max_size=60) | scraps.map(lambda text: f"x{{{{{text}}}}}y"), any_json)
def test_any_template_is_refused_or_runs(text: str, document: Any) -> None:
    value, error = attempt(lambda: compile_template(text).run({"a": document}))
    assert isinstance(value, str) if error is None else error.code


@given(map_nodes, any_json, any_json | decimals)
@example({"x": {"value": float("inf")}}, None, None)
@example({1: "a"}, None, None)
@example({"from": "a", "default": {"x": object}}, None, None)
def test_a_map_is_refused_with_its_problems_or_makes_json(node: Any, a: Any, b: Any) -> None:
    problems = check_map(node, ROOTS)
    compiled, refused = attempt(lambda: compile_map(node, ROOTS))
    assert [problem.code for problem in problems[:1]] == ([refused.code] if refused else [])
    if compiled:
        result, failed = attempt(lambda: compiled.run({"a": a, "b": b, "c": "12"}))
        json.dumps(result, allow_nan=False, default=decimal_only)
        assert failed is None or failed.code.startswith("EXPR_")


@given(standard_expressions | calls, st.dictionaries(st.sampled_from(NAMES), schemas), map_nodes)
def test_checking_against_any_schema_raises_nothing(text: str, roots: dict[str, Any], node: Any) -> None:
    problems, _ = attempt(lambda: check_paths(compile_expression(text), roots))
    assert all(problem.severity in ("error", "warning") for problem in problems or ())
    attempt(lambda: check_map_paths(compile_map(node, ROOTS), roots))


@given(decimals, decimals)
def test_arithmetic_is_that_of_the_decimal_module(a: Decimal, b: Decimal) -> None:
    scope = {"a": a, "b": b}
    with localcontext(EXACT):
        assert run("add(a, b)", scope) == a + b
        assert run("sub(a, b)", scope) == a - b
        assert run("mul(a, b)", scope) == a * b
        if b:
            assert run("div(a, b)", scope) == a / b
            assert run("mod(a, b)", scope) == a % b
        cents = a.quantize(Decimal("0.01"))
        assert run("round(a, 2)", scope) == cents
        assert compile_map({"from": "a", "type": "decimal", "round": 2}, ROOTS).run(scope) == str(cents)


@given(st.lists(st.integers(-999, 999)), decimals.map(float))
def test_floats_are_calculated_with_as_the_decimals_that_they_print_as(whole: list[int], part: float) -> None:
    scope = {"l": whole, "p": part}
    assert run("sum(l)", scope) == sum(whole)
    assert run("add(p, p)", scope) == Decimal(repr(part)) * 2
    assert run(f"p == `{part!r}`", scope) is True
    assert run(f"p < add(`{part!r}`, 0.0001)", scope) is True


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)
    | st.from_regex(r"[+-]?[0-9]{1,20}(\.[0-9]{1,6})?(e[0-9])?", fullmatch=True),
    st.integers(0, 6),
)
def test_money_that_is_written_already_stays_as_it_is(value, places) -> None:
    convert = converter("decimal", places, None)
    number = parse_number(value) if isinstance(value, str) else value
    try:
        wanted = fixed(rounded(number, places))
    except Refused:
        with pytest.raises(Refused):
            convert(value)
    else:
        assert convert(value) == wanted
