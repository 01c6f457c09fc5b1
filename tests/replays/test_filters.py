"""Filters mean what they say, or are refused with the place that is wrong."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.events.matching import matches
from server.kernel.ids import read
from server.replays.filters import Filter, pattern
from tests.replays.replaying import HOOK, ask, end, finish, made, run, see

if TYPE_CHECKING:
    from tests.support.product import Product

NOBODY = "dlv_" + "0" * 26
WEBHOOK = {"webhook": "hook"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"filter": {}}, "/filter"),
    ({"filter": {"webhook": "none"}}, "/filter/webhook"),
    ({"filter": {"type": "order..created"}}, "/filter/type"),
    ({"filter": {"type": "order.cre*"}}, "/filter/type"),
    ({"filter": {"type": "**.**.**.**"}}, "/filter/type"),
    ({"filter": {"status": ["pending"]}}, "/filter/status/0"),
    ({"filter": {"status": ["gone"]}}, "/filter/status/0"),
    ({"filter": {"since": "yesterday"}}, "/filter/since"),
    ({"filter": {"since": "2026-01-02T00:00:00"}}, "/filter/since"),
    ({"filter": {"since": "0001-01-01T00:00:00+14:00"}}, "/filter/since"),
    ({"filter": {"until": "9999-12-31T23:59:59-14:00"}}, "/filter/until"),
    ({"filter": {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}}, "/filter/until"),
    ({"filter": {"since": "2026-01-02T00:00:00Z", "until": "2026-01-02T01:00:00+01:00"}}, "/filter/until"),
    ({"filter": {"deliveries": ["evt_1"]}}, "/filter/deliveries/0"),
    ({"filter": {"deliveries": [NOBODY]}}, "/filter/deliveries/0"),
    ({"filter": {"deliveries": [NOBODY], **WEBHOOK}}, "/filter/deliveries"),
    ({"filter": {"deliveries": [NOBODY] * 1001}}, "/filter/deliveries"),
    ({"filter": {"subject": "x" * 513}}, "/filter/subject"),
    ({"filter": {"webhok": "hook"}}, "/filter/webhok"),
    ({"filter": WEBHOOK, "payload": "fresh"}, "/payload"),
    ({"filter": WEBHOOK, "per_second": 0}, "/per_second"),
    ({"filter": WEBHOOK, "per_second": 1.5}, "/per_second"),
    ({"filter": WEBHOOK, "as_new": "yes"}, "/as_new"),
    ({"filter": {"type": "order.*"}, "backfill": True}, "/filter/webhook"),
    ({"filter": {**WEBHOOK, "status": ["dead"]}, "backfill": True}, "/filter/status"),
    ({"filter": WEBHOOK, "backfill": True, "payload": "original"}, "/payload"),
    ({}, "/filter"),
]


def test_a_filter_that_cannot_be_meant_is_refused_at_its_place_and_nothing_is_written(product: Product) -> None:
    product.webhook("hook", HOOK)
    for dry_run in (True, False):
        for body, pointer in REFUSED:
            answer = ask(product, 422, dry_run=dry_run, **body)
            assert pointer in [each["pointer"] for each in answer["errors"]], (body, answer)
    assert product.rows("SELECT FROM replays") == []


def test_a_webhook_that_was_removed_or_takes_no_events_cannot_be_replayed_to(product: Product) -> None:
    product.webhook("hook", HOOK)
    product.act("hook", "archive")
    assert ask(product, 422, filter=WEBHOOK)["code"] == "REPLAY_REFUSED"


segment = st.sampled_from(["a", "b", "order", "crossdock", "crossdocks", "a-b", "A_1"])
types = st.lists(segment, min_size=1, max_size=4).map(".".join)
patterns = st.lists(st.one_of(segment, st.sampled_from(["*", "**"])), min_size=1, max_size=4).map(".".join)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_patterns_mean_in_sql_what_they_mean_when_publishing(data: st.DataObject) -> None:
    wanted = data.draw(st.lists(patterns, min_size=1, max_size=3))
    for type_ in data.draw(st.lists(types, min_size=5, max_size=20)):
        # Python reads these as PostgreSQL does: groups, +, [^.], look-ahead.
        assert bool(re.search(pattern(wanted), type_)) == any(matches(each, type_) for each in wanted)


def test_postgresql_agrees(product: Product) -> None:
    names = ("order.created", "order", "order.a.b", "crossdock.a", "crossdocks.b", "a-b.A_1", "a.b")
    for wanted in ("order.*", "**", "*.created", "order.**", "crossdock.*", "**.b", "a-b.*", "*"):
        rows = product.rows(
            "SELECT type FROM unnest(CAST(:types AS text[])) AS t(type) WHERE type ~ :pattern",
            types=list(names),
            pattern=pattern([wanted]),
        )
        assert {row.type for row in rows} == {name for name in names if matches(wanted, name)}, wanted


@given(
    st.builds(
        Filter,
        webhook=st.none() | st.just("hook"),
        type=st.none() | types,
        status=st.lists(st.sampled_from(["dead", "skipped"]), unique=True).map(tuple),
        since=st.none() | st.datetimes(timezones=st.just(UTC)),
        deliveries=st.lists(st.uuids(), max_size=3).map(tuple),
    )
)
@settings(deadline=None)
def test_a_filter_comes_back_as_it_was_kept(given_: Filter) -> None:
    assert Filter.of_json(given_.as_json()) == given_


MEANT: list[tuple[dict[str, Any], str]] = [
    ({"webhook": "one"}, "abcd"),
    ({"webhook": "two"}, "e"),
    ({"type": "order.created"}, "ab"),
    ({"type": "order.*"}, "abce"),
    ({"type": "**"}, "abcde"),
    ({"type": "*.paid", "webhook": "one"}, "d"),
    ({"subject": "SO-1"}, "ace"),
    ({"subject": "SO-1", "type": "order.created"}, "a"),
    ({"status": ["dead"]}, "b"),
    ({"status": ["dead", "skipped"], "webhook": "one"}, "bc"),
    ({"status": ["discarded"]}, ""),
    ({"since": 2}, "cde"),
    ({"until": 2}, "ab"),
    ({"since": 1, "until": 3}, "bce"),
    ({"since": "2999-01-01T00:00:00Z"}, ""),
]
"""Filters and what they mean of the deliveries below; numbers are the moments of events."""
_EVENTS = [("order.created", "SO-1"), ("order.created", "SO-2"), ("order.sent", "SO-1"), ("invoice.paid", "SO-3")]
_STATES = {"a": "delivered", "b": "dead", "c": "skipped", "d": "delivered", "e": "delivered"}


def test_each_filter_means_exactly_its_deliveries_counted_before_and_made_after(product: Product) -> None:
    product.webhook("one", HOOK, events=["**"])
    product.webhook("two", HOOK, events=["order.sent"])
    for type_, subject in _EVENTS:
        body = {"type": type_, "subject": subject, "data": {}}
        assert product.client().post("/api/v1/events", json=body).status_code == 202
        time.sleep(0.002)  # an id tells milliseconds
    end(product)
    rows = product.rows(
        "SELECT d.id FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id ORDER BY w.name, d.event_uid"
    )
    letters = {row.id: letter for row, letter in zip(rows, _STATES, strict=True)}
    uids = [row.uid for row in product.rows("SELECT uid FROM events WHERE source = 'api' ORDER BY uid")]
    moments = [datetime.fromtimestamp((uid.int >> 80) / 1000, UTC).isoformat() for uid in uids]
    for filter_, wanted in MEANT:
        for identity, letter in letters.items():
            run(product, "UPDATE deliveries SET state = :state WHERE id = :id", state=_STATES[letter], id=identity)
        before = product.rows("SELECT d::text FROM deliveries d ORDER BY id")
        asked = {name: moments[value] if isinstance(value, int) else value for name, value in filter_.items()}
        counted = ask(product, 200, filter=asked, dry_run=True)
        shown = "".join(sorted(letters[read("dlv", each["delivery_id"])] for each in counted["samples"]))
        assert (counted["count"], shown) == (len(wanted), wanted), filter_
        assert product.rows("SELECT d::text FROM deliveries d ORDER BY id") == before, "a dry run writes nothing"
        replay = ask(product, filter=asked)
        finish(product)
        assert "".join(sorted(letters[row.replayed_from] for row in made(product))) == wanted, filter_
        assert see(product, replay)["total"] == len(wanted)
        run(product, "DELETE FROM deliveries WHERE replay_id IS NOT NULL")
        run(product, "DELETE FROM due")


def test_a_dry_run_shows_the_first_twenty_and_counts_all(product: Product) -> None:
    product.webhook("hook", HOOK)
    ids = product.publish(*[{"n": n} for n in range(30)])
    end(product)
    answer = ask(product, 200, filter=WEBHOOK, dry_run=True)
    assert answer["count"] == 30
    assert [each["event_id"] for each in answer["samples"]] == ids[:20]
    first = answer["samples"][0]
    assert (first["webhook"], first["event_type"], first["state"]) == ("hook", "order.created", "delivered")
    assert product.rows("SELECT FROM replays") + product.rows("SELECT FROM due WHERE kind = 'replay'") == []


def test_another_workspaces_webhooks_deliveries_events_and_replays_are_not_there(product: Product) -> None:
    other = product.workspace("other", "main")
    product.webhook("hook", HOOK)
    product.webhook("theirs", HOOK)
    product.publish({}, {})
    end(product)
    mine = ask(product, filter=WEBHOOK)
    delivery = product.client().get("/api/v1/deliveries").json["items"][0]
    product.webhook("hook", HOOK, scope=other)
    for filter_ in ({"webhook": "theirs"}, {"deliveries": [delivery["id"]]}):
        assert ask(product, 422, scope=other, filter=filter_)["code"] == "REPLAY_REFUSED"
    for body in ({"filter": WEBHOOK}, {"filter": {"type": "**"}}, {"filter": WEBHOOK, "backfill": True}):
        assert ask(product, 200, scope=other, **body, dry_run=True)["count"] == 0
        ask(product, scope=other, **body)
    finish(product)
    assert product.rows("SELECT FROM deliveries WHERE workspace_id = :id", id=other.workspace_id) == []
    client = product.client(other)
    assert [each["done"] for each in client.get("/api/v1/replays").json["items"]] == [0, 0, 0]
    assert client.get(f"/api/v1/replays/{mine['id']}").status_code == 404
    for action in ("pause", "resume", "cancel"):
        assert client.post(f"/api/v1/replays/{mine['id']}/{action}").status_code == 404
