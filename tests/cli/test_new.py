"""`new` begins a definition that passes the check, `plugin new` a plugin that keeps the contract."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGINNINGS = [
    ("webhook", "orders", "--event", "order.created", "--event", "sales.**", "--url", "https://a.example.com/hook"),
    (
        "webhook",
        "yes",
        "--event",
        "order.created",
        "--url",
        "https://a.example.com/hook?x=1&y=#z",
        "--secret",
        "OWN_KEY",
    ),
    ("integration", "erp", "--base-url", "https://erp.example.com/api", "--secret", "ERP_TOKEN"),
    ("integration", "open", "--base-url", "http://127.0.0.1:9000"),
    ("event-type", "order.created"),
    ("flow", "deal-check"),
    ("flow", "deal-check", "--event", "deal.won"),
]


@pytest.mark.parametrize("arguments", BEGINNINGS, ids=lambda each: " ".join(each[:2]))
def test_what_is_begun_passes_the_check(cli, tmp_path, arguments):
    folder = tmp_path / "definitions"
    file = cli.ok("new", *arguments, "--dir", str(folder)).strip()
    assert cli.ok("check", str(folder)).startswith("1 file, 1 definition ")
    assert cli("new", *arguments, "--dir", str(folder)).exit_code == 4
    assert file.startswith(str(folder))


def test_the_tests_of_a_flow_that_is_begun_pass(cli, tmp_path):
    cli.ok("new", "flow", "deal-check", "--event", "deal.won", "--dir", str(tmp_path))
    assert "2 tests, 0 failed" in cli.ok("test", str(tmp_path))


def test_a_webhook_may_go_through_an_integration_of_the_folder(cli, tmp_path):
    folder = str(tmp_path / "definitions")
    webhook = ("new", "webhook", "orders", "--event", "a.b", "--integration", "erp", "--path", "/in", "--dir", folder)
    refused = cli(*webhook)
    assert (refused.exit_code, "erp" in refused.stdout) == (1, True)
    cli.ok("new", "integration", "erp", "--base-url", "https://erp.example.com", "--dir", folder)
    cli.ok(*webhook)
    cli.ok("check", folder)


@pytest.mark.parametrize(
    "arguments",
    [
        ("webhook", "../../evil", "--event", "a.b", "--url", "https://x.example.com"),
        ("webhook", "Orders", "--event", "a.b", "--url", "https://x.example.com"),
        ("webhook", "orders", "--event", "not a type", "--url", "https://x.example.com"),
        ("webhook", "orders", "--event", "a.b", "--url", "https://x.example.com\nactive: false"),
        ("webhook", "orders", "--event", "a.b", "--url", "http://10.0.0.1/"),
        ("webhook", "orders", "--event", "a.b"),
        ("webhook", "", "--event", "a.b", "--url", "https://x.example.com"),
        ("integration", "erp", "--base-url", "https://erp.example.com", "--secret", "{x}"),
        ("event-type", "crossdock.webhook.mine"),
        ("event-type", "a/b.c"),
    ],
    ids=repr,
)
def test_what_would_not_pass_is_not_written(cli, tmp_path, arguments):
    result = cli("new", *arguments, "--dir", str(tmp_path / "definitions"))
    assert result.exit_code in (1, 2), result.output
    assert list(tmp_path.rglob("*.yaml")) == []


def test_a_new_plugin_keeps_the_contract_and_passes_its_own_test(cli, tmp_path):
    cli.ok("plugin", "new", "acme_erp", "--title", "ACME ERP", "--dir", str(tmp_path))
    folder = tmp_path / "acme_erp"
    assert cli.json("plugin", "check", str(folder)) == {
        "ok": True,
        "results": [{"folder": str(folder), "problems": []}],
    }
    for command in (
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        ["-m", "ruff", "check", "--extend-ignore", "S101", str(folder)],
    ):
        ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_broken_plugin_is_told_what_it_breaks(cli, tmp_path):
    cli.ok("plugin", "new", "acme", "--dir", str(tmp_path))
    adapter = tmp_path / "acme" / "adapter.py"
    adapter.write_text(adapter.read_text().replace('version = "0.1.0"', 'version = "9.9.9"'))
    result = cli("plugin", "check", str(tmp_path / "acme"))
    assert result.exit_code == 1
    assert result.stdout.startswith("FAIL acme: manifest: the adapter is acme 9.9.9")


def test_the_plugins_of_the_project_keep_the_contract(cli):
    cli.ok("plugin", "check", "plugins/ai_service")


@pytest.mark.parametrize("name", ["Acme", "a-b", "../x", "", "1a", "a" * 41])
def test_a_name_that_is_none_is_refused(cli, tmp_path, name):
    assert cli("plugin", "new", name, "--dir", str(tmp_path / "here")).exit_code == 2
    assert not (tmp_path / "here").exists()


def test_a_title_cannot_break_the_files(cli, tmp_path):
    assert cli("plugin", "new", "acme", "--title", 'x"""\nimport os', "--dir", str(tmp_path)).exit_code == 2


def test_an_existing_plugin_is_left_alone(cli, tmp_path):
    (tmp_path / "acme").mkdir()
    assert cli("plugin", "new", "acme", "--dir", str(tmp_path)).exit_code == 4
    assert list((tmp_path / "acme").iterdir()) == []


def test_a_folder_that_is_no_plugin_is_said_to_be_none(cli, tmp_path):
    result = cli("plugin", "check", str(tmp_path))
    assert (result.exit_code, result.stderr.split()[0]) == (1, "MANIFEST_INVALID")
