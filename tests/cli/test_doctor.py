"""The doctor finds what is wrong and says what to do."""

from __future__ import annotations

import json

import pytest


def statuses(result):
    return {each["name"]: each["status"] for each in json.loads(result.stdout)["checks"]}


@pytest.fixture
def env(settings):
    return {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url, "CROSSDOCK_KEYS": settings.keys}


def test_what_is_well_passes_and_who_is_not_at_work_is_named(cli, env):
    result = cli("doctor", "--json", **env)
    found = statuses(result)
    assert result.exit_code == 1
    assert found["workers"] == "fail"
    assert {name for name, status in found.items() if status == "pass"} >= {
        "settings",
        "keys",
        "schema",
        "clock",
        "redis",
    }


def test_nothing_runs(cli):
    result = cli("doctor", "--json")
    assert (result.exit_code, statuses(result)["database"]) == (1, "fail")
    assert "crossdock up" in result.stdout


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/x"}, "database"),
        ({"DATABASE_URL": "nonsense"}, "settings"),
        ({"DATABASE_URL": "sqlite://"}, "settings"),
        ({"DATABASE_URL": "postgresql://me:very-secret@host:port/x"}, "server"),
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
    assert "very-secret" not in result.stdout


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "nonsense"])
def test_a_redis_that_is_away_is_found(cli, env, url):
    assert statuses(cli("doctor", "--json", **(env | {"REDIS_URL": url})))["redis"] != "pass"


def test_a_database_that_was_not_migrated_is_found(cli, env, empty_database_url):
    result = cli("doctor", **(env | {"DATABASE_URL": empty_database_url}))
    assert "fail  schema: the database has not been prepared" in result.stdout
    assert "crossdock db upgrade" in result.stdout


def test_it_makes_nothing_that_is_not_there(cli, home):
    cli("doctor")
    assert not home.exists()


def test_no_password_is_shown(cli):
    url = "postgresql+psycopg://me:very-secret@127.0.0.1:1/x"
    assert "very-secret" not in cli("doctor", DATABASE_URL=url, REDIS_URL="redis://:very-secret@127.0.0.1:1").output
