"""The doctor finds what is wrong and says what to do."""

from __future__ import annotations

import json

import pytest

from server.runtime.keys import new_key


def statuses(result):
    return {each["name"]: each["status"] for each in json.loads(result.stdout)["checks"]}


@pytest.fixture
def env(settings):
    return {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url, "CROSSDOCK_KEYS": settings.keys}


def test_all_is_well(cli, env):
    result = cli("doctor", "--json", **env)
    assert result.exit_code == 0, result.output
    assert set(statuses(result)) == {"settings", "disk", "keys", "database", "migrations", "clock", "redis"}
    assert set(statuses(result).values()) <= {"pass", "warn"}


def test_nothing_runs(cli):
    result = cli("doctor", "--json")
    assert (result.exit_code, statuses(result)["server"]) == (1, "fail")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/x"}, "database"),
        ({"DATABASE_URL": "nonsense"}, "settings"),
        ({"DATABASE_URL": "sqlite://"}, "settings"),
        ({"DATABASE_URL": "postgresql://host:port/x"}, "database"),
        ({"REDIS_URL": "redis://127.0.0.1:1"}, "redis"),
        ({"REDIS_URL": "nonsense"}, "redis"),
        ({"CROSSDOCK_KEYS": "k1:short"}, "keys"),
        ({"CROSSDOCK_ALLOW_NETWORKS": "10.0.0.0/99"}, "settings"),
        ({"CROSSDOCK_LOG_LEVEL": "loud"}, "settings"),
        ({"CROSSDOCK_BODY_LIMIT": "many"}, "settings"),
        ({"CROSSDOCK_URL": "http://127.0.0.1:1"}, "server"),
        ({"CROSSDOCK_URL": "nonsense"}, "server"),
    ],
    ids=str,
)
def test_what_is_wrong_is_found(cli, env, change, name):
    result = cli("doctor", "--json", **(env | change))
    assert (result.exit_code, statuses(result).get(name)) == (1, "fail"), result.output
    assert result.stderr == ""


def test_a_database_that_was_not_migrated_is_found(cli, env, empty_database_url):
    result = cli("doctor", **(env | {"DATABASE_URL": empty_database_url}))
    assert "do: crossdock db upgrade" in result.stdout


def test_a_key_ring_that_others_can_read_is_found(cli, env, home):
    home.mkdir()
    (home / "keys").write_text(new_key())
    (home / "keys").chmod(0o644)
    assert statuses(cli("doctor", "--json", **(env | {"CROSSDOCK_KEYS": ""})))["keys"] == "warn"


def test_no_password_is_shown(cli):
    url = "postgresql+psycopg://me:very-secret@127.0.0.1:1/x"
    assert "very-secret" not in cli("doctor", DATABASE_URL=url, REDIS_URL="redis://:very-secret@127.0.0.1:1").output
