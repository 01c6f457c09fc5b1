"""What came from outside is text, whole and visible, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html import unescape
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.dashboard import shown
from server.events.envelope import from_json
from tests.dashboard.test_pages import delivery_path
from tests.support.product import until
from tests.support.receiver import Answer

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from tests.support.product import Product
    from tests.support.receiver import Receiver

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "</pre><form action='https://evil.example'>",
    "javascript:alert(1)",
    "safe\u202egnp.exe",
    "line\r\nSet-Cookie: a=b",
    "zero\u200bwidth",
    "&lt;already&gt;",
    "a" * 5000,
)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\u2066b\u2069", "a⟨U+2066⟩b⟨U+2069⟩"),
        ("zero\u200bwidth\ufeff", "zero⟨U+200B⟩width⟨U+FEFF⟩"),
        ("cr\r\nlf\ttab", "cr␍\nlf\ttab"),
        ("nul\x00bell\x07esc\x1b[31m", "nul␀bell␇esc␛[31m"),
        ("\x7f\x85\u2028", "⟨U+007F⟩⟨U+0085⟩⟨U+2028⟩"),
        ("half\ud800", "half⟨U+D800⟩"),
        ("Müller 日本 שלום 👍", "Müller 日本 שלום 👍"),
        (None, ""),
    ],
)
def test_signs_that_hide_or_turn_are_made_visible(text: str | None, seen: str) -> None:
    assert shown.plain(text) == seen


def test_a_line_stays_a_line() -> None:
    assert shown.line("a\nb\tc") == "a␊b␉c"


@given(st.text(st.characters(codec=None)))
def test_whatever_the_text_it_can_be_sent_and_hides_nothing(text: str) -> None:
    seen = shown.plain(text)
    seen.encode()
    assert shown.plain(seen) == seen


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ('{"b":1.10,"a":[1,2]}', '{\n  "b": 1.10,\n  "a": [\n    1,\n    2\n  ]\n}'),
        ('{"n":9223372036854775807,"x":1e5}', '{\n  "n": 9223372036854775807,\n  "x": 1E+5\n}'),
        ("[1e-999999999]", "[\n  1E-999999999\n]"),
        ("no json", "no json"),
        ("[" * 2000, "[" * 2000),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("", ""),
    ],
)
def test_json_is_indented_digit_by_digit_and_the_rest_left_alone(text: str, seen: str) -> None:
    assert shown.pretty(text) == shown.Pretty(seen)


def test_what_is_long_is_cut_and_says_so() -> None:
    found = shown.pretty("[" + ",".join("1" for _ in range(shown.LONGEST)) + "]")
    assert found.cut
    assert len(found.text) == shown.LONGEST


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), inner)
    ),
    max_leaves=20,
)


@given(_JSON)
def test_pretty_json_says_the_same(value: object) -> None:
    import json

    seen = shown.pretty(json.dumps(value)).text
    if "⟨U+" not in seen:
        assert from_json(seen) == value


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (5, "5 s ago"),
        (59.4, "59 s ago"),
        (59.6, "1 min ago"),
        (300, "5 min ago"),
        (3599, "1 h ago"),
        (7200, "2 h ago"),
        (3 * 86400, "3 days ago"),
        (-90, "in 2 min"),
        (-5 * 86400 + 1, "in 5 days"),
    ],
)
def test_ages_are_written_by_their_largest_unit(seconds: float, text: str) -> None:
    assert shown.ago(NOW - timedelta(seconds=seconds), NOW) == text


def test_moments_are_utc() -> None:
    from zoneinfo import ZoneInfo

    berlin = datetime(2026, 7, 1, 14, 30, 15, 999, tzinfo=ZoneInfo("Europe/Berlin"))
    assert shown.utc(berlin) == "2026-07-01 12:30:15 UTC"
    assert shown.machine(berlin) == "2026-07-01T12:30:15Z"


@pytest.mark.parametrize(
    "timings",
    [
        None,
        {},
        {"total": 0},
        {"total": -1},
        {"total": "x"},
        {"connect": 5},
        {"total": 10, "connect": 99, "first_byte": -3},
    ],
)
def test_odd_timings_draw_nothing_outside_the_bar(timings: dict[str, object] | None) -> None:
    for _, start, width, _ in shown.phases(timings):
        assert 0 <= start <= start + width <= 100.01


def test_hostile_payloads_are_text_on_every_page(product: Product, operator: FlaskClient, receiver: Receiver) -> None:
    receiver.answer = Answer(
        422, {"Content-Type": "text/html", "X-Odd": HOSTILE[1]}, HOSTILE[0].encode() + b"\x00\xff\xfe"
    )
    product.webhook("orders", receiver.url, order_by="data.order_id")
    client = product.client()
    for text in HOSTILE:
        subject = text.replace("\r", "").replace("\n", "")[:500]
        sent = {
            "type": "order.created",
            "data": {"order_id": text, text[:100]: [text]},
            "source": text[:80],
            "subject": subject,
        }
        answer = client.post("/api/v1/events", json=sent)
        assert answer.status_code in (202, 422), answer.json
        if answer.status_code == 422:  # a source or subject like that is refused at the door: the data is not
            sent.pop("source")
            sent.pop("subject")
            assert client.post("/api/v1/events", json=sent).status_code == 202
    with product.worker():
        until(lambda: product.states().get("dead", 0) == len(HOSTILE))
    pages = ["/", "/deliveries", "/dead-letters", "/dead-letters?webhook=orders", "/webhooks"]
    listing = operator.get("/deliveries").text
    pages += sorted({each for each in listing.split('"') if each.startswith("/deliveries/dlv_")})
    assert len(pages) == 5 + len(HOSTILE)
    for path in pages:
        page = operator.get(path)
        assert page.status_code == 200
        for bad in ("<script", "<img src=x", "<form action='https", "\u202e", "\u200b", "\x00", "\r"):
            assert bad not in page.text, (path, bad)
        assert not [header for header in page.headers.getlist("Set-Cookie") if "a=b" in header]
    assert "<script>alert(1)</script>" in unescape(operator.get(delivery_path(operator)).text)


def test_hostile_filters_are_text_too(operator: FlaskClient) -> None:
    for text in HOSTILE:
        for path in ("/deliveries", "/dead-letters", "/webhooks"):
            query = dict.fromkeys(("webhook", "state", "event", "done", "n"), text[:400])
            answer = operator.get(path, query_string=query)
            assert answer.status_code in (200, 422)
            assert "<script" not in answer.text
            assert "<img src=x" not in answer.text
            assert "\u202e" not in answer.text
