"""One page is read and mapped while another is written, and nobody can tell but by the time it takes."""

from __future__ import annotations

import threading

import pytest

from server.mapping import EvaluationError, compile_map
from server.sdk.sources import Page
from server.syncs.ahead import Ahead
from server.syncs.batches import Leaves
from server.syncs.ends import Taking
from server.syncs.refused import Refused


def test_the_next_is_taken_while_one_is_worked_on_and_no_more() -> None:
    taken = []

    def items():
        for number in range(4):
            taken.append(number)
            yield number

    two = threading.Event()
    found = Ahead(items(), lambda: True)
    for number in found:
        if number == 1:
            two.wait(0.05)
            assert len(taken) <= 3
    assert (taken, found.ended) == ([0, 1, 2, 3], True)


def test_what_was_taken_comes_before_the_error() -> None:
    def items():
        yield 1
        yield 2
        raise ValueError("the third")

    found = Ahead(items(), lambda: True)
    got = iter(found)
    assert [next(got), next(got)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(got)
    assert not found.ended


def test_when_time_is_over_what_was_taken_still_comes() -> None:
    found = Ahead((each for each in range(100)), lambda: False)
    assert (list(found), found.ended) == ([0], False)


def test_closing_closes_what_is_read() -> None:
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    found = Ahead(items(), lambda: True)
    next(iter(found))
    found.close()
    assert closed.wait(1.0)


def test_a_page_knows_what_the_one_before_will_have_left_in_the_ledger() -> None:
    before = Leaves({"[1]": (b"new", 1), "[2]": (b"two", 1)}, frozenset(["[3]"]))
    known = {"[1]": (b"old", 1), "[3]": (b"three", 1), "[4]": (b"four", 1)}
    assert before.over(known) == {"[1]": (b"new", 1), "[2]": (b"two", 1), "[4]": (b"four", 1)}


def test_a_row_that_comes_again_on_the_next_page_is_appended_once(syncing) -> None:
    syncing.old("CREATE TABLE twice (id INTEGER, name TEXT)")
    for number in (1, 2, 2, 3, 3, 3):
        syncing.old("INSERT INTO twice VALUES (?, ?)", number, f"n{number}")
    syncing.new("CREATE TABLE shop.log (id int, name text)")
    syncing.job(
        "log",
        source={"call": "old.query.read", "sql": "SELECT * FROM twice", "primary_key": ["id"]},
        map=None,
        target={"call": "new.table.write", "schema": "shop", "table": "log", "mode": "append"},
        batch={"size": 1},
    )
    row = syncing.run("log")
    assert (row.state, row.read, row.written, row.unchanged) == ("succeeded", 6, 3, 3), row.error
    assert syncing.new("SELECT id FROM shop.log ORDER BY id") == [(1,), (2,), (3,)]


def test_a_refused_row_does_not_hold_its_page() -> None:
    """The frames of its error do, in a circle: pages with bad rows would stay until the collector looks."""

    try:
        compile_map({"a": {"from": "row.a", "required": True}}, frozenset({"row"})).run({"row": {}})
    except EvaluationError as error:
        kept = Refused(None, {}, None, error, "mapping").error
    assert (kept.__traceback__, kept.__context__, kept.__cause__) == (None, None, None)


def test_pages_at_hand_come_together_and_what_breaks_comes_after_them() -> None:
    def pages():
        yield Page([{}], 1, followed=True)
        yield Page([{}], 2, followed=True)
        yield Page([{}], 3)
        yield Page([{}], 4, followed=True)
        raise ValueError("the fifth")

    taking = Taking(pages())
    assert [[each.position for each in taking.some()] for _ in range(2)] == [[1, 2, 3], [4]]
    for _ in range(2):
        with pytest.raises(ValueError, match="the fifth"):
            taking.some()
    many = Taking(Page([{}] * 400, number, followed=True) for number in range(4))
    assert [len(many.some()) for _ in range(3)] == [3, 1, 0]
