"""The rate cap, for every rate and every way in which a worker comes late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from server.replays.pacing import ADVANCE_SECONDS, BURST_SECONDS, pace

START = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.integers(1, 5000), st.lists(st.floats(0, 30), min_size=1, max_size=40), st.integers(1, 1000))
def test_no_more_than_the_rate_is_ever_made(rate: int, pauses: list[float], slice_: int) -> None:
    now, paid, total = START, None, 0
    for pause in pauses:
        step = pace(now, paid, rate)
        made = min(step.count, slice_)
        paid = step.paid(made)
        total += made
        elapsed = (now - START).total_seconds()
        assert total <= rate * (elapsed + ADVANCE_SECONDS) + 1
        assert made <= rate * BURST_SECONDS
        assert step.again(made) >= now
        now += timedelta(seconds=pause)


@given(st.integers(1, 5000), st.floats(0, 2.2))
def test_a_worker_that_looks_every_two_seconds_keeps_the_rate(rate: int, late: float) -> None:
    now, paid, total = START, None, 0
    while (now - START).total_seconds() < 100:
        step = pace(now, paid, rate)
        paid = step.paid(step.count)
        total += step.count
        now = step.again(step.count) + timedelta(seconds=late)
    assert total >= rate * 90


def test_what_is_left_of_a_second_is_due_at_once_and_the_rest_in_a_second() -> None:
    step = pace(START, None, 2500)
    assert step.count == 2500
    assert step.again(1000) == START
    assert step.again(2500) == START + timedelta(seconds=1)
