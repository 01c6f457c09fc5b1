"""The library keeps what its reference says: each function has an example that is true, null stays null, wrong kinds are named."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from server.mapping import FUNCTIONS, Budget, EvaluationError, ExpressionError, compile_expression
from server.mapping.values import equals

EXAMPLES = [(function.name, *example) for function in FUNCTIONS.values() for example in function.examples]
STANDARD = {
    *(
        "abs",
        "avg",
        "ceil",
        "contains",
        "ends_with",
        "floor",
        "join",
        "keys",
        "length",
        "map",
        "max",
        "max_by",
        "merge",
    ),
    *("min", "min_by", "not_null", "reverse", "sort", "sort_by", "starts_with", "sum", "to_array", "to_number"),
    *("to_string", "type", "values"),
}
OURS = sorted(name for name, function in FUNCTIONS.items() if not function.standard)
SCOPE = {"t": "text", "n": 5, "d": "2026-12-01", "l": [1, 2], "o": {"a": 1}, "null": None, "yes": True}


@pytest.mark.parametrize(("name", "text", "scope", "result"), EXAMPLES)
def test_an_example_gives_what_it_says(name: str, text: str, scope: Any, result: Any) -> None:
    value = compile_expression(text).run(scope)
    assert equals(value, result, Budget()), value
    json.dumps(scope)


def test_the_library_has_the_standard_functions_and_many_of_ours_and_every_one_is_documented() -> None:
    standard = {name for name, function in FUNCTIONS.items() if function.standard}
    assert standard == STANDARD
    assert len(OURS) >= 40
    for name, function in FUNCTIONS.items():
        assert function.name == name
        assert function.version >= 1
        assert function.about.endswith(".")
        assert function.examples
        assert function.signature.startswith(f"{name}(")


@pytest.mark.parametrize("name", OURS)
def test_our_functions_give_null_for_a_null_argument(name: str) -> None:
    function = FUNCTIONS[name]
    if function.nulls == "given":
        return
    arguments = [
        "&@" if param.kinds == ("expression",) else "missing" for param in function.params if not param.optional
    ]
    assert compile_expression(f"{name}({', '.join(arguments)})").run(SCOPE) is None


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_says_what_it_takes_when_it_gets_another_kind(name: str) -> None:
    function = FUNCTIONS[name]
    if "any" in function.params[0].kinds:
        return
    wrong = "yes" if "boolean" not in function.params[0].kinds else "o"
    arguments = ["&@" if param.kinds == ("expression",) else wrong for param in function.params if not param.optional]
    expression = compile_expression(f"  {name}({', '.join(arguments)})")
    with pytest.raises(EvaluationError) as failed:
        expression.run(SCOPE)
    assert failed.value.code == "EXPR_TYPE"
    assert name in failed.value.message
    assert failed.value.position == 2
    assert failed.value.value == ("true" if wrong == "yes" else "object with 'a'")


@pytest.mark.parametrize(
    ("text", "code", "suggestion"),
    [
        ("lwoer(t)", "EXPR_UNKNOWN_FUNCTION", "lower"),
        ("zzzzzz(t)", "EXPR_UNKNOWN_FUNCTION", None),
        ("lower()", "EXPR_ARITY", None),
        ("lower(t, t)", "EXPR_ARITY", None),
        ("round(n, 1, 2)", "EXPR_ARITY", None),
        ("add(n)", "EXPR_ARITY", None),
        ("lower(5)", "EXPR_TYPE", None),
        ("add(n, '5')", "EXPR_TYPE", None),
        ("sum_by(l, n)", "EXPR_TYPE", None),
        ("lower(&t)", "EXPR_TYPE", None),
    ],
)
def test_a_call_that_cannot_work_is_refused_when_compiled(text: str, code: str, suggestion: str | None) -> None:
    with pytest.raises(ExpressionError) as refused:
        compile_expression(text)
    assert (refused.value.code, refused.value.suggestion) == (code, suggestion)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("add(0.1, 0.2)", Decimal("0.3")),
        ("mul(3, 1.005)", Decimal("3.015")),
        ("round(1.005, 2)", Decimal("1.01")),
        ("round(-1.005, 2)", Decimal("-1.01")),
        ("round(2.5)", 3),
        ("round(-2.5)", -3),
        ("round(7, 2)", Decimal("7.00")),
        ("div(1, 3, 4)", Decimal("0.3333")),
        ("mod(-7, 3)", -1),
        ("sub(1, 0.9)", Decimal("0.1")),
        ("to_decimal(' 12.50 ')", Decimal("12.50")),
        ("to_decimal('-0')", Decimal(0)),
        ("format_decimal(1234567.891, 2, ',', '.')", "1.234.567,89"),
        ("format_decimal(-0.5, 0)", "-1"),
        ("text(0.50)", "0.50"),
        ("text(yes)", "true"),
        ("substring(t, 1, 2)", "ex"),
        ("substring(t, 9)", ""),
        ("substring(t, -9, 2)", "te"),
        ("pad_left(t, 2)", "text"),
        ("if(`false`, div(1, 0), 'kept')", "kept"),
        ("if(missing, 1)", None),
        ("lookup(missing, o, 'none')", "none"),
        ('lookup(`true`, `{"true": 1}`)', 1),
        ('lookup(1.0, `{"1.0": 1}`)', 1),
        ("coalesce(missing, '', l)", [1, 2]),
        ("add_days('2026-12-01T23:00:00+05:00', 1)", "2026-12-02T23:00:00+05:00"),
        ("add_months('2026-01-31T10:00:00Z', -2)", "2025-11-30T10:00:00Z"),
        ("date_diff('2026-12-02T00:00:00Z', '2026-12-01T12:00:00Z', 'hours')", -12),
        ("date_diff('2026-12-02T00:00:00Z', '2026-12-01T12:00:00Z')", 0),
        ("to_timestamp('1970-01-01T00:00:00.5Z')", Decimal("0.5")),
        ("from_timestamp(0.5)", "1970-01-01T00:00:00.500000Z"),
        ("parse_date('1 Dec', 'D MMM')", "EXPR_VALUE"),
        ("parse_date('01 dec 26', 'DD MMM YY')", "2026-12-01"),
        ("parse_datetime('2026-12-01T10:00+0500', 'YYYY-MM-DDTHH:mmZ')", "2026-12-01T10:00:00+05:00"),
        ("format_date(d, 'YY/MM/DD HH:mm:ss.SSS Z')", "26/12/01 00:00:00.000 Z"),
        ("to_zone('2026-03-29T00:30:00Z', 'Europe/Berlin')", "2026-03-29T01:30:00+01:00"),
        ('distinct(`[1, 1.0, true, "1", null, null]`)', [1, True, "1", None]),
        ('group_by(`[{"k": 1}, {"k": null}]`, &k)[].key', [1]),
        ('index_by(`[{"k": 1}]`, &k)."1".k', 1),
        ("flatten(`[[1], [[2]], 3]`)", [1, [2], 3]),
        ("chunk(`[]`, 3)", []),
        ("json_decode('1.50')", Decimal("1.50")),
        ('json_encode(`{"a": 0.10}`)', '{"a":0.10}'),
        ("split('a,,b', ',')", ["a", "", "b"]),
        ("url_decode('%zz')", "%zz"),
    ],
)  # fmt: skip
def test_functions_at_their_edges(text: str, result: Any) -> None:
    try:
        value = compile_expression(text).run(SCOPE)
    except EvaluationError as error:
        value = error.code
    assert value == result
    if isinstance(result, Decimal):
        assert str(value) == str(result)


@pytest.mark.parametrize(
    "text",
    [
        "div(n, 0)",
        "mod(n, 0)",
        "to_decimal('12,5')",
        "to_decimal('1_000')",
        "to_decimal('١٢')",
        "to_decimal('NaN')",
        "to_decimal('Infinity')",
        "to_decimal('1e999')",
        "to_decimal('')",
        "to_integer(1.5)",
        "round(n, 21)",
        "round(n, -1)",
        "mul(9999999999999999999999999999999999, 9)",
        "repeat(t, 1.5)",
        "pad_left(t, 5, 'ab')",
        "replace(t, '', 'x')",
        "split(t, '')",
        "chunk(l, 0)",
        "add_days(t, 1)",
        "add_days(d, 9999999)",
        "add_months(d, 999999)",
        "from_timestamp(99999999999999)",
        "date_diff(d, d, 'years')",
        "to_zone(d, 'Mars/Base')",
        "to_zone(d, '../../etc/passwd')",
        "to_zone(d, '')",
        "to_zone('0001-01-01', 'America/New_York')",
        "to_zone('9999-12-31T23:00:00Z', 'Asia/Almaty')",
        "to_timestamp('2026-13-01')",
        "parse_date('2026-02-30', 'YYYY-MM-DD')",
        "parse_date('2026-02-03x', 'YYYY-MM-DD')",
        "parse_date('٢٠٢٦', 'YYYY')",
        "uuid5('nope', t)",
        "base64_decode('***')",
        "base64_decode('/w==')",
        "json_decode('{')",
        "json_decode('NaN')",
        "json_decode('1e999')",
    ],
)
def test_a_value_that_cannot_be_used_is_an_error_with_its_place(text: str) -> None:
    with pytest.raises(EvaluationError) as failed:
        compile_expression(f"[{text}]").run(SCOPE)
    assert failed.value.code == "EXPR_VALUE"
    assert failed.value.position == 1


def test_a_number_compared_with_a_text_is_an_error_and_says_the_way_out() -> None:
    with pytest.raises(EvaluationError, match="to_decimal") as failed:
        compile_expression("data.total > 100").run({"data": {"total": "120.00"}})
    assert (failed.value.code, failed.value.position, failed.value.value) == ("EXPR_TYPE", 11, "'120.00'")
    assert failed.value.failure.details["expression"] == "data.total > 100"


@pytest.mark.parametrize("value", [None, True, [], {}])
def test_other_unlike_kinds_compare_to_null(value: Any) -> None:
    assert compile_expression("v < 5").run({"v": value}) is None
