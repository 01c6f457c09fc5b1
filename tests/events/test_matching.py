"""`*` is one segment, `**` one or more, and ours only by name."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.events.matching import matches

TABLE = [
    ("order.created", "order.created", True),
    ("order.created", "order.updated", False),
    ("order.*", "order.created", True),
    ("order.*", "order.line.added", False),
    ("*.created", "order.created", True),
    ("**", "order", True),
    ("**", "a.b.c", True),
    ("order.**", "order", False),
    ("order.**", "order.line.added", True),
    ("**.added", "order.line.added", True),
    ("**.added", "added", False),
    ("a.**.z", "a.z", False),
    ("a.**.z", "a.b.c.z", True),
    ("**", "crossdock.webhook.paused", False),
    ("*.webhook.paused", "crossdock.webhook.paused", False),
    ("crossdock.**", "crossdock.webhook.paused", True),
    ("crossdock.webhook.*", "crossdock.webhook.paused", True),
]


@pytest.mark.parametrize(("pattern", "type_", "expected"), TABLE)
def test_table(pattern: str, type_: str, *, expected: bool) -> None:
    assert matches(pattern, type_) is expected


segments = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6)
patterns = st.lists(st.sampled_from(["a", "b", "*", "**"]), min_size=1, max_size=5)


@given(patterns, segments)
def test_agrees_with_the_regular_expression_that_says_the_same(pattern: list[str], type_: list[str]) -> None:
    part = {"*": "[^.]+", "**": r"[^.]+(\.[^.]+)*"}
    regex = r"\.".join(part.get(each, each) for each in pattern)
    assert matches(".".join(pattern), ".".join(type_)) == bool(re.fullmatch(regex, ".".join(type_)))
