"""Texts with `{{ EXPR }}` inside."""

from __future__ import annotations

from decimal import Decimal

import pytest

from server.mapping import EvaluationError, ExpressionError, compile_template

ROOTS = frozenset(("data",))
SCOPE = {
    "data": {
        "id": 42,
        "name": "ACME",
        "price": Decimal("1.50"),
        "rate": 0.1,
        "yes": True,
        "lines": [1, 2],
        "none": None,
    }
}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", ""),
        ("/orders", "/orders"),
        ("/orders/{{ data.id }}", "/orders/42"),
        ("{{data.name}}{{ data.id }}!", "ACME42!"),
        ("{{ data.price }} {{ data.rate }} {{ data.yes }}", "1.50 0.1 true"),
        ("{{ {a: {b: data.id}}.a.b }}", "42"),
        ("{{ '}}' }}", "}}"),
        ("{{ '{{' }}", "{{"),
        ("{{ 'it\\'s }}' }}", "it's }}"),
        ('{{ `"}}"` }}', "}}"),
        ("{{ data.none || '' }}.", "."),
        ("{ {data.id} }", "{ {data.id} }"),
        ("}} {", "}} {"),
        ("{{ join(', ', map(&text(@), data.lines)) }}", "1, 2"),
        ("{{ mul(data.id, 2) }}", "84"),
    ],
)
def test_a_template_writes_its_expressions(text: str, result: str) -> None:
    assert compile_template(text, ROOTS).run(SCOPE) == result


@pytest.mark.parametrize(
    ("text", "code", "position"),
    [
        ("ab {{ data.id", "EXPR_SYNTAX", 3),
        ("ab {{}}", "EXPR_SYNTAX", 5),
        ("ab {{ data. }}", "EXPR_SYNTAX", 11),
        ("{{ data.id }} {{  nope.id }}", "EXPR_UNKNOWN_ROOT", 18),
        ("{{ lwoer(data.name) }}", "EXPR_UNKNOWN_FUNCTION", 3),
        ("x" * 65_537, "EXPR_TOO_LONG", 65_536),
    ],
)
def test_a_bad_template_is_refused_with_the_position_in_the_whole_text(text: str, code: str, position: int) -> None:
    with pytest.raises(ExpressionError) as refused:
        compile_template(text, ROOTS)
    assert (refused.value.code, refused.value.position) == (code, position)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("/orders/{{ data.none }}", "EXPR_MISSING"),
        ("{{ data.nope }}", "EXPR_MISSING"),
        ("{{ data.lines }}", "EXPR_TYPE"),
        ("{{ data }}", "EXPR_TYPE"),
        ("{{ to_decimal(data.name) }}", "EXPR_VALUE"),
        ("{{ repeat('x', 9000000) }}", "EXPR_BUDGET"),
    ],
)
def test_what_cannot_be_written_is_an_error_and_never_an_empty_place(text: str, code: str) -> None:
    with pytest.raises(EvaluationError) as failed:
        compile_template(text, ROOTS).run(SCOPE)
    assert failed.value.code == code


def test_what_an_expression_gives_is_escaped_and_nothing_else() -> None:
    template = compile_template("/a b/{{ data.name }}/{{ data.id }}", ROOTS)
    assert template.run(SCOPE, escape=lambda text: f"<{text}>") == "/a b/<ACME>/<42>"


def test_the_expressions_of_a_template_are_listed() -> None:
    template = compile_template("a {{ data.id }} b {{ data.name }}", ROOTS)
    assert [expression.text for expression in template.expressions] == ["data.id", "data.name"]
    assert template.text == "a {{ data.id }} b {{ data.name }}"
