"""The table of what an answer means: whole, and safe from whatever a receiver writes into Retry-After."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kernel.policies import RetrySchedule
from server.webhooks.outcomes import Retry, next_try, retry_after, status_failure, verdict

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
SCHEDULE = RetrySchedule((5.0, 300.0), jitter=0.2)
DAY = NOW + timedelta(days=1)


def test_every_status_has_its_verdict():
    verdicts = {status: verdict(status) for status in range(100, 1000)}
    assert {status for status, said in verdicts.items() if said == "delivered"} == set(range(200, 300))
    assert {status for status, said in verdicts.items() if said == "gone"} == {410}
    assert {status for status, said in verdicts.items() if said == "loop"} == {508}
    assert {status for status, said in verdicts.items() if said == "retry"} == {408, 425, 429, *range(500, 600)} - {508}
    for status, said in verdicts.items():
        if said != "delivered":
            assert status_failure(status).retryable == (said == "retry")
            assert status_failure(status).details == {"status": status}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("7", 7), (" 120 ", 120), ("86400", 86400), ("Sun, 22 Nov 2026 12:00:30 GMT", 30),
     ("Sunday, 22-Nov-26 12:00:30 GMT", 30), ("Sun Nov 22 12:00:30 2026", 30), ("Sun, 22 Nov 2026 14:00:30 +0200", 30),
     ("Sun, 22 Nov 2026 11:00:00 GMT", 0), ("Mon, 01 Jan 0001 00:00:00 +2359", 0)],
)  # fmt: skip
def test_retry_after_is_read_in_seconds_and_as_a_date(status, value, seconds):
    assert retry_after(status, value, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize("status", [200, 301, 400, 404, 408, 410, 425, 500, 501, 505, 599])
def test_retry_after_counts_for_no_other_status(status):
    assert retry_after(status, "7", NOW) is None


@pytest.mark.parametrize(
    "value", [None, "", " ", "soon", "-5", "1.5", "1e3", "٣", "7, 7", "0x7", "Sun, 99 Nov 2026 12:00:30 GMT"]
)
def test_nonsense_is_no_pause(value):
    assert retry_after(503, value, NOW) is None


@given(
    st.text(max_size=60)
    | st.from_regex(r"[0-9]{1,40}")
    | st.datetimes().map(lambda at: at.strftime("%a, %d %b %Y %H:%M:%S -2359"))
)
def test_no_retry_after_breaks_anything(value):
    pause = retry_after(503, value, NOW)
    retry = next_try(SCHEDULE, 1, NOW, DAY, pause, 0.5)
    assert retry.at is None or NOW < retry.at <= DAY


@pytest.mark.parametrize("value", ["9" * 30, "Fri, 31 Dec 9999 23:59:59 -2359", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_pause_beyond_the_expiry_ends_the_delivery(value):
    assert next_try(SCHEDULE, 1, NOW, DAY, retry_after(503, value, NOW), 0.0) == Retry(None, "expired")


@pytest.mark.parametrize(
    ("attempts", "pause", "due"),
    [(1, None, 5.5), (1, 3, 5.5), (1, 60, 60), (2, 60, 330), (2, 86400, 86400), (2, 86401, "expired"), (3, 60, "exhausted"),
     (3, None, "exhausted")],
)  # fmt: skip
def test_the_later_of_schedule_and_retry_after_wins_up_to_the_expiry(attempts, pause, due):
    asked = None if pause is None else timedelta(seconds=pause)
    retry = next_try(SCHEDULE, attempts, NOW, DAY, asked, 0.5)
    assert retry == (Retry(None, due) if isinstance(due, str) else Retry(NOW + timedelta(seconds=due)))
