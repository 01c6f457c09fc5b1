"""Where the runs of a cursor begin: at `initial` the first time, and never before it when they look back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from server.syncs import windows
from server.syncs.job import job_of
from tests.syncs.running import BODY

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def at(minute: int) -> datetime:
    return datetime(2026, 1, 1, 12, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cursor", "reached", "since"),
    [
        ({"initial": "2026-01-01T12:00:00Z"}, None, at(0)),
        ({"initial": "2026-01-01T12:00:00Z", "lookback": "10m"}, at(30), at(20)),
        ({"initial": "2026-01-01T12:00:00Z", "lookback": "10m"}, at(5), at(0)),
        ({"initial": "2026-01-01T12:00:00Z", "lookback": "10m"}, at(5).isoformat(), at(0)),
        (
            {"initial": "2026-01-01T12:50:00Z", "lookback": "10m"},
            at(30),
            at(20),
        ),  # it was moved since: nothing is left out
        ({"lookback": "10m"}, at(30), at(20)),
    ],
)
def test_a_run_begins_no_earlier_than_the_very_first_one(cursor: dict[str, Any], reached: Any, since: datetime) -> None:
    job = job_of(
        {
            "name": "customers",
            **BODY,
            "source": {**BODY["source"], "cursor": {"fields": ["updated_at", "id"], **cursor}},
        }
    )
    position = None if reached is None else (reached, 7)
    assert windows.first(job, position, NOW).since == (since,)
