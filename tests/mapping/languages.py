"""Strategies: JSON values, expressions of the language, and near misses."""

from __future__ import annotations

import json

from hypothesis import strategies as st

NAMES = ("a", "b", "c")

# Integers from 2, so that Python's True == 1 cannot blur what the two languages say about equality.
numbers = st.integers(2, 9)
scalars = st.one_of(st.none(), st.booleans(), numbers, st.sampled_from(["", "a", "b", "xyz"]))
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=12,
)
any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["2026-12-01", "2026-12-01T08:30:00Z", "12.50", "-3", "[1]", "YQ=="]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from((*NAMES, "key")) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=15,
)


_UNARY = (
    *("length", "keys", "values", "type", "to_string", "not_null", "to_array", "reverse", "sort"),
    *("max", "min", "sum", "to_number", "merge", "abs"),
)


def _literal(value: object) -> str:
    return "`" + json.dumps(value).replace("`", "\\`") + "`"


_leaves = st.one_of(
    st.sampled_from((*NAMES, "@", '"a"', "'xyz'", "`null`", "*", "[]", "[*]", "[0]", "[-1]")), scalars.map(_literal)
)


def _steps(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    name = st.sampled_from(NAMES)
    bound = st.integers(-3, 3).map(str) | st.just("")
    step = st.sampled_from(["", ":1", ":2", ":-1"])
    return st.one_of(
        st.builds("({}).{}".format, inner, name),
        st.builds("({})[{}]".format, inner, st.integers(-3, 3)),
        st.builds("({})[{}:{}{}]".format, inner, bound, bound, step),
        st.builds("({})[*].{}".format, inner, name),
        st.builds("({})[].{}".format, inner, name),
        st.builds("({})[][]".format, inner),
        st.builds("({}).*.{}".format, inner, name),
        st.builds("({})[?{}].{}".format, inner, inner, name),
        st.builds("({})[?{}]".format, inner, inner),
        st.builds("{} | {}".format, inner, inner),
        st.builds("({}) {} ({})".format, inner, st.sampled_from(["||", "&&", "==", "!=", "<", "<=", ">", ">="]), inner),
        st.builds("!({})".format, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{{}: {}, {}: {}}}".format, name, inner, name, inner),
        st.builds(
            "{}({})".format,
            st.sampled_from(_UNARY),
            inner,
        ),
        st.builds("{}(({}), &{})".format, st.sampled_from(["sort_by", "max_by", "min_by"]), inner, inner),
        st.builds("map(&{}, ({}))".format, inner, inner),
        st.builds("contains(({}), ({}))".format, inner, inner),
        st.builds("join('-', ({}))".format, inner),
    )


standard_expressions = st.recursive(_leaves, _steps, max_leaves=6)

_PIECES = (
    *"[](){}.,:|&!<>?`'\"-\\\n é*@07",
    *(
        "a",
        "b",
        "data",
        "item",
        "||",
        "&&",
        "==",
        "!=",
        "<=",
        ">=",
        "12",
        "0.5",
        "-2",
        "1e5",
        "mul(",
        "add(",
        "map(",
        "&a",
        "[?",
        "[]",
    ),
    *("[*]", "[0]", "'x'", "`1`", "sum(", "{a: ", "[a, "),
)
scraps = st.lists(st.sampled_from(_PIECES), max_size=14).map("".join)
