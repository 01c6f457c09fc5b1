"""Runs: what is read, written, left out, refused and removed, and where the next one goes on."""

from __future__ import annotations

from decimal import Decimal

import pytest

from plugins.sql.writing import TableWrite
from server.kernel.errors import Retryable
from server.queue import claims
from server.sdk import Batch, one_by_one, unpacked
from server.syncs import batches, engine, progress
from server.syncs.guarding import GUARD_STOPPED
from server.syncs.repository import SYNC_JOBS
from server.syncs.runs import KIND, start_run
from tests.support.product import until
from tests.syncs.running import BODY


def counts(row):
    return row.state, row.read, row.written, row.unchanged, row.refused


def test_rows_become_records_and_the_next_run_takes_what_has_changed(syncing):
    syncing.job()
    for number in range(25):
        syncing.put(number)
    assert counts(syncing.run()) == ("succeeded", 25, 25, 0, 0)
    assert syncing.new("SELECT * FROM shop.customers WHERE external_id = '7'") == [("7", "n7", "e7@x", Decimal("1.50"))]
    syncing.put(3, second=40, name="changed")
    syncing.put(30, second=50)
    row = syncing.run()
    assert (row.state, row.written) == ("succeeded", 2)
    assert row.read < 5, "it goes on where the last run ended"
    assert syncing.customers()[3] == "changed"


def test_a_row_changed_again_within_the_same_tick_is_not_lost(syncing):
    syncing.job()
    for number in range(5):
        syncing.put(number, second=10)
    syncing.run()
    syncing.put(1, second=10, name="again")
    row = syncing.run()
    assert (row.written, row.unchanged) == (1, 4)
    assert syncing.customers()[1] == "again"


def test_a_late_commit_is_found_by_the_look_back(syncing):
    syncing.job(source={**BODY["source"], "cursor": {"fields": ["updated_at", "id"], "lookback": "5m"}})
    for number in range(0, 200, 10):
        syncing.put(number)
    syncing.run()
    syncing.put(155)
    assert syncing.run().written == 1


def test_an_empty_source_is_a_run_of_nothing(syncing):
    syncing.job()
    assert counts(syncing.run()) == ("succeeded", 0, 0, 0, 0)


def test_a_changed_map_writes_every_record_that_is_read_anew(syncing):
    job = syncing.job(source={key: value for key, value in BODY["source"].items() if key != "cursor"})
    for number in range(5):
        syncing.put(number)
    syncing.run()
    assert syncing.run().unchanged == 5
    syncing.change(job, map={**BODY["map"], "name": "upper(row.name)"})
    assert syncing.run().written == 5
    assert syncing.customers() == [f"N{number}" for number in range(5)]


def test_bad_records_become_dead_letters_and_the_others_are_written(syncing):
    syncing.new("ALTER TABLE shop.customers ADD CHECK (name <> 'bad')")
    syncing.job()
    for number in range(30):
        syncing.put(number, name="bad" if number in (4, 17) else None if number == 9 else f"n{number}")
    row = syncing.run()
    assert counts(row) == ("succeeded", 30, 27, 0, 3)
    letters = syncing.product.rows(
        "SELECT reason, owner, error FROM dead_letters WHERE kind = 'record' ORDER BY reason"
    )
    assert [each.reason for each in letters] == ["mapping", "refused", "refused"]
    assert {each.owner for each in letters} == {"sync/customers"}
    kept = syncing.product.rows("SELECT key, row FROM sync_refused ORDER BY key")
    assert [each.key for each in kept] == ["[17]", "[4]", "[9]"]
    assert kept[0].row["name"] == "bad"


@pytest.mark.parametrize(("how", "state", "letters"), [("fail", "failed", 0), ("skip", "succeeded", 0)])
def test_a_bad_record_fails_the_run_or_is_left_out_where_the_job_says_so(syncing, how, state, letters):
    syncing.job(on_record_error=how)
    syncing.put(1)
    syncing.put(2, name=None)
    assert syncing.run().state == state
    assert len(syncing.product.rows("SELECT id FROM dead_letters")) == letters


def test_a_guard_stops_a_run_of_too_many_bad_or_changed_records(syncing):
    job = syncing.job(source={key: value for key, value in BODY["source"].items() if key != "cursor"})
    for number in range(20):
        syncing.put(number)
    syncing.run()
    for number in range(10):
        syncing.put(number, name=None)
    row = syncing.run()
    assert (row.state, row.error["code"]) == ("failed", GUARD_STOPPED)
    syncing.change(job, guards={"max_change_percent": 20})
    for number in range(20):
        syncing.put(number, name="all")
    row = syncing.run()
    assert (row.state, row.error["code"], row.written) == ("failed", GUARD_STOPPED, 0)
    assert "all" not in syncing.customers()


@pytest.mark.parametrize("mode", ["upsert", "mirror"])
def test_what_the_source_has_no_more_is_deleted_within_its_guard(syncing, mode):
    delete = {"detect": "key_snapshot", "every": "1m", "action": "delete", "max_percent": 20}
    syncing.job(target={**BODY["target"], "mode": mode, "delete": delete})
    for number in range(30):
        syncing.put(number)
    syncing.run()
    syncing.ours("UPDATE sync_states SET snapshot_at = now() - interval '1 hour'")
    syncing.old("DELETE FROM customers WHERE id IN (3, 4)")
    row = syncing.run()
    assert (row.state, row.deleted) == ("succeeded", 2)
    assert len(syncing.customers()) == 28
    syncing.ours("UPDATE sync_states SET snapshot_at = now() - interval '1 hour'")
    syncing.old("DELETE FROM customers")
    row = syncing.run()
    assert (row.state, row.error["code"]) == ("failed", GUARD_STOPPED)
    assert len(syncing.customers()) == 28, "an empty source ends nothing"
    for number in range(30):
        syncing.put(number, second=50)
    syncing.run()
    assert "n3" in syncing.customers(), "what comes back is written again"


def test_a_flag_of_the_row_deletes_it(syncing):
    syncing.job(
        target={**BODY["target"], "delete": {"detect": "flag", "when": "row.email == 'gone'", "action": "delete"}}
    )
    for number in range(20):
        syncing.put(number)
    syncing.run()
    syncing.put(3, second=40, email="gone")
    row = syncing.run()
    assert (row.state, row.deleted) == ("succeeded", 1)
    assert "n3" not in syncing.customers()


def test_one_record_is_synced_by_its_key(syncing):
    delete = {"detect": "key_snapshot", "action": "delete", "max_percent": 100}
    syncing.job(target={**BODY["target"], "delete": delete})
    for number in range(5):
        syncing.put(number)
    assert syncing.run(key=[3]).state == "succeeded"
    assert syncing.customers() == ["n3"]
    syncing.old("DELETE FROM customers WHERE id = 3")
    assert syncing.run(key=[3]).deleted == 1
    assert syncing.customers() == []


def test_replace_swaps_everything_at_the_end(syncing):
    syncing.new("INSERT INTO shop.customers VALUES ('99', 'old', '', 0)")
    source = {key: value for key, value in BODY["source"].items() if key != "cursor"}
    syncing.job(source=source, target={**BODY["target"], "mode": "replace", "skip_unchanged": False})
    for number in range(25):
        syncing.put(number)
    assert syncing.run().state == "succeeded"
    assert syncing.customers() == [f"n{number}" for number in range(25)]


def test_a_run_goes_on_after_each_batch_where_it_was_left(syncing, monkeypatch):
    monkeypatch.setattr(engine, "SLICE_SECONDS", 0.0)
    syncing.job()
    for number in range(45):
        syncing.put(number)
    row = syncing.run()
    assert counts(row) == ("succeeded", 45, 45, 0, 0)
    assert row.batches == 5


def test_a_batch_that_was_written_but_not_recorded_has_its_effect_once(syncing, monkeypatch):
    """What a kill between the target's commit and ours leaves behind."""
    syncing.job()
    for number in range(30):
        syncing.put(number)
    saved = progress.save
    calls = []

    def dies(conn, run):
        calls.append(run)
        if len(calls) == 3:
            raise SystemExit
        saved(conn, run)

    monkeypatch.setattr(progress, "save", dies)
    with pytest.raises(SystemExit):
        syncing.run()
    assert len(syncing.customers()) == 20
    syncing.ours("UPDATE due SET due_at = now() - interval '1 minute'")
    while syncing.slice():
        pass
    [row] = syncing.product.rows("SELECT * FROM sync_runs")
    assert counts(row) == ("succeeded", 30, 30 - row.unchanged, row.unchanged, 0)
    assert len(syncing.customers()) == 30


def test_a_worker_whose_lease_is_another_s_changes_nothing(syncing):
    syncing.job()
    for number in range(30):
        syncing.put(number)
    with syncing.product.tx() as tx:
        run = start_run(tx, SYNC_JOBS.get(tx, "customers"), "person", lambda: None)
    store = syncing.product.core.engine
    with store.connect() as conn:
        [old] = claims.claim(conn, KIND, 1)
    syncing.ours("UPDATE due SET due_at = now() - interval '1 minute'")
    with store.connect() as conn:
        [new] = claims.claim(conn, KIND, 1)
    syncing.runs.slice(old)
    assert syncing.row(run).read == 0
    assert syncing.product.rows("SELECT * FROM sync_records") == []
    syncing.runs.slice(new)
    assert counts(syncing.row(run))[:2] == ("succeeded", 30)


def test_a_checkpoint_without_a_ledger_is_nothing_when_the_lease_is_another_s(syncing, monkeypatch):
    """One statement does all of it, and changes nothing then: neither the run nor where the job goes on."""
    syncing.job(target={**BODY["target"], "skip_unchanged": False, "revertible": "0s"})
    for number in range(30):
        syncing.put(number)
    checkpoint, calls = progress.checkpoint, []

    def loses(*args, **options):
        calls.append(args)
        if len(calls) == 2:
            syncing.ours("UPDATE due SET epoch = epoch + 1")
        checkpoint(*args, **options)

    monkeypatch.setattr(progress, "checkpoint", loses)
    row = syncing.run()
    [state] = syncing.product.rows("SELECT * FROM sync_states")
    assert (row.state, row.read, row.batches, len(calls)) == ("running", 10, 1, 2)
    assert unpacked(state.position) == ("2026-01-01T00:00:09Z", 9)
    syncing.ours("UPDATE due SET due_at = now() - interval '1 minute'")
    while syncing.slice():
        pass
    assert counts(syncing.row(row.id)) == ("succeeded", 30, 20, 10, 0)  # the second page was there already


def test_a_target_that_is_away_is_tried_again_and_then_fails_the_run(syncing):
    syncing.job(retry={"attempts": 2, "initial": "1ms", "max": "1ms"})
    syncing.put(1)
    syncing.new("ALTER TABLE shop.customers RENAME TO other")
    assert syncing.run().error["code"] == "TABLE_MISSING"
    syncing.new("ALTER TABLE shop.other RENAME TO customers")
    assert syncing.run().state == "succeeded"


def test_a_run_that_is_cancelled_ends_before_its_next_slice(syncing, monkeypatch):
    monkeypatch.setattr(engine, "SLICE_SECONDS", 0.0)
    syncing.job()
    for number in range(40):
        syncing.put(number)
    row = syncing.run(slices=1)
    assert row.state == "running"
    syncing.ours("UPDATE sync_runs SET cancelled_at = now()")
    syncing.slice()
    assert (syncing.row(row.id).state, syncing.row(row.id).read) == ("cancelled", 10)


def test_no_run_touches_the_ledger_of_another_workspace(syncing):
    syncing.job()
    syncing.put(1)
    syncing.run()
    rival = syncing.product.workspace("rival", "main")
    with syncing.product.tx(rival) as tx:
        for table in ("sync_records", "sync_states", "sync_refused", "sync_runs"):
            assert tx.all(f"SELECT * FROM {table}") == []


def keys_of(mode, run, *made, page="p"):
    return list(batches.Keys(batches.Place(run, "", page), mode, made))


def test_the_keys_of_records_stay_the_same_over_tries():
    first, again = batches.Made({"a": 1}, "[1]", b"", {}, ()), batches.Made({"a": 1}, "[1]", b"", {"b": 2}, ())
    changed = batches.Made({"a": 2}, "[1]", b"", {}, ())
    assert keys_of("upsert", "run_1", first) == keys_of("upsert", "run_1", again)
    assert keys_of("upsert", "run_1", first) != keys_of("upsert", "run_1", changed)


def test_what_comes_back_in_a_later_run_is_written_then_and_appended_never_again():
    made = batches.Made({"a": 1}, "[1]", b"", {}, ())
    assert keys_of("upsert", "run_1", made) != keys_of("upsert", "run_2", made)
    assert keys_of("append", "run_1", made) == keys_of("append", "run_2", made)


def test_rows_without_a_key_that_are_alike_are_told_apart_by_where_they_are():
    alike = [batches.Made({"a": 1}, None, b"", {}, (), place) for place in range(2)]
    assert len({*keys_of("append", "run_1", *alike), *keys_of("append", "run_1", *alike, page="q")}) == 4
    assert keys_of("append", "run_1", *alike) == keys_of("append", "run_1", *alike)


def test_what_was_written_of_a_batch_that_comes_again_is_not_sent_again(syncing, monkeypatch):
    """A target that takes one record a call fails in the middle: the records before it were written."""
    job = syncing.job(retry={"attempts": 3, "initial": "1ms", "max": "1ms"})
    for number in range(5):
        syncing.put(number)
    sent = []
    whole = TableWrite.write

    def one_by_one_write(self, to, batch, context):
        def write(index):
            sent.append(batch.records[index]["external_id"])
            if batch.records[index]["external_id"] == "3" and sent.count("3") == 1:
                raise Retryable("away for a moment")
            whole(self, to, Batch([batch.records[index]], [batch.keys[index]]), context)

        return one_by_one(len(batch.records), write)

    monkeypatch.setattr(TableWrite, "write", one_by_one_write)
    with syncing.product.tx() as tx:
        run = start_run(tx, job, "person", lambda: None)
    until(lambda: (syncing.slice(), syncing.row(run).state)[1] == "succeeded", what="the run to end")
    assert sent == ["0", "1", "2", "3", "3", "4"]
    assert syncing.customers() == [f"n{number}" for number in range(5)]


@pytest.mark.parametrize("seconds", [5.0, 0.0])
def test_parts_are_read_side_by_side_and_go_on_where_each_was_left(syncing, monkeypatch, seconds):
    monkeypatch.setattr(engine, "SLICE_SECONDS", seconds)
    source = {**BODY["source"], "partitions": 3}
    syncing.job(source=source)
    for number in range(100):
        syncing.put(number, name=None if number == 50 else f"n{number}")
    row = syncing.run(slices=60)
    assert counts(row) == ("succeeded", 100, 99, 0, 1)
    assert len(syncing.customers()) == 99
    syncing.put(101, second=200)
    row = syncing.run(slices=60)
    assert (row.state, row.written) == ("succeeded", 1)
    assert row.read < 5, "the cursor is where the last part ended"
