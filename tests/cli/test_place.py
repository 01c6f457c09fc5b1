"""Where commands act: DATABASE_URL, else the server of this home, else nowhere, and that is said."""

from __future__ import annotations

import pytest

from server.cli.place import local_settings, read_settings
from server.config import Settings
from server.kernel.errors import CrossdockError
from server.runtime.home import Home, Run

RUN = Run(1, "http://127.0.0.1:8080", "postgresql+psycopg://here/crossdock", "unix:///redis.sock")


def test_nothing_runs_and_the_way_out_is_said(cli):
    result = cli("events")
    assert result.exit_code == 6
    assert result.stderr.startswith("NOT_RUNNING no server runs on ")
    assert "crossdock up" in result.stderr


def test_the_running_server_of_this_home_is_used(home):
    place = Home(home)
    with place.lock():
        place.publish(RUN)
        found = local_settings(Settings(home=home))
    assert (found.database_url, found.redis_url) == (RUN.database_url, RUN.redis_url)
    assert "127.0.0.0/8" in found.allow_networks
    assert found.keys


def test_a_server_that_has_ended_is_not_used(home):
    place = Home(home)
    with place.lock():
        place.publish(RUN)
    with pytest.raises(CrossdockError) as caught:
        local_settings(Settings(home=home))
    assert caught.value.code == "NOT_RUNNING"


def test_a_database_of_ones_own_comes_first_and_allows_no_loopback(home):
    place = Home(home)
    with place.lock():
        place.publish(RUN)
        found = local_settings(Settings(home=home, database_url="postgresql+psycopg://there/crossdock"))
    assert (found.database_url, found.redis_url) == ("postgresql+psycopg://there/crossdock", "")
    assert found.allow_networks == ()


def test_a_setting_that_cannot_be_read_is_named(cli):
    result = cli("events", CROSSDOCK_BODY_LIMIT="many")
    assert result.exit_code == 1
    assert result.stderr.startswith("BAD_SETTING CROSSDOCK_BODY_LIMIT: ")
    with pytest.raises(CrossdockError):
        read_settings({"CROSSDOCK_BODY_LIMIT": "many"})


def test_a_database_that_was_never_prepared_says_so(cli, empty_database_url):
    result = cli("events", DATABASE_URL=empty_database_url)
    assert (result.exit_code, result.stderr.split()[0]) == (4, "NOT_MIGRATED"), result.output
    assert "crossdock db upgrade" in result.stderr


def test_a_database_is_prepared_and_then_works(cli, empty_database_url):
    first = cli.json("db", "upgrade", DATABASE_URL=empty_database_url)
    assert (first["before"], first["after"]) == (
        None,
        cli.json("db", "upgrade", DATABASE_URL=empty_database_url)["before"],
    )
    assert cli.json("events", DATABASE_URL=empty_database_url) == {"items": [], "next": None}


def test_a_database_that_is_away_ends_with_6(cli):
    away = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
    result = cli("events", DATABASE_URL=away)
    assert (result.exit_code, result.stderr.split()[0]) == (6, "DATABASE_AWAY"), result.output


def test_an_unknown_workspace_ends_with_3(cli, settings):
    result = cli("--workspace", "acme/nowhere", "events", DATABASE_URL=settings.database_url)
    assert (result.exit_code, result.stderr.split()[0]) == (3, "WORKSPACE_UNKNOWN")


@pytest.mark.parametrize("scheme", ["postgres://", "postgresql://", "postgresql+psycopg://"])
def test_a_database_is_named_as_other_programs_name_it(scheme):
    found = read_settings({"DATABASE_URL": f"{scheme}me@host/crossdock"})
    assert found.database_url == "postgresql+psycopg://me@host/crossdock"
