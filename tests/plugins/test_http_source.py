"""`resource.list`: each way of paging gives every record once, goes on after any page, and ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from plugins.http.adapter import HttpAdapter
from plugins.http.mock import HttpApiMock
from plugins.http.sending import read_exact
from server.integrations.scaffold import loopback_reach, loopback_session
from server.kernel.errors import Permanent, Retryable
from server.sdk import ReadRequest, Schema, Window
from server.sdk.plugin import load_plugin
from server.sdk.testing import Rig

FOLDER = Path(__file__).parents[2] / "plugins" / "http"
SOURCE = HttpAdapter.sources[0]
ITEMS = {"records": "items"}
DAY = 86_400
EXPORT = {
    "kind": "export",
    "start": {"path": "/exports", "json": {"what": "records"}},
    "poll": {"path": "/exports/{{ job.id }}", "status": "state", "done": ["done"], "failed": ["broken"], "every": "1s"},
    "download": {"path": "/exports/{{ job.id }}/file.jsonl"},
    "format": "jsonl",
}
WINDOW = {
    "kind": "window",
    "from_param": "since",
    "to_param": "until",
    "begin": "2025-09-25T00:00:00Z",
    "step": "100d",
    "pages": {"kind": "offset", "param": "offset", "size_param": "limit", "size": 3},
}

PAGINGS = {
    "none": {"path": "/records/none"},
    "offset": {
        "path": "/records/offset",
        "records": "data.items",
        "pagination": {"kind": "offset", "param": "offset", "size_param": "limit", "size": 3},
    },
    "offset-total": {
        "path": "/records/offset",
        "records": "data.items",
        "pagination": {"kind": "offset", "param": "offset"},
        "stop": {"total": "total", "empty_page": False},
    },
    "page": {"path": "/records/page", **ITEMS, "pagination": {"kind": "page", "param": "page"}},
    "page-pages": {
        "path": "/records/page",
        **ITEMS,
        "pagination": {"kind": "page", "param": "page"},
        "stop": {"total_pages": "pages"},
    },
    "page-more": {
        "path": "/records/page",
        **ITEMS,
        "pagination": {"kind": "page", "param": "page"},
        "stop": {"has_more": "more"},
    },
    "cursor": {
        "path": "/records/cursor",
        **ITEMS,
        "pagination": {"kind": "cursor", "param": "cursor", "next": "meta.next"},
    },
    "cursor-header": {
        "path": "/records/cursor",
        **ITEMS,
        "pagination": {"kind": "cursor", "param": "X-Cursor", "in": "header", "next_header": "X-Next"},
    },
    "cursor-body": {
        "path": "/records/cursor",
        "method": "POST",
        "json": {"page": {"size": 3}},
        **ITEMS,
        "pagination": {"kind": "cursor", "param": "page.after", "in": "body", "next": "meta.next"},
    },
    "next": {"path": "/records/next", **ITEMS, "pagination": {"kind": "next_url", "next": "links.next"}},
    "link": {"path": "/records/link", "pagination": {"kind": "link"}},
    "keyset": {
        "path": "/records/keyset",
        **ITEMS,
        "pagination": {"kind": "keyset", "fields": {"after_id": "id"}, "size_param": "limit", "size": 3},
    },
    "window": {"path": "/records/offset", "records": "data.items", "pagination": WINDOW},
    "export": {"path": "/", "pagination": EXPORT},
    "export-csv": {
        "path": "/",
        "pagination": {**EXPORT, "format": "csv", "download": {"path": "/exports/{{ job.id }}/file.csv"}},
    },
    "export-json": {
        "path": "/",
        **ITEMS,
        "pagination": {**EXPORT, "format": "json", "download": {"url": "file"}},
    },
}
COUNT = 8


@pytest.fixture
def mock():
    with HttpApiMock() as running:
        running.records.fill([number * DAY // 2 for number in range(COUNT)])
        yield running


def context(mock):
    return Rig(load_plugin(FOLDER, "plugins.http"), loopback_session, loopback_reach).context(mock, 10.0)


def request(options, **given):
    assert Schema(dict(SOURCE.options_schema)).errors(options) == ()
    return ReadRequest(options=options, primary_key=("id",), **{"size": 2, **given})


def ids(pages):
    return [int(row["id"]) for page in pages for row in page.rows]


@pytest.mark.parametrize("name", PAGINGS)
def test_every_record_comes_once(mock, name):
    pages = list(SOURCE.read(request(PAGINGS[name]), context(mock)))
    assert sorted(ids(pages)) == list(range(COUNT))
    assert max(len(page.rows) for page in pages) <= 2


@pytest.mark.parametrize("name", PAGINGS)
def test_a_reading_goes_on_after_any_page(mock, name):
    whole = list(SOURCE.read(request(PAGINGS[name]), context(mock)))
    for place, page in enumerate(whole):
        rest = SOURCE.read(request(PAGINGS[name], position=page.position), context(mock))
        assert ids(rest) == ids(whole[place + 1 :])


@pytest.mark.parametrize("name", [name for name in PAGINGS if not name.startswith("export")])
def test_of_an_empty_list_no_row_comes(mock, name):
    mock.records.fill([])
    assert ids(SOURCE.read(request(PAGINGS[name]), context(mock))) == []


@pytest.mark.parametrize("name", ["offset", "cursor"])
def test_an_api_that_gives_the_same_page_again_and_again_is_stopped(mock, name):
    mock.records.stubborn = True
    with pytest.raises(Permanent) as error:
        list(SOURCE.read(request(PAGINGS[name]), context(mock)))
    assert error.value.code == "PAGINATION_LOOP"


def test_an_address_that_leads_back_is_a_loop(mock):
    mock.records.elsewhere = f"{mock.url}/records/next?at=0&x="
    options = {**PAGINGS["next"], "stop": {"empty_page": False}}
    with pytest.raises(Permanent) as error:
        list(SOURCE.read(request(options), context(mock)))
    assert error.value.code == "PAGINATION_LOOP"


@pytest.mark.parametrize("name", ["next", "link", "export-json"])
@pytest.mark.parametrize("elsewhere", ["http://evil.example.com", "http://127.0.0.1:1", "file:///etc", "https://[x"])
def test_an_answer_cannot_send_us_to_another_server(mock, name, elsewhere):
    mock.records.elsewhere = elsewhere
    with pytest.raises(Permanent) as error:
        list(SOURCE.read(request(PAGINGS[name]), context(mock)))
    assert error.value.code == "ORIGIN_REFUSED"


def test_another_server_that_is_allowed_does_not_see_who_we_are(mock):
    with HttpApiMock() as other:
        other.records.fill(range(COUNT))
        mock.records.elsewhere = other.url
        options = {**PAGINGS["next"], "origins": [other.url]}
        with pytest.raises(Permanent) as error:
            list(SOURCE.read(request(options), context(mock)))
        assert error.value.code == "UPSTREAM_FORBIDDEN"
        assert "authorization" not in other.received[-1].headers


@pytest.mark.parametrize(
    ("scenario", "kind", "code"),
    [
        ("429", Retryable, "UPSTREAM_LIMITED"),
        ("500", Retryable, "UPSTREAM_FAILED"),
        ("broken_json", Retryable, "ANSWER_BROKEN"),
        ("401", Permanent, "UPSTREAM_FORBIDDEN"),
        ("404", Permanent, "UPSTREAM_NOT_FOUND"),
    ],
)
def test_what_a_failing_api_means_is_told_and_the_reading_goes_on_after_it(mock, scenario, kind, code):
    options, rows = PAGINGS["offset"], []
    reading, position = SOURCE.read(request(options), context(mock)), None
    for _ in range(2):
        page = next(reading)
        rows, position = [*rows, *ids([page])], page.position
    mock.play(scenario)
    with pytest.raises(kind) as error:
        list(reading)
    assert error.value.code == code
    assert scenario != "429" or error.value.after == 7
    mock.play("ok")
    assert rows + ids(SOURCE.read(request(options, position=position), context(mock))) == list(range(COUNT))


def test_a_page_that_changed_while_half_of_it_was_read_is_read_from_its_start(mock):
    reading = SOURCE.read(request(PAGINGS["offset"]), context(mock))
    position = next(reading).position
    mock.records.rows.insert(0, {"id": 99, "name": "new", "updated_at": "2025-12-31T00:00:00Z"})
    assert {*ids(SOURCE.read(request(PAGINGS["offset"], position=position), context(mock)))} >= {99, 2, 3}


def test_where_no_list_of_records_is_nothing_is_taken_for_an_empty_one(mock):
    options = {"path": "/records/page", "records": "itmes"}
    with pytest.raises(Permanent) as error:
        list(SOURCE.read(request(options), context(mock)))
    assert error.value.code == "RECORDS_MISSING"
    assert list(SOURCE.read(request({**options, "no_records": "empty"}), context(mock))) == []


def moment(days):
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days)


@pytest.mark.parametrize("query", [{}, {"since": "{{ cursor.updated_at }}", "until": "{{ until.updated_at }}"}])
@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window(fields=("updated_at",)), range(COUNT)),
        (Window(fields=("updated_at",), since=("2026-01-02T00:00:00Z",)), range(2, COUNT)),
        (Window(fields=("updated_at",), since=(moment(1),), until=(moment(2),)), (2, 3)),
        (Window(fields=("updated_at", "id"), after=("2026-01-02T00:00:00Z", 2)), range(3, COUNT)),
        (Window(fields=("updated_at", "id"), after=("2026-01-02T00:00:00Z", 1)), range(2, COUNT)),
        (Window(fields=("updated_at",), after=("2026-01-02T00:00:00+00:00",)), range(3, COUNT)),
    ],
)
def test_the_bounds_of_a_cursor_hold_whether_the_api_heeds_them_or_not(mock, query, window, expected):
    options = {**PAGINGS["offset"], "query": query}
    pages = SOURCE.read(request(options, window=window), context(mock))
    assert ids(pages) == list(expected)


def test_the_api_is_asked_with_the_value_of_the_cursor_in_the_form_it_wants(mock):
    options = {"path": "/records/none", "query": {"since": "from {{ cursor.updated_at }}", "n": "{{ cursor.none }}"}}
    window = Window(fields=("updated_at",), since=("2026-01-02T00:00:00Z",))
    list(SOURCE.read(request({**options, "time_format": "epoch_ms"}, window=window), context(mock)))
    assert mock.received[-1].query == {"since": "from 1767312000000"}


@pytest.mark.parametrize(
    ("missing", "expected"), [("skip", [1]), ("read", [0, 1]), ("fail", "CURSOR_MISSING")], ids=str
)
def test_a_record_without_a_cursor_is_treated_as_the_job_says(mock, missing, expected):
    mock.records.rows = [{"id": 0}, {"id": 1, "updated_at": "2026-01-01T00:00:00Z"}]
    window = Window(fields=("updated_at",), missing=missing)
    try:
        found = ids(SOURCE.read(request({"path": "/records/none"}, window=window), context(mock)))
    except Permanent as error:
        found = error.code
    assert found == expected


def test_windows_of_time_begin_at_the_cursor_and_end_where_it_says(mock):
    window = Window(fields=("updated_at",), since=("2026-01-02T00:00:00Z",), until=(moment(3),))
    options = {**PAGINGS["window"], "pagination": {**WINDOW, "step": "1d"}}
    assert ids(SOURCE.read(request(options, window=window), context(mock))) == [2, 3, 4, 5]
    asked = [(each.query["since"][:10], each.query["until"][:10]) for each in mock.received]
    assert asked == [("2026-01-02", "2026-01-03"), ("2026-01-03", "2026-01-04")]


def test_a_delta_goes_on_where_the_run_before_ended(mock):
    options = {"path": "/records/delta", **ITEMS, "delta": {"next": "delta", "param": "from"}}
    first = list(SOURCE.read(request(options), context(mock)))
    assert first[-1].token == str(COUNT)
    assert list(SOURCE.read(request(options, token=first[-1].token), context(mock))) == []
    mock.records.rows.append({"id": 50})
    assert ids(SOURCE.read(request(options, token=first[-1].token), context(mock))) == [50]


def test_an_export_that_fails_over_there_is_not_waited_for(mock):
    mock.records.stubborn = True
    with pytest.raises(Permanent) as error:
        list(SOURCE.read(request(PAGINGS["export"]), context(mock)))
    assert error.value.code == "EXPORT_FAILED"


def test_an_export_is_waited_for_within_a_bound(mock):
    page = next(SOURCE.read(request(PAGINGS["export"]), context(mock)))
    late = {**page.position, "since": "2020-01-01T00:00:00+00:00"}
    with pytest.raises(Permanent) as error:
        list(SOURCE.read(request(PAGINGS["export"], position=late), context(mock)))
    assert error.value.code == "EXPORT_FAILED"


def test_keys_single_records_counts_and_a_proposal_are_there(mock):
    options = {**PAGINGS["offset"], "one": {"path": "/records/{{ key.id }}"}, "stop": {"total": "total"}}
    assert [key for keys in SOURCE.keys(request(options), context(mock)) for key in keys] == [
        (n,) for n in range(COUNT)
    ]
    assert [row["id"] for row in SOURCE.fetch(request(options), [(3,), (77,), (1,)], context(mock))] == [3, 1]
    assert SOURCE.count(request(options), context(mock)) == COUNT
    found = SOURCE.discover(options, context(mock))[0]
    assert (found.primary_key, found.cursor) == (("id",), ("updated_at",))
    assert found.schema["properties"]["updated_at"] == {"type": "string", "format": "date-time"}


@pytest.mark.parametrize("key", ["..", "../../admin", "a/b", "1?x=y", "", None])
def test_a_key_cannot_lead_elsewhere(mock, key):
    options = {**PAGINGS["offset"], "one": {"path": "/records/{{ key.id }}"}}
    code = ""
    try:
        assert SOURCE.fetch(request(options), [(key,)], context(mock)) == []
    except Permanent as error:
        code = error.code
    assert code in {"REQUEST_REFUSED", "PATH_INVALID", ""}
    assert [each.path.count("/") for each in mock.received] == ([] if code else [2])
    assert all(each.query == {} for each in mock.received)


def test_the_position_holds_no_key_that_stands_in_the_query(mock):
    made = replace(
        context(mock),
        config={
            "base_url": mock.url,
            "auth": {"scheme": "api_key", "query": "key", "key": "s3cr3t"},
            "headers": {"Authorization": mock_token(mock)},
        },
    )
    mock.records.elsewhere = f"{mock.url}/records/next?key=s3cr3t&y="
    pages = SOURCE.read(request(PAGINGS["next"]), made)
    positions = [next(pages).position, next(pages).position]
    assert "records" in positions[-1]["at"]
    assert "s3cr3t" not in str(positions)


def mock_token(mock):
    return "Bearer " + mock.config["auth"]["token"]


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"1.5", 1.5),
        (b"1234567890123.4567890123", Decimal("1234567890123.4567890123")),
        (b"12345678901234567890123", 12345678901234567890123),
    ],
)
def test_no_digit_of_a_number_is_lost(content, value):
    assert read_exact(content) == value


@pytest.mark.parametrize(
    "options",
    [
        {"path": "/x", "pagination": {"kind": "offset"}},
        {"path": "/x", "pagination": {"kind": "link", "param": "x"}},
        {"path": "/x", "pagination": {"kind": "pages"}},
        {
            "path": "/x",
            "pagination": {"kind": "window", "from_param": "a", "to_param": "b", "pages": {"kind": "window"}},
        },
        {"path": "x"},
        {"path": "/x", "record": "items"},
    ],
)
def test_options_that_could_not_work_are_refused(options):
    assert Schema(dict(SOURCE.options_schema)).errors(options)
