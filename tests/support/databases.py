"""Databases for tests: copies of a migrated one, and one that is lent to test after test, emptied in between.

Copying takes half a second, emptying some milliseconds. What a test leaves behind is found by looking and not by trust: a
database to which somebody is still connected, whose tables are not those of the template, that was analyzed or that has
grown is dropped, and the next test gets a new copy. So every test begins with what it would find in a database of its own.
"""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAVE_SECONDS = 0.2
"""How long a connection that was closed may take to be gone."""
GROWN = 512 * 1024
"""Bytes of a table, of which deleted rows are part, from which its plans and costs may differ from those of a new one."""

_EMPTY = """
DO $$
DECLARE each record;
BEGIN
  FOR each IN SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('public', 'information_schema') LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', each.nspname);
  END LOOP;
  FOR each IN SELECT oid::regclass AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
              AND relname <> 'alembic_version' AND pg_relation_size(oid) > 0 LOOP
    EXECUTE format('DELETE FROM %s', each.name);
  END LOOP;
  PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence WHERE pg_sequence_last_value(seqrelid) IS NOT NULL;
END $$
"""
# Each row of a catalogue knows the transaction that wrote it: the newest ones and their number are those of the template for as
# long as nobody has changed a table, a function or a right.
_LOOK = """
SELECT (SELECT coalesce(max(pg_relation_size(oid)), 0) FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r') AS largest,
       array[(SELECT (count(*), max(xmin::text::bigint))::text FROM pg_class WHERE relkind <> 'S'), {}] AS shape
"""
_CATALOGUES = ["pg_attribute", "pg_attrdef", "pg_constraint", "pg_index", "pg_namespace", "pg_policy", "pg_proc"]
_CATALOGUES += ["pg_statistic", "pg_statistic_ext", "pg_trigger", "pg_type"]
_SHAPE = _LOOK.format(
    ", ".join(f"(SELECT (count(*), max(xmin::text::bigint))::text FROM {name})" for name in _CATALOGUES)
)


_OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_AS_KEEPER = "-c lock_timeout=5s -c session_replication_role=replica"


def connect(url: str, options: str = "") -> psycopg.Connection[Any]:
    """Connect past SQLAlchemy, outside of transactions."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True, options=options)


def text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def create(server: str, template: str = "template0") -> URL:
    """Make a database beside the one of the URL `server`."""
    url = make_url(server).set(database=f"test_{uuid.uuid4().hex[:16]}")
    with connect(server) as connection:
        names = sql.Identifier(str(url.database)), sql.Identifier(template)
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
    return url


def drop(server: str, url: URL) -> None:
    """Drop it, whoever is still connected."""
    with connect(server) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(url.database))))


@contextmanager
def copied(server: str, template: str = "template0") -> Iterator[URL]:
    """Make a database, and drop it after."""
    url = create(server, template)
    yield url
    drop(server, url)


class Lent:
    """One database at a time, for one test after the other."""

    def __init__(self, server: str, template: str) -> None:
        self.server = server
        self.template = template
        self._url: URL | None = None
        self._keeper: psycopg.Connection[Any] | None = None
        self._shape: Any = None

    def take(self) -> str:
        """Return the URL of a database as it was migrated."""
        if self._url is None:
            self._url = create(self.server, self.template)
            self._keeper = connect(text(self._url), _AS_KEEPER)
            self._shape = _looked(self._keeper)[1]
        return text(self._url)

    def give_back(self) -> None:
        """Empty it; drop it when that does not make it what it was, or cannot."""
        if self._keeper is None:
            return
        try:
            same = _alone(self._keeper) and self._emptied(self._keeper)
        except psycopg.OperationalError:  # a test ends its connections: ours too
            same = False
        if not same:
            self.close()

    def close(self) -> None:
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        if self._url is not None:
            drop(self.server, self._url)
            self._url = None

    def _emptied(self, keeper: psycopg.Connection[Any]) -> bool:
        keeper.execute(_EMPTY.encode())
        largest, shape = _looked(keeper)
        return largest < GROWN and shape == self._shape


def _alone(keeper: psycopg.Connection[Any]) -> bool:
    """Say whether everybody else has left."""
    end = time.monotonic() + LEAVE_SECONDS
    while keeper.execute(_OTHERS.encode()).fetchone() != (0,):
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def empty(url: str) -> None:
    """Delete every row of every table."""
    with connect(url, _AS_KEEPER) as connection:
        connection.execute(_EMPTY.encode())


def _looked(connection: psycopg.Connection[Any]) -> tuple[int, Any]:
    """Return the bytes of the largest table, and what tells the database's shape from any other."""
    row = connection.execute(_SHAPE.encode()).fetchone()
    assert row is not None
    return row[0], row[1]
