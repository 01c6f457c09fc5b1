"""Engines for plugins that keep data of their own in our PostgreSQL: a schema each, and none of our tables on their path.

Such a plugin makes and migrates its own tables, so it works as the owner of the database: plugins are trusted code.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event

from server.kernel.errors import Permanent
from server.sdk.context import NOT_HERE

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

_CONNECTIONS = 4
_WAIT_SECONDS = 10


class PluginStores:
    """The engines of one process, one for each plugin that asks; an empty URL gives none."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._engines: dict[str, Engine] = {}
        self._lock = threading.Lock()

    def engine(self, plugin: str) -> Engine:
        """Return the engine of a plugin; its schema `plugin_NAME` is made with the first connection.

        Raises:
            Permanent: NOT_HERE, this process has no database.

        """
        if not self._url:
            raise Permanent("no database of our own is given to this call", code=NOT_HERE, source="plugin")
        with self._lock:
            if plugin not in self._engines:
                self._engines[plugin] = self._made(f"plugin_{plugin}")
            return self._engines[plugin]

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            engines = list(self._engines.values())
            self._engines.clear()
        for each in engines:
            each.dispose()

    def _made(self, schema: str) -> Engine:
        engine = create_engine(
            self._url,
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_timeout=_WAIT_SECONDS,
            pool_pre_ping=True,
            pool_recycle=1800,
            hide_parameters=True,
            connect_args={
                "connect_timeout": 5,
                "application_name": schema,
                "options": "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s "
                f"-c timezone=UTC -c search_path={schema}",
            },
        )

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _: Any) -> None:
            before = connection.autocommit
            connection.autocommit = True
            if connection.execute("SELECT to_regnamespace(%s)", (schema,)).fetchone()[0] is None:
                # Two at once: IF NOT EXISTS alone may fail on the name's unique key.
                connection.execute("SELECT pg_advisory_lock(7310002)")
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
                connection.execute("SELECT pg_advisory_unlock(7310002)")
            connection.autocommit = before

        return engine
