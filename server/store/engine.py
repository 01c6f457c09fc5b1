"""Transactions. Each belongs to one workspace, knows who caused it, and does its after-work only once it has committed.

Two database roles stand behind two stores: `crossdock_api` is fenced into the workspace of its scope by row-level
security, `crossdock_engine` (workers, scheduler, authentication) works over all and names the workspace in every query.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from server.kernel.errors import Unavailable, code
from server.store import straight
from server.store.values import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection, CursorResult, Engine, Row

    from server.kernel.aggregate import Aggregate

DATABASE_AWAY = code("DATABASE_AWAY", "The database cannot be reached or is full; nothing was stored. Try again.")
Role = Literal["crossdock_api", "crossdock_engine"]
_BY_INDEX = (
    " -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
)
_AWAY_STATES = frozenset(
    {"53100", "53200", "53300", "57014", "57P01", "57P02", "57P03", "25006", "40001", "40P01", "55P03"}
)
# The workspace is set before its row is looked for, since only then can the row be seen: what a subquery asks for is known first.
_ENTER = """
SELECT coalesce((SELECT routes_version FROM workspaces WHERE workspaces.id = entered.id), -1)
FROM (SELECT set_config('crossdock.workspace', %s, true)::bigint AS id OFFSET 0) AS entered
"""
ROUTES_VERSION = "routes_version"
"""The note of what `events.routes` reads; a tenant's transaction has it from its first statement."""
_STORAGE = frozenset({"md.c", "fd.c", "slru.c", "xlog.c"})


@dataclass(frozen=True, slots=True)
class Scope:
    """The tenant that a transaction works for; the names are for people, the ids for rows."""

    organization_id: int
    workspace_id: int
    organization: str = "default"
    workspace: str = "default"

    def __str__(self) -> str:
        return f"{self.organization}/{self.workspace}"


@dataclass(frozen=True, slots=True)
class Cause:
    """Who and what a change comes from: `user:…`, `token:…`, `worker`, `local-admin`; the ids tie the chain."""

    principal: str
    correlation_id: str
    causation_id: str | None = None


@dataclass(slots=True)
class Tx:
    """An open transaction. Aggregates handed to `track` are kept strongly until it ends, so that no event is lost."""

    conn: Connection
    scope: Scope
    cause: Cause
    seen: list[Aggregate] = field(default_factory=list)
    after: dict[str, Callable[[], None]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    """What was read once and holds until it is changed in this transaction: whoever changes it takes the note away."""

    def track(self, aggregate: Aggregate) -> None:
        """Remember an aggregate whose uncommitted events belong to this transaction."""
        if not any(each is aggregate for each in self.seen):
            self.seen.append(aggregate)

    def after_commit(self, name: str, callback: Callable[[], None]) -> None:
        """Call back once the transaction has committed; one callback per name, however often it is asked for."""
        self.after[name] = callback

    def run(self, sql: str, **values: Any) -> CursorResult[Any]:
        """Run one statement with bound values; `:workspace_id` and `:organization_id` are the scope's."""
        return self.conn.execute(text(sql), self._bound(values))

    def all(self, sql: str, **values: Any) -> Sequence[Row[Any]]:
        """Return all rows."""
        return self.run(sql, **values).all()

    def one(self, sql: str, **values: Any) -> Row[Any] | None:
        """Return the first row or None."""
        return self.run(sql, **values).first()

    def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run one statement for many rows."""
        if rows:
            self.conn.execute(text(sql), [self._bound(row) for row in rows])

    def _bound(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {"workspace_id": self.scope.workspace_id, "organization_id": self.scope.organization_id, **values}


class Store:
    """A pool of connections under one role, and the transactions made on it.

    With `by_index` every plan is made once and reads by indexes only: for the few statements of the engine that look up what they
    know the keys of. A plan made while a table is empty would read it from end to end, and go on so when it has grown.
    """

    def __init__(
        self,
        url: str,
        role: Role,
        *,
        pool: int = 8,
        statement_timeout: int = 30,
        before_commit: Sequence[Callable[[Tx], None]] = (),
        by_index: bool = False,
        measured: Callable[[datetime], None] | None = None,
    ) -> None:
        self.url = url
        self.role = role
        self.before_commit = list(before_commit)
        self.measured = measured or _ignore
        options = (
            f"-c statement_timeout={statement_timeout}s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s "
            "-c timezone=UTC" + (_BY_INDEX if by_index else "")
        )
        self.engine = self._pooled(pool, options)
        self._single = self._pooled(pool, options, isolation_level="AUTOCOMMIT", pool_reset_on_return=None)

    def _pooled(self, pool: int, options: str, **how: Any) -> Engine:
        engine = create_engine(
            self.url,
            pool_size=pool,
            max_overflow=pool,
            pool_timeout=5,
            pool_pre_ping=False,
            hide_parameters=True,  # bound values are the customer's: no error or log shows them
            pool_recycle=1800,
            pool_use_lifo=True,  # the same few connections do the work: the database keeps what they read at hand
            json_serializer=write_json,
            json_deserializer=read_json,
            connect_args={
                "connect_timeout": 5,
                "application_name": self.role,
                "options": options,
                "tcp_user_timeout": 15000,
                "keepalives_idle": 60,  # those that are seldom used stay known to what is between us and the database
                "keepalives_interval": 10,
            },
            **how,
        )

        @event.listens_for(engine, "connect")
        def become(connection: Any, _: Any) -> None:
            before = connection.autocommit
            connection.autocommit = True
            connection.execute(f"SET ROLE {self.role}")
            self.measured(connection.execute("SELECT clock_timestamp()").fetchone()[0])
            connection.autocommit = before

        return engine

    @contextmanager
    def begin(self, scope: Scope, cause: Cause) -> Iterator[Tx]:
        """Open a transaction; it commits when the block ends well, and then runs what was asked for after it.

        Raises:
            Unavailable: DATABASE_AWAY, nothing was stored.

        """
        with reachable():
            with self.engine.begin() as connection:
                tx = Tx(connection, scope, cause)
                if self.role == "crossdock_api":
                    tx.notes[ROUTES_VERSION] = straight.rows(connection, _ENTER, (str(scope.workspace_id),))[0][0]
                yield tx
                for hook in self.before_commit:
                    hook(tx)
            for aggregate in tx.seen:
                aggregate.committed()
        for callback in tx.after.values():
            callback()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a transaction over all workspaces: for the engine's own work, which names the workspace in every row.

        Raises:
            Unavailable: DATABASE_AWAY, nothing was stored.

        """
        with reachable(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def statements(self) -> Iterator[Connection]:
        """Open a connection on which each statement is a transaction of its own: no round trip to begin or to commit.

        Raises:
            Unavailable: DATABASE_AWAY, the statement under way may have been stored.

        """
        with reachable(), self._single.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()
        self._single.dispose()


@contextmanager
def reachable() -> Iterator[None]:
    """Turn "the database is away, full, in the way or too slow" into Unavailable; all else is a fault of ours and passes."""
    try:
        yield
    except PoolTimeoutError as error:
        raise Unavailable("the database has no free connection", code=DATABASE_AWAY, after=1) from error
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        away = (isinstance(error, OperationalError) and state is None) or error.connection_invalidated
        if away or state in _AWAY_STATES or (state or "").startswith("08") or _storage(error.orig):
            raise Unavailable("the database is away", code=DATABASE_AWAY, after=1, sqlstate=state) from error
        raise


def _ignore(_: datetime) -> None:
    """Take no notice of the database's time."""


def _storage(error: Any) -> bool:
    """Say whether files could not be read or written: a quota used up has no state of its own, only its place in PostgreSQL."""
    place = getattr(getattr(error, "diag", None), "source_file", None)
    return place in _STORAGE and getattr(error, "sqlstate", None) in ("XX000", "58030")
