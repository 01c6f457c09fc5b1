"""The same command gives the same output in this process and over HTTP."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli

COMMANDS = [
    ("events",),
    ("events", "--json"),
    ("events", "show", "SO-1"),
    ("events", "show", "SO-1", "--json"),
    ("events", "show", "nothing"),
    ("events", "--cursor", "broken"),
    ("send", "a.b", "--id", "SO-1", "--data", "2"),
    ("send", "not a type", "--data", "1"),
    ("secret", "--json"),
    ("workspace",),
    ("audit", "--json"),
    ("deliveries", "show", "dlv_nothing"),
    ("plugin",),
    ("definition",),
    ("export",),
]


@pytest.fixture
def both(local, served):
    token = local.json("token", "create", "--role", "admin")["token"]
    local.ok("send", "a.b", "--id", "SO-1", "--data", '{"total": 1500.00}')
    local.ok("secret", "set", "KEY", stdin="value-of-the-key")
    return local, Cli({"CROSSDOCK_URL": served, "CROSSDOCK_TOKEN": token})


def test_the_output_is_the_same_both_ways(both):
    here, there = both
    for command in COMMANDS:
        one, other = here(*command), there(*command)
        assert (one.exit_code, one.stdout, one.stderr) == (other.exit_code, other.stdout, other.stderr), command


def test_no_token_ends_with_5_and_the_way_out(both):
    _, there = both
    result = there("events", CROSSDOCK_TOKEN="")
    assert (result.exit_code, result.stderr.split()[0]) == (5, "UNAUTHENTICATED")
    assert "CROSSDOCK_TOKEN" in result.stderr


def test_a_role_that_may_not_ends_with_5(both):
    here, there = both
    token = here.json("token", "create", "--role", "viewer")["token"]
    result = there("secret", "set", "OTHER", stdin="x", CROSSDOCK_TOKEN=token)
    assert (result.exit_code, result.stderr.split()[0]) == (5, "FORBIDDEN")


def test_organizations_are_made_by_the_local_admin_only(both):
    here, there = both
    assert there("organization", "create", "acme").exit_code == 5
    assert here("organization", "create", "acme").exit_code == 0


def test_the_workspace_of_the_token_may_be_named(both):
    _, there = both
    assert there("events", "--workspace", "default/default").exit_code == 0
    assert there("events", "--workspace", "default").exit_code == 0
    assert there("events", "--workspace", "acme/default").exit_code == 4


def test_the_doctor_looks_at_the_server(both):
    _, there = both
    checks = {each["name"]: each["status"] for each in there.json("doctor")["checks"]}
    assert checks["server"] == checks["token"] == "pass"
