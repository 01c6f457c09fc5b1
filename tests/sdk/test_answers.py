"""One table says what an answer means for the next try."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from server.kernel.errors import Permanent, Retryable
from server.sdk.answers import LONGEST_PAUSE, expect_success, failure_of, read_json, retry_after

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (200, None, None), (201, None, None), (204, None, None), (299, None, None),
        (301, Permanent, "UPSTREAM_REFUSED"), (302, Permanent, "UPSTREAM_REFUSED"), (304, Permanent, "UPSTREAM_REFUSED"),
        (400, Permanent, "UPSTREAM_REFUSED"), (401, Permanent, "UPSTREAM_FORBIDDEN"),
        (403, Permanent, "UPSTREAM_FORBIDDEN"), (404, Permanent, "UPSTREAM_NOT_FOUND"),
        (407, Permanent, "UPSTREAM_FORBIDDEN"), (408, Retryable, "UPSTREAM_FAILED"),
        (409, Permanent, "UPSTREAM_REFUSED"), (410, Permanent, "UPSTREAM_NOT_FOUND"),
        (422, Permanent, "UPSTREAM_REFUSED"), (425, Retryable, "UPSTREAM_FAILED"), (429, Retryable, "UPSTREAM_LIMITED"),
        (500, Retryable, "UPSTREAM_FAILED"), (502, Retryable, "UPSTREAM_FAILED"), (503, Retryable, "UPSTREAM_FAILED"),
        (504, Retryable, "UPSTREAM_FAILED"), (599, Retryable, "UPSTREAM_FAILED"), (600, Permanent, "UPSTREAM_REFUSED"),
        (999, Permanent, "UPSTREAM_REFUSED"),
    ],
)  # fmt: skip
def test_each_status_has_its_class(status, kind, code):
    failure = failure_of(status, {}, NOW)
    assert (type(failure), getattr(failure, "code", None)) == ((kind or type(None)), code)
    if failure:
        assert failure.details == {"status": status}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0), ("7", 7), (" 120 ", 120), ("99999999", LONGEST_PAUSE), ("9" * 400, None), ("-1", None), ("1.5", None),
        ("", None), (None, None), ("soon", None), ("٣", None), (format_datetime(NOW + timedelta(minutes=5), usegmt=True), 300),
        (format_datetime(NOW - timedelta(minutes=5), usegmt=True), 0), ("Sun, 22 Nov 2026 12:00:30 -0000", 30),
        ("Sun, 22 Nov 9999 12:00:30 GMT", LONGEST_PAUSE), ("Sun, 99 Nov 2026 12:00:30 GMT", None), ("Sun, 06 Nov 1994", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_a_date(value, seconds):
    assert retry_after(value, NOW) == seconds


@given(st.text(max_size=60))
def test_no_retry_after_whatever_raises_or_goes_out_of_bounds(value):
    after = retry_after(value, NOW)
    assert after is None or 0 <= after <= LONGEST_PAUSE


def response(content, status=200):
    made = requests.Response()
    made.status_code, made._content = status, content
    return made


@pytest.mark.parametrize(
    "content", [b"", b"{", b"<html>", b"NaN", b"[Infinity]", b"[" * 100_000, b"\xff\xfe{", b"1" * 5000]
)
def test_what_is_no_json_is_a_broken_answer(content):
    with pytest.raises(Retryable) as broken:
        read_json(response(content))
    assert broken.value.code == "ANSWER_BROKEN"


def test_json_is_read_and_a_success_passes_through():
    ok = response(b'{"a": 1}')
    assert read_json(expect_success(ok, NOW)) == {"a": 1}
    with pytest.raises(Retryable):
        expect_success(response(b"", 503), NOW)
