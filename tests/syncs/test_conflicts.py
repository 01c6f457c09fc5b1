"""Conflicts over HTTP, on the command line and on a page: seen, decided, written; a neighbour sees none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server.app import create_app
from server.config import Settings
from server.syncs import conflicts
from server.syncs.conflicts import CONFLICT_FIELD, CONFLICT_RESOLVED
from server.syncs.conflicts_api import blueprint
from tests.authoring_db.conftest import Client, Frame
from tests.support.oncall import forms, new_token, pages_app, sign_in
from tests.syncs.pairing import Sides, pair, prepare

if TYPE_CHECKING:
    from tests.syncs.running import Syncing


@pytest.fixture
def syncing(syncing: Syncing) -> Syncing:
    prepare(syncing)
    return syncing


@pytest.fixture
def api(syncing: Syncing) -> Client:
    core = syncing.product.core
    scopes = {"main": syncing.scope, "rival": syncing.product.workspace("rival", "rival")}
    app = create_app(Frame(Settings(), core.tenant, [blueprint(core.tenant, core.hint)], scopes))
    return Client(app.test_client(), "operator")


@pytest.fixture
def sides(syncing: Syncing) -> Sides:
    """Two records, each with a conflict of two fields."""
    pair(syncing, default="manual")
    made = Sides(syncing)
    for number in (1, 2):
        made.edit("source", number)
    syncing.run()
    for number in (1, 2):
        made.edit("source", number, name="mine", email="mine")
        made.edit("target", number, name="theirs", email="theirs")
    assert syncing.run().written == 0
    return made


def work(syncing: Syncing) -> None:
    while syncing.slice():
        pass


def test_conflicts_are_listed_and_a_decision_is_written_field_by_field(api, syncing, sides):
    page = api("GET", "/sync-conflicts?limit=1")
    assert page["next"] is not None
    [newest] = page["items"]
    [oldest] = api("GET", f"/sync-conflicts?limit=1&cursor={page['next']}")["items"]
    assert {tuple(each["key"]) for each in (newest, oldest)} == {(1,), (2,)}
    assert newest["fields"][0] == {
        "field": "email",
        "base": "e",
        "source": "mine",
        "target": "theirs",
        "decision": None,
    }
    number = newest["key"][0]
    path = f"/sync-conflicts/{newest['id']}"
    done = api("POST", f"{path}/resolve", {"fields": {"email": "target"}}, status=202)
    assert done["run"].startswith("run_")
    work(syncing)
    assert (sides.rows("source")[number]["email"], sides.rows("source")[number]["name"]) == ("theirs", "mine")
    left = api("GET", path)
    assert (left["state"], [each["field"] for each in left["fields"]]) == ("open", ["name"])
    api("POST", f"{path}/resolve", {"fields": {"name": {"value": "both"}}}, status=202)
    work(syncing)
    assert sides.rows("source")[number] == sides.rows("target")[number]
    assert sides.rows("source")[number]["name"] == "both"
    assert api("GET", path)["state"] == "resolved"
    assert api("POST", f"{path}/resolve", {"fields": {"name": "source"}}, status=409)["code"] == CONFLICT_RESOLVED
    assert len(api("GET", "/sync-conflicts?job=customers")["items"]) == 1
    assert api("GET", "/sync-conflicts?job=other")["items"] == []


def test_a_decision_holds_for_the_values_that_were_seen(api, syncing, sides):
    [one] = [each for each in api("GET", "/sync-conflicts")["items"] if each["key"] == [1]]
    api("POST", f"/sync-conflicts/{one['id']}/resolve", {"fields": {"name": "source", "email": "source"}}, status=202)
    sides.edit("target", 1, name="changed meanwhile")
    work(syncing)
    assert sides.rows("target")[1] == {"name": "changed meanwhile", "email": "mine", "credit": "1.00"}
    left = api("GET", f"/sync-conflicts/{one['id']}")
    assert [(each["field"], each["target"], each["decision"]) for each in left["fields"]] == [
        ("name", "changed meanwhile", None)
    ]


@pytest.mark.parametrize("fields", [{"nothing": "source"}, {"name": "both"}, {"name": {"values": 1}}, {}])
def test_what_is_no_decision_is_refused(api, sides, fields: dict[str, Any]):
    one = api("GET", "/sync-conflicts")["items"][0]
    answer = api("POST", f"/sync-conflicts/{one['id']}/resolve", {"fields": fields}, status=422)
    assert answer["code"] == CONFLICT_FIELD or not fields


def test_a_neighbour_neither_sees_nor_decides(api, sides):
    one = api("GET", "/sync-conflicts")["items"][0]
    rival = api.as_("operator@rival")
    assert rival("GET", "/sync-conflicts")["items"] == []
    rival("GET", f"/sync-conflicts/{one['id']}", status=404)
    rival("POST", f"/sync-conflicts/{one['id']}/resolve", {"fields": {"name": "source"}}, status=404)
    Client(api.client, "viewer")(
        "POST", f"/sync-conflicts/{one['id']}/resolve", {"fields": {"name": "source"}}, status=403
    )


def test_a_conflict_is_resolved_on_its_page(syncing, sides):
    browser = pages_app(syncing.product).test_client()
    sign_in(browser, new_token(syncing.product))
    page = browser.get("/sync-conflicts")
    assert page.text.count("theirs") == 4
    [action, _] = [each for each in forms(page) if each.startswith("/sync-conflicts/")]
    sent = {**forms(page)[action], "field:name": "source", "field:email": "target"}
    page = browser.post(action, data=sent, follow_redirects=True)
    assert "A run writes the decision" in page.text
    work(syncing)
    assert browser.get("/sync-conflicts").text.count("theirs") == 2
    decided = [each for each in sides.rows("source").values() if each["email"] == "theirs"]
    assert decided == [{"name": "mine", "email": "theirs", "credit": "1.00"}]
    assert "Somebody was faster" in browser.post(action, data=sent, follow_redirects=True).text
    viewer = pages_app(syncing.product).test_client()
    sign_in(viewer, new_token(syncing.product, "viewer"))
    assert 'type="radio"' not in viewer.get("/sync-conflicts").text


def told(syncing: Syncing) -> list[dict[str, Any]]:
    sql = "SELECT data FROM journal WHERE type = 'crossdock.sync_job.conflict_opened' ORDER BY version"
    return [row.data for row in syncing.product.rows(sql)]


def test_conflicts_that_open_are_told_of_once(api, syncing, sides):
    [event] = told(syncing)
    listed = {each["id"] for each in api("GET", "/sync-conflicts")["items"]}
    assert event["count"] == 2
    assert {each["id"] for each in event["conflicts"]} == listed
    assert [(each["key"], each["fields"]) for each in event["conflicts"]] == [
        ([1], ["email", "name"]),
        ([2], ["email", "name"]),
    ]
    sides.edit("source", 1, name="another")
    syncing.run()
    assert len(told(syncing)) == 1, "it is the same conflict, with other values"
    sides.edit("target", 1, **sides.rows("source")[1])
    syncing.run()
    for number, side in enumerate(("source", "target")):
        sides.edit(side, 1, credit=f"{number + 5}.00")
    syncing.run()
    assert [(each["count"], each["conflicts"][0]["key"]) for each in told(syncing)] == [(2, [1]), (1, [1])]


def test_what_is_resolved_is_kept_for_a_while(api, syncing, sides):
    [first, second] = api("GET", "/sync-conflicts")["items"]
    for each in (first, second):
        api(
            "POST",
            f"/sync-conflicts/{each['id']}/resolve",
            {"fields": {"name": "source", "email": "source"}},
            status=202,
        )
    work(syncing)
    syncing.ours(
        """INSERT INTO sync_conflicts (id, workspace_id, job_id, key, source_key, fields)
           SELECT gen_random_uuid(), workspace_id, job_id, 'old', source_key, fields FROM sync_conflicts LIMIT 1"""
    )
    syncing.ours("UPDATE sync_conflicts SET created_at = now() - interval '95 days'")
    syncing.ours("""UPDATE sync_conflicts SET resolved_at = now() - interval '91 days' WHERE key = '["1"]'""")
    assert conflicts.forget(syncing.product.core.engine, 90) == 1
    kept = {(row.key, row.state) for row in syncing.product.rows("SELECT key, state FROM sync_conflicts")}
    assert kept == {('["2"]', "resolved"), ("old", "open")}
