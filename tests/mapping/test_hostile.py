"""No expression hangs or eats the memory: each of these ends within 50 ms of CPU, refused, out of budget, or done."""

from __future__ import annotations

import contextlib
import gc
import json
import time
import tracemalloc
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from server.mapping import FUNCTIONS, Budget, EvaluationError, ExpressionError, compile_expression, compile_map

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 0.050


@pytest.fixture(autouse=True, scope="module")
def _without_garbage_collection() -> Iterator[None]:
    """Time our work alone, as timeit does: a collection costs what the whole process has on its heap."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def nested(depth: int, *, objects: bool = False) -> Any:
    value: Any = {} if objects else None
    for _ in range(depth):
        value = {"a": value} if objects else [value]
    return value


DATA: dict[str, Any] = {
    "big": list(range(100_000)),
    "floats": [n / 7 for n in range(100_000)],
    "rows": [{"a": n, "b": [n, n + 1], "s": "x" * 20} for n in range(5000)],
    "text": "é" * 500_000,
    "words": ["word"] * 20_000,
    "object": {str(n): n for n in range(50_000)},
    "deep": nested(3000),
    "deep2": nested(3000),
    "half_deep": nested(60),
    "deep_object": nested(3000, objects=True),
    "numbers_text": json.dumps([1.5] * 100_000),
    "nested_text": "[" * 100_000,
}


def pipe(first: str, stage: str, times: int) -> str:
    return "|".join([first, *[stage] * times])


def many(text: str, times: int = 60) -> str:
    return f"[{','.join([text] * times)}]"


OUT_OF_BUDGET = {
    "doubling": pipe("data.rows", "[@,@]", 40),
    "doubling into text": pipe("data.a", "[@,@]", 40).replace("data.a", "`1`") + "|to_string(@)",
    "doubling objects, counted distinct": pipe("`1`", "{a:@,b:@}", 40) + "|distinct([@])",
    "doubling, compared": f"{{a:{pipe('`1`', '[@,@]', 40)},b:{pipe('`1`', '[@,@]', 40)}}}|a==b",
    "doubling flattened": pipe("[data.big]", "[@,@][]", 40),
    "doubling by join": pipe("'aaaaaaaa'", "join('',[@,@])", 40),
    "doubling by concat": pipe("'aaaaaaaa'", "concat(@,@,@,@)", 40),
    "growing by replace": pipe("'aaaaaaaa'", "replace(@,'a','aaaaaaaa')", 20),
    "growing by append": pipe("data.big", "append(@,@)", 40),
    "growing by zip": pipe("data.big", "zip(@,@)", 40),
    "growing by numbered": pipe("data.words", "numbered(@)", 90),
    "repeat": "repeat('abc', 1000000000)",
    "repeat of repeat": "repeat(repeat('abc', 100000), 100000)",
    "padding over a list": "map(&pad_left('a', 10000), data.big)",
    "projections in projections": "data.big[].{a:@}|[].[@,@][]|[*].[@,@][]|[*].[@,@][]",
    "maps in maps": "data.big|map(&[@,@,@,@,@,@,@,@,@],@)|[]|map(&[@,@,@,@,@,@,@,@,@],@)|[]",
    "a wide multi-select in a loop": f"data.big[*].{many('@', 1900)}",
    "a wide multi-select of all the data": many("data", 800),
    "sorting again and again": pipe("data.floats", "sort(@)", 40),
    "adding up again and again": many("sum(data.floats)"),
    "distinct again and again": many("distinct(data.big)"),
    "slices": many("data.big[::1]", 250),
    "slices of slices": pipe("data.big", "[:]", 90),
    "reversing": pipe("data.text", "reverse(@)", 90),
    "capitals": pipe("data.text", "upper(@)", 90),
    "small letters": many("lower(data.text)", 200),
    "searching texts": many("contains(data.text,'zzzzz')", 130),
    "hashing": many("sha256(data.text)"),
    "URL encoding": "url_encode(data.text)",
    "decoding JSON": many("json_decode(data.numbers_text)"),
    "decoding deep JSON": "json_decode(data.nested_text)",
    "splitting": many("split(data.text,'é')"),
    "merging": many("merge(data.object,data.object)"),
    "keys": many("keys(data.object)", 100),
    "values": many("length(data.object.*)", 100),
    "writing JSON": many("to_string(data.rows)"),
    "comparing objects": many("data.object==merge(data.object)"),
    "deep lists compared": "data.deep==data.deep2",
    "deep lists as text": "to_string(data.deep)",
    "deep lists distinct": "distinct([data.deep,data.deep2])",
    "deep objects in a list": "[data.deep_object]",
    "a part that is shared high up and deep down": "{a:data.half_deep,b:"
    + "[" * 44
    + "data.half_deep"
    + "]" * 44
    + "}",
    "dates over a list": "data.big[].format_date('2026-01-01','YYYY-MM-DD','Asia/Almaty')",
    "filters": "data.big[?@>5&&@<100000000&&@!=7]",
    "groups": "group_by(data.big,&@)",
}
REFUSED = {
    "parentheses": "(" * 2000 + "a" + ")" * 2000,
    "brackets": "[" * 4000,
    "braces": "{a:" * 1300,
    "not": "!" * 4000 + "a",
    "expressions": "map(" + "&" * 4000 + "a,a)",
    "stars": "data" + "[*]" * 1300,
    "value stars": "data" + ".*" * 2000,
    "filters": "[?" * 2000,
    "flattening": "data" + "[]" * 2000,
    "pipes": "a" + "|a" * 2000,
    "or": "a" + "||a" * 1300,
    "comparisons": "a" + "==a" * 1300,
    "a deep literal": "`" + "[" * 4000 + "`",
    "a deep literal behind a text": '`["' + "]" * 1000 + '",' + "[" * 3000 + "`",
    "a long number": "9" * 4000,
    "a long fraction": "1." + "9" * 4000,
    "a long literal number": "`" + "9" * 4000 + "`",
    "a huge exponent": "`1e999999999`",
    "too long": "a." * 100_000 + "a",
    "unclosed": "'" + "\\" * 4000,
}
HARMLESS = {
    "many indexes": "a" + "[0]" * 1300,
    "many names": "a" + ".a" * 2000,
    "an index beyond": f"data.big[{'9' * 30}]",
    "a slice beyond": f"data.big[{'9' * 30}:0:-{'9' * 30}]",
    "small products": pipe("`0.1`", "mul(@,@)", 90),
    "reading JSON": "length(to_string(data.rows))",
    "sorting": "sort_by(data.words,&@)[0]",
}


def seconds(text: str) -> tuple[float, str]:
    """Return the CPU of compiling and running, the least of three tries, and what came of it."""
    best, came = float("inf"), ""
    for _ in range(3):
        start = time.thread_time()
        try:
            compile_expression(text).run({"data": DATA})
            came = "done"
        except (ExpressionError, EvaluationError) as error:
            came = error.code
        best = min(best, time.thread_time() - start)
    return best, came


@pytest.mark.parametrize("text", OUT_OF_BUDGET.values(), ids=OUT_OF_BUDGET)
def test_what_would_run_away_ends_in_a_budget_error(text: str) -> None:
    took, came = seconds(text)
    assert came == "EXPR_BUDGET"
    assert took < LIMIT


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_would_break_the_parser_is_refused(text: str) -> None:
    took, came = seconds(text)
    assert came in ("EXPR_TOO_LONG", "EXPR_TOO_DEEP", "EXPR_SYNTAX")
    assert took < LIMIT


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_what_only_looks_bad_is_done_in_time(text: str) -> None:
    took, came = seconds(text)
    assert came == "done"
    assert took < LIMIT


@pytest.mark.parametrize(
    "node",
    [
        {"each": "data.big", "map": {"all": "data.text"}},
        {"each": "data.rows", "map": {"each": "data.rows", "map": "item.a"}},
        {"each": "data.words", "map": {"x": "data.words"}},
        {str(n): "data.big" for n in range(200)},
        {"each": "data.words", "when": "contains(data.text, 'zz')", "map": "item"},
        ["data.rows"] * 100,
        {"x": pipe("data.rows", "[@,@]", 30)},
    ],
)
def test_a_map_shares_one_budget_over_all_that_it_makes(node: Any) -> None:
    compiled = compile_map(node, frozenset(("data",)))
    best = float("inf")
    for _ in range(3):
        start = time.thread_time()
        with pytest.raises(EvaluationError) as failed:
            compiled.run({"data": DATA})
        best = min(best, time.thread_time() - start)
        assert failed.value.code == "EXPR_BUDGET"
    assert best < LIMIT


@pytest.mark.parametrize(
    "name", ["doubling by join", "growing by replace", "doubling flattened", "doubling", "maps in maps"]
)
def test_the_memory_of_a_bomb_stays_small(name: str) -> None:
    expression = compile_expression(OUT_OF_BUDGET[name])
    tracemalloc.start()
    try:
        with pytest.raises(EvaluationError):
            expression.run({"data": DATA})
        assert tracemalloc.get_traced_memory()[1] < 32_000_000
    finally:
        tracemalloc.stop()


def test_a_larger_budget_lets_larger_work_through() -> None:
    expression = compile_expression("data.big[?@ > 5 && @ < 1000]")
    with pytest.raises(EvaluationError):
        expression.run({"data": DATA})
    assert len(expression.run({"data": DATA}, Budget(steps=5_000_000))) == 994


@pytest.mark.parametrize("name", ["doubling", "doubling flattened", "growing by append", "doubling by join"])
def test_size_alone_stops_what_grows(name: str) -> None:
    with pytest.raises(EvaluationError, match="too large"):
        compile_expression(OUT_OF_BUDGET[name].replace("data.rows", "data.words")).run(
            {"data": DATA}, Budget(steps=10**12)
        )


def test_a_budget_is_used_up_by_all_runs_that_share_it() -> None:
    expression, budget = compile_expression("data.rows[*].a"), Budget()
    for _ in range(10):
        expression.run({"data": DATA}, budget)
    budget.spend(budget.left - 100)
    with pytest.raises(EvaluationError) as failed:
        expression.run({"data": DATA}, budget)
    assert failed.value.code == "EXPR_BUDGET"


EXTREMES = (
    "1E-999999999",
    "1E+999999999",
    "-1E-500",
    "1E+99",
    "9" * 200,
    "0." + "1" * 200,
    "-0",
    "0E-999999",
    "0E+999999",
)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_no_function_stumbles_over_an_extreme_number(name: str) -> None:
    stand_in = {"expression": "&@", "number": "n", "any": "n", "list": "l", "object": "o"}
    params = FUNCTIONS[name].params
    arguments = [next((stand_in[kind] for kind in param.kinds if kind in stand_in), "'2026-12-01'") for param in params]
    for number in EXTREMES:
        value = Decimal(number)
        scope = {"n": value, "l": [value, 1, value], "o": {"a": value}}
        for count in range(FUNCTIONS[name].least, len(params) + 1):
            start = time.thread_time()
            with contextlib.suppress(EvaluationError, ExpressionError):
                compile_expression(f"{name}({', '.join(arguments[:count])})").run(scope)
            assert time.thread_time() - start < LIMIT
