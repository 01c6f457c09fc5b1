"""plan, apply, rollback and export, as an admin uses them."""

from __future__ import annotations

import json

import pytest

from server.authoring.kinds import default_kinds
from server.authoring.words import KINDS

TYPE = "kind: EventType\nname: order.created\nschema: {type: object}\n"
HOOK = """kind: Webhook
name: orders
description: first
direction: outbound
url: https://a.example.com/hook
events: [order.created]
sign: {scheme: standard-webhooks, key: {secret: ORDERS_KEY}}
metadata: {team: sales}
"""


@pytest.fixture
def folder(tmp_path, local):
    place = tmp_path / "definitions"
    place.mkdir()
    (place / "type.yaml").write_text(TYPE)
    (place / "hook.yaml").write_text(HOOK)
    local.ok("secret", "set", "ORDERS_KEY", stdin="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    return place


def test_a_plan_shows_what_apply_then_does_and_touches_nothing(local, folder):
    shown = local.ok("plan", str(folder))
    assert "+ create webhook orders" in shown
    assert shown.endswith("Plan: 2 to create, 0 to change, 0 to remove, 0 unchanged\n")
    assert local.json("definition")["items"] == []
    assert local.ok("apply", str(folder)).endswith("2 definitions applied, 0 unchanged\n")
    assert local.ok("apply", str(folder)) == "0 definitions applied, 2 unchanged\n"


def test_a_change_is_shown_field_by_field(local, folder):
    local.ok("apply", str(folder))
    (folder / "hook.yaml").write_text(HOOK.replace("first", "second"))
    assert '~ change webhook orders\n    /description: "first" → "second"\n' in local.ok("plan", str(folder))


def test_a_missing_secret_is_an_error_of_the_plan_with_its_place(local, folder):
    local.ok("secret", "delete", "ORDERS_KEY", "--yes")
    planned, applied = local("plan", str(folder)), local("apply", str(folder))
    assert (planned.exit_code, applied.exit_code) == (1, 1)
    place = f"{folder}/hook.yaml:7:{HOOK.splitlines()[6].index('ORDERS_KEY') + 1} SECRET_MISSING "
    assert place in planned.stdout
    assert place in applied.stderr
    assert "crossdock secret set ORDERS_KEY" in applied.stderr


def test_a_mistake_stops_all_of_it(local, folder):
    (folder / "bad.yaml").write_text("kind: Webhok\nname: x\n")
    result = local("apply", str(folder))
    assert result.exit_code == 1
    assert f"{folder}/bad.yaml:1:7 UNKNOWN_KIND" in result.stderr
    assert local.json("definition")["items"] == []


def test_a_file_that_is_not_text_stops_all_of_it(local, folder):
    (folder / "bad.yaml").write_bytes(b"\xff\xfe")
    result = local("apply", str(folder))
    assert (result.exit_code, "ENCODING" in result.stdout) == (1, True)


def test_a_plan_is_applied_as_it_was_looked_at(local, folder, tmp_path):
    plan = tmp_path / "plan.json"
    local.ok("plan", str(folder), "--out", str(plan))
    (folder / "hook.yaml").write_text(HOOK.replace("first", "later"))
    local.ok("apply", str(plan))
    assert local.json("webhook", "show", "orders")["definition"]["description"] == "first"


def test_a_plan_is_refused_when_the_base_has_moved(local, folder, tmp_path):
    plan = tmp_path / "plan.json"
    local.ok("plan", str(folder), "--out", str(plan))
    local.ok("apply", str(folder))
    result = local("apply", str(plan))
    assert (result.exit_code, result.stderr.split()[0]) == (4, "BASE_MOVED")
    assert "crossdock plan" in result.stderr


def test_a_plan_of_another_workspace_is_refused(local, folder, tmp_path):
    plan = tmp_path / "plan.json"
    local.ok("plan", str(folder), "--out", str(plan))
    plan.write_text(plan.read_text().replace('"workspace": "default/default"', '"workspace": "acme/main"'))
    assert local("apply", str(plan)).exit_code == 4


@pytest.mark.parametrize(
    "content", ['{"crossdock_plan": 2}', '{"crossdock_plan": 1}', '{"crossdock_plan": 1', '["crossdock_plan"]']
)
def test_a_broken_plan_is_said_to_be_one(cli, tmp_path, content):
    (tmp_path / "plan.json").write_text(content)
    result = cli("apply", str(tmp_path / "plan.json"))
    assert (result.exit_code, result.stderr.split()[0]) == (1, "MALFORMED")


def test_prune_removes_what_the_folder_no_longer_has(local, folder):
    local.ok("apply", str(folder))
    (folder / "hook.yaml").unlink()
    assert "keep webhook/orders" in local.ok("plan", str(folder))
    assert "- remove webhook orders" in local.ok("plan", str(folder), "--prune")
    local.ok("apply", str(folder), "--prune")
    assert local.json("webhook")["items"] == []


def test_prune_needs_the_whole_folder(local, folder):
    assert local("apply", str(folder / "hook.yaml"), "--prune").exit_code == 2


def test_what_another_folder_owns_is_left_alone_unless_its_name_is_said(local, folder, tmp_path):
    local.ok("apply", str(folder))
    other = tmp_path / "other"
    other.mkdir()
    (other / "hook.yaml").write_text(HOOK.replace("first", "second"))
    result = local("apply", str(other))
    assert (result.exit_code, result.stderr.split()[0]) == (4, "OWNED_ELSEWHERE")
    local.ok("apply", str(other), "--origin", "definitions")


def test_an_older_version_comes_back_and_shows_as_drift(local, folder):
    local.ok("apply", str(folder))
    (folder / "hook.yaml").write_text(HOOK.replace("first", "second"))
    local.ok("apply", str(folder))
    assert [each["version"] for each in local.json("definition", "versions", "webhook/orders")["items"]] == [2, 1]
    assert local.json("rollback", "webhook/orders", "1")["body"]["description"] == "first"
    shown = local.ok("plan", str(folder))
    assert "drift: rolled back" in shown
    assert '/description: "first" → "second"' in shown


@pytest.mark.parametrize("name", ["orders", "webhook/", "/orders"])
def test_a_definition_is_named_by_kind_and_name(cli, name):
    assert cli("rollback", name).exit_code == 2


@pytest.mark.parametrize("version", ["0", "2147483648", "9" * 20])
def test_a_version_that_there_cannot_be_is_refused_before_anything_is_asked(cli, version):
    result = cli("rollback", "webhook/orders", version)
    assert (result.exit_code, "1<=x<=2147483647" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "command",
    [
        ("sync", "run", "orders", "--key", "9" * 20),
        ("sync", "resolve", "conf_1", "--field", "total=value:" + "9" * 20),
        ("send", "a.b", "--data", "9" * 20),
    ],
)
def test_a_number_that_nothing_holds_is_sent_as_it_is_and_refused(local, command):
    result = local(*command)
    assert (result.exit_code, result.stderr.split()[0]) == (1, "JSON_NUMBER"), result.output


def test_an_export_checks_cleanly_and_changes_nothing(local, folder, tmp_path):
    local.ok("apply", str(folder))
    local.ok("export", "--out", str(tmp_path / "out"))
    local.ok("check", str(tmp_path / "out"))
    assert "0 to create, 0 to change" in local.ok("plan", str(tmp_path / "out"), "--origin", "definitions")
    (tmp_path / "all.yaml").write_text(local.ok("export"))
    local.ok("check", str(tmp_path / "all.yaml"))
    assert local.json("export").keys() == {"files"}


def test_states_are_changed_and_filtered(local, folder):
    local.ok("apply", str(folder))
    assert local.json("webhook", "pause", "orders", "--reason", "maintenance")["state"] == "paused"
    assert local("webhook", "activate", "orders").exit_code == 4
    assert [
        each["name"] for each in local.json("webhook", "--state", "paused", "--metadata", "team=sales")["items"]
    ] == ["orders"]
    assert local.json("webhook", "--metadata", "team=buyers")["items"] == []
    assert local.json("webhook", "resume", "orders")["state"] == "active"
    history = local.json("webhook", "history", "orders")["items"]
    assert [each["version"] for each in history] == sorted(each["version"] for each in history)
    assert "maintenance" in json.dumps(history)


def test_a_webhook_is_triggered(local, folder):
    local.ok("apply", str(folder))
    made = local.json("webhook", "trigger", "orders", "--data", '{"number": "SO-1"}')
    delivery = local.json("deliveries", "show", made["delivery_id"])
    assert (delivery["webhook"], delivery["event_id"]) == ("orders", made["event_id"])
    assert [each["id"] for each in local.json("deliveries", "--webhook", "orders")["items"]] == [made["delivery_id"]]
    assert local("webhook", "trigger", "orders", "--data", "[]").exit_code == 1
    assert local.json("dead-letters", "retry-all", "webhook/orders") == {"count": 0}


def test_a_server_cannot_write_outside_of_the_folder(tmp_path, monkeypatch):
    from server.cli.definitions import _write
    from server.kernel.errors import CrossdockError

    for path in ("../evil.yaml", "/tmp/evil.yaml", "a/../../evil.yaml"):
        with pytest.raises(CrossdockError, match="file name"):
            _write([{"path": "good.yaml", "text": ""}, {"path": path, "text": "x"}], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_larger_than_a_request_may_be_says_which_setting_to_raise(local, tmp_path):
    place = tmp_path / "many"
    place.mkdir()
    for number in range(800):
        text = f"kind: EventType\nname: many.t{number}\ndescription: {'x' * 1500}\nschema: {{type: object}}\n"
        (place / f"t{number}.yaml").write_text(text)
    result = local("apply", str(place))
    assert (result.exit_code, "CROSSDOCK_BODY_LIMIT" in result.stderr) == (1, True)
    local.rest = None
    assert local.ok("apply", str(place), CROSSDOCK_BODY_LIMIT="4000000").endswith(
        "800 definitions applied, 0 unchanged\n"
    )


def test_a_listing_filters_by_every_kind_that_there_is(local):
    kinds = {each.name for each in default_kinds()}
    assert set(KINDS.values()) == kinds
    assert [local.json("definition", "list", "--kind", word)["items"] for word in KINDS] == [[]] * len(kinds)
