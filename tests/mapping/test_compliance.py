"""The language is JMESPath: our table of its grammar, the library as an oracle, and the public suite where one has it.

The public suite (repository jmespath/jmespath.test at 53abcc3, 908 cases) passes whole: bare numbers change none of its cases.
That repository names no licence, so the suite is not copied here; from a checkout of it
`JMESPATH_SUITE=…/jmespath.test/tests pytest tests/mapping/test_compliance.py` runs it.
"""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import jmespath
import pytest
from hypothesis import assume, example, given
from jmespath.exceptions import JMESPathError

from server.mapping import Budget, EvaluationError, ExpressionError, compile_expression
from server.mapping.values import equals

from .languages import documents, standard_expressions

CODES = {
    "syntax": "EXPR_SYNTAX",
    "invalid-type": "EXPR_TYPE",
    "invalid-arity": "EXPR_ARITY",
    "unknown-function": "EXPR_UNKNOWN_FUNCTION",
    "invalid-value": "EXPR_SYNTAX",
}


def outcome(text: str, value: Any) -> tuple[str | None, Any]:
    """Return the error code, or None and the value."""
    try:
        return None, compile_expression(text).run(value)
    except (ExpressionError, EvaluationError) as error:
        return error.code, None


def suite_cases() -> list[tuple[str, Any, dict[str, Any]]]:
    folder = os.environ.get("JMESPATH_SUITE")
    files = [Path(__file__).with_name("cases.json"), *(sorted(Path(folder).glob("*.json")) if folder else [])]
    return [
        (f"{file.stem}: {case['expression']}", group["given"], case)
        for file in files
        for group in json.loads(file.read_text(encoding="utf-8"))
        for case in group["cases"]
        if "bench" not in case
    ]


CASES = suite_cases()


@pytest.mark.parametrize(("given_value", "case"), [case[1:] for case in CASES], ids=[case[0][:80] for case in CASES])
def test_every_case_of_the_suite_gives_what_it_says(given_value, case) -> None:
    code, result = outcome(case["expression"], given_value)
    if "error" in case:
        assert code == CODES[case["error"]]
    else:
        assert code is None
        assert equals(result, case["result"], Budget()), result


@given(standard_expressions, documents)
@example("(a)[?b < c]", {"a": [{"b": 2, "c": "x"}]})
@example("sort_by((a), &b)", {"a": [{"b": 2}, {"b": "x"}]})
@example("({a: a, b: b}).*.c", {"a": {"c": 2}, "b": None})
def test_any_standard_expression_gives_what_the_library_gives(text: str, document: Any) -> None:
    code, ours = outcome(text, document)
    assume(code not in ("EXPR_TOO_DEEP", "EXPR_BUDGET"))
    try:
        theirs = jmespath.search(text, document)
    except (JMESPathError, TypeError) as error:
        assume(
            "in <string>" not in str(error)
        )  # the library crashes where a text is searched for a number: ours says false
        assert code is not None
        return
    if code is not None:
        # We refuse at once what can be seen to fail, also where the library happens not to come by.
        with pytest.raises(ExpressionError):
            compile_expression(text)
        return
    assert equals(ours, json.loads(json.dumps(theirs)), Budget())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100", 100),
        ("-2", -2),
        ("0.5", Decimal("0.5")),
        ("-0.50", Decimal("-0.50")),
        ("a > 100", False),
        ("a > 0.5", True),
        ("a == 7", True),
        ("a == 7.0", True),
        ("l[?n > 1].n", [2, 3]),
        ("l[?n == 2] | [0].n", 2),
        ("l[0].n", 1),
        ("l[-1].n", 3),
        ("l[1:].n", [2, 3]),
        ("mul(a, 2)", 14),
        ("{x: 1, y: -2.5}", {"x": 1, "y": Decimal("-2.5")}),
        ("[mul(a, 2), `3`]", [14, 3]),
        ("[{x: 1}]", [{"x": 1}]),
        ("`0.1`", Decimal("0.1")),
        ("missing || 0", 0),
    ],
)
def test_bare_numbers_stand_wherever_an_operand_may(text: str, value: Any) -> None:
    result = compile_expression(text).run({"a": 7, "l": [{"n": 1}, {"n": 2}, {"n": 3}]})
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("1e5", 1),
        ("1.", 1),
        ("1.x", 1),
        (".5", 0),
        ("007", 0),
        ("2a", 1),
        ("1 2", 2),
        ("--1", 0),
        ("a - 1", 2),
        ("[a, 2]", 4),
        ("a.1", 2),
        ("a[0.5]", 3),
        ("1.2.3", 4),
        ("9" * 35, 0),
        ("a > `1" + "0" * 40 + "`", 4),
        ("f(a b)", 4),
        ("{a: x b: y}", 6),
        ("length(a,)", 9),
        ("`nope`", 0),
        ("`NaN`", 0),
        ("a ==", 4),
        ("a[?b", 4),
        ("a =", 2),
        ("'open", 0),
        ("&a", 0),
        ("[&a]", 1),
        ("\x00", 0),
    ],
)
def test_what_is_no_expression_is_refused_where_it_goes_wrong(text: str, position: int) -> None:
    with pytest.raises(ExpressionError) as refused:
        compile_expression(text)
    assert refused.value.code == "EXPR_SYNTAX"
    assert refused.value.position == position
