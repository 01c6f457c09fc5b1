"""What a run wrote is put back; what was changed since is left; source and target are compared; a record tells its story."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from server import bootstrap
from server.app import create_app
from server.config import Settings
from server.integrations.guards import LONGEST_BY_HAND
from server.syncs import changes, differences, engine, progress, records_api
from server.syncs.filling import Filler
from server.syncs.guarding import GUARD_STOPPED
from server.syncs.records_api import RUN_UNDER_WAY, Records
from server.syncs.repository import SYNC_JOBS
from server.syncs.reverting import NOT_REVERTIBLE
from server.syncs.runs import start_run
from tests.authoring_db.conftest import Client, Frame
from tests.syncs.running import BODY, Syncing

DELETE = {"detect": "key_snapshot", "every": "1m", "action": "delete", "max_percent": 50}


@pytest.fixture
def api(syncing: Syncing) -> Client:
    core = syncing.product.core
    records = Records(
        core.tenant, core.hint, bootstrap.making_of(core), syncing.caller, Filler(core.tenant, core.admit)
    )
    scopes = {"main": syncing.scope, "rival": syncing.product.workspace("rival", "rival")}
    app = create_app(Frame(Settings(), core.tenant, [records_api.blueprint(records)], scopes))
    return Client(app.test_client(), "operator")


def shown(run: Any) -> str:
    return f"/sync-runs/{engine.show('run', run.id)}"


def work(syncing: Syncing) -> Any:
    for _ in range(60):
        if not syncing.slice():
            break
    return syncing.product.rows("SELECT * FROM sync_runs ORDER BY id DESC LIMIT 1")[0]


def revert(api: Client, syncing: Syncing, run: Any, **body: Any) -> Any:
    api("POST", f"{shown(run)}/revert", body, status=202)
    return work(syncing)


def two_runs(syncing: Syncing, **target: Any) -> tuple[Any, Any]:
    """Write 0 to 9, then change 0 to 4 and write 20 to 24."""
    syncing.job(target={**BODY["target"], **target})
    for number in range(10):
        syncing.put(number)
    first = syncing.run()
    for number in range(5):
        syncing.put(number, second=40 + number, name=f"wrong{number}", credit="9.25")
        syncing.put(20 + number, second=50 + number)
    return first, syncing.run()


def test_what_was_inserted_goes_and_what_was_updated_is_as_before(api: Client, syncing: Syncing) -> None:
    before = [f"n{number}" for number in range(10)]
    _, second = two_runs(syncing)
    assert len(syncing.customers()) == 15
    row = revert(api, syncing, second)
    assert (row.kind, row.state, row.result) == (
        "revert", "succeeded", {"put_back": 5, "removed": 5, "as_before": 0, "left": 0},
    )  # fmt: skip
    assert syncing.customers() == before
    assert syncing.new("SELECT credit::text FROM shop.customers WHERE external_id = '1'") == [("1.50",)]
    assert api("POST", f"{shown(second)}/revert", {}, status=409)["code"] == NOT_REVERTIBLE


def test_a_preview_asks_no_longer_than_somebody_waits(api: Client, syncing: Syncing) -> None:
    _, second = two_runs(syncing)
    syncing.ours("""UPDATE integrations SET body = body::jsonb || '{"policy": {"timeout": "10m"}}'""")
    syncing.gate.seconds.clear()
    assert api("POST", f"{shown(second)}/revert/preview", {})["records"] == 10
    assert set(syncing.gate.seconds) == {LONGEST_BY_HAND}


def test_what_was_changed_since_is_left_and_listed_unless_forced(api: Client, syncing: Syncing) -> None:
    _, second = two_runs(syncing)
    syncing.new("UPDATE shop.customers SET name = 'by hand' WHERE external_id = '1'")
    syncing.put(2, second=200, name="later")
    syncing.run()
    foreseen = api("POST", f"{shown(second)}/revert/preview", {})
    assert (foreseen["records"], sorted(each["action"] for each in foreseen["samples"])) == (
        10, ["leave"] * 2 + ["put_back"] * 3 + ["remove"] * 5,
    )  # fmt: skip
    assert len(syncing.customers()) == 15, "a preview writes nothing"
    row = revert(api, syncing, second)
    assert (row.result["left"], row.result["put_back"]) == (2, 3)
    assert syncing.customers()[1:4] == ["by hand", "later", "n3"]
    left = api("GET", f"{shown(second)}/changes?state=left")["items"]
    assert [each["key"] for each in left] == [[1], [2]]
    assert "changed in the target" in left[0]["reason"]
    assert "has written it since" in left[1]["reason"]
    assert revert(api, syncing, second, force=True).result["put_back"] == 2
    assert syncing.customers()[:3] == ["n0", "n1", "n2"]


def test_runs_are_reverted_one_after_the_other(api: Client, syncing: Syncing) -> None:
    first, second = two_runs(syncing)
    revert(api, syncing, second)
    assert revert(api, syncing, first).result["removed"] == 10
    assert syncing.customers() == []


def test_what_was_removed_comes_back(api: Client, syncing: Syncing) -> None:
    syncing.job(target={**BODY["target"], "delete": DELETE})
    for number in range(10):
        syncing.put(number)
    syncing.run()
    syncing.ours("UPDATE sync_states SET snapshot_at = now() - interval '1 hour'")
    syncing.old("DELETE FROM customers WHERE id IN (3, 4)")
    run = syncing.run()
    assert run.deleted == 2
    assert revert(api, syncing, run).result["put_back"] == 2
    assert syncing.new("SELECT name, email FROM shop.customers WHERE external_id = '3'") == [("n3", "e3@x")]


def test_a_revert_that_was_killed_goes_on(api: Client, syncing: Syncing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target was put back, and nobody has noted it: the second time it is found as it was before."""
    _, second = two_runs(syncing)
    mark = changes.mark
    calls: list[int] = []

    def dies(*values: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise SystemExit
        mark(*values)

    monkeypatch.setattr(changes, "mark", dies)
    api("POST", f"{shown(second)}/revert", {}, status=202)
    with pytest.raises(SystemExit):
        syncing.slice()
    syncing.ours("UPDATE due SET due_at = now() - interval '1 minute'")
    row = work(syncing)
    assert (row.state, row.result["left"], row.result["as_before"]) == ("succeeded", 0, 10)
    assert syncing.customers() == [f"n{number}" for number in range(10)]


def test_what_was_there_before_is_noted_once_though_a_batch_comes_twice(
    api: Client, syncing: Syncing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second try of a batch finds its own records in the target: they are not what was there before."""
    syncing.job()
    syncing.new("INSERT INTO shop.customers VALUES ('1', 'theirs', '', 0)")
    syncing.put(1)
    saved = progress.save
    calls: list[int] = []

    def dies(*values: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise SystemExit
        saved(*values)

    monkeypatch.setattr(progress, "save", dies)
    with pytest.raises(SystemExit):
        syncing.run()
    assert syncing.customers() == ["n1"]
    syncing.ours("UPDATE due SET due_at = now() - interval '1 minute'")
    run = work(syncing)
    assert run.state == "succeeded"
    revert(api, syncing, run)
    assert syncing.customers() == ["theirs"]


def test_a_reverted_row_is_written_again_when_it_is_next_read(api: Client, syncing: Syncing) -> None:
    syncing.job(source={key: value for key, value in BODY["source"].items() if key != "cursor"})
    syncing.put(1)
    run = syncing.run()
    revert(api, syncing, run)
    assert syncing.customers() == []
    assert syncing.run().written == 1


def test_nothing_is_kept_where_the_definition_says_so_or_its_time_is_over(api: Client, syncing: Syncing) -> None:
    _, second = two_runs(syncing, revertible="0s")
    assert api("POST", f"{shown(second)}/revert", {}, status=409)["code"] == NOT_REVERTIBLE
    assert syncing.product.rows("SELECT * FROM sync_changes") == []
    with syncing.product.tx() as tx:
        job = SYNC_JOBS.get(tx, "customers")
    syncing.change(job, target=BODY["target"])
    syncing.put(1, second=300)
    run = syncing.run()
    syncing.ours("UPDATE sync_changes SET until = now() - interval '1 second'")
    assert changes.forget(syncing.product.core.engine) > 0
    assert api("POST", f"{shown(run)}/revert", {}, status=409)["code"] == NOT_REVERTIBLE


def test_a_run_under_way_is_not_reverted(api: Client, syncing: Syncing) -> None:
    job = syncing.job()
    with syncing.product.tx() as tx:
        run = start_run(tx, job, "person", lambda: None)
    path = f"/sync-runs/{engine.show('run', run)}/revert"
    assert api("POST", path, {}, status=409)["code"] == RUN_UNDER_WAY


def reconcile(api: Client, syncing: Syncing, **body: Any) -> Any:
    api("POST", "/sync-jobs/customers/reconcile", body, status=202)
    return work(syncing)


def test_a_job_that_may_not_run_is_not_compared_or_replayed_but_what_it_wrote_is_put_back(
    api: Client, syncing: Syncing
) -> None:
    _, second = two_runs(syncing)
    with syncing.product.tx() as tx:
        job = SYNC_JOBS.get(tx, "customers")
        job.act("disable")
        SYNC_JOBS.save(tx, job)
    for path in ("reconcile", "records/1/replay"):
        refused = api("POST", f"/sync-jobs/customers/{path}", {} if path == "reconcile" else None, status=409)
        assert (refused["code"], "`activate`" in refused["detail"]) == ("WRONG_STATE", True)
    assert syncing.product.rows("SELECT 1 FROM sync_runs WHERE state = 'queued'") == []
    assert revert(api, syncing, second).state == "succeeded"


def test_source_and_target_are_compared_and_repaired(api: Client, syncing: Syncing) -> None:
    syncing.job(target={**BODY["target"], "delete": DELETE})
    for number in range(30):
        syncing.put(number, name=None if number == 9 else f"n{number}")
    syncing.run()
    syncing.new("DELETE FROM shop.customers WHERE external_id = '3'")
    syncing.new("UPDATE shop.customers SET name = 'other' WHERE external_id = '4'")
    syncing.new("INSERT INTO shop.customers VALUES ('99', 'theirs', '', 0)")
    syncing.old("DELETE FROM customers WHERE id = 5")
    row = reconcile(api, syncing)
    found = {"missing": 1, "differing": 1, "surplus": 2, "repaired": 0, "left": 1}
    assert row.result == {"rows": 29, "at_one": 26, "not_mapped": 1, **found}
    listed = api("GET", f"{shown(row)}/differences")["items"]
    assert [(each["kind"], each["key"], each["target_key"]) for each in listed] == [
        ("missing", [3], ["3"]), ("differing", [4], ["4"]), ("surplus", [5], ["5"]), ("surplus", None, ["99"]),
    ]  # fmt: skip
    assert listed[1]["fields"] == [{"field": "name", "from": "other", "to": "n4"}]
    assert len(api("GET", f"{shown(row)}/differences?kind=surplus&limit=1")["items"]) == 1
    assert syncing.new("SELECT name FROM shop.customers WHERE external_id = '4'") == [("other",)]

    row = reconcile(api, syncing, repair=True)
    assert (row.state, row.written, row.deleted) == ("succeeded", 2, 1)
    assert (row.result["repaired"], row.result["left"]) == (3, 1)
    names = syncing.new("SELECT external_id FROM shop.customers WHERE external_id IN ('3', '5', '99') ORDER BY 1")
    assert names == [("3",), ("99",)], "what others wrote stays"
    assert reconcile(api, syncing).result["differing"] == 0
    assert syncing.product.rows("SELECT * FROM sync_met") == []
    syncing.ours("UPDATE sync_differences SET at = now() - interval '40 days'")
    assert differences.forget(syncing.product.core.engine, 30) > 0


def test_a_repair_keeps_to_the_guards_and_a_compare_goes_on_after_each_page(
    api: Client, syncing: Syncing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SLICE_SECONDS", 0.0)
    syncing.job(guards={"max_change_percent": 20})
    for number in range(25):
        syncing.put(number)
    syncing.run()
    syncing.new("UPDATE shop.customers SET name = 'all'")
    assert reconcile(api, syncing).result["differing"] == 25
    row = reconcile(api, syncing, repair=True)
    assert (row.state, row.error["code"]) == ("failed", GUARD_STOPPED)
    assert set(syncing.customers()) == {"all"}


def test_a_repair_is_reverted_like_a_run(api: Client, syncing: Syncing) -> None:
    syncing.job()
    syncing.put(1)
    syncing.run()
    syncing.new("UPDATE shop.customers SET name = 'by hand'")
    run = reconcile(api, syncing, repair=True)
    assert syncing.customers() == ["n1"]
    revert(api, syncing, run)
    assert syncing.customers() == ["by hand"]


def test_a_record_tells_why_it_looks_so(api: Client, syncing: Syncing) -> None:
    first, second = two_runs(syncing)
    why = api("GET", "/sync-jobs/customers/records/1")
    assert (why["key"], why["target_key"], why["state"], why["mapping_version"]) == ([1], ["1"], "there", 1)
    assert (why["run"]["id"], why["run"]["cause"], why["event"]) == (engine.show("run", second.id), "person", None)
    assert [each["run"] for each in why["changes"]] == [engine.show("run", each.id) for each in (second, first)]
    assert (why["changes"][0]["before"]["name"], why["changes"][0]["written"]["name"]) == ("n1", "wrong1")
    assert why["changes"][1]["before"] is None
    assert api("GET", "/sync-jobs/customers/records/%5B1%5D")["key"] == [1]
    nothing = "777", "9" * 20, f"[{'9' * 20}]", '"\\ud800"', '{"a": 1}', "[[1]]", "[" * 1500
    for key in nothing:
        assert api("GET", f"/sync-jobs/customers/records/{quote(key)}", status=404)["code"] == "NOT_FOUND", key


def test_one_record_is_written_again_though_its_row_is_unchanged(api: Client, syncing: Syncing) -> None:
    syncing.job()
    syncing.put(1)
    syncing.run()
    syncing.new("UPDATE shop.customers SET name = 'by hand'")
    api("POST", "/sync-jobs/customers/records/1/replay", status=202)
    assert work(syncing).written == 1
    assert syncing.customers() == ["n1"]


def test_nobody_reaches_records_of_another_workspace(api: Client, syncing: Syncing) -> None:
    _, second = two_runs(syncing)
    rival = api.as_("operator@rival")
    for method, path, body in (
        ("POST", f"{shown(second)}/revert", {}),
        ("POST", f"{shown(second)}/revert/preview", {}),
        ("GET", f"{shown(second)}/changes", None),
        ("GET", f"{shown(second)}/differences", None),
        ("POST", "/sync-jobs/customers/reconcile", {}),
        ("GET", "/sync-jobs/customers/records/1", None),
        ("POST", "/sync-jobs/customers/records/1/replay", None),
    ):
        rival(method, path, body, status=404)
    with syncing.product.tx(syncing.product.workspace("rival", "main")) as tx:
        for table in ("sync_changes", "sync_differences", "sync_met"):
            assert tx.all(f"SELECT * FROM {table}") == []
