"""The sql plugin on a real PostgreSQL and on SQLite: the same tests on both."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from plugins.sql.adapter import SqlAdapter
from server.integrations.plugins import discover
from server.integrations.scaffold import loopback_session
from server.sdk.testing import Rig
from server.transport.addresses import AddressPolicy
from server.transport.databases import Databases, Reach

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = discover()["sql"]


class Database:
    """A database with the plugin in front of it."""

    def __init__(self, url: str, folder: Path | None, databases: Databases) -> None:
        self.url, self.folder, self._databases = url, folder, databases
        self.kind = url.partition(":")[0]
        self.adapter = SqlAdapter()
        self.source = self.adapter.source("query.read")
        self.target = self.adapter.target("table.write")
        self.config: dict[str, Any] = {"url": url}

    @property
    def context(self):
        reach = Reach(AddressPolicy(["127.0.0.0/8"]), self.folder)
        rig = Rig(
            PLUGIN, loopback_session, lambda _folder: {"sql": lambda url: self._databases.engine("t", url, reach)}
        )
        return rig.context(_Configured(self.config))

    def run(self, sql: str, *values: Any) -> list[tuple]:
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.folder / "shop.db")) as connection, connection:
                return connection.execute(sql.replace("%s", "?") if values else sql, values).fetchall()
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []


class _Configured:
    folder = None

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config


@pytest.fixture
def databases():
    made = Databases()
    yield made
    made.close()


@pytest.fixture
def postgres(empty_database_url, databases) -> Database:
    return Database(empty_database_url.replace("+psycopg", ""), None, databases)


@pytest.fixture
def sqlite(tmp_path, databases) -> Database:
    sqlite3.connect(tmp_path / "shop.db").close()
    return Database("sqlite:///shop.db", tmp_path, databases)


@pytest.fixture(params=["postgres", "sqlite"])
def database(request) -> Database:
    return request.getfixturevalue(request.param)
