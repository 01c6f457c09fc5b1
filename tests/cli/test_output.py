"""What is written keeps every digit, cannot drive a terminal, and stands in stable columns."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cli import output

NUMBERS = [
    "1500.00",
    "0.1",
    "123456789012345678901234567890",
    "-9223372036854775809",
    "1e-30",
    "12345678901234567.123456789",
]


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_keeps_its_digits(text):
    assert output.read_json(output.write_json(output.read_json(text))) == output.read_json(text)


def test_money_is_not_rounded():
    assert output.write_json(output.read_json('{"total": 1500.00, "id": 12345678901234567890}')) == (
        '{"total":1500.00,"id":12345678901234567890}'
    )


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "{", ""])
def test_what_is_not_json_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - any ValueError is refused alike
        output.read_json(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\x1b[2J", "\\x1b[2J"), ("a\rb", "a\\rb"), ("\u202egpj", "\\u202egpj"), ("Größe 5 €", "Größe 5 €")],
)
def test_a_terminal_is_told_nothing(text, shown):
    assert output.visible(text) == shown


@given(st.text())
def test_no_text_of_anybody_reaches_the_terminal_raw(text):
    assert output.visible(text).isprintable()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), ("", "-"), (True, "yes"), (0, "0"), (["a", "b"], "a, b"), ({"a": 1}, '{"a":1}'), ([], "-")],
)
def test_a_value_is_one_cell(value, shown):
    assert output.cell(value) == shown


def test_a_table_has_stable_columns(capsys):
    rows = [{"id": "1", "error": {"code": "GONE"}}, {"id": "22222", "error": None}]
    output.table(rows, {"ID": "id", "ERROR": "error.code"})
    assert capsys.readouterr().out == "ID     ERROR\n1      GONE\n22222  -\n"


def test_an_empty_table_still_names_its_columns(capsys):
    output.table([], {"ID": "id"})
    assert capsys.readouterr().out == "ID\n"


def test_details_put_long_values_below_their_key(capsys):
    output.details({"id": "evt_1", "data": {"lines": [{"sku": "A" * 60, "text": "B" * 60}]}})
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["id:   evt_1", "data:", "  {"]
    assert json.loads("\n".join(lines[2:]))["lines"][0]["sku"] == "A" * 60
