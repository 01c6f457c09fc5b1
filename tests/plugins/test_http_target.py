"""`resource.write`: records end up over there once, whatever fails on the way, and each says what became of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from plugins.http.adapter import HttpAdapter
from plugins.http.mock import HttpApiMock
from server.integrations.scaffold import loopback_reach, loopback_session
from server.kernel.errors import Permanent
from server.sdk import Batch, CallRequest, Destination, Schema, outcome_unknown
from server.sdk.plugin import load_plugin
from server.sdk.testing import Rig

FOLDER = Path(__file__).parents[2] / "plugins" / "http"
TARGET = HttpAdapter.targets[0]
PLAIN = {"path": "/records"}
PUT = {"path": "/records/{{ record.id }}", "method": "PUT"}
FIND = {"path": "/records/found", "query": {"id": "{{ record.id }}"}, "records": "items"}
FOUND = {**PLAIN, "find": FIND, "update": {"path": "/records/{{ found.id }}", "method": "PATCH"}}
BULK = {"path": "/records/bulk", "bulk": {"field": "items", "size": 3, "ids": "ids", "errors": "errors"}}


@pytest.fixture
def mock():
    with HttpApiMock() as running:
        yield running


def context(mock, seconds=10.0):
    return Rig(load_plugin(FOLDER, "plugins.http"), loopback_session, loopback_reach).context(mock, seconds)


def batch(*names):
    return Batch(
        [{"id": number, "name": name} for number, name in enumerate(names)], [f"k{n}" for n in range(len(names))]
    )


def write(mock, options, given, mode="upsert", seconds=10.0):
    assert Schema(dict(TARGET.options_schema)).errors(options) == ()
    return TARGET.write(Destination(options=options, match_on=("id",), mode=mode), given, context(mock, seconds))


def names(mock):
    return {row["id"]: row["name"] for row in mock.records.rows}


@pytest.mark.parametrize("options", [PUT, FOUND, BULK])
def test_written_twice_is_written_once(mock, options):
    for _ in range(2):
        result = write(mock, options, batch("a", "b", "c", "d"))
        assert (result.failed, list(result.target_ids)) == ({}, [0, 1, 2, 3])
    assert names(mock) == {0: "a", 1: "b", 2: "c", 3: "d"}
    write(mock, options, batch("a", "B"))
    assert names(mock) == {0: "a", 1: "B", 2: "c", 3: "d"}


def test_appended_again_under_the_same_key_is_there_once(mock):
    for _ in range(2):
        assert write(mock, PLAIN, batch("a", "b"), "append").failed == {}
    assert names(mock) == {0: "a", 1: "b"}
    assert [each.headers["idempotency-key"] for each in mock.received] == ["k0", "k1", "k0", "k1"]


def test_a_change_of_what_a_try_before_created_has_a_key_of_its_own(mock):
    for _ in range(3):
        write(mock, FOUND, batch("a"))
    keys = [each.headers["idempotency-key"] for each in mock.received if "idempotency-key" in each.headers]
    assert keys == ["k0", "k0:update", "k0:update"]


@pytest.mark.parametrize("options", [PLAIN, FOUND])
def test_insert_only_leaves_what_is_there_alone(mock, options):
    mock.records.rows = [{"id": 0, "name": "old"}]
    result = write(mock, options, batch("new", "b"), "insert_only")
    assert (list(result.unchanged), names(mock)) == ([0], {0: "old", 1: "b"})


@pytest.mark.parametrize(
    "options", [FOUND, {**PLAIN, "update": {"path": "/records/{{ record.id }}", "method": "PATCH"}}]
)
def test_update_only_adds_nothing(mock, options):
    mock.records.rows = [{"id": 1, "name": "old"}]
    result = write(mock, options, batch("a", "b"), "update_only")
    assert (list(result.unchanged), names(mock)) == ([0], {1: "b"})


@pytest.mark.parametrize("options", [PUT, BULK, FOUND])
def test_a_record_that_is_refused_does_not_hold_up_the_others(mock, options):
    result = write(mock, options, batch("a", "bad", "c", "d"))
    assert list(result.failed) == [1]
    assert isinstance(result.failed[1], Permanent)
    assert names(mock) == {0: "a", 2: "c", 3: "d"}


def test_a_record_that_a_bulk_answer_names_is_refused(mock):
    result = write(mock, BULK, batch("a", "b", "c", "odd"))
    assert {index: (error.code, error.message) for index, error in result.failed.items()} == {
        3: ("RECORD_REFUSED", "it is odd")
    }


@pytest.mark.parametrize("options", [PUT, BULK])
@pytest.mark.parametrize(("scenario", "after"), [("429", 7.0), ("500", None)])
def test_after_a_failing_api_the_rest_is_not_tried(mock, options, scenario, after):
    mock.play(scenario)
    result = write(mock, options, batch("a", "b", "c", "d"))
    assert len(mock.received) == 1
    assert sorted(result.failed) == [0, 1, 2, 3]
    assert (result.failed[0].after, result.failed[3].code) == (after, "NOT_TRIED")


@pytest.mark.parametrize("scenario", ["slow", "broken_json"])
@pytest.mark.parametrize("options", [PUT, BULK])
def test_a_write_whose_outcome_nobody_knows_comes_again_under_its_key(mock, options, scenario):
    mock.play(scenario)
    first = write(mock, options, batch("a"), seconds=0.5)
    assert outcome_unknown(first.failed[0])
    mock.play("ok")
    assert write(mock, options, batch("a")).failed == {}
    keys = {each.headers["idempotency-key"] for each in mock.received}
    assert (keys, names(mock)) == ({"k0"}, {0: "a"})


def test_a_part_of_a_batch_has_the_same_key_at_every_try(mock):
    for _ in range(2):
        write(mock, BULK, batch("a", "b", "c", "d"))
    keys = [each.headers["idempotency-key"] for each in mock.received]
    assert keys[:2] == keys[2:]
    assert keys[0].startswith("bulk_")
    assert keys[1] == "k3"


def test_a_record_is_shaped_by_the_body_and_no_digit_is_lost(mock):
    record = {"id": 7, "price": Decimal("10.10"), "when": datetime(2026, 1, 1, tzinfo=UTC), "none": None}
    options = {"path": "/echo", "body": {"thing": {"price": "{{ record.price }}", "text": "at {{ record.when }}"}}}
    write(mock, options, Batch([record], ["k"]))
    assert json.loads(mock.received[-1].body) == {"thing": {"price": "10.10", "text": "at 2026-01-01 00:00:00+00:00"}}
    write(mock, {"path": "/echo"}, Batch([record], ["k"]))
    assert json.loads(mock.received[-1].body) == {
        "id": 7,
        "price": "10.10",
        "when": "2026-01-01T00:00:00+00:00",
        "none": None,
    }


@pytest.mark.parametrize("more", [{}, {"find": FIND, "update": PUT}])
def test_removed_is_what_was_there(mock, more):
    mock.records.rows = [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}]
    options = {**PLAIN, **more, "remove": {"path": "/records/{{ record.id }}"}}
    result = TARGET.remove(Destination(options=options, match_on=("id",)), [(1,), (9,)], "delete", context(mock))
    assert (list(result.unchanged), result.failed, names(mock)) == ([1], {}, {0: "a"})


def test_present_records_are_looked_up(mock):
    mock.records.rows = [{"id": 0, "name": "a"}]
    found = TARGET.lookup(Destination(options=FOUND, match_on=("id",)), [(0,), (5,)], context(mock))
    assert found == [{"id": 0, "name": "a"}, None]


@pytest.mark.parametrize(
    ("options", "mode"),
    [(BULK, "insert_only"), (PLAIN, "update_only"), ({**PLAIN, "find": FIND}, "upsert")],
)
def test_what_the_options_do_not_say_is_named(mock, options, mode):
    mock.records.rows = [{"id": 0, "name": "a"}]
    try:
        error = write(mock, options, batch("a"), mode).failed[0]
    except Permanent as raised:
        error = raised
    assert error.code == "TARGET_CANNOT"


def test_one_record_is_written_by_a_call(mock):
    adapter = HttpAdapter()
    call = CallRequest("resource.write", {**PUT, "record": {"id": 3, "name": "x"}})
    assert adapter.validate(call).is_valid
    assert adapter.transform(adapter.execute(call, context(mock))) == {"id": 3}
    call = CallRequest("resource.list", {"path": "/records/none", "limit": 5})
    assert adapter.transform(adapter.execute(call, context(mock))) == {"rows": [{"id": 3, "name": "x"}]}
