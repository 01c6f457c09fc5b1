"""Row-level security: a transaction of one workspace reads and writes no row of another, whatever SQL it runs.

The tables come from the database's catalogue, and each gets a row of the other workspace made from its column types: a new
table with a workspace is in this test without anybody thinking of it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from tests.access.conftest import CAUSE

if TYPE_CHECKING:
    from server.store import Scope, Store

_TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid
WHERE n.nspname = 'public' AND a.attname = 'workspace_id' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""
_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, NULL), a.attidentity <> '' OR a.attgenerated <> '' FROM pg_attribute a
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull ORDER BY a.attnum
"""
_SAMPLES = {
    "bigint": "7", "integer": "7", "smallint": "7", "double precision": "7", "numeric": "7", "real": "7", "boolean": "true",
    "text": "'x'", "uuid": "gen_random_uuid()", "bytea": "'\\x00'", "jsonb": "'{}'", "json": "'{}'", "timestamp with time zone": "now()",
    "interval": "'1 s'", "text[]": "'{}'", "uuid[]": "'{}'", "date": "now()", "inet": "'::1'",
}  # fmt: skip


@pytest.fixture
def owner(database_url: str):
    """The schema's owner, whom no fence holds; foreign keys are off, so that any row can stand alone."""
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


@pytest.fixture
def fenced(database_url: str, ours: Scope):
    """A connection as the API has it, inside our workspace."""
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET ROLE crossdock_api")
        connection.execute("SELECT set_config('crossdock.workspace', %s, false)", [str(ours.workspace_id)])
        yield connection


def row_for(owner: psycopg.Connection, table: str, scope: Scope) -> tuple[sql.Composed, dict[str, Any]]:
    """Return an INSERT of a row of a workspace."""
    columns = [(name, kind) for name, kind, generated in owner.execute(_COLUMNS, [table]) if not generated]
    values = {"workspace_id": scope.workspace_id, "organization_id": scope.organization_id}
    made = [sql.SQL(str(values.get(name, _SAMPLES[kind]))) for name, kind in columns]
    names = [sql.Identifier(name) for name, _ in columns]
    return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table), sql.SQL(", ").join(names), sql.SQL(", ").join(made)
    )


def test_no_table_with_a_workspace_lets_another_workspace_in(owner, fenced, ours: Scope, theirs: Scope):
    tables = [name for (name,) in owner.execute(_TABLES)]
    assert {"secrets", "tokens", "events", "deliveries", "attempts", "webhooks", "due", "audit"} <= set(tables)
    for table in tables:
        owner.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        owner.execute(row_for(owner, table, theirs))
        name = sql.Identifier(table)
        refused = psycopg.errors.InsufficientPrivilege
        assert fenced.execute(sql.SQL("SELECT count(*) FROM {}").format(name)).fetchone() == (0,), table
        for attempt in (
            sql.SQL("UPDATE {} SET workspace_id = {}").format(name, ours.workspace_id),
            sql.SQL("DELETE FROM {} WHERE workspace_id = {}").format(name, theirs.workspace_id),
            sql.SQL("DELETE FROM {}").format(name),
        ):
            with suppress(refused):
                assert fenced.execute(attempt).rowcount == 0, (table, attempt)
        with pytest.raises(refused):
            fenced.execute(row_for(owner, table, theirs))
        assert owner.execute(sql.SQL("SELECT count(*), min(workspace_id) FROM {}").format(name)).fetchone() == (
            1,
            theirs.workspace_id,
        ), table


def test_our_own_rows_cannot_be_given_away(owner, fenced, ours: Scope, theirs: Scope):
    for (table,) in owner.execute(_TABLES).fetchall():
        name = sql.Identifier(table)
        owner.execute(sql.SQL("DELETE FROM {}").format(name))
        owner.execute(row_for(owner, table, ours))
        try:
            seen = fenced.execute(sql.SQL("SELECT count(*) FROM {}").format(name)).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            continue  # the API has no business in it at all
        assert seen == (1,), table
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            fenced.execute(sql.SQL("UPDATE {} SET workspace_id = {}").format(name, theirs.workspace_id))


def test_a_partition_is_no_way_around(owner, fenced):
    partitions = owner.execute("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'").fetchall()
    assert len(partitions) > 10
    for (name,) in partitions:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            fenced.execute(sql.SQL("SELECT 1 FROM {}").format(sql.Identifier(name)))


def test_every_table_is_fenced_or_closed(owner):
    """What the API's role can reach and has no row-level security holds nothing of any tenant."""
    open_tables = owner.execute(
        """SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relrowsecurity
             AND has_table_privilege('crossdock_api', c.oid, 'SELECT, INSERT, UPDATE, DELETE') ORDER BY 1"""
    ).fetchall()
    assert {name for (name,) in open_tables} <= {"processes", "leases"}


def test_only_the_own_workspace_is_seen(owner, fenced, ours: Scope, theirs: Scope):
    assert fenced.execute("SELECT id FROM workspaces").fetchall() == [(ours.workspace_id,)]
    for attempt in (
        "SELECT * FROM organizations",
        "SELECT * FROM users",
        "INSERT INTO workspaces (organization_id, name) VALUES (1, 'x')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            fenced.execute(attempt)
    assert fenced.execute("UPDATE workspaces SET routes_version = 9 WHERE id = %s", [theirs.workspace_id]).rowcount == 0


def test_without_a_workspace_nothing_is_seen(owner, fenced, theirs: Scope):
    owner.execute(row_for(owner, "secrets", theirs))
    fenced.execute("RESET crossdock.workspace")
    assert fenced.execute("SELECT count(*) FROM secrets").fetchone() == (0,)
    fenced.execute("SELECT set_config('crossdock.workspace', '', false)")
    assert fenced.execute("SELECT count(*) FROM secrets").fetchone() == (0,)


def test_the_workspace_of_a_transaction_does_not_outlive_it(store: Store, ours: Scope, theirs: Scope):
    with store.begin(theirs, CAUSE) as tx:
        assert tx.one("SELECT current_setting('crossdock.workspace') AS now").now == str(theirs.workspace_id)
    with store.connect() as connection:
        assert connection.exec_driver_sql("SELECT current_setting('crossdock.workspace', true)").scalar() in (None, "")


def test_history_cannot_be_rewritten_by_the_api(fenced):
    for table in ("audit", "journal", "definition_versions"):
        for attempt in ("UPDATE {} SET workspace_id = workspace_id", "DELETE FROM {}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                fenced.execute(sql.SQL(attempt).format(sql.Identifier(table)))
