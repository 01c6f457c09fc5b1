"""Commands over a real database: what they do, what they print, how they end."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool


def test_an_event_is_sent_and_read_back(local):
    sent = local.json("send", "sales.order.booked", "--data", '{"number": "SO-1"}', "--subject", "SO-1")
    assert sent.keys() == {"id", "duplicate"}
    shown = local.json("events", "show", sent["id"])
    assert (shown["type"], shown["data"], shown["subject"]) == ("sales.order.booked", {"number": "SO-1"}, "SO-1")


def test_an_event_keeps_the_digits_of_its_data(local):
    sent = local.json("send", "a.b", "--data", '{"total": 1500.00, "rate": 0.10000000000000000001}')
    assert '"data":{"total":1500.00,"rate":0.10000000000000000001}' in local.ok("events", "show", sent["id"], "--json")


def test_data_may_be_any_json(local):
    for data in ("null", "0", "[]", '"text"', "false"):
        sent = local.json("send", "a.b", "--data", data)
        assert local.json("events", "show", sent["id"])["data"] == json.loads(data)


def test_data_comes_from_a_file_or_standard_input(local, tmp_path):
    (tmp_path / "data.json").write_text('{"a": 1}')
    for given, stdin in ((f"@{tmp_path / 'data.json'}", None), ("-", '{"a": 1}')):
        sent = local.json("send", "a.b", "--data", given, stdin=stdin)
        assert local.json("events", "show", sent["id"])["data"] == {"a": 1}


@pytest.mark.parametrize("data", ["{", "NaN", "@/no/such/file", "@/", "", "[" * 100_000])
def test_data_that_is_no_json_is_a_wrong_command_line(cli, data):
    result = cli("send", "a.b", "--data", data)
    assert result.exit_code == 2, result.output


@pytest.mark.parametrize("data", ['"\\ud800"', '{"\\udfff": 1}', "[" * 400 + "]" * 400])
def test_json_that_cannot_be_sent_is_a_wrong_command_line(cli, data):
    result = cli("send", "a.b", "--data", data)
    assert (result.exit_code, "cannot be sent" in result.stderr) == (2, True), result.output


def test_a_text_that_cannot_be_sent_is_a_wrong_command_line(local):
    result = local("send", "a.b", "--data", "1", "--subject", "\udcff")
    assert (result.exit_code, "cannot be sent" in result.stderr) == (2, True), result.output


def test_the_same_event_again_is_a_duplicate_and_other_content_a_conflict(local):
    send = ("send", "a.b", "--id", "SO-1", "--time", "2026-01-01T00:00:00Z", "--data")
    assert local.json(*send, "1") == {"id": "SO-1", "duplicate": False}
    assert local.json(*send, "1") == {"id": "SO-1", "duplicate": True}
    result = local(*send, "2")
    assert result.exit_code == 4
    assert result.stderr.split()[0].isupper()


def test_a_refused_event_names_each_wrong_place(local):
    result = local("send", "a.b", "--data", "1", "--time", "yesterday")
    assert result.exit_code == 1
    assert "/time" in result.stderr


def test_without_json_the_id_alone_is_the_result(local):
    result = local("send", "a.b", "--data", "1", "--id", "SO-7")
    assert (result.stdout, result.stderr) == ("SO-7\n", "stored\n")


def test_a_listing_pages_and_filters(local):
    for number in range(5):
        local.ok("send", "a.b", "--data", str(number), "--id", f"e{number}")
    local.ok("send", "c.d", "--data", "1", "--id", "other")
    first = local.json("events", "--type", "a.b", "--limit", "2")
    second = local.json("events", "--type", "a.b", "--limit", "2", "--cursor", first["next"])
    assert [each["id"] for each in (*first["items"], *second["items"])] == ["e4", "e3", "e2", "e1"]
    whole = local.json("events", "--type", "a.b", "--all")
    assert ([each["id"] for each in whole["items"]], whole["next"]) == (["e4", "e3", "e2", "e1", "e0"], None)


def test_a_table_says_where_to_go_on(local):
    for number in range(3):
        local.ok("send", "a.b", "--data", str(number))
    result = local("events", "--limit", "2")
    assert result.stdout.split("\n")[0].split() == ["ID", "TYPE", "SUBJECT", "SOURCE", "RECORDED"]
    assert result.stderr.startswith("there are more: --all, or --cursor ")


def test_hostile_texts_do_not_drive_the_terminal(local):
    local.ok("send", "a.b", "--data", '"\\u001b[2J"', "--subject", "\u202eevil")
    assert "\x1b" not in local.ok("events")
    assert "\u202e" not in local.ok("events")


NOT_THERE = [
    ("events", "show", "nothing"),
    ("deliveries", "show", "dlv_nothing"),
    ("deliveries", "attempts", "dlv_nothing"),
    ("deliveries", "retry", "dlv_nothing"),
    ("dead-letters", "show", "../../x"),
    ("dead-letters", "retry", "dead_nothing"),
    ("dead-letters", "discard", "dead_nothing", "--yes"),
    ("secret", "delete", "NOTHING", "--yes"),
    ("token", "revoke", "tok_nothing"),
    ("webhook", "show", "nothing"),
    ("webhook", "pause", "nothing"),
    ("webhook", "history", "nothing"),
    ("webhook", "public-keys", "nothing"),
    ("webhook", "trigger", "nothing", "--data", "{}"),
    ("integration", "test", "nothing"),
    ("integration", "call", "nothing", "request.send"),
    ("event-type", "show", "nothing@1"),
    ("definition", "show", "webhook/nothing"),
    ("definition", "versions", "nonsense/nothing"),
    ("rollback", "webhook/nothing"),
    ("plugin", "show", "nothing"),
    ("member", "remove", "nobody@example.com"),
]
NOUNS = {
    *("events", "deliveries", "dead-letters", "webhook", "integration", "event-type", "definition"),
    *("secret", "token", "member", "workspace", "audit", "plugin"),
}


def test_what_is_not_there_ends_with_3(local):
    ended = {" ".join(command): local(*command) for command in NOT_THERE}
    assert {command: result.output for command, result in ended.items() if result.exit_code != 3} == {}
    assert all(result.stdout == "" for result in ended.values())


def test_every_noun_lists(local):
    for noun in NOUNS:
        page = local.json(noun)
        assert page.keys() == {"items", "next"}
        assert local.json(noun, "--all")["items"] == page["items"]
        assert local.ok(noun)


def test_a_secret_is_set_from_standard_input_and_never_shown(local):
    for command in (("set",), ("rotate", "--overlap", "12h")):
        result = local("secret", *command, "ORDERS_KEY", stdin="top-secret-value\n")
        assert result.exit_code == 0
        assert "top-secret-value" not in result.output
    assert local.json("secret")["items"][0]["name"] == "ORDERS_KEY"
    assert "top-secret-value" not in local.ok("secret", "--json") + local.ok("audit", "--json")
    local.ok("secret", "delete", "ORDERS_KEY", "--yes")
    assert local.json("secret")["items"] == []


@pytest.mark.parametrize("stdin", ["", "\n", b"\xff\xfe", "x" * 20_000_000])
def test_a_value_that_is_none_is_refused(cli, stdin):
    assert cli("secret", "set", "KEY", stdin=stdin).exit_code == 2


def test_a_value_that_is_too_long_is_refused_by_the_server(local):
    assert local("secret", "set", "KEY", stdin="x" * 100_000).exit_code == 1


def test_a_secrets_value_is_not_taken_from_the_command_line(cli):
    assert cli("secret", "set", "KEY", "value", stdin="x").exit_code == 2


def test_a_token_is_made_shown_once_and_revoked(local):
    made = local.json("token", "create", "--role", "operator", "--name", "ci", "--expires", "90d")
    assert made["token"].startswith("cdk_")
    assert made["token"] not in local.ok("token", "--json") + local.ok("token")
    local.ok("token", "revoke", made["id"])
    assert local.json("token")["items"][0]["revoked_at"] is not None


def test_a_token_alone_is_the_result_without_json(local):
    result = local("token", "create", "--role", "viewer")
    assert result.stdout.startswith("cdk_")
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize("expires", ["forever", "-1d", "1y", "1.5h", "0x1d", "99999999999d"])
def test_a_duration_that_is_none_is_a_wrong_command_line(cli, expires):
    assert cli("token", "create", "--role", "viewer", "--expires", expires).exit_code == 2


def test_workspaces_are_made_and_kept_apart(local, settings):
    made = local.json("workspace", "create", "acme")
    assert (made["organization"], made["name"]) == ("default", "acme")
    assert local("workspace", "create", "acme").exit_code == 4
    local.rest = None
    local.ok("send", "a.b", "--data", "1", "--workspace", "default/acme")
    assert len(local.json("--workspace", "default/acme", "events")["items"]) == 1
    assert local.json("events")["items"] == []


def test_the_networks_of_a_workspace_are_shown_and_set(local):
    assert local.json("workspace", "networks")["own"] is False
    assert local.json("workspace", "networks", "--public-only") == {
        "workspace": "default/default",
        "networks": [],
        "own": True,
    }
    assert local.json("workspace", "networks", "--inherit")["own"] is False
    outside = local("workspace", "networks", "10.0.0.0/8")
    assert (outside.exit_code, "CROSSDOCK_ALLOW_NETWORKS" in outside.stderr) == (1, True)
    assert local("workspace", "networks", "10.0.0.0/8", "--inherit").exit_code == 2


def test_an_organization_comes_with_its_first_workspace(local):
    assert local.json("organization", "create", "acme")["name"] == "default"
    local.rest = None
    assert local.json("events", "--workspace", "acme/default")["items"] == []


def test_members_come_and_go(local):
    local.ok("member", "set", "ann@example.com", "--role", "operator", "--name", "Ann")
    assert [each["role"] for each in local.json("member")["items"]] == ["operator"]
    local.ok("member", "remove", "ann@example.com")
    assert local.json("member")["items"] == []


def test_what_breaks_inside_is_one_line(local, settings):
    engine = create_engine(settings.database_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE audit CASCADE"))
    result = local("audit")
    assert (result.exit_code, result.stderr.split()[0]) == (7, "INTERNAL")
    assert "Traceback" not in result.output


NOBODY = [
    ("dead-letters", "list", "--owner", "nope"),
    ("dead-letters", "list", "--owner", "sync/nope"),
    ("dead-letters", "retry-all", "webhook/nope"),
    ("dead-letters", "retry-all", "nope"),
    ("deliveries", "list", "--webhook", "nope"),
    ("inbound", "list", "--webhook", "nope"),
    ("flow", "runs", "nope"),
    ("sync", "runs", "nope"),
]


def test_a_filter_by_a_definition_that_never_was_ends_with_3(local):
    ended = {" ".join(command): local(*command) for command in NOBODY}
    assert {command: result.output for command, result in ended.items() if result.exit_code != 3} == {}
    assert all(result.stderr.startswith("NOT_FOUND no ") for result in ended.values())


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        ("webhok/x", "did you mean webhook/x?"),
        ("sync-job/x", "did you mean sync/x?"),
        ("zebra/x", "there are webhook, integration, sync, flow"),
        ("webhook/", "not KIND/NAME, such as webhook/orders"),
        ("webhook/a/b", "not KIND/NAME, such as webhook/orders"),
        ("/", "not KIND/NAME, such as webhook/orders"),
    ],
)
def test_an_owner_that_is_none_is_refused_with_what_is_meant(local, owner, said):
    for command in (("dead-letters", "retry-all", owner), ("dead-letters", "list", "--owner", owner)):
        result = local(*command)
        assert (result.exit_code, said in result.stderr) == (1, True), result.output


def test_the_name_alone_is_a_webhooks_and_a_removed_one_is_known(local, tmp_path):
    (tmp_path / "hook.yaml").write_text(
        "kind: Webhook\nname: gone\ndirection: outbound\nurl: https://a.example.com/\nevents: [a.b]\n"
    )
    local.ok("apply", str(tmp_path))
    (tmp_path / "hook.yaml").unlink()
    local.ok("apply", str(tmp_path), "--prune")
    assert local.json("dead-letters", "retry-all", "gone") == {"count": 0}
    for command in (("dead-letters", "--owner", "gone"), ("deliveries", "--webhook", "gone")):
        assert local.json(*command)["items"] == []


EMPTY = [
    *((noun, "show", "") for noun in ("events", "deliveries", "dead-letters", "inbound", "replay", "webhook", "flow")),
    *((noun, "show", "") for noun in ("integration", "sync", "event-type", "plugin")),
    ("secret", "delete", "", "--yes"),
    ("token", "revoke", ""),
    ("member", "remove", ""),
    ("flow", "cancel", ""),
    ("sync", "run", ""),
    ("flow", "approve", "run_x", "a//b"),
]


@pytest.mark.parametrize("command", EMPTY, ids=" ".join)
def test_an_empty_name_is_a_wrong_command_line(local, command):
    result = local(*command)
    assert (result.exit_code, result.stdout) == (2, ""), result.output


def test_an_empty_name_is_named(local):
    assert "ID is empty" in local("deliveries", "show", "").stderr
    assert "NAME is empty" in local("sync", "run", "").stderr
    assert "NAME|RUN is empty" in local("flow", "show", "").stderr


def test_the_list_of_secrets_shows_how_old_they_are_and_how_long_the_one_before_is_valid(local):
    local.ok("secret", "set", "ORDERS_KEY", stdin="one")
    local.ok("secret", "rotate", "ORDERS_KEY", "--overlap", "12h", stdin="two")
    local.ok("secret", "set", "OTHER", stdin="three")
    titles, rotated, other = local.ok("secret", "list").splitlines()
    assert titles.split("  ")[0] == "NAME"
    assert titles.split() == ["NAME", "VERSION", "CREATED", "OLD", "VALID", "UNTIL"]
    newest, before = local.json("secret", "list")["items"][0]["versions"]
    assert rotated.split() == ["ORDERS_KEY", "2", newest["created_at"], before["valid_until"]]
    assert other.split()[-1] == "-"


def test_the_list_of_deliveries_tells_what_is_parked_from_what_is_paused(local, settings, tmp_path):
    (tmp_path / "hook.yaml").write_text(
        "kind: Webhook\nname: hook\ndirection: outbound\nurl: https://a.example.com/\nevents: [a.b]\n"
    )
    local.ok("apply", str(tmp_path))
    local.ok("webhook", "pause", "hook")
    for number in range(2):
        local.ok("send", "a.b", "--data", str(number))
    engine = create_engine(settings.database_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE deliveries SET reason = 'parked' WHERE id = (SELECT max(id::text)::uuid FROM deliveries)")
        )
    titles, *lines = (line.split() for line in local.ok("deliveries", "list", "--state", "held").splitlines())
    assert [line[titles.index("REASON")] for line in lines] == ["parked", "-"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("secret", "set", "bad name"), "A secret's name is a letter, then up to 127 letters, digits or `_.-`."),
        (("workspace", "create", "Bad Name"), "A name is a lower-case letter, then up to 62 lower-case letters"),
        (("organization", "create", "Bad Name"), "A name is a lower-case letter, then up to 62 lower-case letters"),
        (("events", "list", "--since", "yesterday"), "such as 2026-01-31T08:00:00Z"),
        (("events", "list", "--since", "2026-01-31T08:00:00"), "such as 2026-01-31T08:00:00Z"),
        (("inbound", "list", "--until", "yesterday"), "such as 2026-01-31T08:00:00Z"),
        (("replay", "--type", "a.b", "--since", "yesterday"), "such as 2026-01-31T08:00:00Z"),
    ],
)
def test_what_has_another_form_is_refused_with_the_form_that_it_has(local, command, said):
    result = local(*command, stdin="x")
    assert (result.exit_code, said in result.stderr) == (1, True), result.output
