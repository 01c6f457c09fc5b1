"""check, test and schema work on this machine alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOOD = """
kind: EventType
name: order.created
schema: {type: object, properties: {id: {type: string}}}
---
kind: Webhook
name: orders
direction: outbound
url: http://127.0.0.1:9000/hook
events: [order.created]
sign: {scheme: standard-webhooks, key: {secret: ORDERS_KEY}}
map: {number: data.id}
tests:
  - name: it is sent
    given: {event: order.created, data: {id: "1"}}
    expect: {requests: [{json: {number: "1"}}]}
"""


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "definitions"
    place.mkdir()
    (place / "good.yaml").write_text(GOOD)
    return place


def test_a_good_folder_passes(cli, folder):
    assert cli.ok("check", str(folder)) == "1 file, 2 definitions without error: 0 errors, 0 warnings\n"


def test_a_mistake_is_shown_with_its_place_and_what_was_meant(cli, folder):
    (folder / "bad.yaml").write_text(
        GOOD.replace("orders", "others").replace("events:", "event:").replace("order.created\n", "order.made\n")
    )
    result = cli("check", str(folder))
    assert result.exit_code == 1
    assert re.search(
        rf"^{re.escape(str(folder))}/bad\.yaml:10:1 [A-Z_]+ .*\(did you mean events\?\)$", result.stdout, re.MULTILINE
    )


def test_json_is_the_answer_of_the_api(cli, folder):
    (folder / "bad.yaml").write_text("kind: Webhok\nname: x\n")
    result = cli("check", "--json", str(folder))
    value = json.loads(result.stdout)
    assert (result.exit_code, value["ok"]) == (1, False)
    assert value["findings"][0].keys() == {"code", "message", "file", "line", "col", "severity", "suggestion"}


def test_tests_of_definitions_run(cli, folder):
    shown = cli.ok("test", str(folder))
    assert shown == "ok   webhook/orders: it is sent\n1 test, 0 failed; the check: 0 errors, 0 warnings\n"


def test_a_failing_test_says_what_differs(cli, folder):
    (folder / "good.yaml").write_text(GOOD.replace('{number: "1"}', '{number: "2"}'))
    result = cli("test", str(folder))
    assert result.exit_code == 1
    assert "FAIL webhook/orders: it is sent" in result.stdout
    assert json.loads(cli("test", "--json", str(folder)).stdout)["results"][0]["problems"]


def test_nothing_is_tested_that_does_not_pass_the_check(cli, folder):
    (folder / "bad.yaml").write_text("kind: Webhok\nname: x\n")
    result = cli("test", str(folder))
    assert result.exit_code == 1
    assert "0 tests" in result.stdout


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"", b"\x00", b"a: &x 1\nb: *x\n", b"kind: Webhook\nkind: Webhook\n", b"[" * 5000]
)
def test_hostile_files_are_findings(cli, folder, content):
    (folder / "bad.yaml").write_bytes(content)
    result = cli("check", str(folder))
    assert result.exit_code in (0, 1)
    assert result.stderr == ""


def test_a_folder_that_is_not_there_is_a_finding(cli, tmp_path):
    result = cli("check", str(tmp_path / "nowhere"))
    assert (result.exit_code, "UNREADABLE" in result.stdout) == (1, True)


def test_without_a_path_the_folder_definitions_is_meant(cli, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (folder / "bad.yaml").write_text("kind: Webhok\nname: x\n")
    assert cli("check").stdout.startswith("definitions/bad.yaml:1:7 ")
    monkeypatch.chdir(folder)
    assert cli("check").exit_code == 2


def test_a_file_that_is_named_twice_is_read_once(cli, folder):
    assert cli("check", str(folder), str(folder / "good.yaml")).exit_code == 0


def test_references_reach_over_all_paths(cli, folder, tmp_path):
    other = tmp_path / "more"
    other.mkdir()
    (other / "hook.yaml").write_text(
        "kind: Webhook\nname: second\ndirection: outbound\nintegration: erp\nevents: [order.created]\n"
        "sign: {scheme: standard-webhooks, key: {secret: K}}\n"
    )
    (folder / "erp.yaml").write_text(
        "kind: Integration\nname: erp\nplugin: http\nconfig: {base_url: https://erp.example.com}\n"
    )
    assert cli("check", str(other)).exit_code == 1
    assert cli("check", str(other), str(folder)).exit_code == 0


def test_the_schema_is_the_committed_one(cli):
    assert cli.ok("schema") == (ROOT / "definitions" / "definition.v1.json").read_text("utf-8")


def test_findings_about_folders_are_named_from_here(cli, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (folder / "linked").symlink_to(folder.parent)
    (folder / "inner").mkdir()
    (folder / "inner" / "out.yaml").symlink_to("/etc/hostname")
    shown = cli("check").stdout
    assert "definitions/linked:1:1 UNREADABLE" in shown
    assert "definitions/inner/out.yaml:1:1 UNREADABLE" in shown
    assert cli("check", "nowhere").stdout.startswith("nowhere:1:1 UNREADABLE")
