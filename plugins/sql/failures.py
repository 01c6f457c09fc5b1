"""What an error of a database means for the next try.

what                                                       class      code
connection lost, no place, starting up, deadlock, locked   Retryable  UPSTREAM_FAILED
a statement took longer than its time                      Retryable  TIMEOUT
the connection was lost while committing                   Retryable  OUTCOME_UNKNOWN
log-in or right refused                                    Permanent  UPSTREAM_FORBIDDEN
no such database, table or column                          Permanent  UPSTREAM_NOT_FOUND
a value that does not fit, a constraint                    Permanent  RECORD_REFUSED
anything else                                              Permanent  UPSTREAM_REFUSED
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from server.sdk import OUTCOME_UNKNOWN, CrossdockError, Permanent, Retryable, code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

RECORD_REFUSED = code(
    "RECORD_REFUSED", "The other system refuses this record: a value does not fit, or a rule forbids it."
)

_READ_ONLY = "25006"
_PASSING = ("08", "53", "57P", "40", "55P03", "58", _READ_ONLY, "XX")
_FORBIDDEN = ("28", "42501")
_ABSENT = ("3D000", "3F000", "42P01", "42703", "42704")
_RECORD = ("22", "23")
_CANCELLED = "57014"
_MYSQL_PASSING = frozenset({1040, 1205, 1213, 2002, 2003, 2006, 2013, 1053})
_MYSQL_FORBIDDEN = frozenset({1044, 1045, 1142, 1143, 1227})
_MYSQL_ABSENT = frozenset({1049, 1146, 1054})
_MYSQL_RECORD = frozenset({1048, 1062, 1264, 1265, 1292, 1366, 1406, 1451, 1452, 3819})
_MYSQL_LATE = frozenset({3024, 1969})
_SQLITE_PASSING = ("locked", "busy", "disk i/o", "full", "unable to open")
_SQLITE_ABSENT = ("no such table", "no such column", "has no column")
_TIMEOUT = "TIMEOUT"
_NOT_FOUND = "UPSTREAM_NOT_FOUND"
_FORBIDDEN_CODE = "UPSTREAM_FORBIDDEN"


@contextmanager
def named_failures(*, may_write: bool) -> Iterator[None]:
    """Turn errors of the database into ours; that it may only be read is a passing failure where we may write."""
    try:
        yield
    except PoolTimeoutError as error:
        raise Retryable("all connections to the database are in use", source="sql") from error
    except DBAPIError as error:
        failure = failure_of(error)
        if not may_write and failure.details.get("sqlstate") == _READ_ONLY:
            failure = Permanent(failure.message, code=_FORBIDDEN_CODE, source="sql")
        raise failure from error
    except SQLAlchemyError as error:
        raise Permanent(f"the statement cannot be made: {type(error).__name__}", source="sql") from error


@contextmanager
def driver_failures(connection: Connection) -> Iterator[None]:
    """Let errors of the driver itself look as they do when SQLAlchemy was asked."""
    try:
        yield
    except connection.dialect.loaded_dbapi.Error as error:
        lost = connection.dialect.is_disconnect(error, connection.connection, None)
        if lost:
            connection.invalidate(error)
        raise DBAPIError(None, None, error, hide_parameters=True, connection_invalidated=lost) from error


def unknown() -> Retryable:
    """Build the error for a connection that was lost while the database committed."""
    message = "the connection was lost while committing"
    return Retryable(message, code=OUTCOME_UNKNOWN, source="sql")


def failure_of(error: DBAPIError) -> CrossdockError:
    """Return what an error of the driver is; no bound value stands in its message."""
    inner = error.orig
    if isinstance(inner, CrossdockError):
        return inner
    module = type(inner).__module__.partition(".")[0]
    if module == "psycopg":
        return _postgres(inner, lost=error.connection_invalidated)
    if module == "pymysql":
        return _mysql(inner)
    return _sqlite(inner)


def _postgres(error: Any, *, lost: bool) -> CrossdockError:
    state = getattr(error, "sqlstate", None) or ""
    said = getattr(getattr(error, "diag", None), "message_primary", None)
    message = f"the database says: {said[:300]}" if said else "the connection to the database failed"
    details: dict[str, Any] = {"sqlstate": state}
    if constraint := getattr(getattr(error, "diag", None), "constraint_name", None):
        details["constraint"] = constraint
    if state == _CANCELLED:
        return Retryable(message, code=_TIMEOUT, source="sql", phase="statement", **details)
    if not state:
        return _unconnected(str(error))
    kind = _class_of(state)
    if lost or kind is None:
        return Retryable(message, source="sql", **details)
    return Permanent(message, code=kind, source="sql", **details)


def _class_of(state: str) -> str | None:
    """Return the code of a permanent failure, None for one that may pass."""
    for states, found in (
        (_FORBIDDEN, _FORBIDDEN_CODE),
        (_ABSENT, _NOT_FOUND),
        (_RECORD, RECORD_REFUSED),
        (_PASSING, None),
    ):
        if state.startswith(states):
            return found
    return "UPSTREAM_REFUSED"


def _unconnected(text: str) -> CrossdockError:
    """Read what libpq says when there is no connection: it gives no state."""
    said = text.lower()
    if "timeout" in said:
        return Retryable("the database did not answer in time", code=_TIMEOUT, source="sql", phase="connect")
    if "authentication failed" in said or "no password" in said or "pg_hba" in said:
        return Permanent("the database does not accept our log-in", code=_FORBIDDEN_CODE, source="sql")
    if "does not exist" in said:
        return Permanent("there is no such database", code=_NOT_FOUND, source="sql")
    return Retryable("there is no connection to the database", source="sql")


def _mysql(error: Any) -> CrossdockError:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    message = f"the database says error {number}"
    if number in _MYSQL_LATE:
        return Retryable(message, code=_TIMEOUT, source="sql", phase="statement", number=number)
    for numbers, found in (
        (_MYSQL_FORBIDDEN, _FORBIDDEN_CODE),
        (_MYSQL_ABSENT, _NOT_FOUND),
        (_MYSQL_RECORD, RECORD_REFUSED),
    ):
        if number in numbers:
            return Permanent(message, code=found, source="sql", number=number)
    if number in _MYSQL_PASSING:
        return Retryable(message, source="sql", number=number)
    return Permanent(message, source="sql", number=number)


def _sqlite(error: Any) -> CrossdockError:
    said, kind = str(error), type(error).__name__
    lower, message = said.lower(), f"the database says: {said[:300]}"
    if "interrupted" in lower:
        return Retryable(message, code=_TIMEOUT, source="sql", phase="statement")
    if any(each in lower for each in _SQLITE_PASSING):
        return Retryable(message, source="sql")
    if any(each in lower for each in _SQLITE_ABSENT):
        return Permanent(message, code=_NOT_FOUND, source="sql")
    if "not authorized" in lower or "readonly" in lower or "prohibited" in lower:
        return Permanent(message, code=_FORBIDDEN_CODE, source="sql")
    if kind in {"IntegrityError", "DataError", "InterfaceError"} or "too large" in lower:
        return Permanent(message, code=RECORD_REFUSED, source="sql")
    return Permanent(message, source="sql")
