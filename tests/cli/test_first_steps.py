"""What `up` does first: the definitions, and one admin token that every start finds again."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from server.cli import first_steps as steps
from server.cli.first_steps import admin_token, first_steps
from server.kernel.errors import Unavailable
from server.runtime.up import UpOptions, next_commands

DEFINITIONS = Path(__file__).parents[2] / "definitions"

HOOK = """kind: Webhook
name: orders
direction: outbound
url: https://a.example.com/hook
events: [order.created]
sign: {scheme: standard-webhooks, key: {secret: ORDERS_KEY}}
"""


def test_a_start_finds_the_token_of_the_one_before(local, home):
    home.mkdir()
    file = home / "admin-token"
    first = admin_token(local.rest, file)
    assert admin_token(local.rest, file) == first
    assert file.stat().st_mode & 0o077 == 0
    assert len(local.json("token")["items"]) == 1


def test_a_token_that_was_revoked_is_replaced(local, home):
    home.mkdir()
    file = home / "admin-token"
    first = admin_token(local.rest, file)
    local.ok("token", "revoke", local.json("token")["items"][0]["id"])
    assert admin_token(local.rest, file) != first


def test_a_file_that_holds_something_else_is_replaced(local, home):
    home.mkdir()
    file = home / "admin-token"
    for content in ("", "cdk_", "cdk_forged", "x" * 10_000):
        file.write_text(content)
        assert admin_token(local.rest, file).startswith("cdk_")
        assert file.read_text().strip() != content


def test_definitions_are_applied_and_what_is_wrong_is_said(local, settings, home, tmp_path):
    home.mkdir()
    folder = tmp_path / "definitions"
    folder.mkdir()
    options = UpOptions(definitions=folder)
    assert first_steps(settings, options).messages == [f"{folder}: no definitions yet"]
    (folder / "hook.yaml").write_text(HOOK)
    missing = first_steps(settings, options)
    assert missing.messages[0] == f"{folder}: nothing was applied"
    assert f"{folder}/hook.yaml:6:" in missing.messages[1]
    assert missing.token
    local.ok("secret", "set", "ORDERS_KEY", stdin="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert first_steps(settings, options).messages == [f"{folder}: 1 definition applied, 0 unchanged"]
    (folder / "hook.yaml").write_bytes(b"\xff\xfe")
    assert "ENCODING" in first_steps(settings, options).messages[1]
    assert local.json("webhook")["items"][0]["origin"] == "folder:definitions"


@pytest.mark.timeout(120)
def test_each_command_to_try_next_shows_something(local, settings, home):
    home.mkdir()
    assert first_steps(settings, UpOptions(definitions=DEFINITIONS)).messages[0].endswith("applied, 0 unchanged")
    shown = {}
    for line in next_commands(DEFINITIONS):
        _, *words = (each for each in shlex.split(line) if not each.startswith("CROSSDOCK_HOME="))
        # No worker is at work here: the run is started, and not waited for.
        shown[" ".join(words[:2])] = local.ok(*(each for each in words if each not in ("--wait", "1m")))
    assert list(shown) == ["send demo.order.placed", "events list", "flow start", f"plan {DEFINITIONS}"]
    assert "demo.order.placed" in shown["events list"]
    assert all(shown.values())


def test_a_migration_that_the_database_refuses_is_told_with_its_way_out(database_url, monkeypatch):
    def refused(url):
        with create_engine(url).connect() as conn:
            conn.exec_driver_sql(
                "DO $$BEGIN RAISE EXCEPTION 'no role' USING HINT = 'as a superuser: CREATE ROLE x'; END$$"
            )

    monkeypatch.setattr(steps, "upgrade", refused)
    with pytest.raises(Unavailable) as error:
        steps.prepare(database_url)
    assert "no role (as a superuser: CREATE ROLE x)" in error.value.message
