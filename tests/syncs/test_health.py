"""A job whose run fails is failing, says so once, goes on, and recovers with the first run that succeeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.kernel.errors import Unavailable
from server.syncs import health
from server.syncs.repository import SYNC_JOBS

if TYPE_CHECKING:
    import pytest

    from tests.syncs.running import Syncing


def told(syncing: Syncing) -> list[tuple[str, str]]:
    """Return what the job has told of its health: the last word of the event's type, and the reason."""
    rows = syncing.product.rows(
        "SELECT type, data FROM journal WHERE type LIKE 'crossdock.sync_job.%' ORDER BY version"
    )
    types = {"crossdock.sync_job.failed", "crossdock.sync_job.recovered"}
    return [(row.type.rpartition(".")[2], row.data["reason"]) for row in rows if row.type in types]


def state(syncing: Syncing) -> str:
    with syncing.product.tx() as tx:
        return SYNC_JOBS.get(tx, "customers").state


def broken(syncing: Syncing, *, name: str | None = None) -> Any:
    syncing.put(1, name=name)
    return syncing.run()


def test_a_run_that_fails_is_told_once_and_the_next_that_succeeds_too(syncing: Syncing) -> None:
    syncing.job(on_record_error="fail")
    for _ in range(2):
        row = broken(syncing)
        assert (row.state, state(syncing)) == ("failed", "failing")
    [(what, why)] = told(syncing)
    assert what == "failed"
    assert str(row.error["code"]) in why
    for _ in range(2):
        assert broken(syncing, name="mended").state == "succeeded"
        assert state(syncing) == "active"
    assert [each for each, _ in told(syncing)] == ["failed", "recovered"]


def test_a_job_that_a_person_has_paused_or_that_runs_beside_stays_as_it_is(syncing: Syncing) -> None:
    syncing.job(on_record_error="fail")
    with syncing.product.tx() as tx:
        job = SYNC_JOBS.get(tx, "customers")
        job.act("pause", "a person's")
        SYNC_JOBS.save(tx, job)
    syncing.put(1, name=None)
    syncing.run()
    assert (state(syncing), told(syncing)) == ("paused", [])


def test_a_database_that_is_away_does_not_break_the_end_of_a_run(
    syncing: Syncing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise Unavailable("away", source="store")

    monkeypatch.setattr(health, "scope_of", away)
    syncing.job(on_record_error="fail")
    assert broken(syncing).state == "failed"
    assert state(syncing) == "active"
